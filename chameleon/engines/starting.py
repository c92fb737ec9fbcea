"""Starts the engine that is asked for, and sees that its workers are what they must be."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep, time

import torch

from chameleon.cutting import windows_at_once
from chameleon.devices import DTYPES, choose_device
from chameleon.engines.driver import Driver
from chameleon.engines.filling import SECONDS_TO_BE_SEEN, Filler
from chameleon.engines.here import Here
from chameleon.engines.processes import Processes
from chameleon.engines.ray_cluster import RayPool
from chameleon.engines.work import Hello, Pool, Setup, program
from chameleon.engines.worker import Worker, checkpoint_digest, hello_of, keys_of
from chameleon.errors import InputError
from chameleon.files import digest_of_json, is_there, local_path
from chameleon.opening import Opened, checkpoint_of, dataset_of
from chameleon.options import Options
from chameleon.pieces import MOST_FILES, Pieces

Notify = Callable[[str], None]

# Signs of runs that were killed stay so many seconds.
_SIGN, _OLD = ".shared-", 7 * 86400.0
# On CPUs: workers of so many threads.
_THREADS = 4


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
        deadline = monotonic() + SECONDS_TO_BE_SEEN
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
