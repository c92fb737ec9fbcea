"""How sure weights are: bootstrap and delta method against each other, brute force, and simulated truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from described import described
from scipy import stats

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.confidence.bootstrap import degrees_of_freedom, order_probabilities, replicate, spread_of
from chameleon.confidence.delta_method import variances_by_domain
from chameleon.confidence.pca import Plane, spreads_of
from chameleon.confidence.sensitivity import PATH, largest_move, weight_paths
from chameleon.confidence.stopping import estimated_error, next_windows, require_reachable, windows_needed
from chameleon.confidence.verdict import assess, confidence_notices
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import score_samples, windows_wanted
from chameleon.weights.compute import compute_weights, solve
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula
from chameleon.weights.kept_ratios import KeptRatios
from chameleon.weights.options import FormulaSettings, Kernel, Mode
from chameleon.weights.sample import Sample, means_of, noise_of, samples_of

KERNELS: list[tuple[Kernel, float | None]] = [("rbf", None), ("linear", 0.5)]
MODES: tuple[Mode, ...] = ("pretrain", "finetune")
ENDLESS = 1 << 40


def centres_of(seed: int, k: int = 7, d: int = 48) -> Array:
    return np.asarray(np.random.default_rng(seed).normal(size=(k, d)) * 4 / np.sqrt(d))


def samples_from(
    centres: Array, n: int | Sequence[int], generator: np.random.Generator, available: int | None = None
) -> list[Sample]:
    """Windows about each centre, their covariance falling off over the dimensions."""
    scales = np.exp(-np.arange(centres.shape[1]) / 8)
    scales *= 4 / np.sqrt(np.square(scales).sum())
    counts = [n] * len(centres) if isinstance(n, int) else n
    return [
        Sample.of(
            f"domain {i}",
            (centre + generator.normal(size=(count, len(centre))) * scales).astype("f"),
            None,
            available,
        )
        for i, (centre, count) in enumerate(zip(centres, counts, strict=True))
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kernel", "lambda_reg"), KERNELS)
def test_the_quick_way_for_many_means_is_the_way_for_one(
    kernel: Kernel, lambda_reg: float | None, mode: Mode
) -> None:
    for k, sigma in ((2, None), (7, None), (7, 3.0), (70, None)):
        width = sigma if kernel == "rbf" else None
        settings = FormulaSettings(mode=mode, kernel=kernel, lambda_reg=lambda_reg, rbf_sigma=width)
        formula = Formula.of(k, settings)
        sets = np.stack([centres_of(seed, k) for seed in range(3)])
        noise = np.full(k, 0.01 if kernel == "rbf" else 0.0)
        expected = [formula.solve(means, noise) for means in sets]
        scores = formula.scores_of_many(sets, noise)
        np.testing.assert_allclose(scores, [each.scores for each in expected], atol=1e-12)
        np.testing.assert_allclose(formula.weights(scores), [each.weights for each in expected], atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kernel", "lambda_reg"), KERNELS)
def test_the_delta_method_is_the_derivative(kernel: Kernel, lambda_reg: float | None, mode: Mode) -> None:
    """Each unit's influence moves its domain's mean; the weights move as numerical differentiation says."""
    samples = samples_from(centres_of(0), 9, np.random.default_rng(0))
    formula = Formula.of(7, FormulaSettings(mode=mode, kernel=kernel, lambda_reg=lambda_reg))
    means, noise = means_of(samples), noise_of(samples)
    usable = formula.usable(means, noise)
    found = variances_by_domain(samples, formula, formula.solve(means, usable))
    step, expected = 1e-5, np.zeros((7, 7))
    for c, sample in enumerate(samples):
        for move in sample.influences().astype(np.float64):
            ends = []
            for sign in (-1, 1):
                moved = means.copy()
                moved[c] += sign * step * move
                ends.append(formula.solve(moved, usable).weights)
            expected[:, c] += np.square((ends[1] - ends[0]) / (2 * step))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kernel", "lambda_reg"), KERNELS)
def test_the_bootstrap_is_what_drawing_windows_anew_gives(
    kernel: Kernel, lambda_reg: float | None, mode: Mode
) -> None:
    """Against rows drawn and averaged one replicate at a time, and against the delta method."""
    generator = np.random.default_rng(1)
    samples = samples_from(centres_of(1), 80, generator)
    formula = Formula.of(7, FormulaSettings(mode=mode, kernel=kernel, lambda_reg=lambda_reg))
    solution = solve(samples, formula)
    drawn = []
    for _ in range(400):
        again = [
            Sample.of(
                each.name,
                each.rows[generator.integers(80, size=80)],
            )
            for each in samples
        ]
        means = means_of(again)
        drawn.append(formula.solve(means, formula.usable(means, 2 * noise_of(samples))).weights)
    found = replicate(samples, formula).weights
    expected = np.std(drawn, axis=0) * np.sqrt(80 / 79)
    np.testing.assert_allclose(found.std(axis=0), expected, rtol=0.2)
    delta = np.sqrt(variances_by_domain(samples, formula, solution).sum(axis=1))
    np.testing.assert_allclose(found.std(axis=0), delta, rtol=0.15)
    # Freed of noise twice, replicates lie about the estimate.
    assert np.abs(found.mean(axis=0) - solution.weights).max() < 0.35 * found.std(axis=0).min()


def test_replicates_of_few_windows_lie_about_the_estimate() -> None:
    """Freed of noise once they would lie a quarter of a standard error from it, over these seeds."""
    formula, off = Formula.of(7), []
    for seed in range(8):
        samples = samples_from(centres_of(seed), 24, np.random.default_rng(seed))
        found = replicate(samples, formula).weights
        off.append(np.abs(found.mean(axis=0) - solve(samples, formula).weights) / found.std(axis=0))
    assert np.max(off, axis=1).mean() < 0.17


@pytest.mark.parametrize("closeness", [1.0, 0.1])
def test_the_directions_of_the_bootstrap_lose_nothing(closeness: float) -> None:
    """With width 300 it looks at 6 + 32 directions: errors as with all, for domains hardly apart too."""
    generator = np.random.default_rng(2)
    narrow = samples_from(closeness * centres_of(2, d=30), 60, generator)
    turn = np.linalg.qr(generator.normal(size=(300, 30)))[0]
    wide = [Sample.of(each.name, (each.rows @ turn.T).astype("f")) for each in narrow]
    formula = Formula.of(7, FormulaSettings(rbf_sigma=4.0))
    few, many = (replicate(samples, formula).weights.std(axis=0) for samples in (wide, narrow))
    np.testing.assert_allclose(few, many, rtol=0.1)
    assert (few / many).mean() == pytest.approx(1, abs=0.03)


def test_replicates_go_with_the_names_and_the_seed() -> None:
    samples = samples_from(centres_of(3), 30, np.random.default_rng(3))
    formula = Formula.of(7)
    one, again, other = (replicate(samples, formula, seed=seed).weights for seed in (0, 0, 1))
    turned = replicate(samples[::-1], formula).weights
    np.testing.assert_array_equal(one, again)
    np.testing.assert_allclose(turned[:, ::-1], one, atol=1e-5)
    assert not np.allclose(one, other, atol=1e-3)


def test_exact_means_and_domains_seen_whole_have_no_error() -> None:
    generator = np.random.default_rng(4)
    samples = samples_from(centres_of(4), 20, generator, available=20)
    confidence = assess(
        samples, {each.name: 20 for each in samples}, Formula.of(7), solve(samples, Formula.of(7)), 0.005
    )
    assert confidence is not None
    assert (confidence.weights.errors < 1e-7).all()
    assert not confidence.needed


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


def test_quantiles_are_those_of_students_t() -> None:
    degrees = np.array([1, 2, 3, 4, 5, 7, 11, 17, 25, 40, 80, 500, 1e9])
    values = np.full(13, 0.5)
    replicated = np.tile(np.linspace(0.4, 0.6, 101)[:, None], (1, 13))
    spread = spread_of(values, replicated, degrees)
    logit = np.log(replicated[:, 0] / (1 - replicated[:, 0])).std(ddof=1)
    found = np.log(spread.intervals[:, 1] / (1 - spread.intervals[:, 1])) / logit
    np.testing.assert_allclose(found, stats.t.ppf(0.975, degrees), rtol=0.01)
    np.testing.assert_allclose(spread.intervals.sum(axis=1), 1)


def test_degrees_of_freedom_are_those_of_the_domain_that_errs() -> None:
    centres = centres_of(5)
    generator = np.random.default_rng(5)
    samples = samples_from(centres, [10, *[4000] * 6], generator)
    formula = Formula.of(7)
    degrees = degrees_of_freedom(samples, formula, solve(samples, formula))
    assert degrees[0] == pytest.approx(9, rel=0.3)


def test_order_is_as_sure_as_replicates_agree() -> None:
    replicated = np.array([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.4, 0.4, 0.2], [0.6, 0.2, 0.2]])
    found = order_probabilities(replicated, 3)
    np.testing.assert_allclose(found[0], [0.5, 0.625, 1.0])
    np.testing.assert_allclose(found[1][:2], [0.5, 0.875])


def test_a_plane_has_the_domains_where_their_affinities_put_them() -> None:
    samples = samples_from(centres_of(6), 400, np.random.default_rng(6))
    formula = Formula.of(7)
    solution = solve(samples, formula)
    plane = Plane.of(solution.affinity)
    np.testing.assert_allclose(plane.place(solution.affinity), plane.places, atol=1e-9)
    centring = np.eye(7) - 1 / 7
    values = np.linalg.eigvalsh(centring @ solution.affinity @ centring)[::-1]
    np.testing.assert_allclose(np.square(plane.places).sum(axis=0), values[:2])
    np.testing.assert_allclose(plane.explained, values[:2] / values.sum())
    places = replicate(samples, formula, plane=plane).places
    assert np.abs(places.mean(axis=0) - plane.places).max() < 0.02
    assert np.linalg.eigvalsh(spreads_of(places)).min() > 0


# Rounds


def error_of(samples: list[Sample], formula: Formula) -> float:
    return float(np.sqrt(variances_by_domain(samples, formula, solve(samples, formula)).sum(axis=1).max()))


def test_rounds_double_what_the_error_comes_from_until_it_is_small_enough() -> None:
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
def test_rounds_go_on_until_the_errors_that_are_told_are_within_the_target(seed: int) -> None:
    """Also where the estimate that rounds go by is lower, and would have ended them."""
    available, formula = {f"domain {i}": 600 for i in range(5)}, Formula.of(5)
    everything = samples_from(centres_of(seed, k=5) / 4, 600, np.random.default_rng(seed))

    def told(counts: dict[str, int]) -> tuple[list[Sample], float]:
        samples = [Sample.of(each.name, each.rows[: counts[each.name]], None, 600) for each in everything]
        confidence = assess(samples, available, formula, solve(samples, formula), 0.01)
        assert confidence is not None
        return samples, float(confidence.weights.errors.max())

    counts = dict.fromkeys(available, 64)
    samples, largest = told(counts)
    target = (largest + estimated_error(samples, available, formula)) / 2
    assert target < largest
    assert next_windows(samples, available, formula, target) == {}
    while wanted := windows_wanted(samples, available, Options(target_se=target)):
        assert all(counts[name] <= number <= 2 * counts[name] for name, number in wanted.items())
        counts = wanted
        samples, largest = told(counts)
    assert max(counts.values()) > 64
    assert largest <= target


def test_rounds_end_at_the_most_and_where_a_domain_ends() -> None:
    samples = samples_from(centres_of(8), 64, np.random.default_rng(8))
    available = {each.name: ENDLESS for each in samples} | {"domain 0": 64, "domain 1": 70}
    samples[0] = Sample.of("domain 0", samples[0].rows, available=64)
    samples[1] = Sample.of("domain 1", samples[1].rows, available=70)
    wanted = next_windows(samples, available, Formula.of(7), 1e-6)
    assert wanted == {each.name: 128 for each in samples} | {"domain 0": 64, "domain 1": 70}
    assert next_windows(samples, available, Formula.of(7), 1e-6, most=64) == {}


def test_what_is_needed_is_about_what_then_suffices() -> None:
    centres, formula, target = centres_of(9), Formula.of(7), 0.001
    everything = samples_from(centres, 6000, np.random.default_rng(9))
    samples = [Sample.of(each.name, each.rows[:128]) for each in everything]
    needed = windows_needed(samples, {each.name: ENDLESS for each in samples}, formula, target)
    then = [Sample.of(each.name, each.rows[: needed[each.name]]) for each in everything]
    assert error_of(then, formula) == pytest.approx(target, rel=0.3)


def test_a_target_out_of_reach_is_refused_with_what_is_within() -> None:
    samples = samples_from(centres_of(10), 64, np.random.default_rng(10))
    formula, endless = Formula.of(7), {each.name: ENDLESS for each in samples}
    with pytest.raises(
        InputError, match=r"--target_se 1e-06 is out of reach: with 2,048 windows of domain \d"
    ):
        require_reachable(samples, endless, formula, 1e-6)
    require_reachable(samples, endless, formula, 0.01)
    # Domains that can be looked at whole leave nothing open.
    require_reachable(samples, {each.name: 500 for each in samples}, formula, 1e-6)


def test_a_thousand_domains_take_little_memory() -> None:
    """The replicates' means of all domains would take 20 times what is allowed at once."""
    k, d = 300, 64
    samples = samples_from(centres_of(11, k, d), 8, np.random.default_rng(11))
    found = replicate(samples, Formula.of(k), replicates=50)
    assert found.weights.shape == (50, k)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)


