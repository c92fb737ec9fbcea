"""What goes between driver and workers: what there is to make, what was made, and who makes it."""

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
    """A piece to make of a domain (`windows.Span`).

    Attributes:
        domain: Its name.
        have: Windows that are there.
        visit: The visit after those.
        wanted: Windows that are to be there in the end, or all that the domain has.
        number: The piece's among those of the visits that this takes.
    """

    domain: str
    have: int
    visit: int
    wanted: int
    number: int


Shard = tuple[PieceRequest, ...]


class PieceResult(NamedTuple):
    """What became of an item.

    Attributes:
        item: It.
        windows: Windows of the piece; 0 where it was there already, or there are none.
        num_pieces: Pieces that its domain takes, which only who measured the domain knows; 0 where all of it
            is there.
        file: Name of the file that the piece is in; None where none was written.
    """

    item: PieceRequest
    windows: int
    num_pieces: int
    file: str | None


@dataclass(frozen=True)
class WorkerSetup:
    """All that a worker needs to know.

    Attributes:
        options: What the run is asked for, with places from the root.
        dataset, checkpoint: Names of corpus and proxy.
        device: Where its proxy is to run.
        threads: Threads that it computes with on a CPU; as many as there are by default.
        program: What `program_digest()` must give.
        sign: Name of a file in the embeddings directory, which a worker must find there.
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
    """What a worker is, to be held against the others.

    Attributes:
        host: Name of its machine, and of its process there.
        mark: Name of the file that it left beside the driver's sign; None where it had none to leave.
        checkpoint: Digest of the checkpoint's files.
        text: Digest of the keys of all domains.
        identity: The proxy's, where it computes.
        batch_size: Windows in a forward pass.
    """

    host: str
    mark: str | None
    checkpoint: str
    text: str
    identity: ProxyIdentity
    batch_size: int


Kind = Literal["ready", "done", "note", "failed", "unusable", "ended"]


class WorkerEvent(NamedTuple):
    """What happened to a worker.

    Attributes:
        worker: Its number.
        kind: "ready" (value: Hello), "done" (tuples of Made), "note" (words), "failed" (the words of an
            InputError: the work cannot be done), "unusable" (words: not by this worker), "ended" (how).
        value: See there.
    """

    worker: int
    kind: Kind
    value: object


class WorkerPool(Protocol):
    """Workers somewhere."""

    size: int

    def start(self, worker: int) -> None:
        """Start a worker of a number, in the place of one that ended or anew."""

    def give(self, worker: int, shard: Shard) -> None:
        """Have a worker that is ready make a shard."""

    def wait(self) -> list[WorkerEvent]:
        """What happened, as soon as something did."""

    def close(self) -> None:
        """End all workers."""


def shards_of(items: Iterable[PieceRequest], size: int) -> Iterator[Shard]:
    """Items in shards of about `size` windows: one piece, or those of several small domains."""
    shard: list[PieceRequest] = []
    room = size
    for item in items:
        windows = min(size, item.wanted - item.have)
        if shard and windows > room:
            yield tuple(shard)
            shard, room = [], size
        shard.append(item)
        room -= windows
    if shard:
        yield tuple(shard)


@cache
def program_digest() -> str:
    """Version of the program, and a digest of its source: equal where all of it is."""
    root = Path(chameleon.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return f"{chameleon.__version__} ({digest.hexdigest()[:12]})"
