"""The mixture with the lowest loss by the affinity law.

    maximise  f(w) = sum_l a_l ln (T w)_l     for shares w between floors and caps, a_l >= 0

f is concave. The update w_j <- w_j sum_l a_l T_lj / (T w)_l / sum_l a_l is the EM algorithm of a mixture with
known components, so f rises with every step; floors and caps change only its M-step, which then projects the
updated shares by Kullback-Leibler divergence (`project_shares`). The search ends when f is within a tolerance
of the optimum, by a bound that holds for concave functions.

Shapes: m terms, k domains.
"""

import numpy as np

from chameleon.common.arrays import Array
from chameleon.export.budget import project_shares

_MOST_STEPS = 20_000
_TOLERANCE = 1e-7


def best_mixture(
    coefficients: Array, matrix: Array, least: Array, most: Array, tolerance: float = _TOLERANCE
) -> Array:
    """(k,) shares that maximise the sum of coefficients times the logarithms of effective shares.

    Where the terms leave it open, as when all coefficients are 0, shares are as close to equal as the bounds
    allow.

    Args:
        coefficients: (m,) a; negative ones count as 0.
        matrix: (m, k) T, above 0.
        least, most: (k,) floors and caps, with least <= most and sum(least) <= 1 <= sum(most).
        tolerance: How far below the optimum the sum may be, relative to sum(a).
    """
    k = len(least)
    weights = project_shares(np.full(k, 1 / k), least, most)
    positive = coefficients > 0
    if not positive.any():
        return weights
    factors, terms = coefficients[positive] / coefficients[positive].sum(), matrix[positive]
    for _ in range(_MOST_STEPS):
        gradient = (factors / (terms @ weights)) @ terms
        if excess(gradient, weights, least, most) <= tolerance:
            break
        updated = weights * gradient
        weights = project_shares(updated / updated.sum(), least, most)
    return weights


def excess(gradient: Array, weights: Array, least: Array, most: Array) -> float:
    """How far a concave function at some weights can be below its optimum.

    That is the largest rise of its linear approximation: all that is free goes to domains with the largest
    derivatives, each up to its cap.

    Args:
        gradient: (k,) derivatives of the function.
        weights, least, most: (k,) shares, floors and caps.
    """
    order = np.argsort(-gradient, kind="stable")
    room = (most - least)[order]
    before = np.cumsum(room) - room
    highest = least.copy()
    highest[order] += np.clip(1 - least.sum() - before, 0.0, room)
    return float(gradient @ (highest - weights))
