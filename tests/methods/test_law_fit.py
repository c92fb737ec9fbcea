"""The fit of the affinity law: against a dense Bayesian regression, and on losses of a known law.

Shapes: n runs, m losses, k domains, c combinations, v variances.
"""

from dataclasses import replace

import numpy as np
import pytest
from law_cases import Truth, answered
from scipy.special import logsumexp

from chameleon.common.arrays import Array
from chameleon.methods.law import fit
from chameleon.methods.law.deviation import Deviations
from chameleon.methods.law.fit import LawData, fit_law
from chameleon.methods.law.transfer import USUAL, transfers

# A variance in place of a flat prior, in square nats.
_FLAT = 1e4


def deviations_by_formula(mixtures: Array, matrix: Array) -> tuple[Array, Array]:
    """(n, n) covariances of the smooth parts of deviations, and of what is chance in them."""
    k = mixtures.shape[1]
    logs = np.log(mixtures @ matrix.T)
    from_uniform = logs - np.log(matrix @ np.full(k, 1 / k))
    scales = 1 + np.square(from_uniform).mean(axis=1) / 0.7**2
    alike = np.exp(-np.square(logs[:, None] - logs).mean(axis=2) / (2 * 0.7**2))
    return 0.5 * np.outer(scales, scales) * alike, 0.5 * np.diag(scales**2)


class Dense:
    """The joint distribution of all losses of runs on mixtures, some of which were not run.

    Its latent variables are written out, loss by loss: c_l, b and b_l, and the deviations of a run.
    """

    def __init__(self, mixtures: Array, matrix: Array, nu: float, rho: float, variances: Array) -> None:
        n, m = len(mixtures), len(matrix)
        smooth, chance = deviations_by_formula(mixtures, USUAL.matrix(None, np.eye(m, dtype=bool)))
        of_losses = np.diag(variances) + rho / m
        logs = np.log(mixtures @ matrix.T)
        by_constants = np.kron(np.ones((n, 1)), np.eye(m))
        by_slopes = np.vstack([np.diag(-row) for row in logs])
        self.by_slopes = by_slopes
        # In units of sigma^2, and in square nats.
        self.slopes, self.flat_slopes = nu * np.eye(m), np.full((m, m), _FLAT)
        self.relative = by_slopes @ self.slopes @ by_slopes.T + np.kron(smooth, of_losses)
        self.chance = np.kron(chance, of_losses)
        flat = by_constants @ (_FLAT * np.eye(m)) @ by_constants.T
        self.flat = flat + by_slopes @ self.flat_slopes @ by_slopes.T

    def moments(self, losses: Array, wanted: Array, variance: float) -> tuple[float, Array, Array]:
        """Log density of the losses of runs that were seen, and what follows for the others.

        Means and covariance of the m slopes, of a combination of the expected losses of mixtures not run, and
        of what runs on them would show of it.
        """
        size = losses.size
        total = variance * (self.relative + self.chance) + self.flat
        own = total[:size, :size]
        slopes = variance * self.slopes + self.flat_slopes
        cross = slopes @ self.by_slopes.T
        pieces = [cross, wanted @ (variance * self.relative + self.flat)[size:], wanted @ total[size:]]
        rest = np.vstack([piece[..., size:] for piece in pieces]) @ wanted  # of each with what is wanted
        prior = np.block([[slopes, rest[: len(slopes), None], rest[: len(slopes), None]], [rest], [rest]])
        prior[-2:, :-2], prior[-2, -1] = rest[: len(slopes)], rest[-2]
        prior[-2:, -2] = rest[-2]
        rows = np.vstack([piece[..., :size].reshape(-1, size) for piece in pieces])
        weights = np.linalg.solve(own, rows.T).T
        y = losses.ravel()
        density = -0.5 * (np.linalg.slogdet(own)[1] + y @ np.linalg.solve(own, y))
        return float(density), weights @ y, prior - weights @ rows.T


