"""What a line of JSON Lines holds: its record, its document, and where the document stands in it."""

import json
import re
from typing import Any, NamedTuple

# Stands for the content of a blank line, which is not null.
BLANK = object()

# Far more than any document; what has no line end for this long is not JSON Lines.
LONGEST_LINE = 1 << 28
SKIP_ADVICE = "fix it, or pass --skip_bad_lines to leave such lines out"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")

# A JSON string's escapes, one or a surrogate pair, and the stretches between them.
_IN_STRING = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]+", re.DOTALL
)


def lines_in(content: bytes) -> list[bytes]:
    """Split into lines with their ends; the last line may have none."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


class Literal(NamedTuple):
    """A document and the bytes of its line, without the quotes, in which it is written."""

    text: bytes
    begin: int
    end: int


def text_of_line(line: bytes, column: str = "text") -> bytes:
    """The document of a line as UTF-8, empty where it is only white space.

    Args:
        line: JSON, with or without the line's end.
        column: The field with the document; dots lead into objects.

    Raises:
        ValueError: The line cannot be used; the message says why.
    """
    record = record_of_line(line)
    return b"" if record is BLANK else text_of_record(record, column)


def record_of_line(line: bytes) -> Any:  # noqa: ANN401
    """The JSON value of a line; `BLANK` for an empty line.

    Raises:
        ValueError: The line is not JSON; the message says why.
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
    """The document of a record as UTF-8, empty where it is only white space.

    Raises:
        ValueError: The record has no text; the message says why.
    """
    text = field_of_record(record, column)
    if not isinstance(text, str):
        raise ValueError(f'expected a string in the field "{column}", got {json.dumps(text)[:80]}')
    try:
        return text.encode() if text.strip() else b""
    except UnicodeEncodeError:
        raise ValueError(f'the field "{column}" holds half of a surrogate pair, which is not text') from None


def field_of_record(record: Any, column: str) -> Any:  # noqa: ANN401
    """The value of a record's field; dots lead into objects, unless the name itself has them.

    Raises:
        ValueError: The record has no such field; the message lists its fields.
    """
    if not isinstance(record, dict):
        raise ValueError(f'expected an object with a field "{column}", got {type(record).__name__}')
    if column in record:
        return record[column]
    outer, dot, inner = column.partition(".")
    if dot and isinstance(record.get(outer), dict):
        return field_of_record(record[outer], inner)
    names = ", ".join(map(str, record)) or "none"
    raise ValueError(f'expected a field "{column}", found the fields {names[:200]}')


def locate(line: bytes, column: str = "text") -> Literal:
    """Find the document of a line and where its string stands.

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

    Each byte of the text stands for one byte of the string; the bytes that an escape decodes to stand for its
    first ones.
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
    """Where the value of a field stands in an object that is well-formed and has it."""
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
