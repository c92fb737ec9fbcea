"""Readers against bytes of all kinds: documents or the program's own error, and nothing else."""

import gzip
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, documents, make_texts, opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from text_files import TOKENS, lines, zstd

from chameleon.common.errors import InputError
from chameleon.text.corpora.json_lines import locate, offset_in_text, text_of_line

TEXTS = make_texts("some words to compress and more", 1, documents=40, longest=60)


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": TEXTS, "n": list(range(len(TEXTS)))}), file, row_group_size=9)
    return file.getvalue()


WHOLE: dict[str, tuple[bytes, dict[str, Any]]] = {
    "jsonl": (lines(TEXTS), {}),
    "jsonl.gz": (gzip.compress(lines(TEXTS)), {}),
    "jsonl.zst": (zstd(lines(TEXTS)), {}),
    "txt.gz": (gzip.compress("\n".join(TEXTS).encode()), {}),
    "parquet": (parquet(), {}),
    "bin": (b"".join(bytes([value, 0]) for value in range(256)), TOKENS),
}
SOME = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def mutated(whole: bytes) -> st.SearchStrategy[bytes]:
    """A file with some bytes changed, cut short or longer, or other bytes altogether."""
    changes = st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=6)

    def apply(changes: list[tuple[int, int]], end: int, more: bytes) -> bytes:
        content = bytearray(whole)
        for at, value in changes:
            content[at] = value
        return bytes(content[:end]) + more

    ends = st.one_of(st.just(len(whole)), st.integers(0, len(whole)))
    return st.one_of(st.builds(apply, changes, ends, st.binary(max_size=8)), st.binary(max_size=200))


@pytest.mark.parametrize("suffix", WHOLE)
def test_damaged_files_give_documents_or_an_error_of_one_line(suffix: str) -> None:
    whole, flags = WHOLE[suffix]

    @SOME
    @given(mutated(whole))
    def read(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as name:
            corpus_directory = Path(name) / "c"
            corpus_directory.mkdir()
            (corpus_directory / f"a.{suffix}").write_bytes(content)
            (corpus_directory / f"b.{suffix}").write_bytes(whole)
            try:
                corpus = opened(corpus_directory, scratch=Path(name), **flags)
            except InputError as error:
                assert "\n" not in str(error)  # noqa: PT017
                return
            try:
                for domain in corpus.domains:
                    assert all(isinstance(document, bytes) for document in documents(domain.text))
            except InputError as error:
                assert "\n" not in str(error)  # noqa: PT017
            finally:
                corpus.close()

    read()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.dictionaries(st.sampled_from(["text", "a", "b.c", "é", '"']), JSON, max_size=4),
    st.text(max_size=60), st.booleans(), st.sampled_from([(",", ":"), (" , ", " : ")]), st.booleans(),
)  # fmt: skip
def test_a_document_is_found_in_any_object(
    record: dict[str, Any], text: str, ascii_only: bool, separators: tuple[str, str], nested: bool
) -> None:
    record = {**record, "x": {"text": text, **record}} if nested else {**record, "text": text}
    if nested:
        record["x"]["text"] = text
    column = "x.text" if nested else "text"
    content = json.dumps(record, ensure_ascii=ascii_only, separators=separators)
    line = content.encode(errors="surrogatepass") + b"\r\n"
    expected = text.encode() if text.strip() else b""
    assert text_of_line(line, column) == expected
    literal = locate(line, column)
    assert literal.text == expected
    inside = line[literal.begin : literal.end]
    if expected:
        assert json.loads(b'"' + inside + b'"') == text
    offsets = [offset_in_text(inside, at) for at in range(len(inside))]
    assert [offset for offset in offsets if offset is not None] == list(range(len(expected)))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not to be had here")
def test_the_coverage_guided_fuzzer_finds_nothing(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "tests" / "fuzz_readers.py", "-runs=40000", "-rss_limit_mb=1024",
         "-timeout=120", "-seed=1", f"-artifact_prefix={tmp_path}/"],
        cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Done" in run.stderr
