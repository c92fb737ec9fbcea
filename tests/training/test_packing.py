"""Packed tokens: all text once, held-out documents never, whole files or none."""

import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import files_up_to, opened

import chameleon.text.corpora.documents as whole
import chameleon.training.packer as packer
import chameleon.training.packer as parts_of
from chameleon import InputError
from chameleon.text.corpora import Domain, SourceTokenizer
from chameleon.text.corpora.documents import Document, all_documents
from chameleon.text.corpora.spool import UnitsText
from chameleon.training.packed_domain import PackedDomain
from chameleon.training.packing import pack
from chameleon.training.row_stream import Phase, RowStream
from chameleon.training.trainer import StreamDataset

END = 256
SHARE = 0.2


@dataclass(frozen=True)
class Bytes:
    """A token a byte."""

    end_of_text: int = END
    digest: str = "bytes"
    vocabulary: int = 257

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(text.encode()) for text in texts]


def texts_of(name: str, number: int = 60) -> list[str]:
    """Documents that say which they are, of unequal lengths."""
    rng = random.Random(name)
    return [f"[{name} {i}] " + "é word" * rng.randint(1, 60) for i in range(number)]


TEXTS = {name: texts_of(name) for name in ("law", "code")}


def as_lines(root: Path) -> dict[str, str]:
    for name, texts in TEXTS.items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return {}


