"""Random mixtures, and the search among them for the lowest predicted loss."""

from typing import Any

import numpy as np
import pytest
from method_runs import dirichlet, runs_of

from chameleon.common.arrays import Array
from chameleon.methods.mixtures import draw_mixtures
from chameleon.methods.options import MethodOptions
from chameleon.methods.regmix.search import find_best_mixture, search
from chameleon.training.options import TrainingOptions


def options_for(**flags: Any) -> MethodOptions:  # noqa: ANN401
    return MethodOptions(training=TrainingOptions(), **flags)


def test_a_longer_list_of_mixtures_begins_with_the_shorter() -> None:
    natural = np.array([0.6, 0.3, 0.1, 0.0])
    many = draw_mixtures(natural, 10_050, 3)
    np.testing.assert_array_equal(many[:20], draw_mixtures(natural, 20, 3))
    np.testing.assert_allclose(many.sum(axis=1), 1)
    assert (many[:, 3] == 0).all()
    assert ((many == 0) | (many >= 1e-3)).all()
    # Their mean is the natural shares' square roots, over their sum.
    np.testing.assert_allclose(many.mean(axis=0), natural**0.5 / (natural**0.5).sum(), atol=0.015)
    assert not np.array_equal(many[:20], draw_mixtures(natural, 20, 4))


def test_caps_hold_in_the_search_and_in_its_result() -> None:
    natural, most = np.array([0.5, 0.3, 0.2]), np.array([1.0, 1.0, 0.25])
    drawn = draw_mixtures(natural, 2000, 0, most)
    assert (drawn <= most + 1e-12).all()

    def third_is_best(mixtures: Array) -> Array:
        return np.asarray(4 - mixtures[:, 2])

    free = search(third_is_best, natural, 0, None, 5000, 16)
    capped = search(third_is_best, natural, 0, most, 5000, 16)
    assert free.weights[2] > 0.9
    assert capped.weights[2] == pytest.approx(0.25)
    assert capped.predicted == pytest.approx(3.75)
    assert capped.predicted_natural == pytest.approx(3.8)


def test_the_best_mixture_of_a_law_is_found() -> None:
    """Two losses, each of which falls with its own domain: the best mean lies between."""
    mixtures = dirichlet(60, 3, 0)
    losses = np.stack([2 + np.exp(-3 * mixtures[:, 0]), 2 + np.exp(-3 * mixtures[:, 1])], axis=1)
    result = find_best_mixture(
        runs_of(mixtures, losses), np.full(3, 1 / 3), None, options_for(num_simulated=20_000)
    )
    np.testing.assert_allclose(result.best.weights, [0.5, 0.5, 0.0], atol=0.05)
    assert result.correlation > 0.99
    one = find_best_mixture(
        runs_of(mixtures, losses),
        np.full(3, 1 / 3),
        None,
        options_for(target_domains=("d0",), num_simulated=20_000),
    )
    assert one.best.weights[0] > 0.95


def test_few_runs_and_a_poor_regression_are_reported() -> None:
    rng = np.random.default_rng(0)
    runs = runs_of(dirichlet(8, 4, 0), rng.normal(5, 1, size=(8, 2)))
    result = find_best_mixture(runs, np.full(4, 0.25), None, options_for(num_simulated=500, num_best=8))
    assert any("8 runs are few for 4 domains: with fewer than 15" in each for each in result.notices)
    assert any("ranks held-out runs poorly" in each for each in result.notices)
