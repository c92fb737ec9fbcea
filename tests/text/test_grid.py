"""Every byte of a domain has the same chance, whatever files it lies in."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import documents, opened, write_jsonl
from sampling import BYTES, TEXTS, T, cut, joined, write_parquet

from chameleon.text.corpora.spool import UnitsText
from chameleon.text.grid import Grid, WindowRecipe, lay_grid
from chameleon.text.protocols import Text
from chameleon.text.windows import UNIT_STEP, Windows, windows_from

# Which documents hold about a tenth of the text each.
SIZES = np.array([len(text) + 1 for text in TEXTS])
TENTHS = np.minimum((np.cumsum(SIZES) - SIZES / 2) * 10 // SIZES.sum(), 9).astype(int)
Layout = Callable[[Path, pytest.MonkeyPatch], None]


def as_lines(root: Path, _: pytest.MonkeyPatch) -> None:
    write_jsonl(root / "d.jsonl", TEXTS)


def sought(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chameleon.text.corpora.formats.WHOLE_BYTES", 0)
    for part in range(3):
        write_jsonl(root / "d" / f"{part}.jsonl", TEXTS[part * 160 : (part + 1) * 160])


def small_groups(root: Path, _: pytest.MonkeyPatch) -> None:
    write_parquet(root / "d.parquet", TEXTS, 8)


def uneven_groups(root: Path, _: pytest.MonkeyPatch) -> None:
    for part, (begin, end) in enumerate(((0, 3), (3, 60), (60, 300), (300, 462), (462, 464))):
        write_parquet(root / "d" / f"{part}.parquet", TEXTS[begin:end], 40)


def large_groups(root: Path, _: pytest.MonkeyPatch) -> None:
    write_parquet(root / "d" / "0.parquet", TEXTS[:300], 300)
    write_parquet(root / "d" / "1.parquet", TEXTS[300:], 8)


LAYOUTS: dict[str, Layout] = {
    "lines": as_lines, "sought": sought, "small groups": small_groups, "uneven groups": uneven_groups,
    "one large of many groups": large_groups,
}  # fmt: skip


@pytest.fixture(params=LAYOUTS)
def text(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Text]:
    """The same documents in several layouts."""
    LAYOUTS[request.param](tmp_path / "corpus", monkeypatch)
    other = "other.parquet" if "groups" in request.param else "other.jsonl"
    if other.endswith("parquet"):
        write_parquet(tmp_path / "corpus" / other, ["something else"], 1)
    else:
        write_jsonl(tmp_path / "corpus" / other, ["something else"])
    corpus = opened(tmp_path / "corpus", scratch=tmp_path)
    yield corpus.domains[0].text
    corpus.close()


def numbers_of(text: Text, windows: Windows) -> list[int]:
    """Which of the documents each window begins in."""
    found = []
    for document, position in zip(windows.documents.tolist(), windows.positions.tolist(), strict=True):
        unit, at = divmod(position, UNIT_STEP)
        passage = text.unit(unit).passage(at)
        assert passage is not None
        assert document == unit * UNIT_STEP + passage.document
        found.append(int(next(passage.documents)[0:3]))
    return found


def test_text_has_windows_in_proportion_to_its_bytes(text: Text) -> None:
    n, seeds = 60, 120
    shares = np.zeros((seeds, 10))
    for seed in range(seeds):
        windows = cut(text, seed, n)
        for number in numbers_of(text, windows)[:n]:
            shares[seed, TENTHS[number]] += 1 / n
    expected = np.bincount(TENTHS, weights=SIZES, minlength=10) / SIZES.sum()
    errors = shares.std(axis=0, ddof=1) / np.sqrt(seeds)
    # Four standard errors, and one part in fifty for what ends a sample within a unit.
    assert (abs(shares.mean(axis=0) - expected) < 4 * errors + 0.02 * expected).all()


def test_the_same_layout_and_seed_give_the_same_windows_however_they_are_asked_for(text: Text) -> None:
    at_once = [cut(text, 3, 50, size) for size in (1, 7, 1000)]
    for name in ("tokens", "positions", "documents"):
        one, two, three = (getattr(windows, name)[:50] for windows in at_once)
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
    fewer = cut(text, 3, 20)
    np.testing.assert_array_equal(fewer.tokens[:20], at_once[0].tokens[:20])
    assert len(np.unique(at_once[0].positions)) == len(at_once[0].positions)
    assert cut(text, 4, 50).positions[:50].tolist() != at_once[0].positions[:50].tolist()


def test_further_windows_are_cut_from_where_the_first_ended(text: Text) -> None:
    recipe = WindowRecipe(1, T)
    grid = lay_grid(text, BYTES, recipe)
    whole = joined(list(windows_from(grid, BYTES, recipe, 0, 0, 90, 16)))
    first = joined(list(windows_from(grid, BYTES, recipe, 0, 0, 40, 16)))
    further = windows_from(grid, BYTES, recipe, len(first.tokens), first.next_visit, 90, 16)
    both = joined([first, *further])
    np.testing.assert_array_equal(both.positions[:90], whole.positions[:90])


def test_all_windows_are_about_as_many_as_the_text_fills_and_each_is_text(text: Text) -> None:
    windows = cut(text, 0, 10**6)
    # How much of a file is text is taken from few places.
    tolerance = 0.5 if text.unit(0).text_share(0) < 1 else 0.1
    assert len(windows.tokens) == pytest.approx(SIZES.sum() / T, rel=tolerance)
    assert (windows.lengths == T).all()
    whole = [content.decode() for content in documents(text)]
    assert sorted(whole) == TEXTS
    joints = "\n".join(whole)
    for row in windows.tokens:
        shown = "".join("\n" if token == BYTES.end_of_text else chr(token) for token in row)
        # Parts between joints are parts of documents, those between two joints whole ones.
        parts = shown.split("\n")
        assert all(part in joints for part in parts)
        assert all(part in TEXTS for part in parts[1:-1])


def test_the_estimate_of_a_domains_tokens_is_within_its_error(text: Text) -> None:
    true = SIZES.sum()
    deviations = []
    for seed in range(40):
        amount = lay_grid(text, BYTES, WindowRecipe(seed, T)).amount(30)
        if amount.standard_error == 0:
            assert amount.value == true
            return
        deviations.append((amount.value - true) / amount.standard_error)
    assert np.mean(np.abs(deviations) < 2.5) > 0.6
    assert abs(np.mean(deviations)) < 1.5


def test_a_window_beyond_its_units_end_goes_on_in_the_unit_visited_next(tmp_path: Path) -> None:
    texts = [f"{i:02d}-{'abcdefgh'[i % 8] * 5}" for i in range(60)]
    write_parquet(tmp_path / "c" / "d.parquet", texts, 1)
    write_parquet(tmp_path / "c" / "e.parquet", ["other"], 1)
    corpus = opened(tmp_path / "c", scratch=tmp_path)
    text = corpus.domains[0].text
    recipe = WindowRecipe(0, 30)
    grid = lay_grid(text, BYTES, recipe)
    stream = "\n".join(texts[number] for number in grid.order.tolist() * 2)
    windows = joined(list(windows_from(grid, BYTES, recipe, 0, 0, 100, 9)))
    assert len(windows.tokens) >= 15
    for row in windows.tokens:
        assert "".join("\n" if token == BYTES.end_of_text else chr(token) for token in row) in stream
    corpus.close()


def test_a_domain_of_less_than_a_window_in_many_units_is_one_window(tmp_path: Path) -> None:
    write_parquet(tmp_path / "c" / "d.parquet", ["a", "b", "cd", "é"], 1)
    write_parquet(tmp_path / "c" / "e.parquet", ["other"], 1)
    corpus = opened(tmp_path / "c", scratch=tmp_path)
    for seed in range(5):
        windows = cut(corpus.domains[0].text, seed, 10)
        assert windows.lengths.tolist() == [10]
        shown = [chr(token) if token < 128 else "?" for token in windows.tokens[0]]
        assert sorted(shown) == sorted("abcd" + "?" * 16)
    corpus.close()


def test_a_grid_for_more_visits_spreads_windows_over_more_units(tmp_path: Path) -> None:
    write_parquet(tmp_path / "c" / "d.parquet", TEXTS, 4)
    write_parquet(tmp_path / "c" / "e.parquet", ["other"], 1)
    corpus = opened(tmp_path / "c", scratch=tmp_path)
    text = corpus.domains[0].text
    spread = [len(set(cut(text, 0, 60, 64, wanted).positions // UNIT_STEP)) for wanted in (8, 256)]
    assert spread[0] < spread[1]
    corpus.close()


@pytest.mark.parametrize("wanted", [1, 5, 7, 1 << 30])
def test_units_that_are_slow_to_read_give_all_windows_of_a_usual_run(
    wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chameleon.text.schedule.USUAL_WINDOWS", 22)
    write_parquet(tmp_path / "c" / "d.parquet", TEXTS, 4)
    write_parquet(tmp_path / "c" / "e.parquet", ["other"], 1)
    corpus = opened(tmp_path / "c", scratch=tmp_path)
    text = corpus.domains[0].text
    assert isinstance(text, UnitsText)
    text = dataclasses.replace(text, unit_budget=wanted)
    grid = lay_grid(text, BYTES, WindowRecipe(3, T))
    units = len(text.unit_keys)
    assert units > 7
    assert grid.schedule.sweeps > 4
    order = grid.order[grid.schedule.ranks].tolist()
    first = [grid.units(visit, visit + 1)[0] for visit in range(2 * 28)]
    if wanted > units:
        assert first == order[: len(first)]
    else:
        repeats = -(-22 // wanted) if wanted > 1 else min(22, grid.schedule.sweeps)
        assert first[: wanted * repeats] == order[:wanted] * repeats
        assert first[wanted * repeats] == order[wanted]
        assert grid.units(0, wanted * repeats) == order[:wanted]
    # Every visit is made once, and a unit has as many as any of its size.
    visits = [grid.schedule.slot(visit) for visit in range(grid.num_visits)]
    assert sorted(visits) == [
        (sweep, slot) for sweep in range(grid.schedule.sweeps) for slot in range(len(order))
    ]
    for visit in range(0, grid.num_visits, 5):
        seen = {slot for _, slot in visits[:visit]}
        assert seen == set(range(len(seen)))
        pilots = set(grid.order[:8].tolist())
        read = pilots | {order[slot] for slot in seen}
        sizes = sum(text.unit(unit).size for unit in read)
        assert grid.amount(visit).value == pytest.approx(
            sizes * grid.density.value / text.unit_sizes[sorted(read)].sum() * text.unit_sizes.sum()
        )
    starts = grid.starts(0, grid.num_visits)
    assert len({(start.unit, start.position) for start in starts}) == len(starts)
    cells = sum(text.unit(unit).size / grid.cell for unit in range(units))
    assert len(starts) == pytest.approx(cells, abs=units)
    corpus.close()


def test_any_visit_can_be_cut_without_the_others(text: Text) -> None:
    grids = [lay_grid(text, BYTES, WindowRecipe(2, T)) for _ in range(2)]

    def places(grid: Grid, visit: int) -> list[tuple[int, int]]:
        return [(place.unit, place.position) for place in grid.starts(visit, visit + 1)]

    assert grids[0].amount(5) == grids[1].amount(5)
    forward = [places(grids[0], visit) for visit in range(20)]
    assert [places(grids[1], visit) for visit in reversed(range(20))] == forward[::-1]


def test_a_unit_of_many_times_the_mean_size_is_visited_so_much_the_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large_groups(tmp_path / "c", monkeypatch)
    write_parquet(tmp_path / "c" / "e.parquet", ["other"], 1)
    corpus = opened(tmp_path / "c", scratch=tmp_path)
    grid = lay_grid(corpus.domains[0].text, BYTES, WindowRecipe(0, T))
    visits = np.bincount(grid.order[grid.schedule.ranks])
    assert visits[0] == 7  # 300 rows where the mean is 21: half of 14.2 times
    assert (visits[1:] == 1).all()
    starts = grid.starts(0, grid.num_visits)
    assert len({(start.unit, start.position) for start in starts}) == len(starts)
    corpus.close()
