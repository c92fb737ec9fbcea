"""Every byte of a domain has the same chance, whatever files it lies in, and only what is needed is read."""

import dataclasses
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import documents, opened, write_jsonl
from sampling import BYTES, joined

from chameleon.text.corpora import Corpus
from chameleon.text.corpora.spool import UnitsText
from chameleon.text.corpora.storage import File
from chameleon.text.grid import Grid, WindowRecipe, lay_grid
from chameleon.text.protocols import Text
from chameleon.text.windows import UNIT_STEP, Windows, windows_from

T = 20


def uneven_texts() -> list[str]:
    """Documents from 3 to 3,000 bytes, the number of each in its name: long ones come late."""
    rng = random.Random(5)
    lengths = [rng.randint(3, 60) for _ in range(400)] + [rng.randint(100, 300) for _ in range(60)]
    lengths += [3000, 2500, 2000, 1500]
    return [f"{i:03d}" + "x" * (length - 3) for i, length in enumerate(lengths)]


TEXTS = uneven_texts()
# Which documents hold about a tenth of the text each.
SIZES = np.array([len(text) + 1 for text in TEXTS])
TENTHS = np.minimum((np.cumsum(SIZES) - SIZES / 2) * 10 // SIZES.sum(), 9).astype(int)


def write_parquet(path: Path, texts: list[str], group: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts}), path, row_group_size=group)


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


def cut(text: Text, seed: int, n: int, at_once: int = 64, unit_budget: int | None = None) -> Windows:
    if unit_budget is not None and isinstance(text, UnitsText):
        text = dataclasses.replace(text, unit_budget=unit_budget)
    recipe = WindowRecipe(seed, T)
    return joined(list(windows_from(lay_grid(text, BYTES, recipe), BYTES, recipe, 0, 0, n, at_once)))


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


