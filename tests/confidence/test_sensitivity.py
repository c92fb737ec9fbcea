"""Weights along lambda, sigma and temperature."""

from typing import Any

import numpy as np
import pytest
from simulated_samples import KERNELS, centres_of, samples_from

from chameleon.confidence.sensitivity import PATH, largest_move, weight_paths
from chameleon.weights.compute import compute_weights, solve
from chameleon.weights.formula import Formula
from chameleon.weights.options import FormulaSettings, Kernel


@pytest.mark.parametrize(("kernel", "lambda_reg"), KERNELS)
def test_paths_hold_the_weights_with_the_changed_settings(kernel: Kernel, lambda_reg: float | None) -> None:
    samples = samples_from(centres_of(14), 50, np.random.default_rng(14))
    formula = Formula.of(7, FormulaSettings(kernel=kernel, lambda_reg=lambda_reg))
    solution = solve(samples, formula)
    embeddings = {each.name: each.rows for each in samples}
    found = weight_paths(samples, formula, solution, PATH)
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


def test_the_largest_move_is_the_one_furthest_from_the_weights() -> None:
    at, by = largest_move(np.array([0.3, 0.3, 0.4]), np.array([[0.3, 0.3, 0.4], [0.3, 0.1, 0.6]]))
    assert at in (1, 2)
    assert by == pytest.approx(0.2)
    at, by = largest_move(np.array([0.5, 0.5]), np.empty((0, 2)))
    assert by == 0
