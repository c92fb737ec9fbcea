"""What corpora, sampling and the proxy's tokenizer promise each other: texts, their units, and tokens.

A domain's text lies in one or more units. A unit is what its source reads at once, such as a row group of a
parquet file, or the whole text. Positions count along a unit: in bytes of UTF-8, with one more for the joint
behind each document, or in tokens where the source holds tokens.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt


class Content(Protocol):
    """The UTF-8 of a document: bytes, or an object that reads them from a file on demand."""

    def __len__(self) -> int:
        """Bytes of the document."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Some of the bytes."""


class Passage(NamedTuple):
    """The documents of a unit from one position on.

    Attributes:
        document: Number of the first document within its unit.
        offset: Position within that document, in bytes; its length stands for the joint behind it.
        documents: The first document and those that follow it, to the end of the unit.
    """

    document: int
    offset: int
    documents: Iterator[Content]


class Unit(Protocol):
    """A part of a domain that its source reads at once, or the whole domain."""

    @property
    def size(self) -> float:
        """Text that the unit stands for, in positions; more than `length` where only a sample is stored."""

    @property
    def length(self) -> int:
        """Number of positions, which are 0 to length - 1."""

    def passage(self, position: int) -> Passage | None:
        """The documents from a position on; None where the file holds no text there (other fields)."""

    def text_share(self, position: int) -> float:
        """Bytes of text per position around here: below 1 where the file holds other fields too."""

    def documents(self) -> Iterator[Content]:
        """All documents in order."""


class TokenUnit(Unit, Protocol):
    """A unit whose positions are tokens."""

    def ids(self, position: int, count: int) -> npt.NDArray[np.int32]:
        """(count,) tokens from a position on, fewer at the end."""

    def token_documents(self) -> Iterator[npt.NDArray[np.int32]]:
        """The tokens of each document in order, without the tokens between them; very long ones in parts."""

    def document_at(self, position: int) -> int:
        """The position at which the document of a position begins."""


class FileStart(NamedTuple):
    """Where the text of a file begins: a unit of the domain, a position in it, and the file's name."""

    unit: int
    position: int
    file: str


class Text(Protocol):
    """A domain's text, in one unit or several."""

    @property
    def fingerprint(self) -> str:
        """Digest (hex) of the text."""

    @property
    def count(self) -> int:
        """Rows, documents, bytes or tokens, whichever the source knows without reading the text."""

    @property
    def unit_keys(self) -> npt.NDArray[np.uint64]:
        """(u,) keys of the units; a unit that domains share has the same key in each of them."""

    @property
    def unit_sizes(self) -> npt.NDArray[np.float64]:
        """(u,) sizes of the units as known without reading them: in proportion, in any measure."""

    @property
    def unit_budget(self) -> int:
        """How many units a usual run may read without reading a large part of the corpus."""

    @property
    def tokenizer_digest(self) -> str | None:
        """Digest of the tokenizer whose tokens the units (`TokenUnit`) hold; None where they hold text."""

    def unit(self, index: int) -> Unit:
        """A unit, which is read if it has not been.

        Raises:
            InputError: The unit cannot be read, or its content cannot be used.
        """

    def prefetch(self, indices: Sequence[int]) -> None:
        """Start reading units that will be needed soon."""

    def file_starts(self) -> Iterator[FileStart]:
        """Where the text of each file begins, in order; none where positions do not lie in files."""


class Encoded(Protocol):
    """The tokens of a text."""

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        """(s,) the tokens."""

    @property
    def begins(self) -> npt.NDArray[np.int64]:
        """(s,) the character at which each token begins, not decreasing."""

    def between(self, begin: int, end: int) -> npt.NDArray[np.int32]:
        """The tokens that begin in characters `begin` to `end` - 1."""


class Tokenizer(Protocol):
    """Text to tokens, as the proxy takes them."""

    @property
    def end_of_text(self) -> int:
        """The token between documents."""

    @property
    def digest(self) -> str:
        """Digest that differs between tokenizers."""

    def encode(self, texts: Sequence[str]) -> Sequence[Encoded]:
        """The tokens of each text, without special tokens for its beginning or end."""
