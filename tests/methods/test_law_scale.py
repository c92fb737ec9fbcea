"""Slopes of the affinity law carried to another number of tokens.

Shapes: m losses, k domains, d draws.
"""

from dataclasses import replace

import numpy as np
import pytest
from law_cases import Truth

from chameleon.common.arrays import Array
from chameleon.methods.law.answer import carried_answer
from chameleon.methods.law.deviation import Deviations
from chameleon.methods.law.fit import Draws, fit_law
from chameleon.methods.law.request import Bounds
from chameleon.methods.law.scale import carry, exponents_of

TOKENS = (1e6, 4e6)


def draws_of(slopes: Array, spread: float, seed: int, number: int = 2000) -> Draws:
    """Draws about (m,) slopes, of domains that are their own only."""
    m, random = len(slopes), np.random.default_rng(seed)
    mixtures = random.dirichlet(np.ones(m), size=3)
    deviations = Deviations.of(mixtures, None, np.eye(m, dtype=bool))
    return Draws(
        np.eye(m)[None] + 0.003,
        np.zeros(number, dtype=np.int64),
        slopes + spread * random.standard_normal((number, m)),
        np.full(number, 1e-6),
        np.ones(m),
        np.zeros(number),
        np.zeros((number, 2, m)),
        deviations,
    )


def by_power(exponents: Array, tokens: float) -> Array:
    """(m,) slopes that fall with a power of the tokens."""
    return np.asarray(np.linspace(0.2, 0.6, len(exponents)) * (tokens / 1e6) ** -exponents)


def test_slopes_that_follow_a_power_are_carried_along_it() -> None:
    exponents = np.array([0.05, 0.2, 0.35, 0.1])
    short, long = (draws_of(by_power(exponents, each), 1e-6, seed) for seed, each in enumerate(TOKENS))
    found = exponents_of(short.slopes, long.slopes, TOKENS, 0)
    np.testing.assert_allclose(found.mean(axis=0), exponents, atol=1e-4)
    assert (found.std(axis=0) < 1e-3).all()
    for budget in (1e5, 1e6, 4e6, 1e8, 1e10):
        carried = carry(short, long, TOKENS, budget, 0)
        np.testing.assert_allclose(carried.slopes.mean(axis=0), by_power(exponents, budget), rtol=0.005)
    np.testing.assert_allclose(carry(short, long, TOKENS, 4e6, 0).slopes, long.slopes)
    assert carry(short, long, TOKENS, 1e8, 0).matrices is long.matrices
    again = carry(short, long, TOKENS, 1e8, 0)
    np.testing.assert_array_equal(again.slopes, carry(short, long, TOKENS, 1e8, 0).slopes)


def test_the_further_the_budget_the_less_is_known() -> None:
    exponents = np.array([0.1, 0.2, 0.3])
    short, long = (draws_of(by_power(exponents, each), 0.01, seed) for seed, each in enumerate(TOKENS))
    spreads = []
    for budget in (4e6, 4e7, 4e8, 4e9):
        slopes = carry(short, long, TOKENS, budget, 0).slopes
        spreads.append(np.log(slopes).std(axis=0))
    assert (np.diff(spreads, axis=0) > 0).all()
    # An error of an exponent counts by the logarithm of the distance.
    rise = np.diff(spreads[1:], axis=0)
    np.testing.assert_allclose(rise[0], rise[1], rtol=0.15)


def test_an_unsure_exponent_stays_near_the_mean_of_all() -> None:
    """As in a regression with a normal prior: the mean of each is between its own and that of all."""
    exponents = np.array([0.0, 0.4, 0.2, 0.2])
    spreads, found = (0.001, 0.02, 0.1), []
    for spread in spreads:
        short, long = (draws_of(by_power(exponents, each), spread, seed) for seed, each in enumerate(TOKENS))
        found.append(exponents_of(short.slopes, long.slopes, TOKENS, 0).mean(axis=0))
    apart = [float(each[1] - each[0]) for each in found]
    assert apart[0] == pytest.approx(0.4, abs=0.01)
    assert apart[0] > apart[1] > 0.1 > abs(apart[2])
    short, long = (draws_of(by_power(exponents, each), 0.02, seed) for seed, each in enumerate(TOKENS))
    means, errors = (
        [each.slopes.mean(axis=0) for each in (short, long)],
        [each.slopes.std(axis=0) for each in (short, long)],
    )
    span = np.log(4)
    own = np.log(means[0] / means[1]) / span
    variance = (np.square(errors[0] / means[0]) + np.square(errors[1] / means[1])) / span**2
    of_all = np.log(short.slopes.sum(axis=1) / long.slopes.sum(axis=1)).mean() / span
    expected = (own / variance + of_all / 0.1**2) / (1 / variance + 1 / 0.1**2)
    np.testing.assert_allclose(found[1], expected, atol=0.01)


def test_slopes_that_are_not_clearly_above_0_stay_finite() -> None:
    slopes = np.array([0.3, 0.0, -0.2, 0.001])
    cases = [(slopes, slopes / 2), (-slopes, slopes), (slopes, -slopes), (0 * slopes, 0 * slopes)]
    for first, second in cases:
        for spread in (0.0, 0.05):
            short, long = draws_of(first, spread, 0, 200), draws_of(second, spread, 1, 200)
            exponents = exponents_of(short.slopes, long.slopes, TOKENS, 0)
            assert np.isfinite(exponents).all()
            if spread == 0:
                # That of a slope of 0 is known as before any run.
                assert exponents[:, 1].std() == pytest.approx(0.1, rel=0.2)
            carried = carry(short, long, TOKENS, 1e9, 0)
            assert np.isfinite(carried.slopes).all()
            # Its exponent is that of all others, from -0.5 to 1, and so is what it moves by.
            assert (exponents[:, 1:].mean(axis=0) > -0.55).all()
            assert (exponents[:, 1:].mean(axis=0) < 1.05).all()
            answer = carried_answer(carried, np.full(4, 0.25), Bounds(np.zeros(4), np.ones(4)), 0)
            assert np.isfinite([answer.gain, answer.gain_error, *answer.interval, *answer.weights]).all()
            assert answer.weights.sum() == pytest.approx(1)


def test_the_weights_move_to_domains_whose_slopes_fall_slower() -> None:
    exponents = np.array([0.0, 0.3, 0.3])
    truth = replace(Truth.of(3, 0), affinities=np.eye(3), matrix=np.eye(3) + 0.003)
    draws = []
    for seed, tokens in enumerate(TOKENS):
        at = replace(truth, slopes=0.4 * (tokens / 1e6) ** -exponents)
        law = fit_law(at.data(8, seed, noise=0.001))
        draws.append(law.draw(300, np.random.default_rng(seed)))
    bounds, importance = Bounds(np.zeros(3), np.ones(3)), np.full(3, 1 / 3)
    shares = []
    for budget in (4e6, 4e7, 4e8):
        answer = carried_answer(carry(draws[0], draws[1], TOKENS, budget, 0), importance, bounds, 0)
        slopes = 0.4 * (budget / 1e6) ** -exponents
        expected = slopes / slopes.sum()  # for domains that resemble none
        np.testing.assert_allclose(answer.weights, expected, atol=0.05)
        shares.append(answer.weights[0])
    assert shares == sorted(shares)
