"""Documents as they are packed: a very long one in parts, so that it is encoded in bounded memory."""

from collections.abc import Iterator, Sequence

import numpy as np

from chameleon.corpora import Domain
from chameleon.corpora.whole import all_documents
from chameleon.text import Content
from chameleon.training.packed import Array

# A document of over so many bytes counts as several, which are encoded and held out on their own.
_LONG = 1 << 20
_PART = 1 << 18
_LONG_TOKENS = 1 << 16


def documents_in_parts(domains: Sequence[Domain]) -> Iterator[tuple[int, bytes | Array]]:
    """Documents of the domains, each with the index of its domain; parts are documents of their own.

    Raises:
        InputError: The text cannot be read.
    """
    for index, document in all_documents(domains):
        if isinstance(document, np.ndarray):
            for begin in range(0, len(document), _LONG_TOKENS):
                yield index, document[begin : begin + _LONG_TOKENS].astype(np.uint32)
        else:
            yield from ((index, part) for part in _parts(document) if part.strip())


def _parts(content: Content) -> Iterator[bytes]:
    if len(content) <= _LONG:
        yield content[0 : len(content)]
        return
    at = 0
    while at < len(content):
        read = content[at : at + _PART]
        if at + len(read) < len(content):
            read = read[: _end_of_part(read)]
        yield read
        at += len(read)


def _end_of_part(read: bytes) -> int:
    """Behind the last line's end in the second half, else behind the last space, else a character's end."""
    for mark in (b"\n", b" "):
        found = read.rfind(mark, len(read) // 2)
        if found >= 0:
            return found + 1
    end = len(read)
    while end > 1 and read[end - 1] & 0xC0 == 0x80:
        end -= 1
    return end - 1 if read[end - 1] >= 0xC0 else len(read)
