"""Regressors from a mixture to a loss: a Gaussian process, a log-linear law, and trees of LightGBM.

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

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError

# Gaussian process: bounds of the logarithms of scale and noise, in units of the losses' standard deviation,
# and of lengths, in units of the feature's.
_SCALE, _NOISE, _LENGTH = (-3.0, 4.0), (-6.0, 1.0), (-3.0, 6.0)
_FIRST_SCALE, _FIRST_NOISE = 0.5, -1.5
_ROOT = 0.25
_MOST_ITERATIONS = 60
_CHUNK = 8192

# Log-linear law: ridges among which cross-validation chooses, in units of the losses' variance.
RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# The fit begins at the best of these floors, as shares of nearly the lowest loss.
_FLOORS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 0.995)
# The highest floor is below the lowest loss by this many standard deviations of the losses.
_FLOOR_MARGIN = 1e-3
_MOST_EVALUATIONS = 60

# LightGBM, as published: the rest are the library's own defaults. Early stopping would need data to watch.
_LIGHTGBM = {
    "objective": "regression",
    "learning_rate": 0.01,
    "seed": 42,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_LIGHTGBM_ROUNDS = 1000
# A tree needs two leaves, of at least 20 runs by the library's default.
LEAST_RUNS_OF_LIGHTGBM = 40


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """The mean of a Gaussian process given runs.

    The kernel is s^2 exp(-sum_i (u_i - v_i)^2 / (2 l_i^2)) of the fourth roots u of shares: a loss falls
    steeply with the first of a domain's text and ever less with more, and the root spreads out the small
    shares where that happens.

    Attributes:
        mean, deviation: Mean and standard deviation of the losses.
        features: (n, k) features of the runs, over the lengths.
        coefficients: (n,) coefficients of the kernel with each run, times s^2.
        parameters: (k + 2,) logarithms of scale s, noise and lengths l.
    """

    mean: float
    deviation: float
    features: Array
    coefficients: Array
    parameters: Array

    def __call__(self, mixtures: Array) -> Array:
        """(n,) losses of (n, k) mixtures."""
        chunks = [self._predict(mixtures[i : i + _CHUNK]) for i in range(0, len(mixtures), _CHUNK)]
        return np.concatenate(chunks) if chunks else np.empty(0)

    def _predict(self, mixtures: Array) -> Array:
        features = mixtures**_ROOT / np.exp(self.parameters[2:])
        norms = (features**2).sum(axis=1)[:, None] + (self.features**2).sum(axis=1)
        kernel = np.exp(-0.5 * np.maximum(norms - 2 * features @ self.features.T, 0.0))
        return np.asarray(self.mean + self.deviation * (kernel @ self.coefficients))


def fit_gaussian_process(mixtures: Array, losses: Array, begin: Array | None = None) -> GaussianProcess:
    """The Gaussian process with the largest marginal likelihood (Rasmussen and Williams 2006, section 5.4).

    Args:
        mixtures: (n, k) shares, each row summing to 1.
        losses: (n,) in nats per token.
        begin: (k + 2,) parameters to start from, such as those for nearly the same runs.
    """
    features = mixtures**_ROOT
    k = features.shape[1]
    mean, deviation = float(losses.mean()), float(losses.std()) or 1.0
    targets = (losses - mean) / deviation
    distances = [np.subtract.outer(column, column) ** 2 for column in features.T]
    widths = np.log(features.std(axis=0) + 1e-9)
    if begin is None:
        begin = np.concatenate([[_FIRST_SCALE, _FIRST_NOISE], widths + 0.5 * np.log(k)])
    bounds = [_SCALE, _NOISE, *((width + _LENGTH[0], width + _LENGTH[1]) for width in widths)]
    likelihood: Any = partial(_negative_likelihood, distances=distances, targets=targets)
    solution = minimize(
        likelihood, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MOST_ITERATIONS}
    )
    parameters = np.asarray(solution.x)
    _, factor = _kernel_and_factor(parameters, distances)
    coefficients = np.exp(2 * parameters[0]) * cho_solve((factor, True), targets)
    return GaussianProcess(mean, deviation, features / np.exp(parameters[2:]), coefficients, parameters)


def _kernel_and_factor(parameters: Array, distances: list[Array]) -> tuple[Array, Array]:
    """(n, n) the kernel, and the lower Cholesky factor of kernel plus noise."""
    exponents = np.zeros_like(distances[0])
    for length, each in zip(parameters[2:], distances, strict=True):
        exponents += np.exp(-2 * length) * each
    kernel = np.exp(2 * parameters[0] - 0.5 * exponents)
    noise = np.exp(2 * parameters[1]) * np.eye(len(kernel))
    return kernel, np.asarray(cholesky(kernel + noise, lower=True))


def _negative_likelihood(parameters: Array, distances: list[Array], targets: Array) -> tuple[float, Array]:
    """The negative log marginal likelihood of (n,) standardised losses up to a constant, and its gradient.

    The k `distances` are the (n, n) squared differences of each feature.
    """
    kernel, factor = _kernel_and_factor(parameters, distances)
    inverse = cho_solve((factor, True), np.eye(len(kernel)))
    solved = inverse @ targets
    value = 0.5 * targets @ solved + np.log(np.diag(factor)).sum()
    slopes = inverse - np.outer(solved, solved)
    kernel_slopes = slopes * kernel
    gradient = np.empty_like(parameters)
    gradient[0] = kernel_slopes.sum()
    gradient[1] = np.trace(slopes) * np.exp(2 * parameters[1])
    for i, (length, each) in enumerate(zip(parameters[2:], distances, strict=True), 2):
        gradient[i] = 0.5 * np.exp(-2 * length) * np.vdot(kernel_slopes, each)
    return float(value), gradient


@dataclass(frozen=True, eq=False)
class LogLinearLaw:
    """loss = floor + exp(mixture @ levels).

    Attributes:
        floor: c, in nats per token, at least 0.
        levels: (k,) a.
    """

    floor: float
    levels: Array

    def __call__(self, mixtures: Array) -> Array:
        """(n,) losses of (n, k) mixtures."""
        return np.asarray(self.floor + np.exp(mixtures @ self.levels))


def fit_log_linear(mixtures: Array, losses: Array, ridge: float = 0.0) -> LogLinearLaw:
    """The log-linear law by least squares.

    Args:
        mixtures: (n, k) shares, each row summing to 1.
        losses: (n,) positive, in nats per token.
        ridge: Weight of the squared deviations of a from its mean, relative to those of the losses in units
            of their variance.
    """
    k = mixtures.shape[1]
    lowest, scale = float(losses.min()), float(losses.std()) or 1.0
    highest_floor = lowest - _FLOOR_MARGIN * scale
    centring = np.sqrt(ridge * len(losses)) * (np.eye(k) - 1 / k)

    def residuals(law: Array) -> Array:
        predicted = law[0] + np.exp(mixtures @ law[1:])
        return np.concatenate([(predicted - losses) / scale, centring @ law[1:]])

    def jacobian(law: Array) -> Array:
        slopes = np.exp(mixtures @ law[1:])[:, None] * mixtures / scale
        ones = np.full((len(losses), 1), 1 / scale)
        return np.block([[ones, slopes], [np.zeros((k, 1)), centring]])

    begins = [_start_at(share * highest_floor, mixtures, losses, centring) for share in _FLOORS]
    begin = min(begins, key=lambda each: float((residuals(each) ** 2).sum()))
    bounds = ([0.0, *[-np.inf] * k], [max(highest_floor, 1e-12), *[np.inf] * k])
    begin[0] = min(begin[0], max(highest_floor, 1e-12))
    law = least_squares(residuals, begin, jacobian, bounds, x_scale="jac", max_nfev=_MOST_EVALUATIONS).x
    return LogLinearLaw(float(law[0]), law[1:])


def _start_at(floor: float, mixtures: Array, losses: Array, centring: Array) -> Array:
    """(k + 1,) a floor, and the levels for it by least squares of logarithms, weighted by their slopes."""
    floor = max(floor, 0.0)
    above = losses - floor
    scale = losses.std() or 1.0
    rows = np.concatenate([mixtures * (above / scale)[:, None], centring])
    values = np.concatenate([np.log(above) * above / scale, np.zeros(len(centring))])
    return np.concatenate([[floor], np.linalg.lstsq(rows, values, rcond=None)[0]])


def fit_log_linear_with_best_ridge(
    mixtures: Array, losses: Array, folds: Sequence[npt.NDArray[np.bool_]]
) -> LogLinearLaw:
    """The log-linear law with the ridge of `RIDGES` that predicts held-out folds best, fitted to all runs.

    Args:
        mixtures, losses: See `fit_log_linear`.
        folds: For each fold, (n,) which runs are held out.
    """
    errors = []
    for ridge in RIDGES:
        laws = [(fold, fit_log_linear(mixtures[~fold], losses[~fold], ridge)) for fold in folds]
        errors.append(sum(float(((law(mixtures[fold]) - losses[fold]) ** 2).sum()) for fold, law in laws))
    return fit_log_linear(mixtures, losses, RIDGES[int(np.argmin(errors))])


def fit_lightgbm(mixtures: Array, losses: Array) -> Callable[[Array], Array]:
    """Boosted trees that predict (n,) losses of (n, k) mixtures.

    Raises:
        InputError: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError:
        raise InputError(
            '--regressor lightgbm needs a package: pip install ".[regmix]" in the project\'s directory, '
            "or use another regressor"
        ) from None
    model = lightgbm.train(_LIGHTGBM, lightgbm.Dataset(mixtures, losses), _LIGHTGBM_ROUNDS)
    return lambda mixtures: np.asarray(model.predict(mixtures), dtype=np.float64)
