"""The engine that is asked for, at work on an open corpus; its workers must be what they have to be."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.embeddings.keys import ProxyIdentity, keys_of
from chameleon.embeddings.open_corpus import OpenCorpus
from chameleon.embeddings.pieces import MOST_FILES, Pieces
from chameleon.embeddings.read_ahead import windows_at_once
from chameleon.embeddings.workers.driver import Driver
from chameleon.embeddings.workers.fill import SECONDS_TO_BE_SEEN, PieceScheduler
from chameleon.embeddings.workers.messages import WorkerInfo
from chameleon.embeddings.workers.start import start_workers
from chameleon.proxy.checkpoints import digest_of_checkpoint

if TYPE_CHECKING:
    from chameleon.embeddings.load_proxy import LoadedProxy


def serial_scheduler(there: "LoadedProxy", pieces: Pieces, notify: Notify) -> PieceScheduler | None:
    """This process as the one worker; None where it can as well embed straight into domains' files.

    Args:
        there: What is open.
        pieces: What is stored apart.
        notify: Told in words what the user should know.
    """
    from chameleon.embeddings.workers.worker import Here, Worker, worker_info

    keys = keys_of(there.corpus.domains, there.identity, there.recipe)
    _tell_of_others(pieces, keys, notify)
    if len(keys) <= MOST_FILES and not pieces.has_any(keys.values()):
        return None
    worker = Worker(there, notify)
    driver = Driver(Here(worker, worker_info(there, worker)))
    driver.meet(lambda hello: None, notify)
    return PieceScheduler(driver, pieces, keys, worker.at_once)


@contextmanager
def worker_scheduler(
    there: OpenCorpus, checkpoint: Path, pieces: Pieces, notify: Notify, driver: Driver | None = None
) -> Iterator[tuple[ProxyIdentity, PieceScheduler]]:
    """The workers of an engine, and the proxy that they have, which this process need not load.

    Args:
        there: What is open.
        checkpoint: Directory of the proxy, as this process sees it.
        pieces: What is stored apart.
        notify: Told in words what the user should know.
        driver: Of the workers that were started before, if any were.

    Raises:
        InputError: Workers cannot be started, or see something else than this process.
    """
    with ExitStack() as stack:
        if driver is None:
            driver = stack.enter_context(start_workers(there.options, there.dataset, there.checkpoint))
        digest = digest_of_checkpoint(checkpoint)
        hello = driver.meet(lambda hello: _check(hello, there, digest), notify)
        keys = keys_of(there.corpus.domains, hello.identity, there.recipe)
        if hello.text != digest_of_json(keys)[:16]:
            raise InputError(
                f"the worker on {hello.host} sees other text in {there.dataset} than this process; let all "
                "machines read the same files"
            )
        _tell_of_others(pieces, keys, notify)
        yield hello.identity, PieceScheduler(driver, pieces, keys, windows_at_once(hello.batch_size))


def _tell_of_others(pieces: Pieces, keys: dict[str, str], notify: Notify) -> None:
    others = pieces.made_otherwise(keys, keys.values())
    if others:
        notify(
            f"{pieces.directory} holds pieces of {others:,} of these domains that were made with another "
            "proxy, --dtype, --seed, --sample_length or text; they are not used"
        )


def _check(hello: WorkerInfo, there: OpenCorpus, checkpoint: str) -> None:
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
    if hello.checkpoint != checkpoint:
        raise InputError(
            f"the worker on {hello.host} has another checkpoint {there.checkpoint} (digest "
            f"{hello.checkpoint}, here {checkpoint}); put the same files in the same place on all machines"
        )
