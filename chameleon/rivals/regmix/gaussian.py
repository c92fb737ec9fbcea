"""A Gaussian process from a mixture to a loss.

The kernel is s^2 exp(-sum_i (u_i - v_i)^2 / (2 l_i^2)) of the fourth roots u of shares: a loss falls steeply
with the first of a domain's text and ever less with more, and the root spreads out the small shares in which
that happens. Scale s, lengths l and noise are those of the largest marginal likelihood (Rasmussen and
Williams 2006, section 5.4).

Shapes: n runs, k domains.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from chameleon.rivals.regmix.runs import Array

_ROOT = 0.25
# Logarithms of scale and noise, in units of the losses' deviation, and of lengths in those of the feature's.
_SCALE, _NOISE, _LENGTH = (-3.0, 4.0), (-6.0, 1.0), (-3.0, 6.0)
_FIRST_SCALE, _FIRST_NOISE = 0.5, -1.5
_ITERATIONS = 60
_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """The mean of the process, given runs.

    Attributes:
        mean, deviation: Of the losses.
        features: (n, k) of the runs, over the lengths.
        coefficients: (n,) of the kernel with each run, times s^2.
        parameters: (k + 2,) logarithms of scale, noise and lengths.
    """

    mean: float
    deviation: float
    features: Array
    coefficients: Array
    parameters: Array

    def __call__(self, mixtures: Array) -> Array:
        """(n,) losses of (n, k) mixtures."""
        found = [self._at(mixtures[begin : begin + _AT_ONCE]) for begin in range(0, len(mixtures), _AT_ONCE)]
        return np.concatenate(found) if found else np.empty(0)

    def _at(self, mixtures: Array) -> Array:
        asked = mixtures**_ROOT / np.exp(self.parameters[2:])
        squares = (asked**2).sum(axis=1)[:, None] + (self.features**2).sum(axis=1)
        kernel = np.exp(-0.5 * np.maximum(squares - 2 * asked @ self.features.T, 0.0))
        return np.asarray(self.mean + self.deviation * (kernel @ self.coefficients))


def fit_gaussian(mixtures: Array, losses: Array, begin: Array | None = None) -> GaussianProcess:
    """The process of the largest marginal likelihood.

    Args:
        mixtures: (n, k) shares, each row summing to 1.
        losses: (n,) in nats a token.
        begin: (k + 2,) parameters to look from, such as those of nearly the same runs.
    """
    features = mixtures**_ROOT
    k = features.shape[1]
    mean, deviation = float(losses.mean()), float(losses.std()) or 1.0
    wanted = (losses - mean) / deviation
    apart = [np.subtract.outer(column, column) ** 2 for column in features.T]
    widths = np.log(features.std(axis=0) + 1e-9)
    if begin is None:
        begin = np.concatenate([[_FIRST_SCALE, _FIRST_NOISE], widths + 0.5 * np.log(k)])
    bounds = [_SCALE, _NOISE, *((width + _LENGTH[0], width + _LENGTH[1]) for width in widths)]
    likelihood: Any = partial(_likelihood, apart=apart, wanted=wanted)
    found = minimize(
        likelihood,
        begin,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _ITERATIONS},
    )
    parameters = np.asarray(found.x)
    _, factor = _factored(parameters, apart)
    coefficients = np.exp(2 * parameters[0]) * cho_solve((factor, True), wanted)
    return GaussianProcess(mean, deviation, features / np.exp(parameters[2:]), coefficients, parameters)


def _factored(parameters: Array, apart: list[Array]) -> tuple[Array, Array]:
    """(n, n) the kernel, and the lower Cholesky factor of it with the noise."""
    squares = np.zeros_like(apart[0])
    for length, each in zip(parameters[2:], apart, strict=True):
        squares += np.exp(-2 * length) * each
    kernel = np.exp(2 * parameters[0] - 0.5 * squares)
    noise = np.exp(2 * parameters[1]) * np.eye(len(kernel))
    return kernel, np.asarray(cholesky(kernel + noise, lower=True))


def _likelihood(parameters: Array, apart: list[Array], wanted: Array) -> tuple[float, Array]:
    """The negative logarithm of the marginal likelihood, but for a constant, and its gradient."""
    kernel, factor = _factored(parameters, apart)
    inverse = cho_solve((factor, True), np.eye(len(kernel)))
    solved = inverse @ wanted
    value = 0.5 * wanted @ solved + np.log(np.diag(factor)).sum()
    slopes = inverse - np.outer(solved, solved)
    weighed = slopes * kernel
    gradient = np.empty_like(parameters)
    gradient[0] = weighed.sum()
    gradient[1] = np.trace(slopes) * np.exp(2 * parameters[1])
    for i, (length, each) in enumerate(zip(parameters[2:], apart, strict=True), 2):
        gradient[i] = 0.5 * np.exp(-2 * length) * np.vdot(weighed, each)
    return float(value), gradient
