"""Text that is read once in bulk (a row group, a compressed file) and stored on disk while it is in use.

A unit is read from its source as a stream of documents, of one domain or of several mixed. They are stored in
blocks in a temporary file without a name, with an index of a few bytes a block. Of a unit with more than
`MAX_STORED_BYTES` of a domain, a random sample of its blocks is stored.
"""

import hashlib
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.text.corpora.indexed import BLOCK_BYTES, IndexedText
from chameleon.text.corpora.storage import WHOLE_BYTES, File
from chameleon.text.protocols import FileStart

MAX_STORED_BYTES = 1 << 28
_READERS = 4

# Documents of a unit, each with the name of its domain.
NamedDocuments = Iterator[tuple[str, bytes]]


class Spool:
    """A temporary file in a directory, which vanishes with the process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._end = 0
        self._lock = threading.Lock()

    def append(self, content: bytes) -> int:
        """Append bytes and return where they begin.

        Raises:
            InputError: The disk is full, or the directory cannot be written to.
        """
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
                    f"cannot store text in {self._directory}: {error.strerror}; free some space"
                ) from None
            self._end += len(content)
            return begin

    def read(self, begin: int, length: int) -> bytes:
        """Some of its bytes."""
        if self._file is None:
            raise ValueError("nothing was appended")
        return os.pread(self._file.fileno(), length, begin)


@dataclass(frozen=True, eq=False)
class SpooledBlocks:
    """Blocks of documents in a spool, by (begin, length); each document follows its length in 8 bytes."""

    spool: Spool
    extents: tuple[tuple[int, int], ...]

    def documents(self, block: int) -> Sequence[bytes]:
        """The documents of the block."""
        content = self.spool.read(*self.extents[block])
        documents, at = [], 0
        while at < len(content):
            end = at + 8 + int.from_bytes(content[at : at + 8], "little")
            documents.append(content[at + 8 : end])
            at = end
        return documents


@dataclass
class _DomainStore:
    """The blocks of one domain in a unit that is being read.

    Attributes:
        spool: Where they are stored.
        name: Names the blocks, which decides at random which of them are sampled.
        pending, pending_size: Documents of the open block, and their positions.
        blocks: Random word, (begin, length) in the spool, positions and documents of each stored block.
        stored, whole: Positions stored, and read in all.
        number: Blocks read.
        below: Blocks whose random word is below this are stored.
    """

    spool: Spool
    name: str
    pending: list[bytes] = field(default_factory=list)
    pending_size: int = 0
    blocks: list[tuple[int, tuple[int, int], int, int]] = field(default_factory=list)
    stored: int = 0
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
            extent = (self.spool.append(content), len(content))
            self.blocks.append((chance, extent, self.pending_size, len(self.pending)))
            self.stored += self.pending_size
        while self.stored > MAX_STORED_BYTES and len(self.blocks) > 1:
            self.below //= 2
            self.blocks = [block for block in self.blocks if block[0] < self.below] or self.blocks[:1]
            self.stored = sum(block[2] for block in self.blocks)
        self.pending, self.pending_size = [], 0

    def text(self) -> IndexedText:
        self.close_block()
        starts = np.cumsum([0, *(size for _, _, size, _ in self.blocks)], dtype=np.int64)
        extents = tuple(extent for _, extent, _, _ in self.blocks)
        documents = sum(number for _, _, _, number in self.blocks)
        blocks = SpooledBlocks(self.spool, extents)
        return IndexedText(blocks, starts, documents, self.name, whole_size=float(self.whole))


def store(spool: Spool, key: str, documents: Iterable[tuple[str, bytes]]) -> dict[str, IndexedText]:
    """Store the documents of a unit by the domain that each is named with; `key` is the seed of samples."""
    stores: dict[str, _DomainStore] = {}
    for name, document in documents:
        if name not in stores:
            stores[name] = _DomainStore(spool, f"{key} {name}")
        stores[name].add(document)
    return {name: store.text() for name, store in stores.items()}


class SourceUnits:
    """Units of a source, each read once, some at a time in threads.

    Args:
        read: Reads the documents of a unit by its number, each with the name of its domain; stores none.
        keys: Names of the units, which decide the order in which they are visited.
        spool: Where their text is stored.
        files: The file of each unit.
    """

    def __init__(
        self,
        read: Callable[[int], NamedDocuments],
        keys: Sequence[str],
        spool: Spool,
        files: Sequence[File] = (),
    ) -> None:
        self.files = files
        self.read = read
        self._names = keys
        self._spool = spool
        self._reads: dict[int, Future[dict[str, IndexedText]]] = {}
        self._lock = threading.Lock()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="reading")
        digests = b"".join(hashlib.sha256(key.encode()).digest()[:8] for key in keys)
        self.keys = np.frombuffer(digests, dtype="<u8").astype(np.uint64)

    def __len__(self) -> int:
        return len(self._names)

    def prefetch(self, numbers: Iterable[int]) -> None:
        """Start reading units that will be needed soon."""
        with self._lock:
            for number in numbers:
                if number not in self._reads:
                    arguments = self._spool, self._names[number], self.read(number)
                    self._reads[number] = self._readers.submit(store, *arguments)

    def get(self, number: int) -> dict[str, IndexedText]:
        """The text of each domain in a unit.

        Raises:
            InputError: It cannot be read.
        """
        self.prefetch([number])
        return self._reads[number].result()

    def close(self) -> None:
        """Stop reading."""
        self._readers.shutdown(wait=True, cancel_futures=True)


_EMPTY = IndexedText(SpooledBlocks(Spool(Path()), ()), np.zeros(1, dtype=np.int64), 0, "")


@dataclass(frozen=True, eq=False)
class UnitsText:
    """A domain in some of a source's units, which it may share with other domains.

    Attributes:
        units: All units of the source.
        name: Name of the domain's documents in them.
        numbers: (u,) the units that hold such documents.
        unit_sizes: (u,) their sizes as known without reading them, in any measure.
        fingerprint: Digest (hex) of the text.
        unit_budget: See `chameleon.text.protocols.Text`.
    """

    units: SourceUnits
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


def unit_budget(units: int, num_bytes: float, share: float, at_least: int) -> int:
    """How many of a domain's units a usual run may read: a share of them, and more of a small source.

    Args:
        units: Units of the domain.
        num_bytes: Bytes of the source.
        share: Share of the units.
        at_least: Units that may be read whatever they cost.
    """
    few = round(units * WHOLE_BYTES / max(num_bytes, 1))
    return max(round(share * units), few, at_least)
