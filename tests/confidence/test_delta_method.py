"""The delta method against numerical derivatives."""

import numpy as np
import pytest
from simulated_samples import KERNELS, MODES, centres_of, samples_from

from chameleon.confidence.delta_method import variances_by_domain
from chameleon.weights.formula import Formula
from chameleon.weights.options import FormulaSettings, Kernel, Mode
from chameleon.weights.sample import means_of, noise_of


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
