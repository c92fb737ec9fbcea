"""Connects an open corpus to the workers of an engine, and checks that they are what they have to be."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.embeddings.keys import ProxyIdentity, keys_of, recipes_by_key
from chameleon.embeddings.open_corpus import OpenCorpus
from chameleon.embeddings.pieces import Piece, Pieces, are_many, write_pieces
from chameleon.embeddings.read_ahead import windows_at_once
from chameleon.embeddings.workers.driver import Driver
from chameleon.embeddings.workers.local import MOST_WINDOWS, LocalPool, PieceBuffer
from chameleon.embeddings.workers.messages import WorkerInfo
from chameleon.embeddings.workers.scheduler import SECONDS_TO_BE_SEEN, PieceScheduler
from chameleon.embeddings.workers.start import start_workers
from chameleon.proxy.checkpoints import digest_of_checkpoint

if TYPE_CHECKING:
    from chameleon.embeddings.load_proxy import LoadedProxy


@contextmanager
def serial_scheduler(
    loaded: "LoadedProxy", pieces: Pieces, notify: Notify
) -> Iterator[tuple[ProxyIdentity, PieceScheduler]]:
    """One worker in this process.

    Args:
        loaded: Corpus and proxy.
        pieces: What is stored.
        notify: Receives messages for the user.
    """
    from chameleon.embeddings.workers.worker import Worker, worker_info

    worker = Worker(loaded, notify)
    folded = _folded(loaded.opened, loaded.identity)

    def write(made: Sequence[Piece]) -> None:
        if folded:
            pieces.hold(made)
            pieces.fold(folded)
        else:
            pieces.look([write_pieces(pieces.directory, made).name])

    _warn_of_other_recipes(pieces, worker.keys, notify)
    buffer = PieceBuffer(write, math.inf if folded else MOST_WINDOWS)
    with closing(Driver(LocalPool(worker, worker_info(loaded, worker), buffer))) as driver:
        driver.meet(lambda info: None, notify)
        yield loaded.identity, PieceScheduler(driver, pieces, worker.keys, None, folded)


@contextmanager
def worker_scheduler(
    opened: OpenCorpus, checkpoint: Path, pieces: Pieces, notify: Notify, driver: Driver | None = None
) -> Iterator[tuple[ProxyIdentity, PieceScheduler]]:
    """The workers of an engine with the proxy that they have, which this process need not load.

    Args:
        opened: The corpus.
        checkpoint: Directory of the proxy, as this process sees it.
        pieces: What is stored.
        notify: Receives messages for the user.
        driver: Workers that were started before, if any were.

    Raises:
        InputError: Workers cannot be started, or see something else than this process.
    """
    with ExitStack() as stack:
        if driver is None:
            driver = stack.enter_context(start_workers(opened.options, opened.dataset, opened.checkpoint))
        digest = digest_of_checkpoint(checkpoint)
        info = driver.meet(lambda info: _check(info, opened, digest), notify)
        keys = keys_of(opened.corpus.domains, info.identity, opened.recipe)
        if info.text != digest_of_json(keys)[:16]:
            raise InputError(
                f"the worker on {info.host} sees other text in {opened.dataset} than this process; let all "
                "machines read the same files"
            )
        _warn_of_other_recipes(pieces, keys, notify)
        folded = _folded(opened, info.identity)
        yield (
            info.identity,
            PieceScheduler(driver, pieces, keys, windows_at_once(info.batch_size), folded),
        )


def _folded(opened: OpenCorpus, identity: ProxyIdentity) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """Name and recipe of the domains that get a file each, by key: all of few domains, else none."""
    domains = opened.corpus.domains
    return {} if are_many(len(domains)) else recipes_by_key(domains, identity, opened.recipe)


def _warn_of_other_recipes(pieces: Pieces, keys: Mapping[str, str], notify: Notify) -> None:
    others = pieces.num_of_other_recipes(keys, keys.values())
    if others:
        notify(
            f"{pieces.directory} holds pieces of {others:,} of these domains that were made with another "
            "proxy, --dtype, --seed, --sample_length or text; they are not used"
        )


def _check(info: WorkerInfo, opened: OpenCorpus, checkpoint: str) -> None:
    """Raise InputError for a worker that writes elsewhere than this process reads, or has another proxy."""
    directory = opened.options.embeddings_dir
    if info.mark is not None:
        deadline = monotonic() + SECONDS_TO_BE_SEEN
        while not (directory / info.mark).exists():
            if monotonic() > deadline:
                raise InputError(
                    f"what the worker on {info.host} writes to {directory} does not appear here; set "
                    "--embeddings_dir to a directory that all machines share"
                )
            sleep(0.2)
    if info.checkpoint != checkpoint:
        raise InputError(
            f"the worker on {info.host} has another checkpoint {opened.checkpoint} (digest "
            f"{info.checkpoint}, here {checkpoint}); put the same files in the same place on all machines"
        )
