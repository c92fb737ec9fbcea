"""Files that can be sought in: JSON Lines, and plain text with a document a file.

Little of it is read from end to end once and every line checked; of much, only what is around the
places that are asked for is read. Positions are then bytes of the files, laid end to end, and those
that hold no text (names of fields, quotes, other fields) are told apart as they are met.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.text.corpora.indexed import IndexedText, SingleUnit, TextIndex, starts_of_files
from chameleon.text.corpora.storage import WHOLE_BYTES, File
from chameleon.text.protocols import Content, FileStart, Passage

# Stands for what a blank line holds, which null does not.
BLANK = object()


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


_DECODER = json.JSONDecoder()


_SPACE = re.compile(r"[ \t\r\n]*")


# A JSON string's escapes, one or a surrogate pair, and the stretches between them.
_IN_STRING = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]+", re.DOTALL
)


class Literal(NamedTuple):
    """A document and the bytes of its line, without the quotes, in which it is written."""

    text: bytes
    begin: int
    end: int


def text_of_line(line: bytes, column: str = "text") -> bytes:
    """The document of a line as UTF-8, empty where there is nothing but white space.

    Args:
        line: JSON, with or without the line's end.
        column: The field with the document; dots lead into objects.

    Raises:
        ValueError: The line cannot be used; the message says why.
    """
    record = record_of_line(line)
    return b"" if record is BLANK else text_of_record(record, column)


def record_of_line(line: bytes) -> Any:  # noqa: ANN401
    """What a line holds; `BLANK` where that is nothing.

    Raises:
        ValueError: It is no JSON; the message says why.
    """
    content = _decoded(line).strip()
    if not content:
        return BLANK
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise ValueError(f"malformed JSON: {error.msg} in column {error.colno}") from None
    except RecursionError:
        raise ValueError("malformed JSON: nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise ValueError(f"malformed JSON: {error}") from None


def text_of_record(record: Any, column: str = "text") -> bytes:  # noqa: ANN401
    """The document of a record as UTF-8, empty where there is nothing but white space.

    Raises:
        ValueError: There is none; the message says why.
    """
    text = field_of_record(record, column)
    if not isinstance(text, str):
        raise ValueError(f'expected a string in the field "{column}", got {json.dumps(text)[:80]}')
    try:
        return text.encode() if text.strip() else b""
    except UnicodeEncodeError:
        raise ValueError(f'the field "{column}" holds half of a surrogate pair, which is no text') from None


def field_of_record(record: Any, column: str) -> Any:  # noqa: ANN401
    """What a record holds in a field; dots lead into objects, unless a name itself has them.

    Raises:
        ValueError: It has no such field; the message lists those it has.
    """
    if not isinstance(record, dict):
        raise ValueError(f'expected an object with a field "{column}", got {type(record).__name__}')
    if column in record:
        return record[column]
    outer, dot, inner = column.partition(".")
    if dot and isinstance(record.get(outer), dict):
        return field_of_record(record[outer], inner)
    found = ", ".join(map(str, record)) or "none"
    raise ValueError(f'expected a field "{column}", found the fields {found[:200]}')


def locate(line: bytes, column: str = "text") -> Literal:
    """The document of a line and where its string stands in it.

    Raises:
        ValueError: The line cannot be used; the message says why.
    """
    text = text_of_line(line, column)
    content = _decoded(line)
    if not text:
        return Literal(b"", 0, 0)
    begin, end = _span(content, 0, column)
    offset = len(line) - len(content.encode())  # a byte order mark
    first = len(content[: begin + 1].encode()) + offset
    return Literal(text, first, first + len(content[begin + 1 : end - 1].encode()))


def offset_in_text(literal: bytes, at: int) -> int | None:
    """The byte of the text at byte `at` of its JSON string, or None for further bytes of an escape.

    Each byte of the text stands for one byte of the string: an escape's first ones, as many as it decodes to.
    """
    decoded = 0
    for match in _IN_STRING.finditer(literal):
        length = match.end() - match.start()
        if match[0].startswith(b"\\"):
            length = len(json.loads(b'"' + match[0] + b'"').encode(errors="replace"))
        if at < match.end():
            within = at - match.start()
            return decoded + within if within < length else None
        decoded += length
    return None


def _decoded(line: bytes) -> str:
    content = line.removeprefix(_BYTE_ORDER_MARK)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"not UTF-8: byte 0x{content[error.start]:02x} in column {error.start + 1}"
        ) from None


def _span(content: str, at: int, column: str) -> tuple[int, int]:
    """Where the value of a field stands in an object that is known to be well-formed and to have it."""
    outer, _, inner = column.partition(".")
    spans: dict[str, tuple[int, int]] = {}
    at = _after_space(content, at) + 1
    while content[at := _after_space(content, at)] != "}":
        if content[at] == ",":
            at = _after_space(content, at + 1)
        name, at = _DECODER.raw_decode(content, at)
        begin = _after_space(content, _after_space(content, at) + 1)
        _, at = _DECODER.raw_decode(content, begin)
        spans[name] = (begin, at)
    return spans[column] if column in spans else _span(content, spans[outer][0], inner)


def _after_space(content: str, at: int) -> int:
    match = _SPACE.match(content, at)
    return at if match is None else match.end()


# Far more than any document; what has no line end for so long is no JSON Lines.
LONGEST_LINE = 1 << 28


_READ_BYTES = 1 << 16


SKIP_ADVICE = "mend it, or pass --skip_bad_lines to leave such lines out"


@dataclass(frozen=True, eq=False)
class LineBlocks:
    """Blocks of whole lines: block i is the bytes `begin` to `end` of a file."""

    blocks: tuple[tuple[File, int, int], ...]
    column: str
    skip_bad_lines: bool

    def documents(self, block: int) -> list[bytes]:
        """The texts of the block's lines."""
        file, begin, end = self.blocks[block]
        texts = []
        for line in file.read(begin, end).split(b"\n"):
            try:
                texts.append(text_of_line(line, self.column))
            except ValueError as error:
                if not self.skip_bad_lines:
                    raise InputError(f"{file.name} changed while it was read ({error}); run again") from None
        return [text for text in texts if text]


