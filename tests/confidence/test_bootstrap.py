"""The bootstrap against brute force and the delta method, and the quantiles of its intervals."""

import numpy as np
import pytest
from scipy import stats
from simulated_samples import KERNELS, MODES, centres_of, samples_from

from chameleon.confidence.bootstrap import degrees_of_freedom, order_probabilities, replicate, spread_of
from chameleon.confidence.delta_method import variances_by_domain
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula
from chameleon.weights.options import FormulaSettings, Kernel, Mode
from chameleon.weights.sample import Sample, means_of, noise_of


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kernel", "lambda_reg"), KERNELS)
def test_scores_of_many_sets_of_means_are_those_of_each_set(
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
def test_the_bootstrap_agrees_with_drawing_windows_again(
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


def test_replicates_depend_on_the_names_and_the_seed_alone() -> None:
    samples = samples_from(centres_of(3), 30, np.random.default_rng(3))
    formula = Formula.of(7)
    one, again, other = (replicate(samples, formula, seed=seed).weights for seed in (0, 0, 1))
    turned = replicate(samples[::-1], formula).weights
    np.testing.assert_array_equal(one, again)
    np.testing.assert_allclose(turned[:, ::-1], one, atol=1e-5)
    assert not np.allclose(one, other, atol=1e-3)


def test_a_thousand_domains_take_little_memory() -> None:
    """The replicates' means of all domains would take 20 times what is allowed at once."""
    k, d = 300, 64
    samples = samples_from(centres_of(11, k, d), 8, np.random.default_rng(11))
    found = replicate(samples, Formula.of(k), replicates=50)
    assert found.weights.shape == (50, k)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)


def test_quantiles_are_those_of_students_t() -> None:
    degrees = np.array([1, 2, 3, 4, 5, 7, 11, 17, 25, 40, 80, 500, 1e9])
    values = np.full(13, 0.5)
    replicated = np.tile(np.linspace(0.4, 0.6, 101)[:, None], (1, 13))
    spread = spread_of(values, replicated, degrees)
    logit = np.log(replicated[:, 0] / (1 - replicated[:, 0])).std(ddof=1)
    found = np.log(spread.intervals[:, 1] / (1 - spread.intervals[:, 1])) / logit
    np.testing.assert_allclose(found, stats.t.ppf(0.975, degrees), rtol=0.01)
    np.testing.assert_allclose(spread.intervals.sum(axis=1), 1)


def test_degrees_of_freedom_are_those_of_the_domain_that_the_error_comes_from() -> None:
    centres = centres_of(5)
    generator = np.random.default_rng(5)
    samples = samples_from(centres, [10, *[4000] * 6], generator)
    formula = Formula.of(7)
    degrees = degrees_of_freedom(samples, formula, solve(samples, formula))
    assert degrees[0] == pytest.approx(9, rel=0.3)


def test_the_probability_of_an_order_is_the_share_of_replicates_with_it() -> None:
    replicated = np.array([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.4, 0.4, 0.2], [0.6, 0.2, 0.2]])
    found = order_probabilities(replicated, 3)
    np.testing.assert_allclose(found[0], [0.5, 0.625, 1.0])
    np.testing.assert_allclose(found[1][:2], [0.5, 0.875])
