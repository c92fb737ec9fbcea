"""Chooses the regressor that predicts held-out runs best, and says how well it does.

In cross-validation each run is predicted by a regressor fitted to the other folds.

Shapes: n runs, k domains, m losses.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.machine import available_cores
from chameleon.methods.options import REGRESSORS
from chameleon.methods.regmix.regressors import (
    LEAST_RUNS_OF_LIGHTGBM,
    GaussianProcess,
    fit_gaussian_process,
    fit_lightgbm,
    fit_log_linear_with_best_ridge,
)
from chameleon.methods.runs import Runs, recommended_runs

# From (n, k) mixtures to (n,) losses.
Predict = Callable[[Array], Array]
FOLDS = 5

# Normal quantile of a two-sided 95 % interval.
_Z = 1.959963984540054


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """How well a regressor predicts runs it was not fitted to.

    Attributes:
        regressor: Its name.
        predicted: (n, m) losses.
        error: Squared error over the loss's variance, mean over losses; 1 is no better than predicting the
            mean loss.
    """

    regressor: str
    predicted: Array
    error: float


def rank_regressors(runs: Runs, only: str | None, seed: int) -> list[CrossValidation]:
    """Cross-validate regressors; the best comes first.

    Args:
        runs: Mixtures and losses.
        only: The one to use; by default all that are installed and have enough runs.
        seed: Seed of the folds.

    Raises:
        InputError: There are fewer runs than a regressor needs, or LightGBM is not installed.
    """
    n, k = len(runs), len(runs.names)
    installed = [each for each in REGRESSORS if each != "lightgbm" or find_spec("lightgbm") is not None]
    candidates = [only] if only else [each for each in installed if n >= least_runs(each, k)]
    least = least_runs(candidates[0] if candidates else REGRESSORS[0], k)
    if n < least:
        diverged = f" ({len(runs.diverged)} more diverged)" if runs.diverged else ""
        raise InputError(
            f"the regression {only or REGRESSORS[0]} needs {least} runs for {k} domains, got {n}{diverged}; "
            f"train {max(least, recommended_runs(k))} or more (--num_runs), or use fewer domains"
        )
    return sorted((cross_validate(each, runs, seed) for each in candidates), key=lambda each: each.error)


def least_runs(regressor: str, k: int) -> int:
    """The number of runs of k domains that a regressor needs for cross-validation."""
    return math.ceil(LEAST_RUNS_OF_LIGHTGBM * FOLDS / (FOLDS - 1)) if regressor == "lightgbm" else k + 3


def cross_validate(regressor: str, runs: Runs, seed: int) -> CrossValidation:
    """Predict the runs of each fold by a regressor fitted to the others."""
    folds = folds_of(len(runs), seed)

    def predict_held_out(losses: Array) -> Array:
        predicted, before = np.empty_like(losses), None
        for fold in folds:  # each fit starts from the parameters of the one before
            before = _fit_one(regressor, runs.mixtures[~fold], losses[~fold], seed, before)
            predicted[fold] = before(runs.mixtures[fold])
        return predicted

    predicted = np.stack(_for_each_loss(predict_held_out, runs.losses.T), axis=1)
    variances = runs.losses.var(axis=0)
    squared = ((predicted - runs.losses) ** 2).mean(axis=0) / np.where(variances > 0, variances, 1.0)
    return CrossValidation(regressor, predicted, float(squared.mean()))


def fit(regressor: str, runs: Runs, seed: int) -> list[Predict]:
    """A prediction for each of the m losses, fitted to all runs."""
    return _for_each_loss(lambda losses: _fit_one(regressor, runs.mixtures, losses, seed), runs.losses.T)


def _for_each_loss(work: Callable[[Array], Any], losses: Array) -> list[Any]:
    """Results of work on each of (m, n) losses, with one thread for each core.

    The thread pools of numpy and scipy spin while they wait for each other: on matrices of a few hundred rows
    they took 20 times as long as one thread.
    """
    with threadpool_limits(1), ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(work, losses))


def _fit_one(
    regressor: str, mixtures: Array, losses: Array, seed: int, before: Predict | None = None
) -> Predict:
    if regressor == "lightgbm":
        return fit_lightgbm(mixtures, losses)
    if regressor == "gp":
        begin = before.parameters if isinstance(before, GaussianProcess) else None
        return fit_gaussian_process(mixtures, losses, begin)
    return fit_log_linear_with_best_ridge(mixtures, losses, folds_of(len(losses), seed + 1))


def folds_of(n: int, seed: int) -> list[npt.NDArray[np.bool_]]:
    """For each fold, (n,) which runs are in it; each run is in one."""
    numbers = np.random.default_rng(seed).permutation(n) % min(FOLDS, n)
    return [numbers == fold for fold in range(min(FOLDS, n))]


def rank_correlation(one: Array, other: Array) -> float:
    """Spearman's correlation of (n,) values; 0 where one of the two does not vary."""
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
