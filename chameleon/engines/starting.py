"""The engine that is asked for, at work on what is open here; its workers must be what they have to be."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from time import monotonic, sleep

import torch

from chameleon.cutting import windows_at_once
from chameleon.devices import DTYPES
from chameleon.engines.driver import Driver
from chameleon.engines.filling import SECONDS_TO_BE_SEEN, Filler
from chameleon.engines.here import Here
from chameleon.engines.hiring import started
from chameleon.engines.work import Hello
from chameleon.engines.worker import Worker, checkpoint_digest, hello_of, keys_of
from chameleon.errors import InputError
from chameleon.files import digest_of_json
from chameleon.opening import Opened
from chameleon.pieces import MOST_FILES, Pieces

Notify = Callable[[str], None]


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
            driver = Driver(Here(worker, hello_of(there, worker)))
        elif driver is None:
            driver = stack.enter_context(started(options, there.dataset, there.checkpoint))
        hello = driver.meet(lambda hello: _check(hello, there), notify)
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
