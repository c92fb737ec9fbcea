"""Runs jobs ahead of their results: windows are read and encoded while the proxy computes others."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

# Chunks of windows are several batches where batches are small.
_BATCHES_PER_CHUNK = 8
_CHUNK = 256
_JOBS_AHEAD = 4
_ENCODERS = 2
Result = TypeVar("Result")


def windows_at_once(batch_size: int) -> int:
    """Windows of a chunk, which is read, encoded and embedded at once and lost at most by a fault."""
    return max(batch_size, min(batch_size * _BATCHES_PER_CHUNK, _CHUNK))


def read_ahead(jobs: Iterable[Callable[[], Result]]) -> Generator[Result]:
    """Yield the results of jobs in their order.

    One thread iterates over the jobs, which is where text is read, and others run them, which is where it
    is encoded: the tokenizer does not need the interpreter, which runs the reading meanwhile. An error of
    either is raised instead of the result.
    """
    ready: Queue[Future[Result] | None] = Queue(_JOBS_AHEAD)
    stopped = Event()
    encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="encoding")

    def put(item: Future[Result] | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except Full:
                continue
            return

    def read() -> None:
        try:
            for job in jobs:
                put(encoders.submit(job))
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:  # raised again where the result is wanted
            failure: Future[Result] = Future()
            failure.set_exception(error)
            put(failure)

    reader = Thread(target=read, name="reading")
    reader.start()
    try:
        while (result := ready.get()) is not None:
            yield result.result()
    finally:
        stopped.set()
        reader.join()
        encoders.shutdown(cancel_futures=True)
