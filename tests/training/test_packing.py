"""Packing: every document once, either in the training array or held out, by its hash alone."""

import json
import random
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import opened
from packing_corpora import (
    END,
    LAYOUTS,
    SHARE,
    TEXTS,
    ByteTokenizer,
    heldout_texts,
    pack_texts,
    training_texts,
)

from chameleon.text.corpora import SourceTokenizer
from chameleon.training.packed_domain import PackedDomain
from chameleon.training.packing import pack
from chameleon.training.row_stream import Phase, RowStream
from chameleon.training.trainer import StreamDataset


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_each_document_is_packed_once_or_held_out(
    tmp_path: Path, layout: Callable[[Path], dict[str, str]]
) -> None:
    for name, packed in pack_texts(tmp_path, layout).items():
        train, held = training_texts(packed), heldout_texts(packed)
        assert sorted(train + held) == sorted(TEXTS[name])
        assert 2 <= len(held) <= 24
        assert packed.documents == len(train)
        assert packed.tokens == sum(len(text.encode()) + 1 for text in train)
        assert packed.dtype == "<u2"
        heldout = packed.heldout()
        assert heldout.documents == len(held) == len(heldout.ends) == len(heldout.sizes)
        assert heldout.sizes.tolist() == [len(text.encode()) for text in held]
        assert (heldout.tokens[heldout.ends - 1] == END).all()


def test_held_out_documents_depend_on_their_text_alone(tmp_path: Path) -> None:
    heldout = {
        name: {
            domain: set(heldout_texts(each)) for domain, each in pack_texts(tmp_path / name, layout).items()
        }
        for name, layout in LAYOUTS.items()
    }
    assert heldout["lines"] == heldout["compressed"] == heldout["mixed parquet"]


def test_a_smaller_share_is_part_of_a_larger_one(tmp_path: Path) -> None:
    shares = [1e-9, 0.01, 0.1, 0.3, 1.0]
    heldout = [set(heldout_texts(pack_texts(tmp_path, share=share)["law"])) for share in shares]
    assert all(small <= large for small, large in pairwise(heldout))
    assert len(heldout[0]) == 2  # so that it can be measured
    assert heldout[-1] == set(TEXTS["law"])
    assert pack_texts(tmp_path, share=1.0)["law"].tokens == 0


