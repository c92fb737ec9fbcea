"""Text from a place in a domain on, and its tokens.

A walk goes from a position along the documents of its unit, then through the units that are visited
next, and ends where it began. A stretch is the part of a walk between two distances from its start,
in bytes of text with one more for each document's joint.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.text.protocols import Content, Passage, Text, Tokenizer

# Text encoded before a stretch and after it, in bytes, and thrown away: words reach no further.
MARGIN_BYTES = 256


class Start(NamedTuple):
    """Where a walk begins.

    Attributes:
        text: The domain's.
        order: (u,) its units in the order in which they are visited.
        visited: Which of them in that order.
        position: In that unit.
    """

    text: Text
    order: npt.NDArray[np.int64]
    visited: int
    position: int

    @property
    def unit(self) -> int:
        """Index of the unit."""
        return int(self.order[self.visited])


class _Part(NamedTuple):
    """Bytes `low` to `high` of a document; the byte at its length is the joint."""

    content: Content
    low: int
    high: int


@dataclass(frozen=True)
class Excerpt:
    """Part of a document to encode, of which the tokens that begin in characters `keep` are wanted."""

    text: str
    keep: tuple[int, int]
    joint_follows: bool

    @property
    def kept(self) -> str:
        """The characters that are wanted."""
        return self.text[slice(*self.keep)]


def encode(tokenizer: Tokenizer, stretches: Sequence[Sequence[Excerpt]]) -> list[npt.NDArray[np.int32]]:
    """For each stretch the tokens that begin in it, joints as end-of-text tokens among them."""
    encoded = iter(tokenizer.encode([piece.text for pieces in stretches for piece in pieces]))
    joint = np.array([tokenizer.end_of_text], dtype=np.int32)
    tokens = []
    for pieces in stretches:
        parts = [np.empty(0, dtype=np.int32)]
        for piece in pieces:
            found = next(encoded).between(*piece.keep)
            parts += [found, joint] if piece.joint_follows else [found]
        tokens.append(np.concatenate(parts))
    return tokens


class Stretch(NamedTuple):
    """What to encode for a part of a walk.

    Attributes:
        pieces: Parts of documents.
        length: How much of the walk they are.
        document: The number, within its unit, of the document in which the walk begins; None where there is
            no text.
    """

    pieces: list[Excerpt]
    length: int
    document: int | None


def stretch_from(place: Start, begin: int, end: int) -> Stretch:
    """The part of a walk from `begin` to `end`.

    Raises:
        InputError: The text cannot be read.
    """
    passage = place.text.unit(place.unit).passage(place.position)
    if passage is None:
        return Stretch([], 0, None)
    pieces, at = [], 0
    for part in _walk(place, passage):
        if at >= end:
            break
        length = part.high - part.low
        if at + length > begin:
            low = part.low + max(begin - at, 0)
            high = part.low + min(end - at, length)
            pieces.append(_piece(part.content, low, high))
        at += length
    return Stretch(pieces, max(min(at, end) - begin, 0), passage.document)


def _walk(place: Start, passage: Passage) -> Iterator[_Part]:
    low = passage.offset
    for content in passage.documents:
        yield _Part(content, low, len(content) + 1)
        low = 0
    for further in range(1, len(place.order)):
        visited = (place.visited + further) % len(place.order)
        for content in place.text.unit(int(place.order[visited])).beginning():
            yield _Part(content, 0, len(content) + 1)
    at = 0
    for content in place.text.unit(place.unit).beginning():
        length = len(content) + 1
        yield _Part(content, 0, min(length, place.position - at))
        at += length
        if at >= place.position:
            return


def _piece(content: Content, low: int, high: int) -> Excerpt:
    """The piece for the tokens that begin in bytes `low` to `high` of a document, joint included."""
    joint_follows = low <= len(content) < high
    first = max(low - MARGIN_BYTES, 0)
    # Characters begin within three bytes.
    read = content[first : min(high + MARGIN_BYTES + 3, len(content))]
    low, high, last = (_character_from(read, at - first) for at in (low, high, high + MARGIN_BYTES))
    first = _character_from(read, 0)
    try:
        skipped = len(read[first:low].decode())
        kept = skipped + len(read[low:high].decode())
        return Excerpt(read[first:last].decode(), (skipped, kept), joint_follows)
    except UnicodeDecodeError as error:
        raise InputError(
            f"the text is not UTF-8: byte 0x{read[error.start]:02x}; convert it, or leave it out"
        ) from None


def _character_from(read: bytes, at: int) -> int:
    """The first byte of a character at or after `at`, within what is read."""
    at = min(max(at, 0), len(read))
    while at < len(read) and read[at] & 0xC0 == 0x80:
        at += 1
    return at
