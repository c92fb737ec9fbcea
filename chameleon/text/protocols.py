"""Text as it passes from corpora through windows to the proxy: units, passages, and their tokens.

A domain's text lies in one or more units: what its source reads at once, such as a row group of a
table, or the whole of it. Positions count along a unit, in bytes of UTF-8 with one more for the
joint behind each document, or in tokens where the source holds tokens.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt


class Content(Protocol):
    """The UTF-8 of a document: bytes, or what reads them from a file as they are asked for."""

    def __len__(self) -> int:
        """Bytes of the document."""
        ...

    def __getitem__(self, part: slice, /) -> bytes:
        """Some of them."""
        ...


class Passage(NamedTuple):
    """Documents from a place in a unit on.

    `document` names the first one within its unit, `offset` is the place within it in bytes (its
    length: the joint behind it), and `documents` are the first and those that follow it to the
    unit's end.
    """

    document: int
    offset: int
    documents: Iterator[Content]


class Unit(Protocol):
    """Part of a domain that its source reads at once, or the whole of it."""

    @property
    def size(self) -> float:
        """How much text it stands for, in positions; more than `length` where only a part is kept."""
        ...

    @property
    def length(self) -> int:
        """Its positions are 0 to length - 1."""
        ...

    def passage(self, position: int) -> Passage | None:
        """What is at a position, or None where there is no text (field names, other columns)."""
        ...

    def share(self, position: int) -> float:
        """Bytes of text that a position around here stands for: 1 but where a file holds other things too."""
        ...

    def beginning(self) -> Iterator[Content]:
        """All its documents in order."""
        ...


class TokenUnit(Unit, Protocol):
    """A unit whose positions are tokens."""

    def ids(self, position: int, count: int) -> npt.NDArray[np.int32]:
        """Tokens from a position on, fewer at the end."""
        ...

    def token_documents(self) -> Iterator[npt.NDArray[np.int32]]:
        """All its documents in order, without the tokens between them; very long ones in parts."""
        ...

    def document_at(self, position: int) -> int:
        """The position at which the document of a position begins."""
        ...


class Text(Protocol):
    """A domain's text, in one unit or several."""

    @property
    def fingerprint(self) -> str:
        """Digest (hex) of what it is."""
        ...

    @property
    def unit_keys(self) -> npt.NDArray[np.uint64]:
        """(u,) names of its units. Domains that share units name them alike."""
        ...

    @property
    def unit_sizes(self) -> npt.NDArray[np.float64]:
        """(u,) sizes of its units so far as known without reading them: in proportion, in any measure."""
        ...

    @property
    def visits_wanted(self) -> int:
        """How many of its units a usual run may read: without reading a large part of the corpus."""
        ...

    @property
    def tokenizer_digest(self) -> str | None:
        """Of the tokenizer whose tokens its units (`TokenUnit`) hold, or None where they hold text."""
        ...

    def unit(self, index: int) -> Unit:
        """A unit, read if it has not been.

        Raises:
            InputError: It cannot be had, or what it holds cannot be used.
        """
        ...

    def expect(self, indices: Sequence[int]) -> None:
        """Told which units will be wanted soon, so that they can be read meanwhile."""
        ...


class Encoded(Protocol):
    """Tokens of a text."""

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        """(s,) the tokens."""
        ...

    @property
    def begins(self) -> npt.NDArray[np.int64]:
        """(s,) the character at which each begins, not decreasing."""
        ...

    def between(self, begin: int, end: int) -> npt.NDArray[np.int32]:
        """Those that begin in characters `begin` to `end` - 1."""
        ...


class Tokenizer(Protocol):
    """Text to tokens, as the proxy takes them."""

    @property
    def end_of_text(self) -> int:
        """The token between documents."""
        ...

    @property
    def digest(self) -> str:
        """Tells tokenizers apart."""
        ...

    def encode(self, texts: Sequence[str]) -> Sequence[Encoded]:
        """The tokens of each text, without any that are not in it (none for its beginning or end)."""
        ...
