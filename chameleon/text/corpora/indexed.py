"""Text of which every document's position is known: small files, text in memory, tables with an index.

The text is its documents laid end to end in UTF-8, with one byte more for the joint behind each. A position
finds its document through the blocks in which a source is read (a stretch of lines or table rows): the index
has a few bytes per block, and text is read a block at a time.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.text.protocols import Content, FileStart, Passage


class SingleUnit:
    """A text that is its only unit itself: see `Text` and `Unit` in `chameleon.text.protocols`.

    Attributes:
        starts: (p + 1,) int64, not decreasing: the position at which each of its parts (blocks, files or
            arrays) begins, and the length at the end.
    """

    starts: npt.NDArray[np.int64]
    unit_budget = 1 << 30

    @property
    def length(self) -> int:
        """Number of positions, which are 0 to length - 1."""
        return int(self.starts[-1])

    @property
    def size(self) -> float:
        """The length."""
        return self.length

    @property
    def tokenizer_digest(self) -> str | None:
        """None, since positions are bytes of text."""
        return None

    @property
    def count(self) -> int:
        """The length."""
        return self.length

    @property
    def unit_keys(self) -> npt.NDArray[np.uint64]:
        """(1,) a key without meaning."""
        return np.zeros(1, dtype=np.uint64)

    @property
    def unit_sizes(self) -> npt.NDArray[np.float64]:
        """(1,) the length."""
        return np.array([self.length], dtype=np.float64)

    def unit(self, index: int) -> Self:
        """The text itself."""
        return self

    def prefetch(self, indices: Sequence[int]) -> None:
        """Do nothing: text is read on demand."""

    def file_starts(self) -> Iterator[FileStart]:
        """See `chameleon.text.protocols.Text`."""
        names = self._file_names()
        return (FileStart(0, start, name) for start, name in zip(self.starts.tolist(), names, strict=False))

    def part_at(self, position: int) -> tuple[int, int]:
        """The number of the part in which a position lies, and the position in it."""
        number = int(np.searchsorted(self.starts, position, side="right")) - 1
        return number, position - int(self.starts[number])

    def _file_names(self) -> Iterable[str]:
        """(p,) name of each part's file; none where parts do not lie in files."""
        return ()


# A block is closed once it holds this much text: little enough to parse for a single window, and enough that
# the index of a terabyte takes megabytes.
BLOCK_BYTES = 1 << 16


class Document(NamedTuple):
    """The position of a document's first byte, and its UTF-8."""

    start: int
    text: bytes


class Blocks(Hashable, Protocol):
    """Reads text in the blocks of its source."""

    def documents(self, block: int) -> Sequence[bytes]:
        """The documents of a block in order, as UTF-8, none of them empty."""


@dataclass(frozen=True, eq=False)
class IndexedText(SingleUnit):
    """A text of blocks, in one unit.

    Attributes:
        blocks: Reads the text.
        starts: (b + 1,) int64, the position at which each block begins, and the length at the end.
        num_documents: Number of documents that are not empty.
        fingerprint: Digest (hex) of the text, or of what stands for it (a revision on the hub).
        whole_size: Positions of the whole text, where this is only a sample of it.
        files: (b,) name of each block's file, where blocks lie in files.
    """

    blocks: Blocks
    starts: npt.NDArray[np.int64]
    num_documents: int
    fingerprint: str
    whole_size: float | None = None
    files: tuple[str, ...] = ()

    @property
    def size(self) -> float:
        """The length, or that of the whole text where this is a sample."""
        return self.length if self.whole_size is None else self.whole_size

    @property
    def count(self) -> int:
        """Documents, or positions where documents are not counted."""
        return self.num_documents or self.length

    def _file_names(self) -> Iterable[str]:
        return self.files

    def text_share(self, position: int) -> float:
        """1: all of it is text."""
        return 1.0

    def passage(self, position: int) -> Passage:
        """See `chameleon.text.protocols.Unit`."""
        documents = self.documents_from(position)
        first = next(documents)
        contents = chain([first.text], (document.text for document in documents))
        return Passage(first.start, position - first.start, contents)

    def documents(self) -> Iterator[Content]:
        """See `chameleon.text.protocols.Unit`."""
        return (document.text for document in self.documents_from(0))

    def documents_from(self, position: int) -> Iterator[Document]:
        """Documents from the one at `position` (0 <= position < length) to the last.

        Raises:
            InputError: The text has changed since it was indexed.
        """
        for index in range(self.part_at(position)[0], len(self.starts) - 1):
            start = int(self.starts[index])
            if self.starts[index + 1] == start:
                continue
            documents, ends = _block(self.blocks, index)
            if ends[-1] != self.starts[index + 1] - start:
                raise InputError("the text changed while it was read; run again")
            for number in range(bisect_right(ends, position - start), len(documents)):
                text = documents[number]
                yield Document(start + ends[number] - len(text) - 1, text)


@lru_cache(maxsize=4)
def _block(blocks: Blocks, block: int) -> tuple[Sequence[bytes], list[int]]:
    """The documents of a block, and the position in it at which each ends with its joint."""
    # Windows are read in the order of the text, so the next one often lies in the block just read: a book
    # that fills a block is not parsed again for each of its windows.
    documents = blocks.documents(block)
    return documents, list(accumulate((len(text) + 1 for text in documents), initial=0))[1:] or [0]


class TextIndex:
    """The index of an `IndexedText`, collected in one pass over its documents."""

    def __init__(self) -> None:
        self._starts = [0]
        self._position = 0
        self._digest = hashlib.sha256()
        self.num_documents = 0

    def add(self, text: bytes) -> bool:
        """Add a document; returns True where it filled its block, which is then closed."""
        self._position += len(text) + 1
        self.num_documents += 1
        self._digest.update(len(text).to_bytes(8, "little"))
        self._digest.update(text)
        full = self._position - self._starts[-1] >= BLOCK_BYTES
        if full:
            self.close_block()
        return full

    def close_block(self) -> None:
        """End the block here, whatever its size."""
        self._starts.append(self._position)

    def text(self, blocks: Blocks, files: tuple[str, ...] = ()) -> IndexedText:
        """The text of the closed blocks, read by `blocks`, of (b,) files.

        Its fingerprint is the SHA-256 (hex) of the documents in order, independent of how they are stored.
        """
        starts = np.array(self._starts, dtype=np.int64)
        return IndexedText(blocks, starts, self.num_documents, self._digest.hexdigest(), files=files)
