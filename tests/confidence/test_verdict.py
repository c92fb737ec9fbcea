"""Errors and intervals against simulated truth, and what a weights file says of them."""

import numpy as np
import pytest
from described import described
from simulated_samples import ENDLESS, centres_of, samples_from

from chameleon.confidence.verdict import assess, confidence_notices
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import score_samples
from chameleon.weights.compute import solve
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula
from chameleon.weights.options import FormulaSettings, Kernel, Mode
from chameleon.weights.sample import Sample, means_of, samples_of


def coverage(
    n: int, simulations: int, mode: Mode, kernel: Kernel, copies: int = 1, available: int | None = None
) -> float:
    """How often the intervals of weights and scores hold the truth."""
    held = []
    ridge = None if kernel == "rbf" else 0.5
    formula = Formula.of(7, FormulaSettings(mode=mode, kernel=kernel, lambda_reg=ridge))
    for seed in range(simulations):
        generator = np.random.default_rng(1000 + seed)
        centres = centres_of(seed)
        if available is None:
            samples = samples_from(centres, n, generator)
            truth = formula.solve(centres)
        else:
            every = samples_from(centres, available, generator)
            truth = formula.solve(means_of(every))
            samples = [Sample.of(each.name, each.rows[:n], available=available) for each in every]
        if copies > 1:
            samples = [
                Sample.of(each.name, np.repeat(each.rows, copies, axis=0), np.repeat(np.arange(n), copies))
                for each in samples
            ]
        confidence = assess(
            samples, {each.name: ENDLESS for each in samples}, formula, solve(samples, formula), 1.0
        )
        assert confidence is not None
        for spread, true in ((confidence.weights, truth.weights), (confidence.scores, truth.scores)):
            held += ((spread.intervals[:, 0] <= true) & (true <= spread.intervals[:, 1])).tolist()
    return float(np.mean(held))


@pytest.mark.parametrize(
    ("mode", "kernel", "how"),
    [
        ("pretrain", "rbf", {}),
        ("finetune", "rbf", {}),
        ("pretrain", "linear", {}),
        ("pretrain", "rbf", {"copies": 3}),
        ("pretrain", "rbf", {"available": 300}),
    ],
)
def test_intervals_hold_the_truth_in_95_of_100_samples(
    mode: Mode, kernel: Kernel, how: dict[str, int]
) -> None:
    assert 0.93 <= coverage(128, 100, mode, kernel, **how) <= 0.97


def test_domains_embedded_whole_have_no_error() -> None:
    generator = np.random.default_rng(4)
    samples = samples_from(centres_of(4), 20, generator, available=20)
    confidence = assess(
        samples, {each.name: 20 for each in samples}, Formula.of(7), solve(samples, Formula.of(7)), 0.005
    )
    assert confidence is not None
    assert (confidence.weights.errors < 1e-7).all()
    assert not confidence.needed


def weights_file(n: int, target: float, available: int = ENDLESS) -> DomainWeights:
    samples = samples_from(centres_of(12), n, np.random.default_rng(12))
    options = Options(target_se=target)
    scored = score_samples(samples, {each.name: available for each in samples}, options)
    return described(scored, options)


def test_the_weights_file_holds_errors_intervals_and_order() -> None:
    weights = weights_file(200, 0.05)
    for name, weight in weights.by_name().items():
        facts = weights.domains[name]
        low, high = facts["interval"]
        assert 0 < low < weight < high < 1
        assert (high - low) / facts["standard_error"] == pytest.approx(3.95, rel=0.1)
        low, high = facts["score_interval"]
        assert low < facts["score"] < high
    assert weights.diagnostics["enough_windows"]
    assert "windows_needed" not in weights.diagnostics
    order = weights.diagnostics["order"]
    assert len(order) == 7 * 6 / 2
    by_name = weights.by_name()
    assert all(by_name[each["above"]] >= by_name[each["below"]] for each in order)
    assert all(0 <= each["probability"] <= 1 for each in order)


def test_a_notice_says_how_many_windows_are_needed() -> None:
    weights = weights_file(32, 0.0005)
    assert not weights.diagnostics["enough_windows"]
    most = max(weights.diagnostics["windows_needed"].values())
    assert most > 100
    (notice,) = weights.notices
    assert f"give --num_samples {most}" in notice
    assert "over the target of 0.0005" in notice


def test_a_single_window_leaves_errors_unknown() -> None:
    samples = samples_of(
        {"a": np.ones((1, 3)), "b": np.zeros((5, 3)) + np.arange(5)[:, None], "c": np.eye(3)}
    )
    formula = Formula.of(3)
    solution = solve(samples, formula)
    assert assess(samples, {"a": 9, "b": 9, "c": 9}, formula, solution, 0.01) is None
    (notice,) = confidence_notices([sample.name for sample in samples], None, samples, 0.01)
    assert "a single window" in notice


def test_two_domains_weigh_one_half_without_error() -> None:
    samples = samples_from(centres_of(13, 2), 40, np.random.default_rng(13))
    formula = Formula.of(2)
    confidence = assess(
        samples, {each.name: ENDLESS for each in samples}, formula, solve(samples, formula), 0.005
    )
    assert confidence is not None
    assert confidence.weights.errors.max() < 1e-6
    np.testing.assert_allclose(confidence.weights.intervals, 0.5, atol=1e-6)
