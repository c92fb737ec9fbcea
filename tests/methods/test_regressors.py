"""RegMix's regressors and the choice among them by cross-validation."""

import math
import sys

import numpy as np
import pytest
from conftest import ROOT
from method_runs import dirichlet, runs_of
from scipy.optimize import check_grad

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.methods.regmix import regressors
from chameleon.methods.regmix.regressors import (
    fit_gaussian_process,
    fit_log_linear,
    fit_log_linear_with_best_ridge,
)
from chameleon.methods.regmix.selection import (
    correlation_interval,
    cross_validate,
    fit,
    folds_of,
    rank_correlation,
    rank_regressors,
)
from chameleon.methods.runs import Runs, read_runs

DATA = ROOT / "tests" / "data"


@pytest.fixture(scope="module")
def published() -> tuple[Runs, Runs]:
    """The first 60 of the published runs, and 60 of those for testing."""
    return (
        read_runs(DATA / "regmix_train_mixtures.csv", DATA / "regmix_train_losses.csv"),
        read_runs(DATA / "regmix_test_mixtures.csv", DATA / "regmix_test_losses.csv"),
    )


def test_the_law_is_recovered_where_it_holds() -> None:
    levels, floor = np.array([0.3, -0.5, 1.1, 0.0, -1.2]), 1.7
    mixtures = dirichlet(40, 5, 0)
    losses = floor + np.exp(mixtures @ levels)
    law = fit_log_linear(mixtures, losses)
    assert law.floor == pytest.approx(floor, abs=1e-5)
    np.testing.assert_allclose(law.levels, levels, atol=1e-4)
    others = dirichlet(50, 5, 1)
    np.testing.assert_allclose(law(others), floor + np.exp(others @ levels), atol=1e-6)


def test_a_ridge_shrinks_levels_and_is_chosen_by_cross_validation() -> None:
    mixtures, rng = dirichlet(18, 8, 0), np.random.default_rng(1)
    levels = rng.normal(size=8)
    losses = 2 + np.exp(mixtures @ levels) + 0.1 * rng.normal(size=18)
    spreads = [fit_log_linear(mixtures, losses, ridge).levels.std() for ridge in (0.0, 0.01, 1.0)]
    assert spreads[0] > spreads[1] > spreads[2]
    folds = folds_of(18, 0)
    with_ridge, without = (
        fit_log_linear_with_best_ridge(mixtures, losses, folds),
        fit_log_linear(mixtures, losses),
    )
    others = dirichlet(500, 8, 2)
    truth = 2 + np.exp(others @ levels)
    errors = [float(((law(others) - truth) ** 2).mean()) for law in (with_ridge, without)]
    assert errors[0] < errors[1]


def test_the_gaussian_process_follows_its_formula() -> None:
    mixtures = dirichlet(30, 4, 0)
    losses = np.sin(5 * mixtures[:, 0]) + mixtures[:, 1] + 3
    process = fit_gaussian_process(mixtures, losses)
    scale, noise, lengths = (
        np.exp(process.parameters[0]), np.exp(process.parameters[1]), np.exp(process.parameters[2:]),
    )  # fmt: skip
    others = dirichlet(7, 4, 1)

    def kernel(one: Array, other: Array) -> Array:
        apart = (one[:, None] ** 0.25 - other[None] ** 0.25) / lengths
        return np.asarray(scale**2 * np.exp(-(apart**2).sum(axis=2) / 2))

    wanted = (losses - losses.mean()) / losses.std()
    covariance = kernel(mixtures, mixtures) + noise**2 * np.eye(30)
    expected = losses.mean() + losses.std() * kernel(others, mixtures) @ np.linalg.inv(covariance) @ wanted
    np.testing.assert_allclose(process(others), expected, rtol=1e-8)


def test_the_gradient_of_the_likelihood() -> None:
    mixtures = dirichlet(12, 3, 0)
    wanted = np.random.default_rng(0).normal(size=12)
    apart = [np.subtract.outer(column, column) ** 2 for column in (mixtures**0.25).T]

    def value(parameters: Array) -> float:
        return regressors._negative_likelihood(parameters, apart, wanted)[0]

    def slope(parameters: Array) -> Array:
        return regressors._negative_likelihood(parameters, apart, wanted)[1]

    for seed in range(3):
        at = np.random.default_rng(seed).normal(size=5) * 0.3 - 0.5
        assert check_grad(value, slope, at) < 1e-4


def test_regressors_rank_the_published_runs(published: tuple[Runs, Runs]) -> None:
    """Each regressor ranks as well as was measured; benchmarks/results has the figures of more runs."""
    train, test = published
    assert len(train) == len(test) == 60
    assert len(train.names) == 17

    def ranked(regressor: str) -> float:
        predictions = fit(regressor, train, 0)
        pairs = zip(predictions, test.losses.T, strict=True)
        return float(np.mean([rank_correlation(each(test.mixtures), measured) for each, measured in pairs]))

    process, law, trees = ranked("gp"), ranked("loglinear"), ranked("lightgbm")
    assert process > 0.96
    assert process > law > 0.85
    assert law > trees > 0.6
    assert rank_regressors(train, None, 0)[0].regressor == "gp"


def test_cross_validation_does_not_see_the_held_out_runs() -> None:
    """Losses that are pure noise cannot be predicted for held-out runs."""
    runs = runs_of(dirichlet(60, 4, 0), np.random.default_rng(1).normal(5, 1, size=(60, 1)))
    for regressor in ("gp", "loglinear", "lightgbm"):
        validation = cross_validate(regressor, runs, 0)
        assert abs(rank_correlation(validation.predicted[:, 0], runs.losses[:, 0])) < 0.35
        assert validation.error > 0.8


def test_the_law_is_chosen_where_it_holds() -> None:
    mixtures = dirichlet(14, 6, 0)
    losses = 1 + np.exp(mixtures @ np.array([0.5, 1.0, -1.0, 0.2, -0.3, 2.0]))
    assert rank_regressors(runs_of(mixtures, losses[:, None]), None, 0)[0].regressor == "loglinear"


def test_folds_hold_each_run_once() -> None:
    for n in (3, 5, 17):
        assert (np.sum(folds_of(n, 0), axis=0) == 1).all()


def test_intervals_cover_the_correlation_at_their_level() -> None:
    """Pairs from a bivariate normal, whose rank correlation is known: 6 / pi asin(r / 2)."""
    rng, r, n = np.random.default_rng(0), 0.8, 40
    truth = 6 / math.pi * math.asin(r / 2)
    held = 0
    for _ in range(400):
        one = rng.normal(size=n)
        other = r * one + math.sqrt(1 - r * r) * rng.normal(size=n)
        low, high = correlation_interval(rank_correlation(one, other), n)
        held += low <= truth <= high
    assert 0.92 < held / 400 < 0.98
    assert correlation_interval(0.5, 3) == (-1.0, 1.0)


def test_lightgbm_is_optional(monkeypatch: pytest.MonkeyPatch, published: tuple[Runs, Runs]) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(InputError, match=r"pip install \"\.\[regmix\]\" in the project's directory"):
        fit("lightgbm", published[0], 0)
    assert "lightgbm" not in [each.regressor for each in rank_regressors(published[0], None, 0)]
