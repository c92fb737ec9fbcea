"""Embeddings and records on disk: read as they were written, or refused by name."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from chameleon.common.errors import InputError
from chameleon.embeddings.store import (
    FORMAT,
    DomainEmbeddings,
    EmbeddingRecord,
    file_name,
    read_embeddings,
    read_records,
    write_embeddings,
    write_record,
)

ODD_NAMES = ("with space", "日本語", 'quo"te', "slash/../x", "slash_.._x", "a: b", "a_b", "🦎", "", "x" * 300)
NAMES = ("embeddings", "positions", "documents", "tokens")
STORED = DomainEmbeddings(
    np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32),
    np.arange(5) * 10,
    np.arange(5) // 2,
    np.full(5, 7),
    available=9,
    next_visit=7,
    corpus_tokens=(800.0, 2.5),
)
RECORD = EmbeddingRecord(
    "texts/日本",
    {"seed": 0, "dtype": None},
    None,
    {"a": 5, "b": 7},
    {"a": "a-1", "b": "b-1"},
    {},
    {"x": {"y": 1}},
    ("n",),
    "t",
)


def assert_same(one: DomainEmbeddings, other: DomainEmbeddings) -> None:
    for name in NAMES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert (one.available, one.next_visit) == (other.available, other.next_visit)


def test_file_names_are_safe_and_tell_domains_and_recipes_apart() -> None:
    names = [file_name(name, {"seed": seed}) for name in ODD_NAMES for seed in (0, 1)]
    assert len(set(names)) == len(names)
    assert all("/" not in name and not name.startswith(".") and len(name) < 100 for name in names)
    assert file_name("law", {"a": 1, "b": 2}) == file_name("law", {"b": 2, "a": 1})


def test_embeddings_read_back_and_are_cut_and_joined(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "new" / "a", "d", {"seed": 0}, STORED)
    again = read_embeddings(tmp_path / "new" / "a")
    assert_same(again, STORED)
    assert [len(STORED.first(n)) for n in (0, 1, 4, 5, 6)] == [0, 1, 4, 5, 5]
    rest = DomainEmbeddings(**{name: getattr(STORED, name)[2:] for name in NAMES}, available=9, next_visit=7)
    assert_same(DomainEmbeddings.joined([STORED.first(2), rest]), STORED)


def arrays(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    present = {name: getattr(STORED, name) for name in NAMES} | changed
    return {name: array for name, array in present.items() if array is not None}


METADATA = {"format": FORMAT, "available": "9", "next_visit": "7", "corpus_tokens": "[800.0, 2.5]"}
DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "truncated or damaged"),
    "text": (b"text and no more", "truncated or damaged"),
    "cut in the header": (save(arrays(), METADATA)[:40], "truncated or damaged"),
    "cut in the data": (save(arrays(), METADATA)[:-1], "truncated or damaged"),
    "no metadata": (save(arrays()), "is not a file of embeddings of this program"),
    "foreign format": (save(arrays(), METADATA | {"format": "x/1"}), "is not a file of embeddings"),
    "no count": (save(arrays(), {"format": FORMAT}), "truncated or damaged"),
    "odd count": (save(arrays(), METADATA | {"available": "many"}), "truncated or damaged"),
    "odd tokens": (save(arrays(), METADATA | {"corpus_tokens": "7"}), "truncated or damaged"),
    "an array is missing": (save(arrays(tokens=None), METADATA), "truncated or damaged"),
    "fewer positions": (save(arrays(positions=np.arange(4)), METADATA), "do not fit each other"),
    "flat": (save(arrays(embeddings=np.zeros(5, np.float32)), METADATA), "do not fit each other"),
    "double": (save(arrays(embeddings=np.zeros((5, 3))), METADATA), "do not fit each other"),
    "short tokens": (save(arrays(tokens=np.zeros(5, np.int32)), METADATA), "do not fit each other"),
    "a number": (save(arrays(tokens=np.array(3)), METADATA), "do not fit each other"),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_file_that_is_damaged_or_foreign_is_refused_by_name(tmp_path: Path, how: str) -> None:
    content, expected = DAMAGED[how]
    (tmp_path / "law.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=f"law.safetensors .*{expected}.*; delete it to have") as caught:
        read_embeddings(tmp_path / "law.safetensors")
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("law.safetensors") == 1


def test_records_read_back(tmp_path: Path) -> None:
    other = dataclasses.replace(RECORD, files={"a": "a-2", "b": "b-1"})
    for record in (RECORD, other):
        write_record(tmp_path, record)
    again = read_records(tmp_path)
    assert len(again) == 2
    assert all(record in again for record in (RECORD, other))
    newer = dataclasses.replace(RECORD, written="later", num_samples=7)
    write_record(tmp_path, newer)  # the same files: in the place of the first
    assert len(read_records(tmp_path)) == 2
    assert newer in read_records(tmp_path)


RECORD_CONTENT = {"format": FORMAT, **vars(RECORD)}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", json.dumps(RECORD_CONTENT | {"format": "other"}),
     json.dumps(RECORD_CONTENT | {"more": 1}), json.dumps(RECORD_CONTENT | {"notices": 3}),
     json.dumps({key: value for key, value in RECORD_CONTENT.items() if key != "files"}),
     json.dumps(RECORD_CONTENT | {"files": ["a"]}), json.dumps(RECORD_CONTENT | {"files": {"a": 1}}),
     json.dumps(RECORD_CONTENT | {"files": {"a": "../a"}}),
     json.dumps(RECORD_CONTENT | {"files": {"a": "/a"}}),
     json.dumps(RECORD_CONTENT | {"settings": 1}), json.dumps(RECORD_CONTENT | {"num_samples": "5"}),
     json.dumps(RECORD_CONTENT | {"num_samples": 0}), json.dumps(RECORD_CONTENT | {"windows": {"a": 1}}),
     json.dumps(RECORD_CONTENT | {"windows": {"a": 1, "b": 0}}),
     json.dumps(RECORD_CONTENT | {"provenance": []}),
     "[" * 100_000],
)  # fmt: skip
def test_a_record_that_is_damaged_or_foreign_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.run.json").write_text(content)
    with pytest.raises(InputError, match=r"x\.run\.json is damaged or not of this program .*; delete it"):
        read_records(tmp_path)
