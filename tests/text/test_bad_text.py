"""Text that cannot be used, in each format: one clear line on which file, what is wrong and what to do."""

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from conftest import WORDS, documents, make_texts, opened, write_jsonl
from text_files import TOKENS, ids_of, lines, put, write_megatron, zstd

from chameleon.common.errors import InputError

TEXTS = make_texts(WORDS["law"], 5, documents=200)


def read_all(directory: Path, **how: Any) -> None:  # noqa: ANN401
    """Open a corpus and read all of its text."""
    corpus = opened(directory, scratch=directory.parent, **how)
    try:
        for domain in corpus.domains:
            documents(domain.text)
    finally:
        corpus.close()


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst", "txt.gz", "txt.zst"])
@pytest.mark.parametrize("damage", ["cut", "cut in the middle", "changed", "none of it", "empty"])
def test_compressed_files_that_are_truncated_or_damaged(suffix: str, damage: str, tmp_path: Path) -> None:
    whole = lines(TEXTS) if suffix.startswith("jsonl") else "\n".join(TEXTS).encode()
    packed = gzip.compress(whole) if suffix.endswith("gz") else zstandard.ZstdCompressor(
        write_checksum=True
    ).compress(whole)  # fmt: skip
    changed = bytearray(packed)
    changed[len(packed) // 2] ^= 0xFF
    content = {
        "cut": packed[:-1], "cut in the middle": packed[: len(packed) // 2], "changed": bytes(changed),
        "none of it": b"this is not compressed", "empty": b"",
    }[damage]  # fmt: skip
    put(tmp_path / "c" / f"a.{suffix}", content)
    put(tmp_path / "c" / f"b.{suffix}", packed)
    expected = {
        "cut": r"a\..* is truncated: its compressed stream has no end; get it again",
        "cut in the middle": r"a\..* is truncated",
        "changed": r"a\..*(is damaged|not UTF-8|malformed)",
        "none of it": r"a\..* is damaged .*get it again",
        "empty": "no text in domain a",
    }[damage]
    with pytest.raises(InputError, match=expected):
        read_all(tmp_path / "c")


@pytest.mark.parametrize("damage", ["cut", "cut in the middle", "changed", "text"])
def test_parquet_files_that_are_truncated_or_damaged(damage: str, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for name in ("a", "b"):
        pq.write_table(pa.table({"text": TEXTS}), tmp_path / "c" / f"{name}.parquet", row_group_size=20)
    path = tmp_path / "c" / "a.parquet"
    whole = path.read_bytes()
    changed = bytearray(whole)
    for at in range(8, len(whole) // 2, 7):
        changed[at] ^= 0xFF
    content = {
        "cut": whole[:-1], "cut in the middle": whole[: len(whole) // 2], "changed": bytes(changed),
        "text": b"no parquet at all, but long enough to be looked at",
    }[damage]  # fmt: skip
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"a.parquet is truncated, damaged or not a parquet file .*get it again"
    ):
        read_all(tmp_path / "c")


def test_parquet_files_of_other_columns_than_the_first(tmp_path: Path) -> None:
    (tmp_path / "c" / "a").mkdir(parents=True)
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "c" / "a" / "0.parquet")
    pq.write_table(pa.table({"content": ["x"], "n": [1]}), tmp_path / "c" / "a" / "1.parquet")
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "c" / "b.parquet")
    with pytest.raises(
        InputError, match=r"1.parquet has no column text; it has content \(STRING\), n \(INT64\)"
    ):
        read_all(tmp_path / "c")
    (tmp_path / "c" / "a" / "0.parquet").unlink()
    with pytest.raises(InputError, match=r"1.parquet: expected strings in the column n, found INT64"):
        read_all(tmp_path / "c", text_column="n")


def test_rows_without_a_label(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    table = pa.table({"text": ["x", "y", "z"], "label": ["a", None, "b"]})
    pq.write_table(table, tmp_path / "c" / "0.parquet")
    with pytest.raises(InputError, match=r"0.parquet: 1 rows of row group 0 have no label in label"):
        read_all(tmp_path / "c", domain_column="label")


def test_a_domain_of_files_of_two_formats(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "c" / "a" / "0.jsonl", ["x"])
    put(tmp_path / "c" / "a" / "1.txt", b"x")
    write_jsonl(tmp_path / "c" / "b.jsonl", ["x"])
    with pytest.raises(
        InputError, match=r"domain a holds .*0.jsonl and .*1.txt; expected files of one format"
    ):
        read_all(tmp_path / "c")


def test_plain_text_that_is_not_utf8(tmp_path: Path) -> None:
    from conftest import BytesTokenizer

    from chameleon.text.grid import WindowRecipe, lay_grid

    put(tmp_path / "c" / "a.txt", "é".encode("latin-1") * 3000)
    put(tmp_path / "c" / "b.txt", b"x")
    text = opened(tmp_path / "c").domains[0].text
    with pytest.raises(InputError, match="the text is not UTF-8: byte 0xe9"):
        lay_grid(text, BytesTokenizer(), WindowRecipe(0, 10))


def test_large_files_without_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chameleon.text.corpora.formats.WHOLE_BYTES", 0)
    monkeypatch.setattr("chameleon.text.corpora.seekable.LONGEST_LINE", 1 << 17)
    for name in ("a", "b"):
        put(tmp_path / "c" / f"{name}.jsonl", b"x" * (1 << 19))
    with pytest.raises(InputError, match=r"a.jsonl: no line ends within .* expected JSON Lines"):
        opened(tmp_path / "c").domains[0].text.unit(0).passage(1 << 18)


def test_bad_lines_of_large_files_are_errors_or_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chameleon.text.corpora.formats.WHOLE_BYTES", 0)
    put(tmp_path / "c" / "a.jsonl", b'{"text": "good"}\n{"text": 5}\n{"text": "too"}\n')
    put(tmp_path / "c" / "b.jsonl", b'{"text": "good"}\n')
    with pytest.raises(
        InputError, match=r"a.jsonl, the line at byte 17: expected a string .*--skip_bad_lines"
    ):
        read_all(tmp_path / "c")
    corpus = opened(tmp_path / "c", skip_bad_lines=True)
    assert documents(corpus.domains[0].text) == [b"good", b"too"]
    assert corpus.domains[0].text.unit(0).passage(20) is None


def token_corpus(directory: Path, content: bytes, name: str = "a.bin") -> Path:
    put(directory / "c" / name, content)
    put(directory / "c" / f"b{Path(name).suffix}", np.concatenate(ids_of(TEXTS)).tobytes())
    return directory / "c"


def npy(array: np.ndarray) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


BAD_ARRAYS: dict[str, tuple[bytes, str, str]] = {
    "odd size": (b"abc", "a.bin", r"a.bin: expected items of 2 bytes \(uint16\), but its 3 bytes are no"),
    "beyond the vocabulary": (np.array([5, 300], "<u2").tobytes(), "a.bin", r"a.bin: token 300 at item 1 is "
    "not in "
                              r"the vocabulary of bytes \(257 tokens\).*--tokenizer and --token_dtype"),
    "empty": (b"", "a.bin", "no tokens in domain a"),
    "two dimensions": (npy(np.zeros((2, 3), int)), "a.npy", r"a.npy: expected one dimension of whole "
    "numbers"),
    "of floats": (npy(np.zeros(3)), "a.npy", "a.npy: expected one dimension of whole numbers"),
    "cut": (npy(np.zeros(9, int))[:-1], "a.npy", "a.npy: its header says 9 items of 8 bytes.* truncated"),
    "header": (b"\x93NUMPY\x01\x00\x09\x00garbage..", "a.npy", "a.npy: its numpy header is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("how", BAD_ARRAYS)
def test_arrays_that_are_no_tokens(how: str, tmp_path: Path) -> None:
    content, name, expected = BAD_ARRAYS[how]
    with pytest.raises(InputError, match=expected):
        read_all(token_corpus(tmp_path, content, name), **TOKENS)


def test_arrays_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"domain a is an array of tokens .*name by --tokenizer"):
        read_all(token_corpus(tmp_path, b"ab"))


HEADER = struct.Struct("<9sQBQQ")


def damaged_index(how: str, index: bytes) -> bytes:
    magic, version, code, sequences, docs = HEADER.unpack(index[: HEADER.size])
    rest = index[HEADER.size :]
    if how == "magic":
        return b"XXIDIDX\0\0" + index[9:]
    if how == "cut header":
        return index[:20]
    if how == "cut":
        return index[:-1]
    if how == "floats":
        return HEADER.pack(magic, version, 7, sequences, docs) + rest
    if how == "more sequences":
        return HEADER.pack(magic, version, code, 1 << 60, docs) + rest
    if how == "other type":
        return HEADER.pack(magic, version, 8, sequences, docs) + rest
    if how == "lengths":
        return HEADER.pack(magic, version, code, sequences, docs) + struct.pack("<i", 7) + rest[4:]
    if how == "negative":
        return HEADER.pack(magic, version, code, sequences, docs) + struct.pack("<i", -7) + rest[4:]
    pointers = HEADER.size + 4 * sequences
    if how == "pointers":
        return index[: pointers + 8] + struct.pack("<q", 3) + index[pointers + 16 :]
    return (
        index[: pointers + 8 * sequences] + struct.pack("<q", 1 << 40) + index[pointers + 8 * sequences + 8 :]
    )


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("magic", "is not a Megatron index"), ("floats", "is not a Megatron index"),
        ("cut header", "is truncated: 20 bytes"), ("cut", "is truncated: for 200 sequences"),
        ("more sequences", "is truncated"), ("other type", "does not match .*a.bin"),
        ("lengths", "does not match .*a.bin"), ("negative", "does not match .*a.bin"),
        ("pointers", "do not follow each other"), ("documents", "documents are not in order or beyond"),
    ],
)  # fmt: skip
def test_an_index_that_does_not_match_its_array(how: str, expected: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_megatron(tmp_path / "c" / name, TEXTS)
    index = tmp_path / "c" / "a.idx"
    index.write_bytes(damaged_index(how, index.read_bytes()))
    with pytest.raises(InputError, match=f"a.idx:? .*{expected}"):
        read_all(tmp_path / "c", **TOKENS)


def test_an_index_without_its_array(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_megatron(tmp_path / "c" / name, TEXTS)
    (tmp_path / "c" / "a.bin").rename(tmp_path / "c" / "x.bin")
    with pytest.raises(InputError, match=r"a.idx has no .bin file beside it"):
        read_all(tmp_path / "c", **TOKENS)


DOMAIN = {"name": "a", "sources": ["a.jsonl"]}
BAD_MANIFESTS: list[tuple[Any, str]] = [
    ([], "the manifest: expected an object, got list"),
    ({}, 'expected a list of domains in "domains", found none'),
    ({"domain": []}, 'unknown key "domain"; did you mean "domains"?'),
    ({"domains": 5}, 'expected list in "domains", got 5'),
    ({"domains": ["a"]}, "domain 1: expected an object, got str"),
    ({"domains": [{"name": "a", "source": "x"}]}, 'domain 1: unknown key "source"; did you mean "sources"?'),
    ({"domains": [{**DOMAIN, "text_colum": "x"}]}, 'unknown key "text_colum"; did you mean "text_column"?'),
    ({"domains": [{**DOMAIN, "zzz": "x"}]}, 'unknown key "zzz"; it takes'),
    ({"domains": [{"name": "a"}]}, '"sources" is missing'),
    ({"domains": [{"sources": ["x"]}]}, 'expected either a "name" or a "domain_column"'),
    ({"domains": [{**DOMAIN, "domain_column": "x"}]}, 'expected either a "name" or a "domain_column"'),
    ({"domains": [{**DOMAIN, "sources": []}]}, '"sources" must be names'),
    ({"domains": [{**DOMAIN, "sources": ["a\0b"]}]}, '"sources" must be names'),
    ({"domains": [{**DOMAIN, "format": "csv"}]}, '"format" is one of jsonl, text, parquet, tokens, got csv'),
    ({"domains": [{**DOMAIN, "tokens": -1}]}, '"tokens" and "weight" must be above 0'),
    ({"domains": [{**DOMAIN, "tokens": True}]}, 'expected int in "tokens", got true'),
    ({"domains": [{**DOMAIN, "tokens": "many"}]}, 'expected int in "tokens", got "many"'),
    ({"domains": [DOMAIN, DOMAIN]}, "has the domain a twice"),
    ({"domains": [{**DOMAIN, "sources": ["no-*.jsonl"]}]}, "corpus.json, a: no file matches"),
    ({"domains": [{**DOMAIN, "sources": ["no.jsonl"]}]}, "corpus.json, a: there is no file or directory"),
    ({"domains": [DOMAIN]}, "weights need at least 2 domains"),
]


@pytest.mark.parametrize(
    ("content", "expected"), BAD_MANIFESTS, ids=[expected for _, expected in BAD_MANIFESTS]
)
def test_manifests_that_are_wrong(content: Any, expected: str, tmp_path: Path) -> None:  # noqa: ANN401
    write_jsonl(tmp_path / "a.jsonl", ["text"])
    (tmp_path / "corpus.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        opened(tmp_path / "corpus.json")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_is_no_json(tmp_path: Path) -> None:
    for content in (b"{", b"\xff", b"[" * 100_000, b""):
        (tmp_path / "corpus.json").write_bytes(content)
        with pytest.raises(InputError, match=r"corpus.json is not a manifest: malformed JSON"):
            opened(tmp_path / "corpus.json")


def test_a_file_that_is_no_corpus(tmp_path: Path) -> None:
    put(tmp_path / "x.jsonl", zstd(b"x"))
    with pytest.raises(InputError):
        read_all(tmp_path / "x.jsonl")
    write_jsonl(tmp_path / "y.jsonl", ["text"])
    with pytest.raises(InputError, match=r"weights need at least 2 domains, but .*y.jsonl holds only y"):
        opened(tmp_path / "y.jsonl")


@pytest.mark.parametrize("flag", [{"download": True}, {"subset": "x"}, {"revision": "x"}])
def test_flags_of_the_hub_with_a_directory(flag: dict[str, Any], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["text"])
    with pytest.raises(InputError, match=r"is for hub datasets, and .* is not one"):
        opened(tmp_path, **flag)


def test_a_column_of_files_that_have_none(tmp_path: Path) -> None:
    put(tmp_path / "c" / "a.txt", b"x")
    with pytest.raises(InputError, match="c holds no parquet files or JSON Lines with a column x"):
        opened(tmp_path / "c", domain_column="x")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"null", "line 2: expected an object"), (b'{"text": "x"}', 'line 2: expected a field "from"'),
        (b'{"text": "x", "from": [1]}', 'line 2: expected a label in the field "from", got \\[1\\]'),
    ],
)  # fmt: skip
def test_bad_lines_of_mixed_files_are_errors_or_skipped(line: bytes, expected: str, tmp_path: Path) -> None:
    good = [b'{"text": "a1", "from": "a"}', b"", b'{"text": "b1", "from": "b"}', b'{"text": "", "from": "c"}']
    put(tmp_path / "c" / "x.jsonl", b"\n".join([good[0], line, *good[1:]]))
    with pytest.raises(InputError, match=f"x.jsonl, {expected}.*--skip_bad_lines"):
        read_all(tmp_path / "c", domain_column="from")
    corpus = opened(tmp_path / "c", domain_column="from", skip_bad_lines=True, scratch=tmp_path)
    assert {each.name: documents(each.text) for each in corpus.domains} == {"a": [b"a1"], "b": [b"b1"]}
    corpus.close()
