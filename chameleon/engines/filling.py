"""Has the windows that a corpus lacks made by the engine that was asked for."""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep, time
from typing import Never

import torch
from tqdm import tqdm

from chameleon.cutting import windows_at_once
from chameleon.devices import DTYPES, choose_device
from chameleon.engines.driver import Driver
from chameleon.engines.here import Here
from chameleon.engines.processes import Processes
from chameleon.engines.ray_cluster import RayPool
from chameleon.engines.work import Hello, Item, Made, Pool, Setup, Shard, program, shards_of
from chameleon.engines.worker import Worker, checkpoint_digest, hello_of, keys_of
from chameleon.errors import InputError
from chameleon.files import digest_of_json, is_there, local_path
from chameleon.opening import Opened, checkpoint_of, dataset_of
from chameleon.options import Options
from chameleon.pieces import MOST_FILES, Pieces
from chameleon.windows import CHUNKS_PER_PIECE

Notify = Callable[[str], None]

# Of so many times as many domains as shares each falls to one share whole.
_WHOLE = 4
# Of domains that are small beside a piece, about so many shards at most.
_MOST_SHARDS = 8192
# How long a shared disk may take to show what another machine has written.
_SECONDS_TO_BE_SEEN = 60.0
# Signs of runs that were killed stay so many seconds.
_SIGN, _OLD = ".shared-", 7 * 86400.0
# On CPUs: workers of so many threads.
_THREADS = 4


