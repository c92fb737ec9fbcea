"""Files that are read from end to end: compressed ones, those in which domains are mixed, and small ones.

Nothing is held in memory but a few chunks and the current line, whatever the size of the file.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from chameleon.common.errors import InputError
from chameleon.text.corpora.indexed import IndexedText, TextIndex
from chameleon.text.corpora.json_lines import (
    BLANK,
    LONGEST_LINE,
    SKIP_ADVICE,
    field_of_record,
    lines_in,
    record_of_line,
    text_of_line,
    text_of_record,
)
from chameleon.text.corpora.storage import File

COMPRESSIONS = (".gz", ".zst")
_READ_BYTES = 1 << 20

# Compressed bytes unpacked at once: a few may unpack to much.
_UNPACKED_BYTES = 1 << 12

# A compressed file of plain text comes in documents of about this size, cut at ends of lines.
_PART_BYTES = 1 << 20
_T = TypeVar("_T")


def is_compressed(file: File) -> bool:
    """Whether a file's name says that it is compressed."""
    return file.path.endswith(COMPRESSIONS)


def index_lines(
    files: Sequence[File],
    column: str,
    skip_bad_lines: bool,
    progress: Callable[[int], object] = lambda size: None,
) -> tuple[IndexedText, list[str]]:
    """Read small files of JSON Lines once.

    Returns:
        Their text, and what is wrong with each line that was skipped.

    Raises:
        InputError: A line cannot be used and is not to be skipped (names file and line).
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


def documents_of_lines(file: File, column: str, skip_bad_lines: bool) -> Iterator[bytes]:
    """Documents of a file of JSON Lines.

    Raises:
        InputError: A line cannot be used and is not to be skipped.
    """
    texts = _parsed(file, lambda line: text_of_line(line, column), skip_bad_lines)
    return (text for text in texts if text)


def labelled_documents(
    file: File, column: str, label_column: str, skip_bad_lines: bool
) -> Iterator[tuple[str, bytes]]:
    """Documents of a file of JSON Lines, each with the label that its line holds in another field.

    Raises:
        InputError: A line cannot be used and is not to be skipped.
    """

    def parse(line: bytes) -> tuple[str, bytes]:
        record = record_of_line(line)
        if record is BLANK or not (text := text_of_record(record, column)):
            return "", b""
        label = field_of_record(record, label_column)
        if not isinstance(label, str | int | bool):
            raise ValueError(f'expected a label in the field "{label_column}", got {json.dumps(label)[:80]}')
        return str(label), text

    return ((label, text) for label, text in _parsed(file, parse, skip_bad_lines) if text)


def documents_of_text(file: File) -> Iterator[bytes]:
    """A file of plain text as one document, or as several where it is long."""
    parts: list[bytes] = []
    size = 0
    for line in chain.from_iterable(map(lines_in, chunks(file))):
        parts.append(line)
        size += len(line)
        if size >= _PART_BYTES and line.endswith(b"\n"):
            yield b"".join(parts)
            parts, size = [], 0
    if parts and (text := b"".join(parts)).strip():
        yield text


def lines(file: File) -> Iterator[bytes]:
    """Lines of a file, unpacked if its name says that it is compressed.

    Raises:
        InputError: The file is truncated or damaged, or a line has no end.
    """
    rest: list[bytes] = []
    size = 0
    for chunk in chunks(file):
        complete = lines_in(chunk)
        if rest and complete:
            complete[0] = b"".join([*rest, complete[0]])
            rest, size = [], 0
        if complete and not complete[-1].endswith(b"\n"):
            rest.append(complete.pop())
            size += len(rest[-1])
            if size > LONGEST_LINE:
                raise InputError(
                    f"{file.name}: no line ends within {LONGEST_LINE} bytes; expected JSON Lines"
                )
        yield from complete
    if rest:
        yield b"".join(rest)


def chunks(file: File) -> Iterator[bytes]:
    """The content of a file in chunks, unpacked.

    Raises:
        InputError: The file is truncated or damaged.
    """
    packed = (file.read(at, min(at + _READ_BYTES, file.size)) for at in range(0, file.size, _READ_BYTES))
    if file.path.endswith(".gz"):
        return _unpacked(file, packed, partial(zlib.decompressobj, wbits=31), zlib.error, padding=b"\0")
    if file.path.endswith(".zst"):
        import zstandard

        context = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        return _unpacked(file, packed, context.decompressobj, zstandard.ZstdError)
    return packed


def _parsed(file: File, parse: Callable[[bytes], _T], skip_bad_lines: bool) -> Iterator[_T]:
    """What `parse` returns for each line; it raises ValueError for lines that cannot be used."""
    for number, line in enumerate(lines(file), 1):
        try:
            value = parse(line)
        except ValueError as error:
            if skip_bad_lines:
                continue
            raise InputError(f"{file.name}, line {number}: {error}; {SKIP_ADVICE}") from None
        yield value


def _unpacked(
    file: File,
    packed: Iterator[bytes],
    new_stream: Callable[[], Any],
    damage: type[Exception],
    padding: bytes = b"",
) -> Iterator[bytes]:
    """The content of compressed streams that follow each other, with `padding` between them or none."""
    stream, began = new_stream(), False
    for chunk in packed:
        for at in range(0, len(chunk), _UNPACKED_BYTES):
            rest = chunk[at : at + _UNPACKED_BYTES]
            while rest if began else rest.strip(padding):
                try:
                    yield stream.decompress(rest)
                except damage as error:
                    raise InputError(f"{file.name} is damaged ({error}); get it again") from None
                began, rest = not stream.eof, stream.unused_data if stream.eof else b""
                if stream.eof:
                    stream = new_stream()
    if began:
        raise InputError(f"{file.name} is truncated: its compressed stream has no end; get it again")
