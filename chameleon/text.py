"""Text as it passes from corpora through windows to the proxy: documents, and their tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt


class Document(NamedTuple):
    """A document in UTF-8, and the position of its first byte on the line of its domain's bytes."""

    start: int
    text: bytes


class Text(Protocol):
    """A domain's documents end to end, one byte between each and the next."""

    @property
    def num_bytes(self) -> int:
        """Length of the line: bytes of text, and one for each document's joint."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest (hex) of the text."""
        ...

    def documents_from(self, position: int) -> Iterator[Document]:
        """Documents from the one that covers `position` (0 <= position < num_bytes) to the last."""
        ...


@dataclass(frozen=True)
class Encoded:
    """Tokens of a text: (s,) int32 ids, and (s,) int64 the character at which each begins."""

    ids: npt.NDArray[np.int32]
    begins: npt.NDArray[np.int64]


class Tokenizer(Protocol):
    """Text to tokens, as the proxy takes them."""

    @property
    def end_of_text(self) -> int:
        """The token between documents."""
        ...

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The tokens of each text, without any that are not in it (none for its beginning or end)."""
        ...
