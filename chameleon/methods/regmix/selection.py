"""From mixtures to losses: which regression predicts runs that it has not seen, and how well.

Each run is predicted by what was fitted to the others, in folds; runs that are kept for a test are not
looked at for anything.

Shapes: n runs, k domains, m losses.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from chameleon.common.errors import InputError
from chameleon.common.machine import available_cores
from chameleon.methods.options import REGRESSORS
from chameleon.methods.regmix.regressors import (
    LEAST_RUNS,
    GaussianProcess,
    fit_boosted,
    fit_gaussian,
    library,
    with_best_ridge,
)
from chameleon.methods.regmix.runs import Array, Runs

Predict = Callable[[Array], Array]


FOLDS = 5


# Runs that a law of k domains should have (Olmix, arXiv 2602.12237): 3 (k + 1).
_RUNS_A_COEFFICIENT = 3


# Two-sided 95 %.
_Z = 1.959963984540054


@dataclass(frozen=True, eq=False)
class FittedRegressor:
    """A regression by what it makes of runs that it was not fitted to.

    Attributes:
        regressor: Its name.
        predicted: (n, m) losses.
        error: Mean over losses of the squared error, in units of the loss's variance; 1 is no better than
            the mean.
    """

    regressor: str
    predicted: Array
    error: float


def least_runs(regressor: str, k: int) -> int:
    """Runs without which a regression cannot be fitted and judged."""
    return math.ceil(LEAST_RUNS * FOLDS / (FOLDS - 1)) if regressor == "lightgbm" else k + 3


def wanted_runs(k: int) -> int:
    """Runs below which results are to be doubted."""
    return _RUNS_A_COEFFICIENT * (k + 1)


def fit(regressor: str, runs: Runs, seed: int) -> list[Predict]:
    """A prediction for each of the m losses, fitted to all runs."""

    def of_one(losses: Array) -> Predict:
        return _fit_one(regressor, runs.mixtures, losses, seed)

    return _side_by_side(of_one, runs.losses.T)


def _side_by_side(work: Callable[[Array], Any], losses: Array) -> list[Any]:
    """Work on each of (m, n) losses, a thread a core.

    numpy and scipy bring a library of products each, whose threads wait for work at full speed: in turn, of
    matrices of a few hundred rows, they took 20 times as long as one thread.
    """
    with threadpool_limits(1), ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(work, losses))


def _fit_one(
    regressor: str, mixtures: Array, losses: Array, seed: int, before: Predict | None = None
) -> Predict:
    if regressor == "lightgbm":
        return fit_boosted(mixtures, losses)
    if regressor == "gp":
        begin = before.parameters if isinstance(before, GaussianProcess) else None
        return fit_gaussian(mixtures, losses, begin)
    return with_best_ridge(mixtures, losses, folds_of(len(losses), seed + 1))


def folds_of(n: int, seed: int) -> list[npt.NDArray[np.bool_]]:
    """Of each fold (n,) which runs are in it: all are in one."""
    places = np.random.default_rng(seed).permutation(n) % min(FOLDS, n)
    return [places == fold for fold in range(min(FOLDS, n))]


def cross_validate(regressor: str, runs: Runs, seed: int) -> FittedRegressor:
    """What a regression makes of each fold when it is fitted to the others."""
    folds = folds_of(len(runs), seed)

    def of_one(losses: Array) -> Array:
        predicted, before = np.empty_like(losses), None
        for fold in folds:  # a fit begins where that of the fold before it ended
            before = _fit_one(regressor, runs.mixtures[~fold], losses[~fold], seed, before)
            predicted[fold] = before(runs.mixtures[fold])
        return predicted

    predicted = np.stack(_side_by_side(of_one, runs.losses.T), axis=1)
    variances = runs.losses.var(axis=0)
    squared = ((predicted - runs.losses) ** 2).mean(axis=0) / np.where(variances > 0, variances, 1.0)
    return FittedRegressor(regressor, predicted, float(squared.mean()))


def validated_regressors(runs: Runs, named: str | None, seed: int) -> list[FittedRegressor]:
    """Regressions by what they make of runs left out, the best first.

    Args:
        runs: They.
        named: The only one that is wanted; else all whose library is there, and for which runs are enough.
        seed: Names the folds.

    Raises:
        InputError: There are fewer runs than it needs, or its library is not installed.
    """
    k = len(runs.names)
    candidates = [named] if named else [each for each in REGRESSORS if _can_be_had(each, len(runs), k)]
    need = least_runs(candidates[0] if candidates else REGRESSORS[0], k)
    if len(runs) < need:
        raise InputError(
            f"the regression {named or REGRESSORS[0]} needs {need} runs for {k} domains, and there are "
            f"{len(runs)}{f' ({len(runs.diverged)} more diverged)' if runs.diverged else ''}; train "
            f"{max(need, wanted_runs(k))} or more (--num_runs), or use fewer domains"
        )
    return sorted((cross_validate(each, runs, seed) for each in candidates), key=lambda judged: judged.error)


def _can_be_had(regressor: str, n: int, k: int) -> bool:
    if n < least_runs(regressor, k):
        return False
    if regressor == "lightgbm":
        try:
            library()
        except InputError:
            return False
    return True


def rank_correlation(one: Array, other: Array) -> float:
    """Spearman's, of (n,) values; 0 where one of them does not vary."""
    if not (np.ptp(one) > 0 and np.ptp(other) > 0):
        return 0.0
    return float(spearmanr(one, other).statistic)


def correlation_interval(correlation: float, n: int) -> tuple[float, float]:
    """95 % interval of Spearman's correlation of n pairs.

    Fisher's z, with the variance (1 + r^2 / 2) / (n - 3) of Bonett and Wright (2000).
    """
    if n < 4:
        return -1.0, 1.0
    z = math.atanh(min(max(correlation, -1 + 1e-12), 1 - 1e-12))
    half = _Z * math.sqrt((1 + correlation**2 / 2) / (n - 3))
    return math.tanh(z - half), math.tanh(z + half)


def mean_of(predictions: Sequence[Predict]) -> Predict:
    """The mean of several predictions."""
    return partial(_mean, predictions)


def _mean(predictions: Sequence[Predict], mixtures: Array) -> Array:
    return np.asarray(np.mean([each(mixtures) for each in predictions], axis=0))