def index_lines(
    files: Sequence[File],
    column: str,
    skip_bad_lines: bool,
    progress: Callable[[int], object] = lambda size: None,
) -> tuple[IndexedText, list[str]]:
    """Read all lines once: the text, and what is wrong with the lines left out.

    Raises:
        InputError: A line cannot be used and is not to be left out (names the file and line).
    """
    index = TextIndex()
    blocks: list[tuple[File, int, int]] = []
    bad = []
    for file in files:
        begin = end = 0
        for number, line in enumerate(lines_in(file.read(0, file.size)), 1):
            end += len(line)
            progress(len(line))
            try:
                text = text_of_line(line, column)
            except ValueError as error:
                bad.append(f"{file.name}, line {number}: {error}")
                if not skip_bad_lines:
                    raise InputError(f"{bad[0]}; {SKIP_ADVICE}") from None
                continue
            if text and index.add(text):
                blocks.append((file, begin, end))
                begin = end
        index.close_block()
        blocks.append((file, begin, end))
    reader = LineBlocks(tuple(blocks), column, skip_bad_lines)
    return index.text(reader, tuple(file.name for file, _, _ in blocks)), bad


def are_few(files: Sequence[File]) -> bool:
    """Whether to read them from end to end."""
    return sum(file.size for file in files) <= WHOLE_BYTES


