"""Packed files: read once, bounded, whole or not at all, and errors when damaged."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import files_up_to, opened
from packing_corpora import (
    SHARE,
    TEXTS,
    ByteTokenizer,
    heldout_texts,
    pack_texts,
    training_texts,
    write_lines,
    write_mixed,
)

import chameleon.text.corpora.documents as corpus_documents
import chameleon.training.packer as packer
from chameleon import InputError
from chameleon.text.corpora import Domain
from chameleon.text.corpora.documents import Document, all_documents
from chameleon.text.corpora.spool import UnitsText
from chameleon.training.packing import pack


def test_units_are_read_ahead_in_order_and_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    import time

    monkeypatch.setattr(corpus_documents, "_BATCH_BYTES", 200)
    monkeypatch.setattr(corpus_documents, "_BATCHES_AHEAD", 1)
    write_mixed(tmp_path)
    with closing(opened(tmp_path, scratch=tmp_path, domain_column="source")) as corpus:
        text = corpus.domains[0].text
        assert isinstance(text, UnitsText)
        expected = [each for number in range(len(text.units)) for each in text.units.read(number)]
        begun: list[int] = []
        real = text.units.read

        def recorded(number: int) -> Iterator[tuple[str, bytes]]:
            begun.append(number)
            return real(number)

        monkeypatch.setattr(text.units, "read", recorded)
        documents = all_documents(corpus.domains)
        names = [domain.name for domain in corpus.domains]
        assert [(names[index], document) for index, document in documents] == expected
        assert sorted(begun) == list(range(len(text.units)))
        # Closing the iterator early stops its readers.
        begun.clear()
        documents = all_documents(corpus.domains)
        next(documents)
        time.sleep(0.1)
        assert len(begun) <= 4
        documents.close()  # type: ignore[attr-defined]
        assert not [each for each in threading.enumerate() if each.name.startswith("reading-ahead")]


def test_a_unit_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mixed(tmp_path)
    with closing(opened(tmp_path, scratch=tmp_path, domain_column="source")) as corpus:
        text = corpus.domains[0].text
        assert isinstance(text, UnitsText)
        real = text.units.read

        def fails(number: int) -> Iterator[tuple[str, bytes]]:
            yield from real(number)
            if number == 5:
                raise InputError("row group 5 is damaged")

        monkeypatch.setattr(text.units, "read", fails)
        with pytest.raises(InputError, match="row group 5 is damaged"):
            pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", SHARE)
    assert not list((tmp_path / "packed").glob("*.bin*"))


def test_of_too_many_held_out_tokens_the_least_hashes_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = pack_texts(tmp_path / "a", share=1.0)["law"].heldout()
    monkeypatch.setattr(packer, "_MAX_HELDOUT", 3000)
    some = pack_texts(tmp_path / "b", share=1.0)["law"].heldout()
    assert some.documents == 60 > len(some.ends)
    assert 2000 < len(some.tokens) <= 3000
    np.testing.assert_array_equal(some.tokens, every.tokens[: len(some.tokens)])


def test_packed_domains_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pack_texts(tmp_path)
    read: list[int] = []

    def recorded(domains: Sequence[Domain]) -> Iterator[tuple[int, Document]]:
        read.append(len(domains))
        return all_documents(domains)

    monkeypatch.setattr(packer, "all_documents", recorded)
    assert pack_texts(tmp_path) == first
    assert read == []
    # Of another tokenizer or share it is, and a damaged array is packed again alone.
    first["law"].file(".bin").write_bytes(b"")
    assert pack_texts(tmp_path) == first
    assert read == [1]
    pack_texts(tmp_path, share=0.5)
    assert read == [1, 2]
    (tmp_path / "corpus" / "law.jsonl").write_text('{"text": "other text"}\n{"text": "and more"}\n')
    pack_texts(tmp_path, lambda root: {})
    assert read == [1, 2, 1]


def test_an_interrupt_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(domains: Sequence[Domain]) -> Iterator[tuple[int, Document]]:
        for number, document in enumerate(all_documents(domains)):
            if number == 100:
                raise KeyboardInterrupt
            yield document

    monkeypatch.setattr(packer, "_BATCH_BYTES", 1000)
    monkeypatch.setattr(packer, "_BUFFER", 100)
    monkeypatch.setattr(packer, "all_documents", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack_texts(tmp_path)
    assert [path.name for path in (tmp_path / "packed").iterdir() if not path.name.startswith(".")] == []
    monkeypatch.setattr(packer, "all_documents", all_documents)
    for name, packed in pack_texts(tmp_path).items():
        assert sorted(training_texts(packed) + heldout_texts(packed)) == sorted(TEXTS[name])


def test_a_full_disk_is_an_error_and_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer, "_BUFFER", 100)
    (tmp_path / "corpus").mkdir()
    write_lines(tmp_path / "corpus")
    with (
        closing(opened(tmp_path / "corpus", scratch=tmp_path)) as corpus,
        files_up_to(5000),
        pytest.raises(InputError, match=r"cannot (pack text in|write) .*packed"),
    ):
        pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", SHARE)
    assert not list((tmp_path / "packed").glob("*.bin*"))


def test_a_long_document_is_packed_in_bounded_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer, "_LONG_BYTES", 3000)
    monkeypatch.setattr(packer, "_PART_BYTES", 1000)
    words = " ".join(f"wörd{i}" for i in range(3000))
    unbroken = "漢字" * 2000
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "law.txt").write_text(words)
    (tmp_path / "corpus" / "code.txt").write_text(unbroken)
    with closing(opened(tmp_path / "corpus", scratch=tmp_path)) as corpus:
        domains = {
            each.name: each for each in pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", 0.3)
        }
    for name, document in (("law", words), ("code", unbroken)):
        parts = training_texts(domains[name]) + heldout_texts(domains[name])
        assert all(len(part.encode()) <= 1000 for part in parts)
        assert len(heldout_texts(domains[name])) >= 2
        assert sum(len(part) for part in parts) == len(document)
        assert all(part in document for part in parts)


def test_large_vocabularies_take_four_bytes_per_token(tmp_path: Path) -> None:
    write_lines(tmp_path)
    with closing(opened(tmp_path, scratch=tmp_path)) as corpus:
        packed = pack(corpus.domains, ByteTokenizer(size=70_000), tmp_path / "packed", SHARE)[0]
    assert packed.dtype == "<u4"
    assert packed.file(".bin").stat().st_size == 4 * packed.tokens


def test_text_that_is_not_utf8_is_an_error_with_its_domain(tmp_path: Path) -> None:
    (tmp_path / "law.txt").write_bytes(b"good \xff bad")
    (tmp_path / "code.txt").write_text("fine")
    with (
        closing(opened(tmp_path, scratch=tmp_path)) as corpus,
        pytest.raises(InputError, match="domain law: the text is not UTF-8: byte 0xff"),
    ):
        pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", SHARE)


def test_damaged_files_are_an_error(tmp_path: Path) -> None:
    packed = pack_texts(tmp_path)["law"]
    packed.file(".heldout.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match=r"truncated or damaged .*delete it"):
        packed.heldout()
    packed.file(".json").write_text("{}")
    with pytest.raises(InputError, match="is damaged"):
        packed.with_counts()
