"""Files that are read from end to end: compressed ones, and those in which domains are mixed.

Nothing is held but a few chunks and the line at hand, whatever the file's size.
"""

import json
import zlib
from collections.abc import Iterator
from itertools import chain

from chameleon.common.errors import InputError
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

_READ_BYTES = 1 << 20


# Of compressed bytes so many are unpacked at once: what is small may unpack to much.
_UNPACKED_BYTES = 1 << 12


_MOST_UNPACKED = 1 << 24


# Plain text of which no file is known whole comes in documents of about this size, cut at lines' ends.
_PART_BYTES = 1 << 20


def lines(file: File) -> Iterator[bytes]:
    """Lines of a file, unpacked if its name says that it is compressed.

    Raises:
        InputError: It is truncated or damaged, or no line ends for long.
    """
    rest: list[bytes] = []
    size = 0
    for chunk in chunks(file):
        found = lines_in(chunk)
        if rest and found:
            found[0] = b"".join([*rest, found[0]])
            rest, size = [], 0
        if found and not found[-1].endswith(b"\n"):
            last = found.pop()
            rest.append(last)
            size += len(last)
            if size > LONGEST_LINE:
                raise InputError(
                    f"{file.name}: no line ends within {LONGEST_LINE} bytes; expected JSON Lines"
                )
        yield from found
    if rest:
        yield b"".join(rest)


def chunks(file: File) -> Iterator[bytes]:
    """The content of a file in pieces.

    Raises:
        InputError: It is truncated or damaged.
    """
    packed = (file.read(at, min(at + _READ_BYTES, file.size)) for at in range(0, file.size, _READ_BYTES))
    if file.path.endswith(".gz"):
        return _gunzipped(file, packed)
    if file.path.endswith(".zst"):
        return _unzstd(file, packed)
    return packed


def documents_of_lines(file: File, column: str, skip_bad_lines: bool) -> Iterator[bytes]:
    """Documents of a file of JSON Lines.

    Raises:
        InputError: A line cannot be used and is not to be left out.
    """
    for number, line in enumerate(lines(file), 1):
        try:
            text = text_of_line(line, column)
        except ValueError as error:
            if not skip_bad_lines:
                raise InputError(f"{file.name}, line {number}: {error}; {SKIP_ADVICE}") from None
            continue
        if text:
            yield text


def labelled_documents(
    file: File, column: str, label_column: str, skip_bad_lines: bool
) -> Iterator[tuple[str, bytes]]:
    """Documents of a file of JSON Lines with what their lines hold in another field.

    Raises:
        InputError: A line cannot be used and is not to be left out.
    """
    for number, line in enumerate(lines(file), 1):
        try:
            record = record_of_line(line)
            text = b"" if record is BLANK else text_of_record(record, column)
            if not text:
                continue
            label = field_of_record(record, label_column)
            if not isinstance(label, str | int | bool):
                raise ValueError(
                    f'expected a label in the field "{label_column}", got {json.dumps(label)[:80]}'
                )
        except ValueError as error:
            if not skip_bad_lines:
                raise InputError(f"{file.name}, line {number}: {error}; {SKIP_ADVICE}") from None
            continue
        yield str(label), text


def documents_of_text(file: File) -> Iterator[bytes]:
    """A file of plain text as one document, or in several where it is long."""
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


def _gunzipped(file: File, packed: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    began = False
    for chunk in packed:
        rest = chunk
        while rest:
            if not began and not rest.strip(b"\0"):
                break  # padding between members, or behind the last
            began = True
            try:
                yield member.decompress(rest, _MOST_UNPACKED)
            except zlib.error as error:
                raise InputError(f"{file.name} is damaged ({error}); get it again") from None
            rest = member.unconsumed_tail
            if member.eof:
                rest = member.unused_data
                member, began = zlib.decompressobj(wbits=31), False
    if began:
        raise InputError(f"{file.name} is truncated: its compressed stream has no end; get it again")


def _unzstd(file: File, packed: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    context = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    frame = context.decompressobj()
    began = False
    for chunk in packed:
        for at in range(0, len(chunk), _UNPACKED_BYTES):
            rest = chunk[at : at + _UNPACKED_BYTES]
            while rest:
                began = True
                try:
                    yield frame.decompress(rest)
                except zstandard.ZstdError as error:
                    raise InputError(f"{file.name} is damaged ({error}); get it again") from None
                rest = b""
                if frame.eof:
                    rest = frame.unused_data
                    frame, began = context.decompressobj(), False
    if began:
        raise InputError(f"{file.name} is truncated: its compressed stream has no end; get it again")
