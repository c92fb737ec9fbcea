"""Text of which every document's place is known: what is small, in memory, or has an index.

The text is its documents laid end to end in UTF-8, one byte more for the joint behind each. A
position on that line finds its document through the blocks in which a source is read (a stretch of
lines, of table rows), so that the index is a few bytes a block and text is read a block at a time.
"""

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.text.protocols import Content, FileStart, Passage


class SingleUnit(ABC):
    """What a text and its only unit have in common where they are one: see `chameleon.text.protocols`."""

    unit_budget = 1 << 30

    @property
    @abstractmethod
    def length(self) -> int:
        """Its positions are 0 to length - 1."""

    @property
    def size(self) -> float:
        """The length."""
        return self.length

    @property
    def tokenizer_digest(self) -> str | None:
        """None: it holds text."""
        return None

    @property
    def count(self) -> int:
        """The length."""
        return self.length

    @property
    def unit_keys(self) -> npt.NDArray[np.uint64]:
        """One, of no meaning."""
        return np.zeros(1, dtype=np.uint64)

    @property
    def unit_sizes(self) -> npt.NDArray[np.float64]:
        """The length."""
        return np.array([self.length], dtype=np.float64)

    def unit(self, index: int) -> Self:
        """Itself."""
        return self

    def prefetch(self, indices: Sequence[int]) -> None:  # noqa: B027
        """Do nothing: text is read on demand."""

    def file_starts(self) -> Iterator[FileStart]:
        """None."""
        return iter(())


def starts_of_files(begins: npt.NDArray[np.int64], files: Iterable[str]) -> Iterator[FileStart]:
    """Where files begin that lie end to end in one unit, by the positions at which they begin."""
    return (FileStart(0, begin, file) for begin, file in zip(begins.tolist(), files, strict=False))


# A block is closed once it holds this much text: little enough to parse for a single window, and
# much enough that the index of a terabyte is a matter of megabytes.
BLOCK_BYTES = 1 << 16


class Document(NamedTuple):
    """A document in UTF-8, and the position of its first byte."""

    start: int
    text: bytes


class Blocks(Hashable, Protocol):
    """Text in the blocks in which its source is read."""

    def documents(self, block: int) -> Sequence[bytes]:
        """The documents in a block, in order, as UTF-8; none of them is empty."""
        ...


@dataclass(frozen=True, eq=False)
class IndexedText(SingleUnit):
    """A text in one unit, which is itself.

    Attributes:
        blocks: The reader of its text.
        starts: (b + 1,) int64, not decreasing: the position at which each of the b blocks begins,
            and the length of the whole at the end.
        num_documents: Documents in it, empty ones not counted.
        fingerprint: Digest (hex) of all of it, or of what stands for it (a revision on the hub).
        whole_size: Positions of what it is a part of, where only a part was kept.
        files: (b,) the file of each block, where blocks lie in files.
    """

    blocks: Blocks
    starts: npt.NDArray[np.int64]
    num_documents: int
    fingerprint: str
    whole_size: float | None = None
    files: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Bytes of text, and one for each document's joint."""
        return int(self.starts[-1])

    @property
    def size(self) -> float:
        """The length, or that of what it is a part of."""
        return self.length if self.whole_size is None else self.whole_size

    @property
    def count(self) -> int:
        """Documents, or positions where documents are not counted."""
        return self.num_documents or self.length

    def file_starts(self) -> Iterator[FileStart]:
        """See `chameleon.text.protocols.Text`."""
        return starts_of_files(self.starts, self.files)

    def text_share(self, position: int) -> float:
        """All of it is text."""
        return 1.0

    def passage(self, position: int) -> Passage:
        """See `chameleon.text.protocols.Unit`."""
        documents = self.documents_from(position)
        first = next(documents)

        def contents() -> Iterator[Content]:
            yield first.text
            yield from (document.text for document in documents)

        return Passage(first.start, position - first.start, contents())

    def documents(self) -> Iterator[Content]:
        """See `chameleon.text.protocols.Unit`."""
        return (document.text for document in self.documents_from(0))

    def documents_from(self, position: int) -> Iterator[Document]:
        """Documents from the one that covers `position` (0 <= position < length) to the last.

        Raises:
            InputError: The text is not what it was when it was indexed.
        """
        block = int(np.searchsorted(self.starts, position, side="right")) - 1
        for index in range(block, len(self.starts) - 1):
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
    """The documents of a block, and the position in it at which each ends, its joint included."""
    # Windows are read in the order of the text, so the next one often lies in the block just read;
    # where a document fills a block of its own (a book), it is not parsed again for each of its windows.
    documents = blocks.documents(block)
    return documents, list(accumulate((len(text) + 1 for text in documents), initial=0))[1:] or [0]


class TextIndex:
    """What an `IndexedText` needs to know of its text, collected in one pass over its documents."""

    def __init__(self) -> None:
        self._starts = [0]
        self._position = 0
        self._digest = hashlib.sha256()
        self.num_documents = 0

    def add(self, text: bytes) -> bool:
        """Count a document; True when it filled its block, which is then closed."""
        self._position += len(text) + 1
        self.num_documents += 1
        self._digest.update(len(text).to_bytes(8, "little"))
        self._digest.update(text)
        full = self._position - self._starts[-1] >= BLOCK_BYTES
        if full:
            self.close_block()
        return full

    def close_block(self) -> None:
        """End the block here, however much it holds."""
        self._starts.append(self._position)

    def text(self, blocks: Blocks, files: tuple[str, ...] = ()) -> IndexedText:
        """The text of the closed blocks, read by `blocks`, of (b,) files.

        Its fingerprint is the SHA-256 (hex) of the documents in order: of their text alone, however stored.
        """
        starts = np.array(self._starts, dtype=np.int64)
        return IndexedText(blocks, starts, self.num_documents, self._digest.hexdigest(), files=files)