class Filler:
    """An engine at work on one corpus."""

    def __init__(self, driver: Driver, pieces: Pieces, keys: Mapping[str, str], at_once: int) -> None:
        """Args: who works, what there is, by domain its key, and windows of a chunk."""
        self._driver, self._pieces, self._keys = driver, pieces, keys
        self._piece_windows = CHUNKS_PER_PIECE * at_once
        self._files: set[str] = set()
        self._ended: set[str] = set()

    def fill(self, wanted: Mapping[str, int]) -> None:
        """Have pieces made until each domain has the windows wanted of it, or all that it has.

        Raises:
            InputError: A text cannot be read, an embedding is not finite, no worker is left, or what workers
                write does not come to be seen here.
        """
        bar: tqdm[Never] = tqdm(desc="embedding", unit="window", delay=1, disable=None)
        with bar:
            before: list[Item] = []
            while items := self._lacking(wanted):
                if items == before:
                    raise InputError(
                        f"what workers wrote to {self._pieces.directory} is not to be seen here; name by "
                        "--embeddings_dir a directory that all machines share"
                    )
                before = items
                bar.total = bar.n + sum(item.wanted - item.have for item in items)
                # Many small domains come together, so that there are not too many files.
                size = max(self._piece_windows, int(bar.total - bar.n) // _MOST_SHARDS)
                self._driver.carry_out(shards_of(items, size), lambda made: self._react(made, bar))
                self._wait_for_files()
                self._pieces.look(self._files)
                self._files.clear()

    def _wait_for_files(self) -> None:
        """Disks that machines share may take a while to show what others wrote."""
        deadline = monotonic() + _SECONDS_TO_BE_SEEN
        for name in self._files:
            while not (self._pieces.directory / name).exists() and monotonic() < deadline:
                sleep(0.2)

    def _lacking(self, wanted: Mapping[str, int]) -> list[Item]:
        items = []
        for name, number in wanted.items():
            extent = self._pieces.extent(self._keys[name])
            have, visit = (0, 0) if extent is None else (extent.windows, extent.next_visit)
            is_there = name in self._ended or (extent is not None and have >= min(number, extent.available))
            if not is_there:
                items.append(Item(name, have, visit, number, 0))
        return items

    def _react(self, made: tuple[Made, ...], bar: "tqdm[Never]") -> list[Shard]:
        """What is left to make of domains that have been measured by making their first piece."""
        bar.update(sum(each.windows for each in made))
        self._files |= {each.file for each in made if each.file is not None}
        # Whoever measured them says that there are no more windows, whatever was thought before.
        self._ended |= {each.item.domain for each in made if each.num_pieces == 0}
        further = [
            each.item._replace(number=number)
            for each in made
            if each.item.number == 0
            for number in range(1, each.num_pieces)
        ]
        return [(item,) for item in further]


@contextmanager
def workers_for(options: Options, notify: Notify) -> Iterator[Driver | None]:
    """Workers of an engine other than this process, started while this process opens what it needs itself.

    None for the serial engine, and where the proxy is yet to be trained.

    Raises:
        InputError: There cannot be any.
    """
    checkpoint = checkpoint_of(options)
    if options.engine == "serial" or checkpoint is None:
        yield None
        return
    with _started(options, dataset_of(options), checkpoint, notify) as driver:
        yield driver


@contextmanager
def _started(options: Options, dataset: str, checkpoint: str, notify: Notify) -> Iterator[Driver]:
    with _sign(options.embeddings_dir) as sign:
        driver = Driver(_pool(options, _setup(options, dataset, checkpoint, sign)), notify)
        try:
            yield driver
        finally:
            driver.close()


@contextmanager
def filler_of(
    there: Opened, pieces: Pieces, notify: Notify, driver: Driver | None = None
) -> Iterator[tuple[Opened, Filler | None]]:
    """The engine that is asked for; None where this process can as well embed straight into domains' files.

    Beside it what is open, as its workers have it: a machine without a GPU may drive others that have one.

    Args:
        there: What is open.
        pieces: What is stored apart.
        notify: Told in words what the user should know.
        driver: Of the workers that were started before, if any were.

    Raises:
        InputError: Its workers cannot be started, or see something else than this process.
    """
    options = there.options
    keys = keys_of(there)
    others = pieces.made_otherwise(keys, keys.values())
    if others:
        notify(
            f"{pieces.directory} holds pieces of {others:,} of these domains that were made with another "
            "proxy, --dtype, --seed, --sample_length or text; they are not used"
        )
    if options.engine == "serial" and len(keys) <= MOST_FILES and not pieces.has_any(keys.values()):
        yield there, None
        return
    with ExitStack() as stack:
        if options.engine == "serial":
            worker = Worker(there, notify)
            driver = Driver(Here(worker, hello_of(there, worker)), notify)
        elif driver is None:
            driver = stack.enter_context(_started(options, there.dataset, there.checkpoint, notify))
        hello = driver.meet(lambda hello: _check(hello, there))
        seen = _as_seen_by(hello, there)
        yield seen, Filler(driver, pieces, keys_of(seen), windows_at_once(hello.batch_size))


def _as_seen_by(hello: Hello, there: Opened) -> Opened:
    """What is open, with the proxy on the workers' kind of device, in their dtype."""
    dtype = DTYPES[hello.dtype]
    proxy = replace(there.proxy, dtype=dtype, device=torch.device(hello.device))
    seen = replace(there, proxy=proxy)
    if hello.text != digest_of_json(keys_of(seen))[:16]:
        raise InputError(
            f"the worker on {hello.host} sees other text in {there.dataset} than this process; let all "
            "machines read the same files"
        )
    return seen


def fill_share(there: Opened, wanted: int, num_shards: int, shard_index: int, notify: Notify) -> int:
    """Make in this process the pieces that fall to one of several shares, and leave them for a later run.

    Which share a piece falls to is up to its place in its domain and that among the others alone. Of many
    domains each falls to one share whole, so that it is measured once.

    Args:
        there: What is open.
        wanted: Windows of each domain.
        num_shards, shard_index: How many shares there are, and which this is, from 0 on.
        notify: Told in words what the user should know.

    Returns:
        Windows that were made.
    """
    worker, pieces = Worker(there, notify), Pieces(there.options.embeddings_dir)
    goes_whole = len(worker.keys) >= _WHOLE * num_shards
    size = CHUNKS_PER_PIECE * worker.at_once
    made, room = 0, size
    shard: list[Item] = []
    with tqdm(worker.keys.items(), desc="embedding", unit="domain", delay=1, disable=None) as bar:
        for number, (name, key) in enumerate(bar):
            if goes_whole and number % num_shards != shard_index:
                continue
            extent = pieces.extent(key)
            have, visit = (0, 0) if extent is None else (extent.windows, extent.next_visit)
            if extent is not None and have >= min(wanted, extent.available):
                continue
            whole = Item(name, have, visit, wanted, 0)
            span = worker.span(whole)
            for piece in range(span.num_pieces):
                if not goes_whole and (number + span.piece(piece).place) % num_shards != shard_index:
                    continue
                windows = min(size, wanted - have)
                if shard and windows > room:
                    made += sum(each.windows for each in worker.embed(tuple(shard)))
                    shard, room = [], size
                shard.append(whole._replace(number=piece))
                room -= windows
    if shard:
        made += sum(each.windows for each in worker.embed(tuple(shard)))
    return made


def _setup(options: Options, dataset: str, checkpoint: str, sign: str) -> Setup:
    """For workers that may have another working directory. Links are left to where they are followed."""
    added = {name: _from_the_root(place) for name, place in (options.add_domains or {}).items()}
    from_the_root = replace(
        options,
        embeddings_dir=Path(os.path.abspath(options.embeddings_dir)),  # noqa: PTH100
        add_domains=added or None,
        tokenizer=None if options.tokenizer is None else _from_the_root(options.tokenizer),
    )
    places = _from_the_root(dataset), _from_the_root(checkpoint)
    return Setup(from_the_root, *places, options.device, None, program(), sign)


def _from_the_root(name: str) -> str:
    """A local path from the root; other names as they are."""
    path = local_path(name)
    return os.path.abspath(path) if is_there(path) else name  # noqa: PTH100


def _pool(options: Options, setup: Setup) -> Pool:
    if options.engine == "ray":
        return RayPool(setup, options.num_workers, options.num_gpus_per_worker, options.ray_address)
    device = choose_device(options.device)
    if device.type == "cuda":
        count = torch.cuda.device_count() if device.index is None else 1
        devices = [f"cuda:{i}" for i in range(count)] if device.index is None else [str(device)]
        return Processes(setup, options.num_workers or count, devices)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    size = options.num_workers or max(2, cores // _THREADS)
    return Processes(replace(setup, threads=max(1, cores // size)), size, [device.type])


@contextmanager
def _sign(directory: Path) -> Iterator[str]:
    """A file by which workers show that they share a directory, while they are at work."""
    sign = f"{_SIGN}{uuid.uuid4().hex}"
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob(f"{_SIGN}*"):  # of a run that was killed
        if time() - old.stat().st_mtime > _OLD:
            old.unlink(missing_ok=True)
    try:
        (directory / sign).touch()
        yield sign
    finally:
        for path in directory.glob(f"{sign}*"):
            path.unlink(missing_ok=True)


def _check(hello: Hello, there: Opened) -> None:
    """Raise for a worker that does not write to where this process reads, or has another checkpoint."""
    directory = there.options.embeddings_dir
    if hello.mark is not None:
        deadline = monotonic() + _SECONDS_TO_BE_SEEN
        while not (directory / hello.mark).exists():
            if monotonic() > deadline:
                raise InputError(
                    f"what the worker on {hello.host} writes to {directory} is not to be seen here; name by "
                    "--embeddings_dir a directory that all machines share"
                )
            sleep(0.2)
    if hello.checkpoint != checkpoint_digest(there):
        raise InputError(
            f"the worker on {hello.host} has another checkpoint {there.checkpoint} (digest "
            f"{hello.checkpoint}, here {checkpoint_digest(there)}); put the same files in the same place on "
            "all machines"
        )