def compressed(root: Path) -> dict[str, str]:
    for name, texts in TEXTS.items():
        for part in range(2):
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts[part::2])
            (root / name).mkdir(exist_ok=True)
            (root / name / f"{part}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return {}


def mixed(root: Path) -> dict[str, str]:
    rows = [(name, text) for name, texts in TEXTS.items() for text in texts]
    random.Random(0).shuffle(rows)
    table = pa.table({"text": [text for _, text in rows], "source": [name for name, _ in rows]})
    pq.write_table(table, root / "all.parquet", row_group_size=7)
    return {"domain_column": "source"}


LAYOUTS: dict[str, Callable[[Path], dict[str, str]]] = {
    "lines": as_lines, "compressed": compressed, "mixed parquet": mixed,
}  # fmt: skip


def packed_from(
    root: Path,
    layout: Callable[[Path], dict[str, str]] = as_lines,
    share: float = SHARE,
    training: bool = True,
) -> dict[str, PackedDomain]:
    corpus = root / "corpus"
    if not corpus.exists():
        corpus.mkdir(parents=True)
    how = layout(corpus)
    with closing(opened(corpus, scratch=root, **how)) as found:
        return {each.name: each for each in pack(found.domains, Bytes(), root / "packed", share, training)}


def documents(tokens: Sequence[int]) -> list[str]:
    """Token arrays taken apart at their end-of-text tokens."""
    found: list[bytearray] = [bytearray()]
    for token in tokens:
        if token == END:
            found.append(bytearray())
        else:
            found[-1].append(token)
    assert not found.pop()
    return [document.decode() for document in found]


def trained(packed: PackedDomain) -> list[str]:
    return documents(packed.array().tolist())


def held_out(packed: PackedDomain) -> list[str]:
    return documents(packed.heldout().tokens.tolist())


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_each_document_is_packed_once_or_held_out(
    tmp_path: Path, layout: Callable[[Path], dict[str, str]]
) -> None:
    for name, packed in packed_from(tmp_path, layout).items():
        train, held = trained(packed), held_out(packed)
        assert sorted(train + held) == sorted(TEXTS[name])
        assert 2 <= len(held) <= 24
        assert packed.documents == len(train)
        assert packed.tokens == sum(len(text.encode()) + 1 for text in train)
        assert packed.dtype == "<u2"
        found = packed.heldout()
        assert found.documents == len(held) == len(found.ends) == len(found.sizes)
        assert found.sizes.tolist() == [len(text.encode()) for text in held]
        assert (found.tokens[found.ends - 1] == END).all()


def test_units_are_read_ahead_in_order_and_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    import time

    monkeypatch.setattr(whole, "_BATCH_BYTES", 200)
    monkeypatch.setattr(whole, "_BATCHES_AHEAD", 1)
    mixed(tmp_path)
    with closing(opened(tmp_path, scratch=tmp_path, domain_column="source")) as corpus:
        text = corpus.domains[0].text
        assert isinstance(text, UnitsText)
        expected = [each for number in range(len(text.units)) for each in text.units.stream(number)]
        begun: list[int] = []
        real = text.units.stream

        def noted(number: int) -> Iterator[tuple[str, bytes]]:
            begun.append(number)
            return real(number)

        monkeypatch.setattr(text.units, "stream", noted)
        found = all_documents(corpus.domains)
        names = [domain.name for domain in corpus.domains]
        assert [(names[index], document) for index, document in found] == expected
        assert sorted(begun) == list(range(len(text.units)))
        # One that is given up early ends its readers, wherever they are.
        begun.clear()
        found = all_documents(corpus.domains)
        next(found)
        time.sleep(0.1)
        assert len(begun) <= 4
        found.close()  # type: ignore[attr-defined]
        assert not [each for each in threading.enumerate() if each.name.startswith("reading-ahead")]


def test_a_unit_that_cannot_be_read_ends_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed(tmp_path)
    with closing(opened(tmp_path, scratch=tmp_path, domain_column="source")) as corpus:
        text = corpus.domains[0].text
        assert isinstance(text, UnitsText)
        real = text.units.stream

        def fails(number: int) -> Iterator[tuple[str, bytes]]:
            yield from real(number)
            if number == 5:
                raise InputError("row group 5 is damaged")

        monkeypatch.setattr(text.units, "stream", fails)
        with pytest.raises(InputError, match="row group 5 is damaged"):
            pack(corpus.domains, Bytes(), tmp_path / "packed", SHARE)
    assert not list((tmp_path / "packed").glob("*.bin*"))


def test_what_is_held_out_hangs_on_the_text_alone(tmp_path: Path) -> None:
    found = {
        name: {domain: set(held_out(each)) for domain, each in packed_from(tmp_path / name, layout).items()}
        for name, layout in LAYOUTS.items()
    }
    assert found["lines"] == found["compressed"] == found["mixed parquet"]


def test_a_smaller_share_is_part_of_a_larger_one(tmp_path: Path) -> None:
    shares = [1e-9, 0.01, 0.1, 0.3, 1.0]
    found = [set(held_out(packed_from(tmp_path, share=share)["law"])) for share in shares]
    assert all(small <= large for small, large in pairwise(found))
    assert len(found[0]) == 2  # so that it can be measured
    assert found[-1] == set(TEXTS["law"])
    assert packed_from(tmp_path, share=1.0)["law"].tokens == 0


def test_no_training_row_holds_a_held_out_document(tmp_path: Path) -> None:
    packed = packed_from(tmp_path)
    length = 40
    sizes = np.array([each.tokens // length for each in packed.values()])
    mixture = RowStream(tuple(packed), sizes, (Phase(0, np.array([0.5, 0.5])),), 0)
    total = 4 * int(sizes.max())  # every row of both, more than once
    rows = StreamDataset(mixture, [each.array() for each in packed.values()], length, total)
    names = {text.partition("]")[0] for each in packed.values() for text in held_out(each)}
    seen = set()
    for batch in range(0, total, 50):
        for row in rows.__getitems__(range(batch, min(batch + 50, total)))["input_ids"].tolist():
            text = bytes(token for token in row if token != END).decode(errors="replace")
            seen |= {
                text[i : text.index("]", i)] for i in range(len(text)) if text[i] == "[" and "]" in text[i:]
            }
    assert len(seen) > 70
    assert not names & seen


def test_of_a_mixed_corpus_the_domains_that_are_asked_for_are_packed(tmp_path: Path) -> None:
    rows = [(name, text) for name, texts in TEXTS.items() for text in texts]
    rows += [("other", f"something else {i}") for i in range(50)]
    random.Random(1).shuffle(rows)
    table = pa.table({"text": [text for _, text in rows], "source": [name for name, _ in rows]})
    (tmp_path / "corpus").mkdir()
    pq.write_table(table, tmp_path / "corpus" / "all.parquet", row_group_size=9)
    how = {"domain_column": "source", "domains": ("law", "code")}
    with closing(opened(tmp_path / "corpus", scratch=tmp_path, **how)) as corpus:
        for packed in pack(corpus.domains, Bytes(), tmp_path / "packed", SHARE):
            assert sorted(trained(packed) + held_out(packed)) == sorted(TEXTS[packed.name])


def test_copies_that_differ_in_the_space_around_them_are_on_one_side(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    spaces = ["", "\n", "  ", "\n\n "]
    for name, texts in TEXTS.items():
        lines = [json.dumps({"text": space + text + space}) for text in texts for space in spaces]
        (tmp_path / "corpus" / f"{name}.jsonl").write_text("\n".join(lines))
    with closing(opened(tmp_path / "corpus", scratch=tmp_path)) as corpus:
        for packed in pack(corpus.domains, Bytes(), tmp_path / "packed", SHARE):
            train, held = ({text.strip() for text in side} for side in (trained(packed), held_out(packed)))
            assert len(train) + len(held) == 60
            assert held


def test_copies_of_a_document_are_on_one_side(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for name, texts in (("law", TEXTS["law"][:9] * 3), ("code", TEXTS["code"][:2] * 6)):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (tmp_path / "corpus" / f"{name}.jsonl").write_text(lines)
    with closing(opened(tmp_path / "corpus", scratch=tmp_path)) as corpus:
        found = pack(corpus.domains, Bytes(), tmp_path / "packed", 1e-9)
    for packed in found:
        train, held = trained(packed), held_out(packed)
        assert not set(train) & set(held)
        assert len(held) in (3, 6)
        assert train


def test_without_a_share_nothing_is_held_out(tmp_path: Path) -> None:
    for name, packed in packed_from(tmp_path, share=0.0).items():
        assert held_out(packed) == []
        assert sorted(trained(packed)) == sorted(TEXTS[name])


def test_some_of_a_domain_is_left_to_train_on(tmp_path: Path) -> None:
    for number, texts in enumerate((TEXTS["law"][:1] * 7 + TEXTS["law"][1:2], TEXTS["law"][:2] * 4)):
        for word in range(6):
            root = tmp_path / f"{number} {word}"
            root.mkdir()
            for name in ("law", "code"):
                lines = [json.dumps({"text": f"{name} {word} {text}"}) for text in texts]
                (root / f"{name}.jsonl").write_text("\n".join(lines))
            with closing(opened(root, scratch=tmp_path)) as corpus:
                for packed in pack(corpus.domains, Bytes(), root / "packed", 1e-9):
                    assert packed.tokens > 0
                    assert not set(trained(packed)) & set(held_out(packed))


@pytest.mark.parametrize("together", [True, False])
def test_what_is_held_out_of_a_small_domain_is_not_trained_on_in_another(
    tmp_path: Path, together: bool
) -> None:
    small = TEXTS["law"][:20]
    texts = {"small": small, "large": [*TEXTS["code"], *small[3:]], "other": TEXTS["code"]}
    for directory, names in (("both", ["large", "small"]), ("alone", ["other", "small"])):
        (tmp_path / directory).mkdir()
        for name in names:
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts[name])
            (tmp_path / directory / f"{name}.jsonl").write_text(lines)

    def packed(directory: str) -> list[PackedDomain]:
        with closing(opened(tmp_path / directory, scratch=tmp_path)) as corpus:
            return pack(corpus.domains, Bytes(), tmp_path / "packed", 1e-9)

    if not together:
        assert len(held_out(packed("alone")[1])) == 2
    found = packed("both")
    seen = {text for each in found for text in trained(each)}
    for each in found:
        assert not set(held_out(each)) & seen
    assert sorted(trained(found[1]) + held_out(found[1])) == sorted(small)
    assert set(held_out(found[1])) <= set(small[:3])
    assert found[1].documents == len(trained(found[1]))
    assert packed("both") == found


@pytest.mark.parametrize(("number", "expected"), [(1, 0), (2, 1), (7, 1), (8, 2)])
def test_of_few_documents_some_are_held_out_all_the_same(tmp_path: Path, number: int, expected: int) -> None:
    (tmp_path / "corpus").mkdir()
    for name in ("law", "code"):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS[name][:number])
        (tmp_path / "corpus" / f"{name}.jsonl").write_text(lines)
    with closing(opened(tmp_path / "corpus", scratch=tmp_path)) as corpus:
        for packed in pack(corpus.domains, Bytes(), tmp_path / "packed", 1e-9):
            assert len(held_out(packed)) == expected


def test_held_out_documents_are_the_same_without_a_training_array(tmp_path: Path) -> None:
    alone = packed_from(tmp_path / "a", training=False)
    assert not list((tmp_path / "a" / "packed").glob("*.bin*"))
    both = packed_from(tmp_path / "b")
    for name in TEXTS:
        np.testing.assert_array_equal(alone[name].heldout().tokens, both[name].heldout().tokens)
        assert alone[name].heldout().documents == both[name].heldout().documents
    # And the array is made when it is wanted.
    assert sorted(trained(packed_from(tmp_path / "a")["law"])) == sorted(trained(both["law"]))


def test_of_very_many_held_out_tokens_those_of_the_least_hashes_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = packed_from(tmp_path / "a", share=1.0)["law"].heldout()
    monkeypatch.setattr(packer, "_MAX_HELDOUT", 3000)
    some = packed_from(tmp_path / "b", share=1.0)["law"].heldout()
    assert some.documents == 60 > len(some.ends)
    assert 2000 < len(some.tokens) <= 3000
    np.testing.assert_array_equal(some.tokens, every.tokens[: len(some.tokens)])


def test_what_is_packed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = packed_from(tmp_path)
    read: list[int] = []

    def noted(domains: Sequence[Domain]) -> Iterator[tuple[int, Document]]:
        read.append(len(domains))
        return all_documents(domains)

    monkeypatch.setattr(parts_of, "all_documents", noted)
    assert packed_from(tmp_path) == first
    assert read == []
    # Of another tokenizer or share it is, and a damaged array is packed again alone.
    first["law"].file(".bin").write_bytes(b"")
    assert packed_from(tmp_path) == first
    assert read == [1]
    packed_from(tmp_path, share=0.5)
    assert read == [1, 2]
    (tmp_path / "corpus" / "law.jsonl").write_text('{"text": "other text"}\n{"text": "and more"}\n')
    packed_from(tmp_path, lambda root: {})
    assert read == [1, 2, 1]


def test_an_interrupt_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks_off(domains: Sequence[Domain]) -> Iterator[tuple[int, Document]]:
        for number, found in enumerate(all_documents(domains)):
            if number == 100:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(packer, "_BATCH_BYTES", 1000)
    monkeypatch.setattr(packer, "_BUFFER", 100)
    monkeypatch.setattr(parts_of, "all_documents", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        packed_from(tmp_path)
    assert [path.name for path in (tmp_path / "packed").iterdir() if not path.name.startswith(".")] == []
    monkeypatch.setattr(parts_of, "all_documents", all_documents)
    for name, packed in packed_from(tmp_path).items():
        assert sorted(trained(packed) + held_out(packed)) == sorted(TEXTS[name])


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer, "_BUFFER", 100)
    (tmp_path / "corpus").mkdir()
    as_lines(tmp_path / "corpus")
    with (
        closing(opened(tmp_path / "corpus", scratch=tmp_path)) as corpus,
        files_up_to(5000),
        pytest.raises(InputError, match=r"cannot (pack text in|write) .*packed"),
    ):
        pack(corpus.domains, Bytes(), tmp_path / "packed", SHARE)
    assert not list((tmp_path / "packed").glob("*.bin*"))


def test_a_document_of_any_length_is_packed_in_bounded_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_of, "_LONG_BYTES", 3000)
    monkeypatch.setattr(parts_of, "_PART_BYTES", 1000)
    words = " ".join(f"wörd{i}" for i in range(3000))
    unbroken = "漢字" * 2000
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "law.txt").write_text(words)
    (tmp_path / "corpus" / "code.txt").write_text(unbroken)
    with closing(opened(tmp_path / "corpus", scratch=tmp_path)) as corpus:
        found = {each.name: each for each in pack(corpus.domains, Bytes(), tmp_path / "packed", 0.3)}
    for name, document in (("law", words), ("code", unbroken)):
        parts = trained(found[name]) + held_out(found[name])
        assert all(len(part.encode()) <= 1000 for part in parts)
        assert len(held_out(found[name])) >= 2
        assert sum(len(part) for part in parts) == len(document)
        assert all(part in document for part in parts)


def test_tokens_of_the_same_tokenizer_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for name, texts in TEXTS.items():
        tokens = [token for text in texts for token in (*text.encode(), END)]
        np.array(tokens, dtype="<u2").tofile(tmp_path / "corpus" / f"{name}.bin")
    source = SourceTokenizer("t", "bytes", 257, END, lambda ids: bytes(ids).decode(errors="replace"))
    how = {"tokenizer": "t", "load_tokenizer": lambda _: source}
    with closing(
        opened(tmp_path / "corpus", scratch=tmp_path, proxy_tokenizer_digest="bytes", **how)
    ) as corpus:
        found = pack(corpus.domains, Bytes(), tmp_path / "packed", SHARE)
    for packed in found:
        assert sorted(trained(packed) + held_out(packed)) == sorted(TEXTS[packed.name])
        assert not packed.heldout().sizes.any()
    with closing(opened(tmp_path / "corpus", scratch=tmp_path, **how)) as corpus:
        again = pack(corpus.domains, Bytes(), tmp_path / "packed", SHARE)
    assert {each.digest for each in again}.isdisjoint(each.digest for each in found)


def test_large_vocabularies_have_items_of_four_bytes(tmp_path: Path) -> None:
    as_lines(tmp_path)
    with closing(opened(tmp_path, scratch=tmp_path)) as corpus:
        packed = pack(corpus.domains, Bytes(vocabulary=70_000), tmp_path / "packed", SHARE)[0]
    assert packed.dtype == "<u4"
    assert packed.file(".bin").stat().st_size == 4 * packed.tokens


def test_text_that_is_not_utf8_is_told_with_its_domain(tmp_path: Path) -> None:
    (tmp_path / "law.txt").write_bytes(b"good \xff bad")
    (tmp_path / "code.txt").write_text("fine")
    with (
        closing(opened(tmp_path, scratch=tmp_path)) as corpus,
        pytest.raises(InputError, match="domain law: the text is not UTF-8: byte 0xff"),
    ):
        pack(corpus.domains, Bytes(), tmp_path / "packed", SHARE)


def test_damaged_files_are_told(tmp_path: Path) -> None:
    packed = packed_from(tmp_path)["law"]
    packed.file(".heldout.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match=r"truncated or damaged .*delete it"):
        packed.heldout()
    packed.file(".json").write_text("{}")
    with pytest.raises(InputError, match="is damaged"):
        packed.with_counts()
