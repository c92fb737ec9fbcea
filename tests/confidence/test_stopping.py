"""Rounds of windows: which domains get more, and when there are enough."""

import numpy as np
import pytest
from simulated_samples import ENDLESS, centres_of, error_of, samples_from

from chameleon.common.errors import InputError
from chameleon.confidence.stopping import estimated_error, next_windows, require_reachable, windows_needed
from chameleon.confidence.verdict import assess
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import windows_wanted
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula
from chameleon.weights.sample import Sample


def test_rounds_double_the_domains_that_the_error_comes_from_until_it_is_within_the_target() -> None:
    centres, formula, target = centres_of(7), Formula.of(7), 0.002
    everything = samples_from(centres, 4096, np.random.default_rng(7))
    available = {each.name: ENDLESS for each in everything}
    counts, rounds = dict.fromkeys(available, 32), 0
    while True:
        samples = [Sample.of(each.name, each.rows[: counts[each.name]]) for each in everything]
        wanted = next_windows(samples, available, formula, target)
        if not wanted:
            break
        assert all(counts[name] <= wanted[name] <= 2 * counts[name] for name in counts)
        counts, rounds = wanted, rounds + 1
    assert 2 <= rounds <= 12
    assert error_of(samples, formula) <= target
    assert max(counts.values()) >= 2 * min(counts.values())  # not all domains alike
    # A quarter of the windows would not do.
    fewer = [Sample.of(each.name, each.rows[: len(each) // 4]) for each in samples]
    assert error_of(fewer, formula) > target


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_rounds_continue_until_the_reported_errors_are_within_the_target(seed: int) -> None:
    """Also where the estimate that rounds go by is lower, and would have ended them."""
    available, formula = {f"domain {i}": 600 for i in range(5)}, Formula.of(5)
    everything = samples_from(centres_of(seed, k=5) / 4, 600, np.random.default_rng(seed))

    def grow(counts: dict[str, int]) -> tuple[list[Sample], float]:
        samples = [Sample.of(each.name, each.rows[: counts[each.name]], None, 600) for each in everything]
        confidence = assess(samples, available, formula, solve(samples, formula), 0.01)
        assert confidence is not None
        return samples, float(confidence.weights.errors.max())

    counts = dict.fromkeys(available, 64)
    samples, largest = grow(counts)
    target = (largest + estimated_error(samples, available, formula)) / 2
    assert target < largest
    assert next_windows(samples, available, formula, target) == {}
    while wanted := windows_wanted(samples, available, Options(target_se=target)):
        assert all(counts[name] <= number <= 2 * counts[name] for name, number in wanted.items())
        counts = wanted
        samples, largest = grow(counts)
    assert max(counts.values()) > 64
    assert largest <= target


def test_rounds_stop_at_the_limit_and_at_the_end_of_a_domain() -> None:
    samples = samples_from(centres_of(8), 64, np.random.default_rng(8))
    available = {each.name: ENDLESS for each in samples} | {"domain 0": 64, "domain 1": 70}
    samples[0] = Sample.of("domain 0", samples[0].rows, available=64)
    samples[1] = Sample.of("domain 1", samples[1].rows, available=70)
    wanted = next_windows(samples, available, Formula.of(7), 1e-6)
    assert wanted == {each.name: 128 for each in samples} | {"domain 0": 64, "domain 1": 70}
    assert next_windows(samples, available, Formula.of(7), 1e-6, most=64) == {}


def test_the_windows_needed_bring_the_error_to_about_the_target() -> None:
    centres, formula, target = centres_of(9), Formula.of(7), 0.001
    everything = samples_from(centres, 6000, np.random.default_rng(9))
    samples = [Sample.of(each.name, each.rows[:128]) for each in everything]
    needed = windows_needed(samples, {each.name: ENDLESS for each in samples}, formula, target)
    then = [Sample.of(each.name, each.rows[: needed[each.name]]) for each in everything]
    assert error_of(then, formula) == pytest.approx(target, rel=0.3)


def test_a_target_out_of_reach_is_refused() -> None:
    samples = samples_from(centres_of(10), 64, np.random.default_rng(10))
    formula, endless = Formula.of(7), {each.name: ENDLESS for each in samples}
    with pytest.raises(
        InputError, match=r"--target_se 1e-06 is out of reach: with 2,048 windows of domain \d"
    ):
        require_reachable(samples, endless, formula, 1e-6)
    require_reachable(samples, endless, formula, 0.01)
    # Domains that can be looked at whole leave nothing open.
    require_reachable(samples, {each.name: 500 for each in samples}, formula, 1e-6)