# What a weights file says


def weights_file(n: int, target: float, available: int = ENDLESS) -> DomainWeights:
    samples = samples_from(centres_of(12), n, np.random.default_rng(12))
    options = Options(target_se=target)
    scored = score_samples(samples, {each.name: available for each in samples}, options)
    return described(scored, options)


def test_the_file_says_how_sure_weights_are() -> None:
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


def test_too_few_windows_are_said_with_how_many_there_should_be() -> None:
    weights = weights_file(32, 0.0005)
    assert not weights.diagnostics["enough_windows"]
    most = max(weights.diagnostics["windows_needed"].values())
    assert most > 100
    (notice,) = weights.notices
    assert f"give --num_samples {most}" in notice
    assert "over the target of 0.0005" in notice


def test_one_window_says_nothing_of_how_sure_it_is() -> None:
    samples = samples_of(
        {"a": np.ones((1, 3)), "b": np.zeros((5, 3)) + np.arange(5)[:, None], "c": np.eye(3)}
    )
    formula = Formula.of(3)
    solution = solve(samples, formula)
    assert assess(samples, {"a": 9, "b": 9, "c": 9}, formula, solution, 0.01) is None
    (notice,) = confidence_notices([sample.name for sample in samples], None, samples, 0.01)
    assert "a single window" in notice


