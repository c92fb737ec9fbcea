"""A Gaussian process from a mixture to a loss.

The kernel is s^2 exp(-sum_i (u_i - v_i)^2 / (2 l_i^2)) of the fourth roots u of shares: a loss falls steeply
with the first of a domain's text and ever less with more, and the root spreads out the small shares in which
that happens. Scale s, lengths l and noise are those of the largest marginal likelihood (Rasmussen and
Williams 2006, section 5.4).

Shapes: n runs, k domains.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import least_squares, minimize

from chameleon.common.errors import InputError
from chameleon.methods.regmix.runs import Array

# As published: the rest are the library's own defaults. Nothing is stopped early: that needs data to watch.
_SETTINGS = {
    "objective": "regression",
    "learning_rate": 0.01,
    "seed": 42,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


_ROUNDS = 1000


# The library's least number of runs in a leaf; a tree needs two leaves.
_LEAF = 20


LEAST_RUNS = 2 * _LEAF


def fit_boosted(mixtures: Array, losses: Array) -> Callable[[Array], Array]:
    """What predicts (n,) losses of (n, k) mixtures.

    Args:
        mixtures: (n, k).
        losses: (n,).

    Raises:
        InputError: The library is not installed.
    """
    lightgbm = library()
    data = lightgbm.Dataset(mixtures, losses)
    model = lightgbm.train(_SETTINGS, data, _ROUNDS)

    def predict(mixtures: Array) -> Array:
        return np.asarray(model.predict(mixtures), dtype=np.float64)

    return predict


def library() -> Any:  # noqa: ANN401
    """LightGBM.

    Raises:
        InputError: It is not installed.
    """
    try:
        import lightgbm
    except ImportError:
        raise InputError(
            '--regressor lightgbm needs the library LightGBM: pip install "chameleon[regmix]"; or name '
            "loglinear"
        ) from None
    return lightgbm


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


# Pulls that are tried, against squared deviations of losses in units of their variance.
RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


# What no mixture does away with is between no loss at all and nearly the least one: the fit begins at
# the best of these shares of it.
_FLOORS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 0.995)


_MOST_STEPS = 60


_NEARLY = 1e-3


@dataclass(frozen=True, eq=False)
class LogLinearLaw:
    """loss = floor + exp(mixture @ levels).

    Attributes:
        floor: c, in nats a token, at least 0.
        levels: (k,) a.
    """

    floor: float
    levels: Array

    def __call__(self, mixtures: Array) -> Array:
        """(n,) losses of (n, k) mixtures."""
        return np.asarray(self.floor + np.exp(mixtures @ self.levels))


def fit_log_linear(mixtures: Array, losses: Array, ridge: float = 0.0) -> LogLinearLaw:
    """The law that has the least squares.

    Args:
        mixtures: (n, k) shares, each row summing to 1.
        losses: (n,) positive, in nats a token.
        ridge: Weight of the squared deviations of a from its mean, against those of the losses in units of
            their variance.
    """
    k = mixtures.shape[1]
    least, scale = float(losses.min()), float(losses.std()) or 1.0
    highest = least - _NEARLY * scale
    centring = np.sqrt(ridge * len(losses)) * (np.eye(k) - 1 / k)

    def residuals(found: Array) -> Array:
        predicted = found[0] + np.exp(mixtures @ found[1:])
        return np.concatenate([(predicted - losses) / scale, centring @ found[1:]])

    def jacobian(found: Array) -> Array:
        slopes = np.exp(mixtures @ found[1:])[:, None] * mixtures / scale
        ones = np.full((len(losses), 1), 1 / scale)
        return np.block([[ones, slopes], [np.zeros((k, 1)), centring]])

    begins = [_beginning(share * highest, mixtures, losses, centring) for share in _FLOORS]
    begin = min(begins, key=lambda each: float((residuals(each) ** 2).sum()))
    bounds = ([0.0, *[-np.inf] * k], [max(highest, 1e-12), *[np.inf] * k])
    begin[0] = min(begin[0], max(highest, 1e-12))
    found = least_squares(residuals, begin, jacobian, bounds, x_scale="jac", max_nfev=_MOST_STEPS)
    return LogLinearLaw(float(found.x[0]), found.x[1:])


def _beginning(floor: float, mixtures: Array, losses: Array, centring: Array) -> Array:
    """(k + 1,) a floor, and the levels for it: least squares of logarithms, as their slopes weigh them."""
    floor = max(floor, 0.0)
    above = losses - floor
    scale = losses.std() or 1.0
    rows = np.concatenate([mixtures * (above / scale)[:, None], centring])
    wanted = np.concatenate([np.log(above) * above / scale, np.zeros(len(centring))])
    return np.concatenate([[floor], np.linalg.lstsq(rows, wanted, rcond=None)[0]])


def with_best_ridge(
    mixtures: Array, losses: Array, folds: Sequence[npt.NDArray[np.bool_]], ridges: Sequence[float] = RIDGES
) -> LogLinearLaw:
    """The law with the ridge that predicts folds left out best, fitted to all.

    Args:
        mixtures, losses: As of `fit_log_linear`.
        folds: Of each (n,) which runs are left out.
        ridges: What is tried.
    """
    errors = []
    for ridge in ridges:
        laws = [(fold, fit_log_linear(mixtures[~fold], losses[~fold], ridge)) for fold in folds]
        errors.append(sum(float(((law(mixtures[fold]) - losses[fold]) ** 2).sum()) for fold, law in laws))
    return fit_log_linear(mixtures, losses, ridges[int(np.argmin(errors))])