def test_the_posterior_is_that_of_a_dense_regression() -> None:
    truth = Truth.of(3, 5)
    of_losses = np.array([1.0, 3.0, 0.5])
    data = replace(truth.data(6, 1, noise=0.01, common=0.1), affinities=None, variances=of_losses)
    # Near two of the runs, whose deviations from the law the gain then has too.
    weights, baseline = 0.9 * data.mixtures[1:3] + 0.1 / 3
    importance = np.array([0.5, 0.3, 0.2])
    wanted = np.concatenate([-importance, importance])  # a gain: the losses of the baseline less the weights'
    variances = np.exp(np.linspace(np.log(1e-6), np.log(1.0), 160))
    mixtures = np.vstack([data.mixtures, weights, baseline])
    constants = transfers(None, data.is_own)
    logs, means, squares = [], [], []
    # The inverse gamma prior of sigma^2, of shape 1 and scale 1e-4, over steps of its logarithm.
    prior = -np.log(variances) - 1e-4 / variances
    for each in constants:
        for nu in fit._NU:
            for rho in fit._RHO:
                dense = Dense(mixtures, each.matrix(None, data.is_own), float(nu), float(rho), of_losses)
                found = [dense.moments(data.losses, wanted, float(v)) for v in variances]
                log = np.array([density for density, _, _ in found]) + prior
                logs.append(logsumexp(log))
                share = np.exp(log - logs[-1])
                mean = np.array([mean for _, mean, _ in found])
                means.append(share @ mean)
                within = np.array([covariance for _, _, covariance in found])
                squares.append(np.tensordot(share, within + mean[:, :, None] * mean[:, None], 1))
    probabilities = np.exp(np.array(logs) - logsumexp(logs))
    expected = probabilities @ np.array(means)
    covariance = np.tensordot(probabilities, np.array(squares), 1) - np.outer(expected, expected)
    spread = np.sqrt(np.diag(covariance))
    law = fit_law(data)
    order = np.argsort(-probabilities)[: len(law.combinations)]
    np.testing.assert_allclose(
        law.probabilities, probabilities[order] / probabilities[order].sum(), rtol=0.01
    )
    np.testing.assert_allclose(law.slopes, np.array(means)[order, :3], rtol=0.01)
    np.testing.assert_allclose(law.mean_slopes, expected[:3], rtol=0.01)
    draws = law.draw(20_000, np.random.default_rng(0))
    drawn = np.column_stack(
        [draws.slopes, *draws.gains(weights, baseline, importance, np.random.default_rng(1))]
    )
    np.testing.assert_allclose((drawn.mean(axis=0) - expected) / spread, 0, atol=0.03)
    np.testing.assert_allclose(
        np.cov(drawn.T) / np.outer(spread, spread), covariance / np.outer(spread, spread), atol=0.06
    )


def test_deviations_are_independent_contrasts_between_runs() -> None:
    truth = Truth.of(5, 0)
    for n in (2, 4, 9):
        data = truth.data(n, n, noise=0.0)
        deviations = Deviations.of(data.mixtures, data.affinities, data.is_own)
        contrasts = deviations.contrasts
        assert contrasts.shape == (n - 1, n)
        np.testing.assert_allclose(contrasts.sum(axis=1), 0, atol=1e-12)
        # The deviations of runs and of their differences from another mixture, by the formula.
        matrix = USUAL.matrix(data.affinities, data.is_own)
        smooth, chance = deviations_by_formula(data.mixtures, matrix)
        covariance = contrasts @ (smooth + chance) @ contrasts.T
        np.testing.assert_allclose(covariance, np.eye(n - 1), atol=1e-12)
        between = deviations.between(data.mixtures[1], data.mixtures[0])
        np.testing.assert_allclose(between.covariances, contrasts @ (smooth[1] - smooth[0]), atol=1e-12)
        assert between.smooth == pytest.approx(smooth[0, 0] + smooth[1, 1] - 2 * smooth[0, 1])
        assert between.chance == pytest.approx(chance[0, 0] + chance[1, 1])
        same = deviations.between(data.mixtures[1], data.mixtures[1])
        np.testing.assert_array_equal(same.covariances, 0)
        assert same.smooth == pytest.approx(0, abs=1e-9)
        assert same.chance == pytest.approx(2 * chance[1, 1])


def test_slopes_are_found_without_noise() -> None:
    for seed in range(4):
        truth = Truth.of(5, seed)
        law = fit_law(truth.data(12, seed, noise=0.0))
        assert law.most_probable() == USUAL  # by which these losses were drawn
        np.testing.assert_allclose(law.mean_slopes, truth.slopes, rtol=0.02)
        assert law.noise < 0.01
        baseline, mixture = np.full(5, 0.2), np.array([0.5, 0.2, 0.1, 0.1, 0.1])
        gains = law.gains(mixture[None], baseline)[0]
        expected = truth.losses(baseline[None])[0] - truth.losses(mixture[None])[0]
        np.testing.assert_allclose(gains, expected, atol=0.005)


@pytest.mark.parametrize("is_power", [False, True])
def test_the_gain_of_the_answer_lies_in_its_interval(is_power: bool) -> None:
    """Also where losses follow a power, of which the law is only an approximation."""
    hits, certain, gains = [], [], []
    for seed in range(60):
        truth = Truth.of(5, seed, is_power)
        answer = answered(truth.data(4 + seed % 3, 100 + seed, noise=0.004, common=0.003))
        ends = truth.losses(np.stack([answer.baseline, answer.weights]))
        gain = float((ends[0] - ends[1]).mean())
        hits.append(answer.interval[0] <= gain <= answer.interval[1])
        certain.append(answer.is_certain)
        gains.append(gain)
    assert np.mean(hits) >= 0.9
    of_advised = np.array(gains)[certain]
    assert len(of_advised) >= 30  # or the intervals say nothing
    assert np.mean(of_advised > 0) >= (0.85 if is_power else 0.95)


