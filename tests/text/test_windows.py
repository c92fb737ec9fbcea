"""Windows against the domain's whole token stream, made the slow way."""

import dataclasses
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import WORDS, indexed, make_checkpoint, make_texts, opened, write_jsonl
from sampling import BYTES, cut_visits

from chameleon.text.corpora.builtin import domain_of_texts
from chameleon.text.corpora.indexed import BLOCK_BYTES, IndexedText
from chameleon.text.grid import Estimate, Grid, WindowRecipe, lay_grid
from chameleon.text.protocols import Tokenizer
from chameleon.text.windows import Windows


def text_of(*texts: str) -> IndexedText:
    return indexed(domain_of_texts("d", texts))


def cut(domain: IndexedText, tokenizer: Tokenizer, recipe: WindowRecipe, first: int, last: int) -> Windows:
    return cut_visits(lay_grid(domain, tokenizer, recipe), tokenizer, recipe, first, last)


def places(grid: Grid, number: int) -> list[int]:
    return [start.position for start in grid.starts(0, number)]


def whole_stream(domain: IndexedText, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """All tokens of a domain, each document encoded whole, and the byte at which each begins."""
    ids, begins = [], []
    for document in domain.documents_from(0):
        text = document.text.decode()
        encoded = tokenizer.encode([text])[0]
        at = np.cumsum([0, *(len(character.encode()) for character in text)])
        ids += [*encoded.ids.tolist(), tokenizer.end_of_text]
        begins += [*(document.start + at[encoded.begins]).tolist(), document.start + len(document.text)]
    return ids, begins


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    from chameleon.proxy.tokenizer import load_tokenizer

    return load_tokenizer(make_checkpoint(tmp_path_factory.mktemp("bpe")))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_a_window_is_the_tokens_of_its_documents_from_where_it_was_cut(
    kind: str, seed: int, bpe: Tokenizer
) -> None:
    tokenizer = BYTES if kind == "bytes" else bpe
    domain = text_of(*make_texts(WORDS["law"], seed, documents=25, longest=300))
    ids, begins = whole_stream(domain, tokenizer)
    recipe = WindowRecipe(seed, 50)
    grid = lay_grid(domain, tokenizer, recipe)
    windows = cut_visits(grid, tokenizer, recipe, 0, grid.num_windows)
    assert (windows.lengths == 50).all()
    for row, position, document in zip(windows.tokens, windows.positions, windows.documents, strict=True):
        first = int(np.searchsorted(begins, position)) % len(ids)
        assert row.tolist() == [ids[(first + j) % len(ids)] for j in range(50)]
        assert document == max(each.start for each in domain.documents_from(0) if each.start <= position)


@pytest.fixture(scope="module")
def uneven() -> IndexedText:
    """A domain of half plain words and half signs, four times as many tokens in as many bytes."""
    signs = random.Random(0).choices("☃♞⚗☕♫", k=8000)
    words = " ".join(random.Random(1).choices(WORDS["law"].split(), k=4000))
    return text_of(*[words[:12_000], words[12_000:], "".join(signs)])


@pytest.mark.parametrize("seed", range(3))
def test_a_window_that_is_read_in_several_goes_is_whole(
    seed: int, uneven: IndexedText, bpe: Tokenizer
) -> None:
    ids, begins = whole_stream(uneven, bpe)
    recipe = WindowRecipe(seed, 300)
    grid = lay_grid(uneven, bpe, recipe)
    windows = cut_visits(grid, bpe, recipe, 0, grid.num_windows)
    for row, position in zip(windows.tokens, windows.positions, strict=True):
        first = int(np.searchsorted(begins, position)) % len(ids)
        assert row.tolist() == [ids[(first + j) % len(ids)] for j in range(300)]


def test_a_reading_that_ends_at_a_joint_takes_it_once() -> None:
    recipe = WindowRecipe(0, 900)
    for length in range(300, 420):
        domain = text_of(*["x" * length, "y" * 2000])
        grid = lay_grid(domain, BYTES, recipe)
        one_visit = dataclasses.replace(grid.schedule, sweeps=1)
        sparse = dataclasses.replace(grid, is_short=True, schedule=one_visit, density=Estimate(10.0, 0.0))
        ids, _ = whole_stream(domain, BYTES)
        assert cut_visits(sparse, BYTES, recipe, 0, 1).tokens[0].tolist() == ids[:900]


def test_the_density_is_that_of_the_whole_domain(uneven: IndexedText, bpe: Tokenizer) -> None:
    ids, _ = whole_stream(uneven, bpe)
    grid = lay_grid(uneven, bpe, WindowRecipe(0, 10))
    assert grid.num_windows == pytest.approx(len(ids) / 10, rel=0.01)
    assert grid.density.value == pytest.approx(len(ids) / uneven.length, rel=0.01)


def test_cells_differ_by_a_byte_at_most() -> None:
    domain = text_of(*["x" * 1000])
    grid = lay_grid(domain, BYTES, WindowRecipe(0, 10))
    grid = dataclasses.replace(grid, schedule=dataclasses.replace(grid.schedule, sweeps=97))
    found = np.sort(places(grid, 97))
    assert set(np.diff([*found, found[0] + domain.length]).tolist()) == {10, 11}


def test_neither_seeds_nor_domains_share_an_order_or_a_first_cut() -> None:
    domains = [text_of(*[letter * 5000]) for letter in "abcdefgh"]
    grids = [lay_grid(domain, BYTES, WindowRecipe(seed, 10)) for domain in domains for seed in range(8)]
    assert len({grid.key for grid in grids}) == len(grids)
    assert len({places(grid, 1)[0] for grid in grids}) > len(grids) - 5
    orders = {tuple((np.array(places(grid, 9)) - places(grid, 1)[0]) % 5001) for grid in grids}
    assert len(orders) == len(grids)


def test_the_recipe_names_all_that_decides_which_windows_are_cut() -> None:
    recipe = WindowRecipe(seed=3, sample_length=64).to_dict()
    assert recipe == {"seed": 3, "sample_length": 64, "scheme": "circle/3, margin 256 bytes"}


def test_the_number_of_windows_is_what_the_tokens_fill() -> None:
    domain = text_of(*make_texts(WORDS["law"], 0))
    assert lay_grid(domain, BYTES, WindowRecipe(0, 100)).num_windows == domain.length // 100


def test_all_windows_together_are_the_whole_domain() -> None:
    domain = text_of(*["x" * 1023])
    recipe = WindowRecipe(seed=3, sample_length=64)
    windows = cut(domain, BYTES, recipe, 0, 16)
    covered = Counter(int(p + j) % 1024 for p in windows.positions for j in range(64))
    assert covered == dict.fromkeys(range(1024), 1)


def test_fewer_windows_are_the_first_of_more_however_they_are_asked_for() -> None:
    domain = text_of(*make_texts(WORDS["law"], 5))
    recipe = WindowRecipe(seed=1, sample_length=32)
    many = cut(domain, BYTES, recipe, 0, 60)
    parts = [cut(domain, BYTES, recipe, first, last) for first, last in ((0, 7), (7, 8), (8, 60))]
    for name in ("tokens", "lengths", "positions", "documents"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(many, name), joined)


def test_another_seed_gives_other_windows_and_the_same_one_the_same() -> None:
    domain = text_of(*make_texts(WORDS["law"], 5))
    one, again, other = (cut(domain, BYTES, WindowRecipe(seed, 32), 0, 20) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.tokens, again.tokens)
    assert set(one.positions.tolist()) != set(other.positions.tolist())


def test_a_document_gives_windows_in_proportion_to_its_tokens() -> None:
    texts = ["L" * 30_000, *(f"{i:03d}" + "s" * 27 for i in range(323))]
    domain = text_of(*texts)
    share = 30_001 / domain.length
    hits = 0
    for seed in range(40):
        windows = cut(domain, BYTES, WindowRecipe(seed, 10), 0, 20)
        hits += int((windows.positions <= 30_000).sum())
    # 800 draws: three standard deviations of independent ones.
    assert abs(hits / 800 - share) < 3 * np.sqrt(share * (1 - share) / 800)


def test_every_byte_is_as_likely_as_another_to_begin_a_window() -> None:
    domain = text_of(*["x" * 99, "y" * 99, "z" * 99])
    firsts = [cut(domain, BYTES, WindowRecipe(seed, 20), 0, 1).positions[0] for seed in range(3000)]
    counts = np.bincount(np.array(firsts) // 30, minlength=10)
    assert ((counts - 300) ** 2 / 300).sum() < 27.9  # chi-square of 9 degrees, 1 in 1,000


def test_neighbours_in_order_do_not_lie_in_one_long_document() -> None:
    books = [letter * 5000 for letter in "abcdefghij"]
    windows = cut(text_of(*books), BYTES, WindowRecipe(0, 100), 0, 200)
    same = (windows.documents[1:] == windows.documents[:-1]).mean()
    assert same < 0.25


def test_the_layout_of_files_does_not_change_windows(tmp_path: Path) -> None:
    texts = make_texts(WORDS["law"], 7, documents=300)
    for directory in ("one", "many"):
        write_jsonl(tmp_path / directory / "other.jsonl", ["something else"])
    write_jsonl(tmp_path / "one" / "law.jsonl", texts)
    for part in range(6):
        write_jsonl(tmp_path / "many" / "law" / f"{part}.jsonl", texts[part * 50 : (part + 1) * 50])
    domains = [indexed(opened(tmp_path / each).domains[0]) for each in ("one", "many")]
    assert domains[0].fingerprint == domains[1].fingerprint
    one, many = (cut(domain, BYTES, WindowRecipe(0, 64), 0, 100) for domain in domains)
    np.testing.assert_array_equal(one.tokens, many.tokens)


def test_a_domain_of_less_than_a_window_is_one_short_window_from_its_beginning() -> None:
    domain = text_of(*["ab", "c"])
    recipe = WindowRecipe(seed=9, sample_length=64)
    assert lay_grid(domain, BYTES, recipe).num_windows == 1
    windows = cut(domain, BYTES, recipe, 0, 1)
    assert windows.lengths.tolist() == [5]
    assert windows.tokens[0, :5].tolist() == [97, 98, 256, 99, 256]
    assert (windows.tokens[0, 5:] == BYTES.end_of_text).all()


def test_documents_from_any_position_agree_with_the_whole(tmp_path: Path) -> None:
    texts = ["x" * (BLOCK_BYTES // 3), "é" * 10, "", " \n", "y" * BLOCK_BYTES, "z"] * 3
    write_jsonl(tmp_path / "c" / "d.jsonl", texts)
    write_jsonl(tmp_path / "c" / "e.jsonl", ["e"])
    domain = indexed(opened(tmp_path / "c").domains[0])
    kept = [text.encode() for text in texts if text.strip()]
    starts = np.cumsum([0, *(len(text) + 1 for text in kept)])
    assert domain.length == starts[-1]
    assert domain.num_documents == len(kept)
    for i, (start, text) in enumerate(zip(starts[:-1], kept, strict=True)):
        for position in (start, start + len(text)):
            found = list(domain.documents_from(int(position)))
            assert [(each.start, each.text) for each in found] == list(
                zip(starts[i:-1].tolist(), kept[i:], strict=True)
            )


def test_json_spacing_and_other_fields_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    for name, line in (("a", '{"text": "one"}'), ("b", json.dumps({"meta": 1, "text": "one"}, indent=None))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "d.jsonl").write_text(line + "\n\r\n")
        (tmp_path / name / "e.jsonl").write_text('\ufeff{"text": "e"}', encoding="utf-8")
    a, b = (opened(tmp_path / name) for name in "ab")
    assert [d.text.fingerprint for d in a.domains] == [d.text.fingerprint for d in b.domains]


def test_the_fingerprint_differs_between_texts_orders_and_joints() -> None:
    corpora = [["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"], ["ab", "c", "d"], ["ab", "C"]]
    assert len({text_of(*texts).fingerprint for texts in corpora}) == len(corpora)
    assert text_of(*["ab", "c"]).fingerprint == text_of(*["ab", "c"]).fingerprint
