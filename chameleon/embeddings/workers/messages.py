"""What driver and workers send each other: requests, results, and what a worker is."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import chameleon
from chameleon.embeddings.keys import ProxyIdentity
from chameleon.embeddings.options import EmbeddingOptions


class PieceRequest(NamedTuple):
    """A piece of a domain to embed (see `VisitRange`), or all of them.

    Attributes:
        domain: Name of the domain.
        have: Windows that are stored.
        visit: The visit after those.
        wanted: Windows to have in the end, or all that the domain has.
        number: Number of the piece among those that are missing, from 0; None for all of them.
    """

    domain: str
    have: int
    visit: int
    wanted: int
    number: int | None


Shard = tuple[PieceRequest, ...]


class PieceResult(NamedTuple):
    """What became of a request.

    Attributes:
        request: The request.
        windows: Windows embedded; 0 where the piece exists already, or has none.
        num_pieces: Pieces that the domain lacked, known once it is measured; 0 where it has no more.
        file: Name of the file with the piece; None where none was written.
    """

    request: PieceRequest
    windows: int
    num_pieces: int
    file: str | None


@dataclass(frozen=True)
class WorkerSetup:
    """All that a worker needs to know.

    Attributes:
        options: The options of the run, with absolute paths.
        dataset, checkpoint: Names of corpus and proxy.
        device: Device of its proxy.
        threads: Threads that it computes with on a CPU; None for one a core.
        program: What `program_digest()` must give.
        sign: Name of a file in the embeddings directory that a worker must find there.
    """

    options: EmbeddingOptions
    dataset: str
    checkpoint: str
    device: str
    threads: int | None
    program: str
    sign: str


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker is, to be compared with the others.

    Attributes:
        host: Name of its machine and process.
        mark: Name of the file that it left beside the driver's sign; None for this process.
        checkpoint: Digest of the checkpoint's files.
        text: Digest of the keys of all domains.
        identity: Its proxy.
        batch_size: Windows in a forward pass.
    """

    host: str
    mark: str | None
    checkpoint: str
    text: str
    identity: ProxyIdentity
    batch_size: int


class WorkerEvent(NamedTuple):
    """Something that happened to a worker.

    Attributes:
        worker: Number of the worker.
        kind: What happened.
            "ready": it has started (value: WorkerInfo).
            "progress": a part of its shard is embedded (tuple of PieceResult).
            "done": its shard is finished (tuple of PieceResult).
            "note": a message to show (str).
            "failed": the work cannot be done (str, the message of an InputError).
            "unusable": this worker cannot do it (str).
            "ended": the worker died (str, how).
        value: See `kind`.
    """

    worker: int
    kind: "EventKind"
    value: object


EventKind = Literal["ready", "progress", "done", "note", "failed", "unusable", "ended"]


class WorkerPool(Protocol):
    """Workers of an engine."""

    size: int

    def start(self, worker: int) -> None:
        """Start the worker of a number, for the first time or after one that ended."""

    def assign(self, worker: int, shard: Shard) -> None:
        """Let a worker that is ready embed a shard."""

    def wait(self) -> list[WorkerEvent]:
        """Wait until something happens, and return what."""

    def close(self) -> None:
        """End all workers."""


def shards_of(requests: Iterable[PieceRequest], size: int) -> Iterator[Shard]:
    """Requests in shards of about `size` windows: one piece, or those of several small domains."""
    shard: list[PieceRequest] = []
    room = size
    for request in requests:
        windows = min(size, request.wanted - request.have)
        if shard and windows > room:
            yield tuple(shard)
            shard, room = [], size
        shard.append(request)
        room -= windows
    if shard:
        yield tuple(shard)


@cache
def program_digest() -> str:
    """Version of the program with a digest of its source, by which two installations are compared."""
    root = Path(chameleon.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return f"{chameleon.__version__} ({digest.hexdigest()[:12]})"