def test_tokens_of_the_domain_are_told_with_an_error_that_holds(text: Text) -> None:
    true = SIZES.sum()
    deviations = []
    for seed in range(40):
        amount = lay_grid(text, BYTES, WindowRecipe(seed, T)).amount(30)
        if amount.standard_error == 0:
            assert amount.tokens == true
            return
        deviations.append((amount.tokens - true) / amount.standard_error)
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


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The stretches of files that are read, as they are."""
    found: list[tuple[int, int]] = []
    real = File._read

    def noted(self: File, begin: int, end: int) -> bytes:
        found.append((begin, end))
        return real(self, begin, end)

    monkeypatch.setattr(File, "_read", noted)
    return found


def mixed(root: Path, rows: int = 8000, group: int = 20) -> Corpus:
    """A parquet corpus of one common domain, a rarer one and one in a row of a hundred, many row groups."""
    rng = random.Random(0)
    labels = rng.choices(["common", "rarer", "rare"], [0.8, 0.19, 0.01], k=rows)
    texts = ["".join(rng.choices("abcdefgh ", k=400)) for _ in labels]
    root.mkdir()
    pq.write_table(pa.table({"text": texts, "label": labels}), root / "train-0.parquet", row_group_size=group)
    return opened(root, domain_column="label", scratch=root.parent)


def test_of_mixed_files_only_the_row_groups_with_windows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chameleon.text.corpora.spool.WHOLE_BYTES", 1000)  # a corpus that is not small
    corpus = mixed(tmp_path / "c")
    texts = {domain.name: domain.text for domain in corpus.domains}
    read = []
    for name in ("common", "rarer", "rare"):
        text = texts[name]
        assert isinstance(text, UnitsText)
        cut(text, 0, 256)
        read.append(sum(text.units.has(number) for number in range(len(text.units))))
    # Of 400 row groups 32 may be read, and a few ahead; domains that share them read them once.
    assert read[0] < 40
    assert read[1] < 50
    assert read[2] < 100
    corpus.close()


def test_labels_are_read_without_text(tmp_path: Path, reads: list[tuple[int, int]]) -> None:
    from chameleon.text.corpora.parquet import parquet_texts
    from chameleon.text.corpora.spool import Spool

    mixed(tmp_path / "c").close()
    path = tmp_path / "c" / "train-0.parquet"
    file = File(str(path), path.stat().st_size, "", str(path), filesystem=Local())
    reads.clear()
    texts, units = parquet_texts([file], "x", "text", "label", {}, (), Spool(tmp_path))
    assert sorted(texts) == ["common", "rare", "rarer"]
    # Two reads for what the file says of itself, and one of a few bytes a row group.
    assert len(reads) <= 2 + 400
    assert max(end - begin for begin, end in reads[2:]) < 200
    reads.clear()
    texts["common"].unit(0)
    assert len(reads) <= 2
    assert sum(end - begin for begin, end in reads) < 0.01 * file.size
    units.close()


class Local:
    """A filesystem that stands for a remote one."""

    async_impl = True

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        return Path(path).read_bytes()[start:end]


def test_large_files_are_sought_in_and_not_read(tmp_path: Path, reads: list[tuple[int, int]]) -> None:
    line = json.dumps({"text": "word " * 200, "meta": {"source": "x" * 50}}) + "\n"
    for name in ("a", "b"):
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / "c" / f"{name}.jsonl").write_text(line * 40_000)
    corpus = opened(tmp_path / "c")
    windows = cut(corpus.domains[0].text, 0, 16)
    assert len(windows.tokens) >= 16
    assert sum(end - begin for begin, end in reads) < 0.5 * len(line) * 40_000


def test_a_grid_for_more_visits_spreads_windows_over_more_units(tmp_path: Path) -> None:
    write_parquet(tmp_path / "c" / "d.parquet", TEXTS, 4)
    write_parquet(tmp_path / "c" / "e.parquet", ["other"], 1)
    corpus = opened(tmp_path / "c", scratch=tmp_path)
    text = corpus.domains[0].text
    spread = [len(set(cut(text, 0, 60, 64, wanted).positions // UNIT_STEP)) for wanted in (8, 256)]
    assert spread[0] < spread[1]
    corpus.close()


@pytest.mark.parametrize("wanted", [1, 5, 7, 1 << 30])
def test_units_that_are_dear_to_read_give_all_windows_of_a_usual_run(
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
        turns = -(-22 // wanted) if wanted > 1 else min(22, grid.schedule.sweeps)
        assert first[: wanted * turns] == order[:wanted] * turns
        assert first[wanted * turns] == order[wanted]
        assert grid.units(0, wanted * turns) == order[:wanted]
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
        assert grid.amount(visit).tokens == pytest.approx(
            sizes * grid.density.value / text.unit_sizes[sorted(read)].sum() * text.unit_sizes.sum()
        )
    places = grid.starts(0, grid.num_visits)
    assert len({(place.unit, place.position) for place in places}) == len(places)
    cells = sum(text.unit(unit).size / grid.cell for unit in range(units))
    assert len(places) == pytest.approx(cells, abs=units)
    corpus.close()


def test_a_grid_lists_places_of_any_visit_alone(text: Text) -> None:
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
    places = grid.starts(0, grid.num_visits)
    assert len({(place.unit, place.position) for place in places}) == len(places)
    corpus.close()


def test_a_large_row_group_is_read_in_pieces(
    tmp_path: Path, reads: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from chameleon.text.corpora.parquet import parquet_texts
    from chameleon.text.corpora.spool import Spool

    texts = ["".join(random.Random(i).choices("abcdefgh ", k=5000)) for i in range(1200)]
    path = tmp_path / "d.parquet"
    pq.write_table(
        pa.table({"text": texts}), path, use_dictionary=False, data_page_size=100_000, write_batch_size=20
    )
    found = []
    for limit in (1 << 40, 1000):
        monkeypatch.setattr("chameleon.text.corpora.parquet._IN_ONE_REQUEST", limit)
        file = File(str(path), path.stat().st_size, str(limit), str(path), filesystem=Local())
        by_name, units = parquet_texts([file], "x", "text", None, {}, (), Spool(tmp_path))
        reads.clear()
        assert documents(by_name[""]) == [text.encode() for text in texts]
        found.append(max(end - begin for begin, end in reads))
        units.close()
    assert found[0] > 0.9 * path.stat().st_size
    assert found[1] < 1.5 * (1 << 20)


def test_labels_that_statistics_tell_are_counted_right(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    table = pa.table({"text": ["x"] * 30 + [" "] * 3, "label": ["a"] * 10 + ["b"] * 23})
    pq.write_table(table, tmp_path / "c" / "0.parquet", row_group_size=10)
    corpus = opened(tmp_path / "c", domain_column="label", scratch=tmp_path)
    assert {domain.name: domain.text.count for domain in corpus.domains} == {"a": 10, "b": 23}
    # Rows of white space are no documents.
    assert [len(documents(domain.text)) for domain in corpus.domains] == [10, 20]
    corpus.close()


def test_small_sources_and_few_units_are_read_all_over() -> None:
    from chameleon.text.corpora.spool import unit_budget

    assert unit_budget(100, 1 << 20, 0.01, 24) >= 100  # small as a whole
    assert unit_budget(20, 1 << 40, 0.01, 24) >= 20  # all of it is read anyway
    assert unit_budget(200, 1 << 40, 0.01, 24) == 24
    assert unit_budget(6000, 1 << 40, 0.01, 24) == 60
    assert unit_budget(10**6, 1 << 50, 0.01, 24) == 10_000
