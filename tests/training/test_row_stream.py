"""The row stream: exact shares, whole epochs, and any part of it without the rest."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon.training.row_stream import BLOCK, MAX_ROWS, Phase, RowStream, StreamRows, integer_weights
from chameleon.training.schedule import ScheduledWeights, phases_of

Weights = npt.NDArray[np.float64]


def mixture(weights: Weights, sizes: list[int], seed: int = 0, *later: Phase) -> RowStream:
    names = tuple(f"domain {i}" for i in range(len(sizes)))
    return RowStream(names, np.array(sizes, dtype=np.int64), (Phase(0, weights), *later), seed)


def count_domains(rows: StreamRows, k: int) -> npt.NDArray[np.int64]:
    return np.bincount(rows.domains, minlength=k)


@st.composite
def weights_and_sizes(draw: st.DrawFn) -> tuple[Weights, list[int]]:
    k = draw(st.integers(2, 12))
    raw = draw(st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1)), min_size=k, max_size=k))
    raw[draw(st.integers(0, k - 1))] += 0.5
    weights = np.array(raw) / sum(raw)
    sizes = draw(st.lists(st.integers(1, 5000), min_size=k, max_size=k))
    return weights, [size if weight else 0 for size, weight in zip(sizes, weights, strict=True)]


@given(weights_and_sizes(), st.integers(0, 1 << 40), st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_shares_are_exact_to_a_few_rows_wherever_the_run_ends(
    example: tuple[Weights, list[int]], seed: int, total: int
) -> None:
    weights, sizes = example
    k = len(sizes)
    counts = mixture(weights, sizes, seed).counts(total)
    assert counts.sum() == total
    # One row, half a row per domain by which rows and ticks differ, and the unfinished block.
    assert (abs(counts - total * weights) <= 1 + weights * k + BLOCK).all()
    assert not counts[weights == 0].any()
    if total > 10**6:
        assert counts / total == pytest.approx(weights, abs=1e-4)


def test_after_a_block_each_domain_is_within_a_row_of_its_share() -> None:
    weights = np.array([0.5, 0.3, 0.15, 0.049, 0.001])
    stream = mixture(weights, [100] * 5)
    for rows in range(0, 40_000, 997):
        block = stream._block_of(rows)
        before = stream._rows_before(block)
        assert (abs(stream.counts(before) - before * weights) <= 1 + weights * 2.5).all()


def test_rare_domains_take_turns_from_the_beginning() -> None:
    rare = np.full(10, 0.001)
    stream = mixture(np.array([*rare, 0.99]), [100] * 11)
    for rows in range(100, 3000, 100):
        # Together they always have their share, though each has one row in a thousand.
        assert stream.counts(rows)[:10].sum() == pytest.approx(rows * 0.01, abs=2)


@given(weights_and_sizes(), st.data())
@settings(max_examples=40, deadline=None)
def test_any_part_of_the_stream_is_computed_without_the_rest(
    example: tuple[Weights, list[int]], data: st.DataObject
) -> None:
    weights, sizes = example
    whole = mixture(weights, sizes, 3).rows(0, 6000)
    assert len(whole.domains) == 6000
    first = data.draw(st.integers(0, 6000))
    last = data.draw(st.integers(first, 6000))
    part = mixture(weights, sizes, 3).rows(first, last)
    for mine, all_of_it in zip(part, whole, strict=True):
        np.testing.assert_array_equal(mine, all_of_it[first:last])
    np.testing.assert_array_equal(
        mixture(weights, sizes, 3).counts(last), np.bincount(whole.domains[:last], minlength=len(sizes))
    )


@pytest.mark.parametrize("size", [1, 7, 500, 3000])
def test_each_epoch_of_a_domain_is_a_permutation_of_its_rows(size: int) -> None:
    stream = mixture(np.array([0.5, 0.5]), [size, 10_000], 5)
    rows = stream.rows(0, 9000)
    mine = rows.domains == 0
    for epoch in range((4500 - BLOCK) // size):
        places = rows.places[mine & (rows.epochs == epoch)]
        np.testing.assert_array_equal(np.sort(places), np.arange(size))
    # In the order of the stream, epochs overlap only within a block.
    epochs = rows.epochs[mine]
    assert (np.diff(epochs) >= -(1 + BLOCK // size)).all()
    if size == 500:
        orders = [rows.places[mine & (rows.epochs == epoch)] for epoch in range(3)]
        # The first hundred of one epoch are no more often among those of the next than by chance, a fifth.
        first = [set(order[:100].tolist()) for order in orders]
        assert len(first[0] & first[1]) < 40
        assert len(first[1] & first[2]) < 40
        assert abs(np.corrcoef(orders[0], np.arange(500))[0, 1]) < 0.15


def test_distant_rows_agree_with_their_neighbours() -> None:
    weights = np.array([0.7, 0.2, 0.1])
    for far in (10**6, 10**9, MAX_ROWS - 200):
        rows = mixture(weights, [5, 600, 7000]).rows(far, far + 100)
        assert len(rows.domains) == 100
        again = mixture(weights, [5, 600, 7000]).rows(far + 50, far + 51)
        assert (again.domains[0], again.places[0]) == (rows.domains[50], rows.places[50])
        assert count_domains(rows, 3)[0] > 50


def test_the_order_of_a_domain_does_not_depend_on_the_others() -> None:
    names = ("a", "b", "c")
    sizes = np.array([500, 600, 700])
    three = RowStream(names, sizes, (Phase(0, np.array([0.2, 0.3, 0.5])),), 1).rows(0, 2000)
    two = RowStream(("c", "a"), sizes[[2, 0]], (Phase(0, np.array([0.5, 0.5])),), 1).rows(0, 2000)

    # The first hundred places are the same, but for those of a block; by chance a fifth would be.
    first, again = (set(rows.places[rows.domains == d][:100].tolist()) for rows, d in ((three, 0), (two, 1)))
    assert len(first & again) > 100 - 2 * BLOCK


def test_seeds_give_different_streams_of_the_same_shares() -> None:
    weights = np.array([0.25, 0.75])
    one, other = (mixture(weights, [300, 300], seed).rows(0, 1024) for seed in (0, 1))
    assert not np.array_equal(one.domains, other.domains)
    assert not np.array_equal(one.places, other.places)
    np.testing.assert_array_equal(count_domains(one, 2), count_domains(other, 2))


def test_rows_of_a_domain_are_spread_over_the_stream() -> None:
    rows = mixture(np.array([0.1, 0.9]), [100, 100]).rows(0, 10_000)
    gaps = np.diff(np.flatnonzero(rows.domains == 0))
    assert gaps.max() <= 10 + 2 * BLOCK
    # Not at equal distances: the order within a block is random.
    assert len(set(gaps.tolist())) > 5


def test_weights_change_where_the_schedule_says() -> None:
    schedule = phases_of(
        [ScheduledWeights(0, 0, np.array([1.0, 0.0])), ScheduledWeights(10, 0, np.array([0.0, 1.0]))], 32
    )
    stream = RowStream(("a", "b"), np.array([50, 50]), tuple(schedule), 0)
    rows = stream.rows(0, 640)
    assert not rows.domains[: 10 * 32 - BLOCK].any()
    assert rows.domains[10 * 32 + BLOCK :].all()
    assert count_domains(rows, 2).tolist() == pytest.approx([320, 320], abs=1)
    with pytest.raises(ValueError, match="first phase"):
        RowStream(("a", "b"), np.array([50, 50]), tuple(schedule[1:]), 0)


def test_weights_change_gradually() -> None:
    before, after = np.array([0.9, 0.1]), np.array([0.1, 0.9])
    schedule = phases_of([ScheduledWeights(0, 0, before), ScheduledWeights(100, 200, after)], 8)
    stream = RowStream(("a", "b"), np.array([50, 50]), tuple(schedule), 0)
    steps = np.array([stream.counts(8 * step) for step in range(0, 401, 50)])[:, 0] / 8
    # Steps of "a": 0.9 per step, then falling from 0.9 to 0.1 over steps 100 to 300, then 0.1.
    expected = [0, 45, 90, 130, 160, 180, 190, 195, 200]
    assert steps.tolist() == pytest.approx(expected, abs=1.0)


def test_mean_weights_are_those_of_the_schedule_over_the_run() -> None:
    schedule = phases_of(
        [ScheduledWeights(0, 0, np.array([1.0, 0.0])), ScheduledWeights(10, 20, np.array([0.0, 1.0]))], 8
    )
    stream = RowStream(("a", "b"), np.array([50, 50]), tuple(schedule), 0)
    for steps in (5, 10, 20, 30, 100):
        given_rows = stream.counts(8 * steps) / (8 * steps)
        assert stream.mean_weights(8 * steps) == pytest.approx(given_rows, abs=2 / (8 * steps))


@given(st.lists(st.floats(1e-12, 1), min_size=2, max_size=30))
def test_integer_weights_sum_to_one_and_none_is_lost(raw: list[float]) -> None:
    weights = np.array(raw) / sum(raw)
    parts = integer_weights(weights)
    assert parts.sum() == 1 << 30
    assert (parts > 0).all()
    assert parts / (1 << 30) == pytest.approx(weights, abs=31 / (1 << 30))


def test_a_domain_without_rows_cannot_have_a_weight() -> None:
    with pytest.raises(ValueError, match="without rows"):
        mixture(np.array([0.5, 0.5]), [10, 0])
