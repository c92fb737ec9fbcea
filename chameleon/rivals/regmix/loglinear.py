"""The log-linear law of losses: loss = c + exp(a . p) of a mixture p.

A domain that was trained on alone would have the loss c + exp(a_i). Fitted by least squares, with a ridge
that pulls the a_i towards their mean: of few runs, a domain that hardly occurs in them is not known.

Shapes: n runs, k domains, r ridges.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from chameleon.rivals.regmix.runs import Array

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