@dataclass(frozen=True, eq=False)
class SeekableText(SingleUnit):
    """Files of any size as one unit, which is itself; positions are bytes of the files.

    Attributes:
        files: They, none of them empty.
        fingerprint: Digest (hex) of them.
        begins: (f + 1,) int64, the position at which each of the f files begins, and the length.
    """

    files: tuple[File, ...]
    fingerprint: str
    begins: npt.NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        begins = np.cumsum([0, *(file.size for file in self.files)], dtype=np.int64)
        object.__setattr__(self, "begins", begins)

    @property
    def length(self) -> int:
        """Bytes of the files."""
        return int(self.begins[-1])

    def file_starts(self) -> Iterator[FileStart]:
        """See `chameleon.text.protocols.Text`."""
        return starts_of_files(self.begins, (file.name for file in self.files))

    def _file_at(self, position: int) -> tuple[int, int]:
        """Which file a position is in, and where."""
        number = int(np.searchsorted(self.begins, position, side="right")) - 1
        return number, position - int(self.begins[number])


@dataclass(frozen=True, eq=False)
class SeekableLines(SeekableText):
    """JSON Lines of which only the lines that are asked for are read.

    Each byte of a document's text stands for one position: the first bytes of an escape, as many as it
    decodes to, the others as they are, and the line's end for the joint.
    """

    column: str = "text"
    skip_bad_lines: bool = False

    def passage(self, position: int) -> Passage | None:
        """See `chameleon.text.protocols.Unit`."""
        number, at = self._file_at(position)
        begin, line, literal = _line_at(self, number, at)
        if literal is None or not literal.text:
            return None
        at -= begin
        if at == len(line) - 1 and line.endswith(b"\n"):
            offset: int | None = len(literal.text)
        elif literal.begin <= at < literal.end:
            offset = offset_in_text(line[literal.begin : literal.end], at - literal.begin)
        else:
            offset = None
        if offset is None:
            return None
        start = int(self.begins[number]) + begin
        return Passage(start, offset, self._documents(number, begin + len(line), literal.text))

    def text_share(self, position: int) -> float:
        """Bytes of the text and joint of the line at a position, as a part of the line's."""
        _, line, literal = _line_at(self, *self._file_at(position))
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
        """A line's document; None where the line cannot be used and is to be left out."""
        try:
            return locate(line, self.column)
        except ValueError as error:
            if self.skip_bad_lines:
                return None
            raise InputError(f"{file.name}, the line at byte {begin}: {error}; {SKIP_ADVICE}") from None


@lru_cache(maxsize=8)
def _line_at(text: SeekableLines, number: int, at: int) -> tuple[int, bytes, Literal | None]:
    """Where the line around a byte of a file begins, the line with its end, and its document."""
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
    """Lines of a file from the beginning of one on, and where each begins."""
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


def lines_in(content: bytes) -> list[bytes]:
    """Lines with their ends; the last one may have none."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _require_end(file: File, at: int, length: int) -> None:
    if length > LONGEST_LINE:
        raise InputError(
            f"{file.name}: no line ends within {LONGEST_LINE} bytes of byte {at}; expected JSON Lines"
        )


@dataclass(frozen=True, eq=False)
class PlainText(SeekableText):
    """Plain text, a document a file; every position is a byte of text."""

    def passage(self, position: int) -> Passage:
        """See `chameleon.text.protocols.Unit`."""
        number, at = self._file_at(position)
        contents = (FileContent(file) for file in self.files[number:])
        return Passage(int(self.begins[number]), at, contents)

    def text_share(self, position: int) -> float:
        """All of it is text."""
        return 1.0

    def documents(self) -> Iterator[Content]:
        """See `chameleon.text.protocols.Unit`."""
        return (FileContent(file) for file in self.files)


@dataclass(frozen=True)
class FileContent:
    """The bytes of a file, read where they are asked for."""

    file: File

    def __len__(self) -> int:
        return self.file.size

    def __getitem__(self, part: slice, /) -> bytes:
        begin, end, _ = part.indices(self.file.size)
        return self.file.read(begin, end)
