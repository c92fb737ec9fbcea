"""The mixture with the lowest loss by the affinity law: against brute force, and by the optimum's conditions.

Shapes: k domains.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from law_cases import Truth, answered
from scipy.optimize import Bounds, LinearConstraint, minimize

from chameleon.common.arrays import Array
from chameleon.methods.law import request
from chameleon.methods.law.optimum import best_mixture, excess
from chameleon.methods.law.transfer import Transfer, transfers

SEEDS = range(12)


class Problem(NamedTuple):
    """A law with one loss for each domain, and floors and caps."""

    slopes: Array
    matrix: Array
    least: Array
    most: Array

    def value(self, weights: Array) -> float:
        return float(self.slopes @ np.log(self.matrix @ weights) / self.slopes.sum())

    def gradient(self, weights: Array) -> Array:
        return np.asarray((self.slopes / (self.matrix @ weights)) @ self.matrix / self.slopes.sum())

    def solved(self) -> Array:
        return best_mixture(*self)


def problem(k: int, seed: int, is_bounded: bool = False) -> Problem:
    """A random one, with some slopes of 0, so that some shares are at their least."""
    random = np.random.default_rng(seed)
    affinities = np.exp(-np.square(random.normal(size=(k, 1)) - random.normal(size=k)))
    matrix = Transfer(0.4, 2.0, 0.01).matrix(affinities, np.eye(k, dtype=bool))
    slopes = random.exponential(size=k) * (random.random(k) < 0.8)
    slopes[0] += 0.1
    least, most = np.zeros(k), np.ones(k)
    if is_bounded:
        least = random.uniform(0, 0.8 / k, size=k)
        most = np.maximum(least, random.uniform(0.9 / k, 3 / k, size=k))
        most[-1] = 1.0
    return Problem(slopes, matrix, least, most)


@pytest.mark.parametrize("is_bounded", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_mixture_of_three_domains_on_a_grid_is_better(seed: int, is_bounded: bool) -> None:
    given = problem(3, seed, is_bounded)
    best = given.solved()
    first, second = np.meshgrid(*[np.linspace(0, 1, 401)] * 2, indexing="ij")
    grid = np.stack([first, second, 1 - first - second], axis=-1).reshape(-1, 3)
    inside = ((grid >= given.least - 1e-12) & (grid <= given.most + 1e-12)).all(axis=1)
    grid = grid[inside]
    values = np.log(grid @ given.matrix.T) @ given.slopes / given.slopes.sum()
    highest = grid[values.argmax()]
    assert values.max() <= given.value(best) + 1e-7
    assert given.value(best) <= values.max() + 0.005  # a step of the grid from it
    assert given.value(best) - values.max() <= given.gradient(highest) @ (best - highest) + 1e-12


@pytest.mark.parametrize("is_bounded", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_optimum_is_that_of_a_general_solver(seed: int, is_bounded: bool) -> None:
    given = problem(4 + seed, seed, is_bounded)
    best = given.solved()
    optimize: Any = minimize  # its annotations are of scipy's own kinds of arrays
    found = optimize(
        lambda w: -given.value(w),
        np.clip(np.full(len(best), 1 / len(best)), given.least, given.most),
        jac=lambda w: -given.gradient(w),
        bounds=Bounds(given.least, given.most),
        constraints=LinearConstraint(np.ones(len(best)), 1, 1),
        method="SLSQP",
        tol=1e-14,
        options={"maxiter": 1000},
    )
    assert found.success
    assert given.value(best) == pytest.approx(-found.fun, abs=2e-7)
    np.testing.assert_allclose(best, found.x, atol=0.01)


@pytest.mark.parametrize("seed", SEEDS)
def test_derivatives_are_equal_but_at_floors_and_caps(seed: int) -> None:
    """The conditions of Karush, Kuhn and Tucker, which are sufficient as the function is concave."""
    for is_bounded in (False, True):
        given = problem(8, seed, is_bounded)
        best = best_mixture(*given, tolerance=1e-10)
        assert best.sum() == pytest.approx(1, abs=1e-12)
        assert (best >= given.least - 1e-12).all()
        assert (best <= given.most + 1e-12).all()
        gradient = given.gradient(best)
        at_floor, at_cap = best < given.least + 1e-4, best > given.most - 1e-4
        free = ~at_floor & ~at_cap
        assert free.any()
        multiplier = gradient[free].mean()
        np.testing.assert_allclose(gradient[free], multiplier, atol=1e-3)
        assert (gradient[at_floor] <= multiplier + 1e-3).all()
        assert (gradient[at_cap] >= multiplier - 1e-3).all()


@pytest.mark.parametrize("is_bounded", [False, True])
def test_the_excess_bounds_the_distance_to_the_optimum(is_bounded: bool) -> None:
    for seed in SEEDS:
        given = problem(6, seed, is_bounded)
        best = best_mixture(*given, tolerance=1e-9)
        start = np.random.default_rng(seed).dirichlet(np.ones(6), size=20)
        # Mixtures of feasible ones are feasible: those between the optimum and optima of other slopes.
        others = [best_mixture(row, *given[1:], tolerance=1e-3) for row in start]
        for share, other in zip(np.linspace(0, 1, len(others)), others, strict=True):
            weights = share * other + (1 - share) * best
            bound = excess(given.gradient(weights), weights, given.least, given.most)
            assert given.value(best) - given.value(weights) <= bound + 1e-12
        assert excess(given.gradient(best), best, given.least, given.most) <= 1e-9


def test_the_excess_moves_what_is_free_to_the_steepest_up_to_its_cap() -> None:
    gradient, weights = np.array([1.0, 5.0, 3.0]), np.array([0.4, 0.3, 0.3])
    free = excess(gradient, weights, np.zeros(3), np.ones(3))
    assert free == pytest.approx(5 - gradient @ weights)
    capped = excess(gradient, weights, np.array([0.2, 0.0, 0.0]), np.array([1.0, 0.5, 1.0]))
    assert capped == pytest.approx(gradient @ [0.2, 0.5, 0.3] - gradient @ weights)
    assert excess(gradient, weights, weights, weights) == pytest.approx(0)


@pytest.mark.parametrize("coefficients", [np.zeros(4), np.array([-1.0, -2.0, 0.0, -1e-3])])
def test_without_a_slope_above_0_shares_are_equal_within_bounds(coefficients: Array) -> None:
    matrix = problem(4, 0).matrix
    free = best_mixture(coefficients, matrix, np.zeros(4), np.ones(4))
    np.testing.assert_allclose(free, 0.25)
    capped = best_mixture(coefficients, matrix, np.zeros(4), np.array([0.1, 1, 1, 1]))
    np.testing.assert_allclose(capped, [0.1, 0.3, 0.3, 0.3])


def test_a_negative_slope_counts_as_0() -> None:
    given = problem(5, 1)
    slopes = given.slopes.copy()
    slopes[2] = -3.0
    without = np.where(slopes > 0, slopes, 0.0)
    np.testing.assert_array_equal(best_mixture(slopes, *given[1:]), best_mixture(without, *given[1:]))


@pytest.mark.parametrize("is_bounded", [False, True])
def test_neither_order_nor_scale_matters(is_bounded: bool) -> None:
    for seed in SEEDS:
        given = problem(6, seed, is_bounded)
        order = np.random.default_rng(seed).permutation(6)
        turned = Problem(
            given.slopes[order], given.matrix[np.ix_(order, order)], given.least[order], given.most[order]
        )
        np.testing.assert_allclose(turned.solved(), given.solved()[order], atol=1e-9)
        np.testing.assert_allclose(
            given._replace(slopes=7 * given.slopes).solved(), given.solved(), atol=1e-9
        )


def test_two_domains_of_one_text_weigh_what_one_weighs_whose_loss_counts_twice() -> None:
    """Equal columns make the loss depend on the sum of both shares, equal rows make it count twice."""
    for seed in SEEDS:
        given = problem(5, seed)
        twice = np.append(np.arange(5), 0)
        split = best_mixture(
            given.slopes[twice], given.matrix[np.ix_(twice, twice)], np.zeros(6), np.ones(6), 1e-10
        )
        slopes = given.slopes.copy()
        slopes[0] *= 2
        once = best_mixture(slopes, given.matrix, np.zeros(5), np.ones(5), 1e-10)
        assert split[0] == pytest.approx(split[5], abs=1e-9)
        np.testing.assert_allclose(np.append(split[0] + split[5], split[1:5]), once, atol=1e-3)
        assert given._replace(slopes=slopes).value(
            np.append(split[0] + split[5], split[1:5])
        ) == pytest.approx(given._replace(slopes=slopes).value(once), abs=1e-8)


def test_a_domain_that_resembles_none_weighs_in_proportion_to_its_slope() -> None:
    """Whatever the others share: its own derivative a / w equals the multiplier, which is sum(a)."""
    for seed in SEEDS:
        given = problem(6, seed)
        matrix = given.matrix.copy()
        matrix[0, 1:] = matrix[1:, 0] = 1e-12
        best = best_mixture(given.slopes, matrix, given.least, given.most, 1e-10)
        assert best[0] == pytest.approx(given.slopes[0] / given.slopes.sum(), abs=2e-4)


def test_the_transfer_counts_own_text_once_and_others_by_their_affinity() -> None:
    affinities = np.array([[1.0, 0.5, 1.2], [0.5, 1.0, -0.1]])
    is_own = np.array([[True, False, False], [False, False, False]])
    matrix = Transfer(0.2, 2.0, 0.003).matrix(affinities, is_own)
    np.testing.assert_allclose(matrix, [[1.003, 0.053, 0.203], [0.053, 0.203, 0.003]])
    np.testing.assert_allclose(Transfer(0.2, 2.0, 0.003).matrix(None, is_own), 0.003 + is_own)
    # A loss on no domain's own text learns from affinities alone: no discount would leave it nothing.
    assert all(each.discount > 0 for each in transfers(affinities, is_own))
    assert any(each.discount == 0 for each in transfers(affinities, is_own[:1]))
    assert len(set(transfers(affinities, is_own))) == len(transfers(affinities, is_own))


def test_a_domain_keeps_a_part_of_its_importance() -> None:
    asked = request.Bounds(np.array([0.1, 0.0, 0.0]), np.array([1.0, 0.2, 1.0]))
    bounds = asked.for_importance(("a", "b", "c"), ("b", "a"), np.array([0.75, 0.25]))
    np.testing.assert_allclose(bounds.floors(0.5), [0.9 * 0.125, 0.2, 0.0])
    np.testing.assert_array_equal(bounds.baseline, asked.baseline)
    np.testing.assert_array_equal(asked.floors(0.5), asked.least)


def test_a_domain_that_needs_none_keeps_the_less_the_surer_the_law_is() -> None:
    truth = Truth.of(4, 3)
    flat = replace(truth, slopes=truth.slopes * [0, 1, 1, 1])
    sure, unsure = (answered(flat.data(8, 0, noise)).weights for noise in (1e-4, 0.1))
    assert sure[0] == pytest.approx(0.1 / 4, abs=1e-6)
    assert unsure[0] > 0.24 / 4
    assert min(sure.min(), unsure.min()) > 0.1 / 4 - 1e-9
