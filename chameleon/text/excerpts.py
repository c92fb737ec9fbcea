"""Text from a position of a domain on, and its tokens.

A walk goes from a start along the documents of its unit, then through the units that are visited next, and
ends where it began. Distances along a walk are bytes of text, with one more for each document's joint.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.text.protocols import Content, Passage, Text, Tokenizer

# Bytes of text encoded before and after an excerpt so that its tokens are those of the whole document; the
# margins' own tokens are dropped. Words reach no further.
MARGIN_BYTES = 256


class Start(NamedTuple):
    """Where a walk begins.

    Attributes:
        text: Text of the domain.
        order: (u,) units of the domain in the order in which they are first visited.
        rank: Place of the unit in that order.
        position: Position in the unit.
    """

    text: Text
    order: npt.NDArray[np.int64]
    rank: int
    position: int

    @property
    def unit(self) -> int:
        """Index of the unit."""
        return int(self.order[self.rank])


@dataclass(frozen=True)
class Excerpt:
    """Part of a document with margins.

    Attributes:
        text: The characters to encode.
        wanted: (begin, end), the characters in which the wanted tokens begin.
        joint_follows: Whether the joint behind the document is part of it.
    """

    text: str
    wanted: tuple[int, int]
    joint_follows: bool

    @property
    def content(self) -> str:
        """The characters without the margins."""
        return self.text[slice(*self.wanted)]


class Stretch(NamedTuple):
    """A part of a walk.

    Attributes:
        excerpts: Parts of documents.
        length: Distance that they cover.
        document: Number, within its unit, of the document in which the walk begins; None where there is no
            text.
    """

    excerpts: list[Excerpt]
    length: int
    document: int | None


def read_stretch(start: Start, begin: int, end: int) -> Stretch:
    """Read the part of a walk from distance `begin` to `end`.

    Raises:
        InputError: The text cannot be read.
    """
    passage = start.text.unit(start.unit).passage(start.position)
    if passage is None:
        return Stretch([], 0, None)
    excerpts, at = [], 0
    for content, low, high in _walk(start, passage):
        if at >= end:
            break
        if at + high - low > begin:
            excerpts.append(_excerpt(content, low + max(begin - at, 0), min(low + end - at, high)))
        at += high - low
    return Stretch(excerpts, max(min(at, end) - begin, 0), passage.document)


def encode(tokenizer: Tokenizer, stretches: Sequence[Sequence[Excerpt]]) -> list[npt.NDArray[np.int32]]:
    """The tokens that begin in each stretch, with an end-of-text token for each joint."""
    encoded = iter(tokenizer.encode([excerpt.text for excerpts in stretches for excerpt in excerpts]))
    joint = np.array([tokenizer.end_of_text], dtype=np.int32)
    tokens = []
    for excerpts in stretches:
        parts = [np.empty(0, dtype=np.int32)]
        for excerpt in excerpts:
            parts.append(next(encoded).between(*excerpt.wanted))
            if excerpt.joint_follows:
                parts.append(joint)
        tokens.append(np.concatenate(parts))
    return tokens


def _walk(start: Start, passage: Passage) -> Iterator[tuple[Content, int, int]]:
    """Documents, each with the first of its bytes and the last + 1; the byte at its length is the joint."""
    low = passage.offset
    for content in passage.documents:
        yield content, low, len(content) + 1
        low = 0
    for further in range(1, len(start.order)):
        rank = (start.rank + further) % len(start.order)
        for content in start.text.unit(int(start.order[rank])).documents():
            yield content, 0, len(content) + 1
    at = 0
    for content in start.text.unit(start.unit).documents():
        length = len(content) + 1
        yield content, 0, min(length, start.position - at)
        at += length
        if at >= start.position:
            return


def _excerpt(content: Content, low: int, high: int) -> Excerpt:
    """The excerpt for the tokens that begin in bytes `low` to `high` of a document, joint included."""
    joint_follows = low <= len(content) < high
    first = max(low - MARGIN_BYTES, 0)
    # A character has up to four bytes, so the next one begins within three.
    read = content[first : min(high + MARGIN_BYTES + 3, len(content))]
    low, high, last = (_character_from(read, at - first) for at in (low, high, high + MARGIN_BYTES))
    first = _character_from(read, 0)
    try:
        begin = len(read[first:low].decode())
        end = begin + len(read[low:high].decode())
        return Excerpt(read[first:last].decode(), (begin, end), joint_follows)
    except UnicodeDecodeError as error:
        raise InputError(
            f"the text is not UTF-8: byte 0x{read[error.start]:02x}; convert it, or leave it out"
        ) from None


def _character_from(read: bytes, at: int) -> int:
    """The first byte of a character at or after `at`."""
    at = min(max(at, 0), len(read))
    while at < len(read) and read[at] & 0xC0 == 0x80:
        at += 1
    return at
