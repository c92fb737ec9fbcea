"""Files read only around the positions needed: JSON Lines, and plain text with a document per file.

Positions are bytes of the files, laid end to end; those that hold no text (field names, quotes, other fields)
are recognised as they are met.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.text.corpora.indexed import SingleUnit
from chameleon.text.corpora.json_lines import (
    LONGEST_LINE,
    SKIP_ADVICE,
    Literal,
    lines_in,
    locate,
    offset_in_text,
)
from chameleon.text.corpora.storage import File
from chameleon.text.protocols import Content, Passage

_READ_BYTES = 1 << 16


@dataclass(frozen=True, eq=False)
class SeekableText(SingleUnit):
    """Files of any size as one unit, which is the text itself; positions are bytes of the files.

    Attributes:
        files: (f,) files, none of them empty.
        fingerprint: Digest (hex) of the text.
    """

    files: tuple[File, ...]
    fingerprint: str

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:  # type: ignore[override]
        """(f + 1,) the position at which each file begins, and the length at the end."""
        return np.cumsum([0, *(file.size for file in self.files)], dtype=np.int64)

    def _file_names(self) -> Iterator[str]:
        return (file.name for file in self.files)


@dataclass(frozen=True, eq=False)
class SeekableLines(SeekableText):
    """JSON Lines of which only the requested lines are read.

    Each byte of a document's text has one position: that of the same byte in the line, the first ones of an
    escape, and the line's end for the joint.
    """

    column: str = "text"
    skip_bad_lines: bool = False

    def passage(self, position: int) -> Passage | None:
        """See `chameleon.text.protocols.Unit`."""
        number, at = self.part_at(position)
        begin, line, literal = _line_at(self, number, at)
        if literal is None or not literal.text:
            return None
        at -= begin
        offset = None
        if at == len(line) - 1 and line.endswith(b"\n"):
            offset = len(literal.text)
        elif literal.begin <= at < literal.end:
            offset = offset_in_text(line[literal.begin : literal.end], at - literal.begin)
        if offset is None:
            return None
        start = int(self.starts[number]) + begin
        return Passage(start, offset, self._documents(number, begin + len(line), literal.text))

    def text_share(self, position: int) -> float:
        """Bytes of text and joint of the line at a position, relative to the bytes of the line."""
        _, line, literal = _line_at(self, *self.part_at(position))
        return 0.0 if literal is None or not literal.text else min(1.0, (len(literal.text) + 1) / len(line))

    def documents(self) -> Iterator[Content]:
        """See `chameleon.text.protocols.Unit`."""
        return self._documents(0, 0)

    def _documents(self, number: int, at: int, *known: bytes) -> Iterator[bytes]:
        yield from known
        for following in range(number, len(self.files)):
            file = self.files[following]
            for begin, line in _lines_from(file, at):
                literal = self._parsed(file, begin, line)
                if literal is not None and literal.text:
                    yield literal.text
            at = 0

    def _parsed(self, file: File, begin: int, line: bytes) -> Literal | None:
        """A line's document; None where the line cannot be used and is skipped."""
        try:
            return locate(line, self.column)
        except ValueError as error:
            if self.skip_bad_lines:
                return None
            raise InputError(f"{file.name}, the line at byte {begin}: {error}; {SKIP_ADVICE}") from None


@dataclass(frozen=True, eq=False)
class PlainText(SeekableText):
    """Plain text, a document a file; every position is a byte of text."""

    def passage(self, position: int) -> Passage:
        """See `chameleon.text.protocols.Unit`."""
        number, at = self.part_at(position)
        contents = (FileContent(file) for file in self.files[number:])
        return Passage(int(self.starts[number]), at, contents)

    def text_share(self, position: int) -> float:
        """1: all of it is text."""
        return 1.0

    def documents(self) -> Iterator[Content]:
        """See `chameleon.text.protocols.Unit`."""
        return (FileContent(file) for file in self.files)


@dataclass(frozen=True)
class FileContent:
    """The bytes of a file, read on demand."""

    file: File

    def __len__(self) -> int:
        return self.file.size

    def __getitem__(self, part: slice, /) -> bytes:
        begin, end, _ = part.indices(self.file.size)
        return self.file.read(begin, end)


@lru_cache(maxsize=8)
def _line_at(text: SeekableLines, number: int, at: int) -> tuple[int, bytes, Literal | None]:
    """The line around byte `at` of a file: where it begins, the line with its end, and its document."""
    file = text.files[number]
    begin = end = at
    before, after = b"", b""
    while begin > 0:
        low = max(begin - _READ_BYTES, 0)
        block = file.read(low, begin)
        cut = block.rfind(b"\n")
        before = block[cut + 1 :] + before
        begin = low
        if cut >= 0:
            begin += cut + 1
            break
        _require_end(file, at, len(before))
    while end < file.size:
        block = file.read(end, min(end + _READ_BYTES, file.size))
        cut = block.find(b"\n")
        after += block[: cut + 1] if cut >= 0 else block
        if cut >= 0:
            break
        end += len(block)
        _require_end(file, at, len(after))
    line = before + after
    return begin, line, text._parsed(file, begin, line)


def _lines_from(file: File, at: int) -> Iterator[tuple[int, bytes]]:
    """Lines of a file from byte `at` on, where a line begins, and where each begins."""
    rest = b""
    while at < file.size:
        block = file.read(at + len(rest), min(at + len(rest) + _READ_BYTES, file.size))
        lines = lines_in(rest + block)
        last = at + len(rest) + len(block) >= file.size
        rest = lines.pop() if lines and not last and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            yield at, line
            at += len(line)
        _require_end(file, at, len(rest))
        if last:
            return


def _require_end(file: File, at: int, length: int) -> None:
    if length > LONGEST_LINE:
        raise InputError(
            f"{file.name}: no line ends within {LONGEST_LINE} bytes of byte {at}; expected JSON Lines"
        )