def test_no_training_row_holds_a_held_out_document(tmp_path: Path) -> None:
    packed = pack_texts(tmp_path)
    length = 40
    sizes = np.array([each.tokens // length for each in packed.values()])
    mixture = RowStream(tuple(packed), sizes, (Phase(0, np.array([0.5, 0.5])),), 0)
    total = 4 * int(sizes.max())  # every row of both, more than once
    rows = StreamDataset(mixture, [each.array() for each in packed.values()], length, total)
    names = {text.partition("]")[0] for each in packed.values() for text in heldout_texts(each)}
    seen = set()
    for batch in range(0, total, 50):
        for row in rows.__getitems__(range(batch, min(batch + 50, total)))["input_ids"].tolist():
            text = bytes(token for token in row if token != END).decode(errors="replace")
            seen |= {
                text[i : text.index("]", i)] for i in range(len(text)) if text[i] == "[" and "]" in text[i:]
            }
    assert len(seen) > 70
    assert not names & seen


def test_only_requested_domains_of_a_mixed_corpus_are_packed(tmp_path: Path) -> None:
    rows = [(name, text) for name, texts in TEXTS.items() for text in texts]
    rows += [("other", f"something else {i}") for i in range(50)]
    random.Random(1).shuffle(rows)
    table = pa.table({"text": [text for _, text in rows], "source": [name for name, _ in rows]})
    (tmp_path / "corpus").mkdir()
    pq.write_table(table, tmp_path / "corpus" / "all.parquet", row_group_size=9)
    how = {"domain_column": "source", "domains": ("law", "code")}
    with closing(opened(tmp_path / "corpus", scratch=tmp_path, **how)) as corpus:
        for packed in pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", SHARE):
            assert sorted(training_texts(packed) + heldout_texts(packed)) == sorted(TEXTS[packed.name])


def test_copies_that_differ_in_surrounding_space_are_on_one_side(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    spaces = ["", "\n", "  ", "\n\n "]
    for name, texts in TEXTS.items():
        lines = [json.dumps({"text": space + text + space}) for text in texts for space in spaces]
        (tmp_path / "corpus" / f"{name}.jsonl").write_text("\n".join(lines))
    with closing(opened(tmp_path / "corpus", scratch=tmp_path)) as corpus:
        for packed in pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", SHARE):
            train = {text.strip() for text in training_texts(packed)}
            held = {text.strip() for text in heldout_texts(packed)}
            assert len(train) + len(held) == 60
            assert held


def test_copies_of_a_document_are_on_one_side(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for name, texts in (("law", TEXTS["law"][:9] * 3), ("code", TEXTS["code"][:2] * 6)):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (tmp_path / "corpus" / f"{name}.jsonl").write_text(lines)
    with closing(opened(tmp_path / "corpus", scratch=tmp_path)) as corpus:
        domains = pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", 1e-9)
    for packed in domains:
        train, held = training_texts(packed), heldout_texts(packed)
        assert not set(train) & set(held)
        assert len(held) in (3, 6)
        assert train


def test_without_a_share_nothing_is_held_out(tmp_path: Path) -> None:
    for name, packed in pack_texts(tmp_path, share=0.0).items():
        assert heldout_texts(packed) == []
        assert sorted(training_texts(packed)) == sorted(TEXTS[name])


def test_part_of_a_domain_is_always_left_to_train_on(tmp_path: Path) -> None:
    for number, texts in enumerate((TEXTS["law"][:1] * 7 + TEXTS["law"][1:2], TEXTS["law"][:2] * 4)):
        for word in range(6):
            root = tmp_path / f"{number} {word}"
            root.mkdir()
            for name in ("law", "code"):
                lines = [json.dumps({"text": f"{name} {word} {text}"}) for text in texts]
                (root / f"{name}.jsonl").write_text("\n".join(lines))
            with closing(opened(root, scratch=tmp_path)) as corpus:
                for packed in pack(corpus.domains, ByteTokenizer(), root / "packed", 1e-9):
                    assert packed.tokens > 0
                    assert not set(training_texts(packed)) & set(heldout_texts(packed))


@pytest.mark.parametrize("together", [True, False])
def test_held_out_documents_of_a_small_domain_are_not_trained_on_in_another(
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
            return pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", 1e-9)

    if not together:
        assert len(heldout_texts(packed("alone")[1])) == 2
    both = packed("both")
    seen = {text for each in both for text in training_texts(each)}
    for each in both:
        assert not set(heldout_texts(each)) & seen
    assert sorted(training_texts(both[1]) + heldout_texts(both[1])) == sorted(small)
    assert set(heldout_texts(both[1])) <= set(small[:3])
    assert both[1].documents == len(training_texts(both[1]))
    assert packed("both") == both


@pytest.mark.parametrize(("number", "expected"), [(1, 0), (2, 1), (7, 1), (8, 2)])
def test_small_domains_have_substitutes_held_out(tmp_path: Path, number: int, expected: int) -> None:
    (tmp_path / "corpus").mkdir()
    for name in ("law", "code"):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS[name][:number])
        (tmp_path / "corpus" / f"{name}.jsonl").write_text(lines)
    with closing(opened(tmp_path / "corpus", scratch=tmp_path)) as corpus:
        for packed in pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", 1e-9):
            assert len(heldout_texts(packed)) == expected


def test_held_out_documents_are_the_same_without_a_training_array(tmp_path: Path) -> None:
    alone = pack_texts(tmp_path / "a", training=False)
    assert not list((tmp_path / "a" / "packed").glob("*.bin*"))
    both = pack_texts(tmp_path / "b")
    for name in TEXTS:
        np.testing.assert_array_equal(alone[name].heldout().tokens, both[name].heldout().tokens)
        assert alone[name].heldout().documents == both[name].heldout().documents
    # And the array is made when it is wanted.
    assert sorted(training_texts(pack_texts(tmp_path / "a")["law"])) == sorted(training_texts(both["law"]))


def test_tokens_of_the_same_tokenizer_are_packed_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for name, texts in TEXTS.items():
        tokens = [token for text in texts for token in (*text.encode(), END)]
        np.array(tokens, dtype="<u2").tofile(tmp_path / "corpus" / f"{name}.bin")
    source = SourceTokenizer("t", "bytes", 257, END, lambda ids: bytes(ids).decode(errors="replace"))
    how = {"tokenizer": "t", "load_tokenizer": lambda _: source}
    with closing(
        opened(tmp_path / "corpus", scratch=tmp_path, proxy_tokenizer_digest="bytes", **how)
    ) as corpus:
        direct = pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", SHARE)
    for packed in direct:
        assert sorted(training_texts(packed) + heldout_texts(packed)) == sorted(TEXTS[packed.name])
        assert not packed.heldout().sizes.any()
    with closing(opened(tmp_path / "corpus", scratch=tmp_path, **how)) as corpus:
        again = pack(corpus.domains, ByteTokenizer(), tmp_path / "packed", SHARE)
    assert {each.digest for each in again}.isdisjoint(each.digest for each in direct)
