"""Coverage-guided fuzzing of the readers of token arrays and manifests, with atheris.

    python tests/fuzz_readers.py -max_total_time=60

Whatever the bytes, there is either a value or the program's own error, in little time and memory.
`test_fuzz.py` runs it for a few seconds.
"""

import io
import json
import struct
import sys
import tempfile
import time
from pathlib import Path

import atheris
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(include=["chameleon.text.corpora"]):
    from chameleon.text.corpora.json_lines import locate, offset_in_text, text_of_line
    from chameleon.text.corpora.manifest import read_manifest
    from chameleon.text.corpora.storage import File
    from chameleon.text.corpora.token_arrays import SourceTokenizer, TokenText, flat_array, megatron_array
from chameleon.common.errors import InputError

TOKENIZER = SourceTokenizer("x", "x", 1000, 0, lambda ids: "x" * len(ids))
FOLDER = Path(tempfile.mkdtemp())
SECONDS_OF_AN_INPUT = 5  # of a core: waiting does not count


def file_of(name: str, content: bytes) -> File:
    """A file with this content."""
    path = FOLDER / name
    path.write_bytes(content)
    return File(name, len(content), "", str(path))


def read_array(content: bytes, dtype: str) -> None:
    """A flat array, or numpy's."""
    array = flat_array(file_of("a.bin", content), dtype)
    if array.length:
        read_text(TokenText((array,), TOKENIZER, True, "x"))


def read_indexed(content: bytes) -> None:
    """Megatron's index and array, cut from the same bytes; often with a header that is right."""
    if content[:1] == b"\0":
        sequences = content[1] % 8 if len(content) > 1 else 0
        documents = content[2] % 8 if len(content) > 2 else 0
        header = struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, 8, sequences, documents)
        content = header + content[3:]
    cut = min(len(content), 34 + 12 * 8 + 8 * 8)
    array = megatron_array(file_of("a.bin", content[cut:]), file_of("a.idx", content[:cut]))
    if array.length:
        read_text(TokenText((array,), TOKENIZER, True, "x"))


def read_text(text: TokenText) -> None:
    """Some of its tokens and documents."""
    last = text.length - 1
    for position in {0, last, last // 2}:
        text.ids(position, 50)
        assert 0 <= text.document_at(position) <= position
        next(text.passage(position).documents, None)
    for _ in text.documents():
        pass


def read_line(content: bytes) -> None:
    """A line of JSON: the string in it is the document's."""
    try:
        text = text_of_line(content)
        literal = locate(content)
    except ValueError:
        return
    assert literal.text == text
    inside = content[literal.begin : literal.end]
    all_offsets = [offset_in_text(inside, at) for at in range(min(len(inside), 200))]
    offsets = [offset for offset in all_offsets if offset is not None]
    assert offsets == list(range(len(offsets)))


def read_one(content: bytes) -> None:
    """Bytes to one of the readers, by the first of them."""
    kind, rest = content[:1], content[1:]
    begin = time.process_time()
    try:
        if kind < b"\x40":
            read_array(rest, "uint16" if kind < b"\x20" else "uint32")
        elif kind < b"\x80":
            read_indexed(rest)
        elif kind < b"\xc0":
            file_of("corpus.json", rest)
            read_manifest(FOLDER / "corpus.json")
        else:
            read_line(rest)
    except InputError as error:
        assert "\n" not in str(error), error  # noqa: PT017
    assert time.process_time() - begin < SECONDS_OF_AN_INPUT, "a small input takes long"


def seeds() -> str:
    """A directory with one good input for each reader, for the fuzzer to begin with."""
    header = io.BytesIO()
    np.save(header, np.arange(20, dtype=np.uint16))
    domain = {"name": "a", "sources": ["a.bin"], "token_dtype": "uint16", "tokens": 5, "weight": 0.5}
    mixed = {"sources": "x", "domain_column": "m.s", "domain_names": {"a": "b"}, "format": "jsonl"}
    manifest = json.dumps({"tokenizer": "t", "domains": [domain, mixed]}).encode()
    lengths, starts = np.array([3, 4, 5], "<i4"), np.array([0, 6, 14], "<i8")
    index = struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, 8, 3, 4) + lengths.tobytes() + starts.tobytes()
    index += np.arange(4, dtype="<i8").tobytes()
    padded = index + bytes(34 + 12 * 8 + 8 * 8 - len(index)) + np.arange(12, dtype="<u2").tobytes()
    line = json.dumps({"a": [1, {"b": "c"}], "text": 'é 😀 \n "quoted"', "z": None}).encode()
    inputs = {
        "flat": b"\x00" + np.arange(20, dtype=np.uint16).tobytes(),
        "numpy": b"\x00" + header.getvalue(),
        "wide": b"\x20" + np.arange(20, dtype=np.uint32).tobytes(),
        "megatron": b"\x40" + padded,
        "manifest": b"\x80" + manifest,
        "line": b"\xc0" + line,
    }
    folder = FOLDER / "seeds"
    folder.mkdir()
    for name, content in inputs.items():
        (folder / name).write_bytes(content)
    return str(folder)


if __name__ == "__main__":
    atheris.Setup([*sys.argv, seeds()], read_one)
    atheris.Fuzz()
