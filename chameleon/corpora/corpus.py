"""What every kind of corpus gives: named domains whose text is addressed by the byte.

A domain is its documents laid end to end in UTF-8, one byte more for the joint behind each. A
position on that line finds its document through the blocks in which a source is read (a stretch of
lines, of table rows, of files), so that a domain of any size is opened with an index of a few
bytes a block and read a block at a time.
"""

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from chameleon.errors import InputError
from chameleon.text import Document

# A block is closed once it holds this much text: little enough to parse for a single window, and
# much enough that the index of a terabyte is a matter of megabytes.
BLOCK_BYTES = 1 << 16


class Blocks(Hashable, Protocol):
    """The text of one domain in the blocks in which its source is read."""

    def documents(self, block: int) -> Sequence[bytes]:
        """The documents of the domain in a block, in order, as UTF-8; none of them is empty."""
        ...


@dataclass(frozen=True)
class Domain:
    """One domain of a corpus.

    Attributes:
        name: What the user calls it.
        blocks: The reader of its text.
        starts: (b + 1,) int64, not decreasing: the position at which each of the b blocks begins,
            and the length of the domain in bytes (each document with its joint) at the end.
        num_documents: Documents in it, empty ones not counted.
        fingerprint: Digest (hex) of all its text, or of what stands for it (a revision on the hub).
    """

    name: str
    blocks: Blocks
    starts: npt.NDArray[np.int64]
    num_documents: int
    fingerprint: str

    @property
    def num_bytes(self) -> int:
        """Length of the domain: bytes of text and one for each document's joint."""
        return int(self.starts[-1])

    def documents_from(self, position: int) -> Iterator[Document]:
        """Documents from the one that covers `position` (0 <= position < num_bytes) to the last.

        Raises:
            InputError: The text is not what it was when the domain was opened.
        """
        block = int(np.searchsorted(self.starts, position, side="right")) - 1
        for index in range(block, len(self.starts) - 1):
            start = int(self.starts[index])
            if self.starts[index + 1] == start:
                continue
            documents = _documents_of(self.blocks, index)
            if sum(map(len, documents)) + len(documents) != self.starts[index + 1] - start:
                raise InputError(f"the text of domain {self.name} changed while it was read; run again")
            for text in documents:
                if start + len(text) >= position:
                    yield Document(start, text)
                start += len(text) + 1


@lru_cache(maxsize=2)
def _documents_of(blocks: Blocks, block: int) -> Sequence[bytes]:
    # Windows are read in the order of the text, so the next one often lies in the block just read;
    # where a document fills a block of its own (a book), it is not parsed again for each of its windows.
    return blocks.documents(block)


@dataclass(frozen=True)
class Corpus:
    """Domains and where they are from.

    Attributes:
        name: What the user named: a hub id, a directory, or "builtin".
        domains: At least two, each with text, each name once.
        provenance: Facts to record beside results: kind of source, revision, lines left out.
        notices: What the user must hear about it, in words.
    """

    name: str
    domains: tuple[Domain, ...]
    provenance: dict[str, Any]
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [domain.name for domain in self.domains]
        if len(names) < 2:
            found = f"only {names[0]}" if names else "none"
            raise InputError(f"weights need at least 2 domains, but {self.name} holds {found}")
        empty = [domain.name for domain in self.domains if domain.num_bytes == 0]
        if empty:
            raise InputError(
                f"{self.name}: no text in domain {', '.join(empty)}; remove what is empty, or give it text"
            )


class TextIndex:
    """What a `Domain` needs to know of its text, collected in one pass over its documents."""

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

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """`Domain.starts` of the closed blocks."""
        return np.array(self._starts, dtype=np.int64)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the documents in order: of their text alone, however it is stored."""
        return self._digest.hexdigest()
