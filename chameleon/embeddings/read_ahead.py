"""Windows of one domain after the other, cut beside the forward pass, and what is kept of them.

Shapes: n windows, d width of the proxy.
"""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from threading import Event, Thread

import numpy as np
import numpy.typing as npt

from chameleon.embeddings.keys import naming
from chameleon.embeddings.store import DomainEmbeddings
from chameleon.text.grid import Grid
from chameleon.text.windows import PendingWindows, Windows

# Windows that are cut at once: some batches where those are small.
_BATCHES_PER_CHUNK = 8


_CHUNK = 256


_CHUNKS_AHEAD = 4


_ENCODERS = 2


def windows_at_once(batch_size: int) -> int:
    """Windows of a chunk for batches of a size: as many as a fault loses at most."""
    return max(batch_size, min(batch_size * _BATCHES_PER_CHUNK, _CHUNK))


def windows_ahead(drafts: Iterable[tuple[str, Iterator[PendingWindows]]]) -> Generator[Windows | None]:
    """The windows of one domain after the other, None behind each.

    Meanwhile a thread reads the text of the next ones and others encode them: the interpreter runs the
    reading while the tokenizer, which does not need it, runs the encoding.

    Args:
        drafts: For each domain its name and windows.
    """
    ready: Queue[Future[Windows | None]] = Queue(_CHUNKS_AHEAD)
    stopped = Event()
    encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="encoding")

    def put(item: Future[Windows | None]) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except Full:
                continue
            return

    def read() -> None:
        end: Future[Windows | None] = Future()
        end.set_result(None)
        try:
            for name, of_domain in drafts:
                with naming(name):
                    for draft in of_domain:
                        put(encoders.submit(_encoded, name, draft))
                        if stopped.is_set():
                            return
                put(end)
        except BaseException as error:  # raised again where the windows are wanted
            failure: Future[Windows | None] = Future()
            failure.set_exception(error)
            put(failure)

    reader = Thread(target=read, name="reading")
    reader.start()
    try:
        while True:
            yield ready.get().result()
    finally:
        stopped.set()
        reader.join()
        encoders.shutdown(cancel_futures=True)


def _encoded(name: str, draft: PendingWindows) -> Windows:
    with naming(name):
        return draft.windows()


def embed_windows(grid: Grid, windows: Windows, rows: npt.NDArray[np.float32]) -> DomainEmbeddings:
    """Windows of a domain that were cut by its grid, with their (n, d) embeddings."""
    amount = grid.amount(windows.next_visit)
    return DomainEmbeddings(
        rows,
        windows.positions,
        windows.documents,
        windows.lengths,
        available=grid.num_windows,
        next_visit=windows.next_visit,
        corpus_tokens=(amount.tokens, amount.standard_error),
    )