def test_losses_that_do_not_depend_on_mixtures_leave_uniform_weights() -> None:
    advised = 0
    for seed in range(24):
        truth = Truth.of(5, seed)
        data = replace(truth, slopes=np.zeros(5)).data(4 + seed % 3, seed, noise=0.01, common=0.01)
        answer = answered(data)
        advised += answer.is_certain
        assert answer.is_certain or np.array_equal(answer.advice, answer.baseline)
        np.testing.assert_allclose(answer.baseline, 0.2)
    assert advised <= 1


def test_what_all_losses_of_a_run_have_in_common_hardly_moves_the_answer() -> None:
    for seed in range(6):
        data = Truth.of(6, seed).data(8, seed, noise=0.003)
        # Of the runs not on uniform weights the nearest to them, which counts most.
        near = 1 + int(np.ptp(np.log(data.mixtures[1:]), axis=1).argmin())
        shift = np.zeros((8, 1))
        shift[near] = 0.05
        before, after = fit_law(data), fit_law(replace(data, losses=data.losses + shift))
        np.testing.assert_allclose(after.mean_slopes, before.mean_slopes, rtol=0.15)
        # A shift of one loss alone is something to explain.
        shift = np.zeros((8, 6))
        shift[near, 0] = 0.05 * 6**0.5
        one = fit_law(replace(data, losses=data.losses + shift))
        moved = [np.abs(each.mean_slopes - before.mean_slopes).max() for each in (after, one)]
        assert moved[0] < moved[1]


def test_order_of_runs_and_domains_and_constants_of_losses_do_not_matter() -> None:
    for seed in range(3):
        data = Truth.of(5, seed).data(5, seed, noise=0.01)
        law, answer = fit_law(data), answered(data)
        shifted = replace(data, losses=data.losses + np.arange(5.0))
        runs, domains = (np.random.default_rng(seed).permutation(5) for _ in range(2))
        turned = replace(data, mixtures=data.mixtures[runs], losses=data.losses[runs])
        assert data.affinities is not None
        renamed = LawData(
            data.mixtures[:, domains], data.losses[:, domains], data.is_own,
            data.affinities[np.ix_(domains, domains)],
        )  # fmt: skip
        for other, order in ((shifted, np.arange(5)), (turned, np.arange(5)), (renamed, domains)):
            again = fit_law(other)
            np.testing.assert_allclose(again.mean_slopes, law.mean_slopes[order], rtol=1e-6)
            assert again.most_probable() == law.most_probable()
            assert again.noise == pytest.approx(law.noise, rel=1e-6)
            said = answered(other)
            np.testing.assert_allclose(said.weights, answer.weights[order], atol=1e-6)
            # The draws of slopes are in the order of losses, and so others.
            near = 0.1 if other is renamed else 1e-6
            assert said.gain == pytest.approx(answer.gain, abs=near * answer.gain_error)
            assert said.gain_error == pytest.approx(answer.gain_error, rel=2 * near)
            np.testing.assert_allclose(said.interval, answer.interval, atol=5 * near * answer.gain_error)


def test_draws_go_through_resampled_losses_in_turn() -> None:
    data = Truth.of(4, 1).data(6, 1, noise=0.001)
    law = fit_law(data)
    same = law.draw(500, np.random.default_rng(0), np.repeat(data.losses[None], 7, axis=0))
    plain = law.draw(500, np.random.default_rng(0))
    np.testing.assert_allclose(same.slopes, plain.slopes)
    # Of two replicates, each gives every other draw.
    two = law.draw(500, np.random.default_rng(0), np.stack([data.losses, 2 * data.losses]))
    np.testing.assert_allclose(two.slopes[::2].mean(axis=0), law.mean_slopes, rtol=0.05)
    np.testing.assert_allclose(two.slopes[1::2].mean(axis=0), 2 * law.mean_slopes, rtol=0.05)
    # Each also says how probable a combination is: here, that the losses of a run have much in common.
    shifted = data.losses + np.random.default_rng(3).normal(0, 0.05, (6, 1))
    three = law.draw(500, np.random.default_rng(0), np.stack([data.losses, shifted]))
    assert three.rho[1::2].mean() > three.rho[::2].mean() + 1


def test_standard_errors_are_those_of_the_optima_of_the_posterior() -> None:
    """More runs make the answer surer, and its errors are about what it is off.

    They are somewhat large here, where all noise is chance: a law takes most deviations for its own.
    """
    off, errors = [], []
    for seed in range(8):
        truth = Truth.of(5, seed)
        best = answered(truth.data(30, seed, noise=0.0)).weights
        few, many = (answered(truth.data(n, seed, noise=0.01)) for n in (4, 16))
        assert many.standard_errors.mean() < few.standard_errors.mean()
        off.append(np.square(many.weights - best).sum())
        errors.append(np.square(many.standard_errors).sum())
    assert 0.4 < np.mean(off) / np.mean(errors) < 2.5
