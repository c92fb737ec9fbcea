"""Every format that a corpus may come in gives the same documents, and nothing else of its files."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import documents, opened, write_jsonl
from sampling import BYTES
from text_files import TEXTS, TOKENS, WRITERS, ids_of, lines, put, zstd

from chameleon.common.errors import InputError
from chameleon.text.grid import WindowRecipe, lay_grid
from chameleon.text.windows import UNIT_STEP, windows_from


@pytest.mark.parametrize("how", WRITERS)
def test_a_directory_of_any_format_gives_the_documents(how: str, tmp_path: Path) -> None:
    write, flags = WRITERS[how]
    (tmp_path / "corpus").mkdir()
    for name, texts in TEXTS.items():
        write(tmp_path / "corpus", name, texts)
    corpus = opened(tmp_path / "corpus", scratch=tmp_path, **flags)
    assert [domain.name for domain in corpus.domains] == sorted(TEXTS)
    for domain in corpus.domains:
        assert documents(domain.text) == [text.encode() for text in TEXTS[domain.name]]
    corpus.close()


def mixed_rows() -> list[dict[str, Any]]:
    rows = [{"body": text, "meta": {"from": name}} for name, texts in TEXTS.items() for text in texts]
    random.Random(0).shuffle(rows)
    return rows


def write_mixed(root: Path, how: str) -> None:
    rows = mixed_rows()
    root.mkdir()
    if how == "parquet":
        half = len(rows) // 2
        for i, part in enumerate((rows[:half], rows[half:])):
            pq.write_table(pa.Table.from_pylist(part), root / f"train-{i}.parquet", row_group_size=9)
        pq.write_table(pa.Table.from_pylist(rows[:5]), root / "validation-0.parquet")
    elif how == "saved":
        datasets.Dataset.from_list(rows).save_to_disk(root)
    else:
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        put(root / "all.jsonl", content) if how == "jsonl" else put(root / "all.jsonl.zst", zstd(content))


@pytest.mark.parametrize("how", ["parquet", "saved", "jsonl", "jsonl.zst"])
def test_domains_mixed_in_files_are_separated_by_a_column(how: str, tmp_path: Path) -> None:
    write_mixed(tmp_path / "corpus", how)
    flags = {"text_column": "body", "domain_column": "meta.from", "scratch": tmp_path}
    corpus = opened(tmp_path / "corpus", **flags)
    expected: dict[str, list[bytes]] = {}
    for row in mixed_rows():
        expected.setdefault(row["meta"]["from"], []).append(row["body"].encode())
    assert {domain.name: documents(domain.text) for domain in corpus.domains} == expected
    corpus.close()
    # Several labels joined under one name, and some left out.
    names = {"law": "words", "cooking": "words"}
    corpus = opened(tmp_path / "corpus", domain_names=names, domains=("words", "code"), **flags)
    assert [domain.name for domain in corpus.domains] == ["words", "code"]
    joined = [row["body"].encode() for row in mixed_rows() if row["meta"]["from"] in names]
    assert documents(corpus.domains[0].text) == joined
    corpus.close()
    with pytest.raises(
        InputError, match=r"has no wiki \(--domains\); it has code \([\d,]+\), cooking \([\d,]+\), law"
    ):
        opened(tmp_path / "corpus", domains=("wiki", "code"), **flags)


@pytest.mark.parametrize("how", ["parquet", "jsonl"])
def test_a_label_that_no_row_has_is_an_error_that_lists_the_labels(how: str, tmp_path: Path) -> None:
    write_mixed(tmp_path / "corpus", how)
    with pytest.raises(InputError, match=r"has no Law \(--domain_names\); it has .*law \(30\)"):
        opened(
            tmp_path / "corpus", text_column="body", domain_column="meta.from", domain_names={"Law": "x"},
            scratch=tmp_path,
        )  # fmt: skip


@pytest.mark.parametrize("how", ["parquet", "saved", "jsonl"])
def test_a_missing_column_is_an_error_that_lists_the_columns(how: str, tmp_path: Path) -> None:
    write_mixed(tmp_path / "corpus", how)
    for text, label in (("text", "meta.from"), ("body", "meta.source"), ("meta", "meta.from")):
        with pytest.raises(InputError, match=r"body|string|found the fields"):
            opened(tmp_path / "corpus", text_column=text, domain_column=label, scratch=tmp_path)


def test_a_saved_dictionary_is_a_domain_a_split(tmp_path: Path) -> None:
    splits = {name: datasets.Dataset.from_dict({"text": texts}) for name, texts in TEXTS.items()}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "corpus")
    found = {domain.name: documents(domain.text) for domain in opened(tmp_path / "corpus").domains}
    assert found == {name: [text.encode() for text in texts] for name, texts in TEXTS.items()}


def test_of_a_domain_with_several_splits_one_is_read(tmp_path: Path) -> None:
    for name, texts in TEXTS.items():
        for split, part in (("train", texts[:20]), ("val", texts[20:])):
            put(tmp_path / "corpus" / name / f"{split}.bin", np.concatenate(ids_of(part)).tobytes())
    for split, kept in (("train", slice(20)), ("validation", slice(20, None))):
        corpus = opened(tmp_path / "corpus", split=split, **TOKENS)
        assert len(corpus.notices) == len(TEXTS) * 2  # the tokenizer is another too
        assert f"code: 1 files of splits other than {split} are left out" in corpus.notices
        found = {domain.name: documents(domain.text) for domain in corpus.domains}
        assert found == {name: [text.encode() for text in texts[kept]] for name, texts in TEXTS.items()}


def test_streams_in_several_members_and_with_padding_are_whole(tmp_path: Path) -> None:
    halves = [lines(TEXTS["law"][:15]), lines(TEXTS["law"][15:])]
    put(tmp_path / "c" / "a.jsonl.gz", b"".join(map(gzip.compress, halves)) + b"\0" * 100)
    put(tmp_path / "c" / "b.jsonl.zst", b"".join(map(zstd, halves)))
    for domain in opened(tmp_path / "c", scratch=tmp_path).domains:
        assert documents(domain.text) == [text.encode() for text in TEXTS["law"]]


def test_text_that_grows_without_bound_when_unpacked_is_stored_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chameleon.text.corpora.spool.MAX_STORED_BYTES", 1 << 22)
    texts = [f"{i:06d} " + "x" * 1000 for i in range(20_000)]
    for name in ("a", "b"):
        put(tmp_path / "c" / f"{name}.jsonl.gz", gzip.compress(lines(texts), 1))
    text = opened(tmp_path / "c", scratch=tmp_path).domains[0].text
    unit = text.unit(0)
    assert unit.length <= 1 << 22
    assert unit.size == sum(map(len, texts)) + len(texts)
    numbers = [int(document[:6]) for document in documents(text)]
    assert len(numbers) > 1500
    # A part of all of it, not of its beginning.
    assert np.histogram(numbers, bins=5, range=(0, 20_000))[0].min() > 0


def test_a_long_compressed_text_is_cut_at_ends_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chameleon.text.corpora.streams._PART_BYTES", 1000)
    whole = "".join(f"line {i}\n" for i in range(1000)).encode()
    for name in ("a", "b"):
        put(tmp_path / "c" / f"{name}.txt.gz", gzip.compress(whole))
    corpus = opened(tmp_path / "c", scratch=tmp_path)
    parts = documents(corpus.domains[0].text)
    assert b"".join(parts) == whole
    assert all(part.endswith(b"\n") and len(part) < 1020 for part in parts)
    assert 8 <= len(parts) <= 10
    corpus.close()


def test_a_manifest_makes_one_corpus_of_many_places(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "data" / "law" / "a.jsonl", TEXTS["law"][:10])
    write_jsonl(tmp_path / "data" / "law" / "b.jsonl", TEXTS["law"][10:])
    put(tmp_path / "data" / "code.bin", np.concatenate(ids_of(TEXTS["code"])).tobytes())
    rows = [{"body": text, "source": "c"} for text in TEXTS["cooking"]] + [{"body": "x", "source": "y"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "mixed.parquet")
    manifest = {
        "tokenizer": "bytes",
        "domains": [
            {"name": "law", "sources": ["data/law/*.jsonl"], "tokens": 123, "weight": 0.25},
            {"name": "code", "sources": "data/code.bin", "token_dtype": "uint16"},
            {"sources": ["data/mixed.parquet"], "domain_column": "source", "text_column": "body",
             "domain_names": {"c": "cooking"}},
        ],
    }  # fmt: skip
    put(tmp_path / "corpus.json", json.dumps(manifest).encode())
    corpus = opened(
        tmp_path / "corpus.json", domains=("cooking", "law", "code"), scratch=tmp_path,
        load_tokenizer=TOKENS["load_tokenizer"],
    )  # fmt: skip
    found = {domain.name: documents(domain.text) for domain in corpus.domains}
    assert found == {name: [text.encode() for text in TEXTS[name]] for name in ("cooking", "law", "code")}
    assert corpus.domains[1].facts == {"corpus_tokens": 123, "weight_in_use": 0.25}
    assert corpus.provenance["tokenizers"] == {"bytes": "bytes"}


def test_row_groups_of_files_with_one_name_differ(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / "c" / "a" / folder).mkdir(parents=True)
        pq.write_table(pa.table({"text": [folder]}), tmp_path / "c" / "a" / folder / "0.parquet")
    pq.write_table(pa.table({"text": ["other"]}), tmp_path / "c" / "b.parquet")
    corpus = opened(tmp_path / "c", scratch=tmp_path)
    assert len(set(corpus.domains[0].text.unit_keys.tolist())) == 2
    corpus.close()


@pytest.mark.parametrize("how", ["jsonl", "sought", "jsonl.gz", "txt", "parquet", "bin", "decoded"])
def test_it_is_known_in_which_file_a_window_begins(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    format_name = {"sought": "jsonl", "decoded": "bin"}.get(how, how)
    if how == "sought":
        monkeypatch.setattr("chameleon.text.corpora.formats.WHOLE_BYTES", 0)
    write, flags = WRITERS[format_name]
    upper = {f"{letter}/{letter}": letter for letter in "ABC"}
    for part, letter in upper.items():
        texts = [letter * (150 + 70 * i) for i in range(12)]
        (tmp_path / "c" / "mixed" / letter).mkdir(parents=True)
        write(tmp_path / "c" / "mixed" / letter, part[2:], texts)
        write(tmp_path / "c", "other", texts)
    if format_name == "bin":
        flags = {**flags, "proxy_tokenizer_digest": "bytes" if how == "bin" else "another"}
    corpus = opened(tmp_path / "c", scratch=tmp_path, **flags)
    domain, other = corpus.domains
    assert how == "txt" or other.files == ()
    assert {name[0] for _, _, name in domain.files} == set("ABC")
    places = [unit * UNIT_STEP + at for unit, at, _ in domain.files]
    assert places == sorted(places)
    recipe = WindowRecipe(0, 8)
    grid = lay_grid(domain.text, BYTES, recipe)
    found = list(windows_from(grid, BYTES, recipe, 0, 0, 300, 64))
    letters = set()
    for windows in found:
        for row, position in zip(windows.tokens.tolist(), windows.positions.tolist(), strict=True):
            # A joint is of no letter; where tokens are decoded, one at the place is left out.
            at = [int(np.searchsorted(places, each, side="right")) - 1 for each in (position, position + 1)]
            if row[0] != 256:
                letters.add(chr(row[0]))
                assert chr(row[0]) in {domain.files[i][2][0] for i in (at if how == "decoded" else at[:1])}
    assert letters == set("ABC")
    corpus.close()
