"""Text that is read once in bulk (a row group, a compressed file) and kept on disk while it is in use.

A unit is read from its source as a stream of documents, of one domain or of several mixed. They are
kept in blocks in a temporary file without a name, and found there by an index of a few bytes a block.
Of a unit with more than `KEPT_BYTES` of a domain a random sample of its blocks is kept.
"""

import hashlib
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.text.corpora.indexed import BLOCK_BYTES, IndexedText
from chameleon.text.corpora.storage import WHOLE_BYTES, File
from chameleon.text.protocols import FileStart

KEPT_BYTES = 1 << 28


_READERS = 4


# Documents of a unit, each with the name of its domain.
Labelled = Iterator[tuple[str, bytes]]


class Spool:
    """A temporary file in a directory; it vanishes with the process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._end = 0
        self._lock = threading.Lock()

    def append(self, content: bytes) -> int:
        """Put bytes at its end; where they begin."""
        with self._lock:
            begin = self._end
            try:
                if self._file is None:
                    self._directory.mkdir(parents=True, exist_ok=True)
                    self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115
                    weakref.finalize(self, self._file.close)
                self._file.seek(begin)
                self._file.write(content)
                self._file.flush()
            except OSError as error:
                raise InputError(
                    f"cannot keep text in {self._directory}: {error.strerror}; free some space there"
                ) from None
            self._end += len(content)
            return begin

    def read(self, begin: int, length: int) -> bytes:
        """Bytes of it."""
        if self._file is None:
            raise ValueError("nothing was appended")
        return os.pread(self._file.fileno(), length, begin)


@dataclass(frozen=True, eq=False)
class SpooledBlocks:
    """Blocks of documents in a spool, each document behind its length in 8 bytes."""

    spool: Spool
    places: tuple[tuple[int, int], ...]

    def documents(self, block: int) -> Sequence[bytes]:
        """The documents of the block."""
        content = self.spool.read(*self.places[block])
        documents, at = [], 0
        while at < len(content):
            end = at + 8 + int.from_bytes(content[at : at + 8], "little")
            documents.append(content[at + 8 : end])
            at = end
        return documents


@dataclass
class _Keeper:
    """The blocks of one domain in a unit that is being read."""

    spool: Spool
    name: str
    pending: list[bytes] = field(default_factory=list)
    pending_size: int = 0
    blocks: list[tuple[int, tuple[int, int], int, int]] = field(default_factory=list)
    kept: int = 0
    whole: int = 0
    number: int = 0
    below: int = 1 << 64

    def add(self, document: bytes) -> None:
        self.pending.append(document)
        self.pending_size += len(document) + 1
        if self.pending_size >= BLOCK_BYTES:
            self.close_block()

    def close_block(self) -> None:
        if not self.pending:
            return
        digest = hashlib.sha256(f"{self.name} {self.number}".encode()).digest()
        chance = int.from_bytes(digest[:8], "little")
        self.number += 1
        self.whole += self.pending_size
        if chance < self.below:
            content = b"".join(len(each).to_bytes(8, "little") + each for each in self.pending)
            place = (self.spool.append(content), len(content))
            self.blocks.append((chance, place, self.pending_size, len(self.pending)))
            self.kept += self.pending_size
        while self.kept > KEPT_BYTES and len(self.blocks) > 1:
            self.below //= 2
            self.blocks = [block for block in self.blocks if block[0] < self.below] or self.blocks[:1]
            self.kept = sum(block[2] for block in self.blocks)
        self.pending, self.pending_size = [], 0

    def text(self) -> IndexedText:
        self.close_block()
        starts = np.cumsum([0, *(size for _, _, size, _ in self.blocks)], dtype=np.int64)
        places = tuple(place for _, place, _, _ in self.blocks)
        documents = sum(number for _, _, _, number in self.blocks)
        blocks = SpooledBlocks(self.spool, places)
        return IndexedText(blocks, starts, documents, self.name, whole_size=float(self.whole))


def keep(spool: Spool, key: str, documents: Iterable[tuple[str, bytes]]) -> dict[str, IndexedText]:
    """Keep documents by the domain that each is named with; `key` decides which, where they are too many."""
    keepers: dict[str, _Keeper] = {}
    for name, document in documents:
        if name not in keepers:
            keepers[name] = _Keeper(spool, f"{key} {name}")
        keepers[name].add(document)
    return {name: keeper.text() for name, keeper in keepers.items()}


class Units:
    """Units of a source, each read once, some at a time in threads.

    Args:
        read: The documents of a unit by its number, each with the name of its domain.
        keys: Names of the units, which decide the order in which they are visited.
        spool: Where their text is kept.
        files: The file that each is of.
    """

    def __init__(
        self, read: Callable[[int], Labelled], keys: Sequence[str], spool: Spool, files: Sequence[File] = ()
    ) -> None:
        self.files = files
        self._read = read
        self._names = keys
        self._spool = spool
        self._coming: dict[int, Future[dict[str, IndexedText]]] = {}
        self._lock = threading.Lock()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="reading")
        digests = b"".join(hashlib.sha256(key.encode()).digest()[:8] for key in keys)
        self.keys = np.frombuffer(digests, dtype="<u8").astype(np.uint64)

    def __len__(self) -> int:
        return len(self._names)

    def prefetch(self, numbers: Iterable[int]) -> None:
        """Begin to read units that will be wanted soon."""
        with self._lock:
            for number in numbers:
                if number not in self._coming:
                    self._coming[number] = self._readers.submit(self._kept, number)

    def get(self, number: int) -> dict[str, IndexedText]:
        """The text of each domain in a unit.

        Raises:
            InputError: It cannot be read.
        """
        self.prefetch([number])
        return self._coming[number].result()

    def stream(self, number: int) -> Labelled:
        """The documents of a unit as they are read, all of them and kept nowhere."""
        return self._read(number)

    def has(self, number: int) -> bool:
        """Whether a unit has been read."""
        coming = self._coming.get(number)
        return coming is not None and coming.done() and coming.exception() is None

    def close(self) -> None:
        """Read no more."""
        self._readers.shutdown(wait=True, cancel_futures=True)

    def _kept(self, number: int) -> dict[str, IndexedText]:
        return keep(self._spool, self._names[number], self._read(number))


_EMPTY = IndexedText(SpooledBlocks(Spool(Path()), ()), np.zeros(1, dtype=np.int64), 0, "")


@dataclass(frozen=True, eq=False)
class UnitsText:
    """A domain in some of a source's units, which it may share with other domains.

    Attributes:
        units: All units of the source.
        name: Which documents of them are the domain's.
        numbers: (u,) the units that hold any.
        unit_sizes: (u,) their sizes so far as known, in any measure.
        fingerprint: Digest (hex) of the text.
        unit_budget: See `chameleon.text.protocols.Text`.
    """

    units: Units
    name: str
    numbers: npt.NDArray[np.int64]
    unit_sizes: npt.NDArray[np.float64]
    fingerprint: str
    unit_budget: int

    tokenizer_digest = None

    @property
    def unit_keys(self) -> npt.NDArray[np.uint64]:
        """See `chameleon.text.protocols.Text`."""
        return self.units.keys[self.numbers]

    @property
    def count(self) -> int:
        """Rows or bytes, whichever the unit sizes are in."""
        return int(self.unit_sizes.sum())

    def file_starts(self) -> Iterator[FileStart]:
        """See `chameleon.text.protocols.Text`."""
        files = self.units.files
        return (FileStart(unit, 0, files[number].name) for unit, number in enumerate(self.numbers) if files)

    def unit(self, index: int) -> IndexedText:
        """See `chameleon.text.protocols.Text`."""
        return self.units.get(int(self.numbers[index])).get(self.name, _EMPTY)

    def prefetch(self, indices: Sequence[int]) -> None:
        """See `chameleon.text.protocols.Text`."""
        self.units.prefetch([int(self.numbers[index]) for index in indices])


def visits_of(units: int, num_bytes: float, share: float, at_least: int) -> int:
    """How many of a domain's units a usual run may read: a share of them, or of a small source more.

    Args:
        units: How many it has.
        num_bytes: The bytes of the source.
        share: The share.
        at_least: So many whatever they cost.
    """
    few = round(units * WHOLE_BYTES / max(num_bytes, 1))
    return max(round(share * units), few, at_least)


def all_of(read: Callable[[int], Iterator[bytes]], name: str) -> Callable[[int], Labelled]:
    """A reader of units whose documents are all of one domain."""
    return partial(_named, read, name)


def _named(read: Callable[[int], Iterator[bytes]], name: str, number: int) -> Labelled:
    return ((name, document) for document in read(number))