def test_two_domains_are_sure_to_weigh_one_half() -> None:
    samples = samples_from(centres_of(13, 2), 40, np.random.default_rng(13))
    formula = Formula.of(2)
    confidence = assess(
        samples, {each.name: ENDLESS for each in samples}, formula, solve(samples, formula), 0.005
    )
    assert confidence is not None
    assert confidence.weights.errors.max() < 1e-6
    np.testing.assert_allclose(confidence.weights.intervals, 0.5, atol=1e-6)


# Sensitivity and kept ratios


@pytest.mark.parametrize(("kernel", "lambda_reg"), KERNELS)
def test_paths_are_the_weights_that_the_settings_give(kernel: Kernel, lambda_reg: float | None) -> None:
    samples = samples_from(centres_of(14), 50, np.random.default_rng(14))
    formula = Formula.of(7, FormulaSettings(kernel=kernel, lambda_reg=lambda_reg))
    solution = solve(samples, formula)
    embeddings = {each.name: each.rows for each in samples}
    found = weight_paths(means_of(samples), noise_of(samples), formula, solution, PATH)
    assert [path.setting for path in found] == (
        ["lambda_reg", "rbf_sigma", "temperature"] if kernel == "rbf" else ["lambda_reg", "temperature"]
    )
    for path in found:
        assert len(path.values) == len(PATH)
        for value, weights in zip(path.values[[0, 8, -1]], path.weights[[0, 8, -1]], strict=True):
            setting: dict[str, Any] = {"lambda_reg": lambda_reg} | {path.setting: value}
            expected = compute_weights(embeddings, kernel=kernel, **setting)
            np.testing.assert_allclose(weights, expected.weights, atol=1e-9)
        np.testing.assert_allclose(path.weights[8], solution.weights, atol=1e-12)


