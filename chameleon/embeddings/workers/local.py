"""Embeds in this process: the pool of the serial engine, and one share of several of a corpus."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING

from tqdm import tqdm

from chameleon.common.command_line import Notify
from chameleon.embeddings.pieces import Piece, Pieces, write_pieces
from chameleon.embeddings.store import Extent
from chameleon.embeddings.workers.messages import PieceRequest, PieceResult, Shard, WorkerEvent, WorkerInfo

if TYPE_CHECKING:
    from chameleon.embeddings.load_proxy import LoadedProxy
    from chameleon.embeddings.workers.worker import Worker

_SECONDS_BETWEEN_WRITES = 20.0

# Windows that are in memory at most where domains have no files of their own.
MOST_WINDOWS = 4096

# With at least so many domains for each share, each domain goes to one share whole.
_DOMAINS_PER_SHARE = 4


class PieceBuffer:
    """Pieces that are not written yet: they are, every few seconds and in the end."""

    def __init__(self, write: Callable[[Sequence[Piece]], object], most_windows: float) -> None:
        """Set up.

        Args:
            write: Writes pieces, whole or not at all.
            most_windows: Windows that are in memory at most.
        """
        self._write, self._most_windows = write, most_windows
        self._pieces: list[Piece] = []
        self._windows = 0
        self._last_write = monotonic()

    def add(self, piece: Piece) -> None:
        """Add a piece, and write all if it is time to."""
        self._pieces.append(piece)
        self._windows += len(piece.stored)
        if self._windows >= self._most_windows or monotonic() - self._last_write > _SECONDS_BETWEEN_WRITES:
            self.close()

    def close(self) -> None:
        """Write what is not written yet."""
        pieces, self._pieces = self._pieces, []
        if pieces:
            self._write(pieces)
        self._windows, self._last_write = 0, monotonic()


class LocalPool:
    """A pool of one worker in this process, which works while it is waited for."""

    size = 1

    def __init__(self, worker: "Worker", info: WorkerInfo, buffer: PieceBuffer) -> None:
        """Set up.

        Args:
            worker, info: The worker, and what it is.
            buffer: Takes what it makes.
        """
        self._worker, self._info, self._buffer = worker, info, buffer
        self._made: Generator[tuple[PieceResult, Piece | None]] | None = None

    def start(self, worker: int) -> None:
        """Do nothing: the worker is ready."""

    def assign(self, worker: int, shard: Shard) -> None:
        """Let the next calls of `wait` embed a shard."""
        self._worker.measure(shard)
        self._made = self._worker.pieces(shard)

    def wait(self) -> list[WorkerEvent]:
        """Embed the next piece. Raises: see `Worker.pieces`."""
        if self._made is None:
            return [WorkerEvent(0, "ready", self._info)]
        for result, piece in self._made:
            if piece is not None:
                self._buffer.add(piece)
            return [WorkerEvent(0, "progress", (result,))]
        self._buffer.close()
        return [WorkerEvent(0, "done", ())]

    def close(self) -> None:
        """Stop reading ahead, and write what is embedded."""
        if self._made is not None:
            self._made.close()
        self._buffer.close()


def embed_shard(loaded: "LoadedProxy", wanted: int, num_shards: int, shard_index: int, notify: Notify) -> int:
    """Embed in this process the pieces of one of several shares, and leave them for a later run.

    Which share a piece belongs to depends on its place in its domain and on the place of the domain alone.
    With many domains each belongs to one share whole, so that it is measured once.

    Args:
        loaded: Corpus and proxy.
        wanted: Windows of each domain.
        num_shards, shard_index: Number of shares, and which this is, from 0.
        notify: Receives messages for the user.

    Returns:
        Windows that were embedded.
    """
    from chameleon.embeddings.workers.worker import Worker

    directory = loaded.opened.options.embeddings_dir
    worker, pieces = Worker(loaded, notify), Pieces(directory)
    goes_whole = len(worker.keys) >= _DOMAINS_PER_SHARE * num_shards

    def requests() -> Iterator[PieceRequest]:
        bar = tqdm(worker.keys, desc="embedding", unit="domain", delay=1, disable=None)
        for number, name in enumerate(bar):
            if goes_whole and number % num_shards != shard_index:
                continue
            request = missing_from(pieces, name, worker.keys[name], wanted)
            if request is None:
                continue
            if goes_whole:
                yield request
                continue
            span = worker.span(request)
            for piece in range(span.num_pieces):
                if (number + span.piece(piece).place) % num_shards == shard_index:
                    yield request._replace(number=piece)

    embedded = 0
    with closing(PieceBuffer(lambda made: write_pieces(directory, made), MOST_WINDOWS)) as buffer:
        for result, piece in worker.pieces(requests()):
            embedded += result.windows
            if piece is not None:
                buffer.add(piece)
    return embedded


def missing_from(pieces: Pieces, domain: str, key: str, wanted: int) -> PieceRequest | None:
    """A request for all windows that a domain lacks; None where it lacks none."""
    extent = pieces.extent(key) or Extent(0, 0, wanted)
    if extent.windows >= min(wanted, extent.available):
        return None
    return PieceRequest(domain, extent.windows, extent.next_visit, wanted, None)