def test_the_largest_move_is_found() -> None:
    at, by = largest_move(np.array([0.3, 0.3, 0.4]), np.array([[0.3, 0.3, 0.4], [0.3, 0.1, 0.6]]))
    assert at in (1, 2)
    assert by == pytest.approx(0.2)
    at, by = largest_move(np.array([0.5, 0.5]), np.empty((0, 2)))
    assert by == 0


def test_kept_ratios_leave_new_domains_their_weight() -> None:
    before = DomainWeights(names=("a", "b", "gone"), weights=np.array([0.3, 0.1, 0.6]), method="x")
    kept = KeptRatios.of(("b", "new", "a"), before, None)
    mixed = kept.mixed(np.array([0.5, 0.2, 0.3]))
    np.testing.assert_allclose(mixed, [0.8 * 0.25, 0.2, 0.8 * 0.75])
    replicated = np.array([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]])
    both = KeptRatios.of(("b", "new", "a"), before, replicated).mixed_replicates(
        np.array([[0.5, 0.2, 0.3]] * 2)
    )
    np.testing.assert_allclose(both, [[0.4, 0.2, 0.4], [0.2, 0.2, 0.6]])
    with pytest.raises(InputError, match="--keep_ratios"):
        KeptRatios.of(("c", "d"), before, None)
