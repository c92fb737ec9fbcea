"""Kernel ridge leverage scores: how little of each domain the other domains explain.

For the affinity matrix K of k domains and the ridge mu = k lambda, the smoother K (K + mu I)^-1 maps a
function on the domains to its kernel ridge estimate. Its diagonal

    S_i = [K (K + mu I)^-1]_ii = 1 - mu [(K + mu I)^-1]_ii

is near 1 for a domain that no other domain resembles, and falls as others lie in its direction. Scores are in
[0, 1), and their sum is the effective dimension. (Alaoui & Mahoney, 2015.)
"""

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, lapack

from chameleon.common.arrays import Array, real_array
from chameleon.common.errors import InputError

# The most that rounding may move a score. Scores this far off still give weights to three digits.
_WORST_ROUNDING = 1e-4

# Scores below this are solved for without cancellation, this many columns at a time.
_CANCELLED = 1e-4
_COLUMNS = 256
_INDEFINITE = "the affinity matrix is not positive semi-definite"


def leverage_scores(
    affinity: npt.ArrayLike, lambda_reg: float, least: float | None = None, overwrite: bool = False
) -> Array:
    """Scores S_i = [K (K + k lambda I)^-1]_ii.

    They are computed as 1 - mu |L^-1 e_i|^2 with the Cholesky factor L of K + mu I, within one (k, k) matrix.
    That loses digits of small scores (the relative error is the machine epsilon over the score), so if one is
    below 1e-4, all are computed as the diagonal of (K + mu I)^-1 K, some columns at a time.

    Args:
        affinity: (k, k) symmetric positive semi-definite matrix K.
        lambda_reg: Regularisation lambda > 0, in the unit of K; the ridge is mu = k lambda.
        least: Smallest score possible, to which smaller ones are raised. For a K with noise taken off, which
            may be slightly indefinite; by default an indefinite K is an error.
        overwrite: Whether `affinity` may be destroyed, which saves a copy of a C-contiguous float64 array.

    Returns:
        (k,) float64 scores in [0, 1).

    Raises:
        InputError: K is not square, symmetric and finite, or has a negative diagonal element or score; or
            lambda is not positive, or so small that the rounding of K decides the scores.
    """
    K = _checked_affinity(affinity)
    ridge, rounding = ridge_of(lambda_reg, len(K), float(np.trace(K)))
    in_place = overwrite and K.flags.c_contiguous and K.flags.writeable
    return clipped(scores_in_place(K if in_place else np.array(K, order="C"), ridge), rounding, least)


def effective_dimension(scores: npt.ArrayLike) -> float:
    """Sum of the scores: how many distinct domains there are, as the kernel and the ridge see it."""
    return float(np.sum(np.asarray(scores, dtype=np.float64)))


def ridge_of(lambda_reg: float, k: int, trace: float) -> tuple[float, float]:
    """The ridge mu = k lambda, and how far rounding may move a score.

    Args:
        lambda_reg: Regularisation lambda.
        k: Number of domains.
        trace: Trace of the affinity matrix.

    Raises:
        InputError: lambda is not positive, its ridge is infinite, or rounding would decide the scores.
    """
    if not (np.isfinite(lambda_reg) and lambda_reg > 0):
        raise InputError(f"lambda must be a positive number, got {lambda_reg}")
    ridge = k * lambda_reg
    if not np.isfinite(ridge):
        raise InputError(f"lambda {lambda_reg:g} is too large: the ridge k lambda is infinite in float64")
    # K is known to machine epsilon times its size, and the scores to that over the ridge.
    rounding = float(np.finfo(np.float64).eps) * trace / ridge
    if not rounding <= _WORST_ROUNDING:
        enough = 2 * lambda_reg * rounding / _WORST_ROUNDING
        raise InputError(
            f"lambda {lambda_reg:g} is too small for this affinity matrix (trace {trace:g}): its rounding "
            f"in float64 would decide the scores; give {enough:.1g} or more"
        )
    return ridge, rounding


def clipped(scores: Array, rounding: float, least: float | None) -> Array:
    """Scores clipped in place to the range in which they must lie.

    Args:
        scores: (k,) scores as computed.
        rounding: How far rounding may have moved them.
        least: Smallest score possible; None for 0.

    Raises:
        InputError: A score is below zero by more than rounding, and `least` is None.
    """
    if least is None and (scores < -10 * rounding).any():
        raise InputError(_INDEFINITE)
    return np.clip(scores, least or 0.0, np.nextafter(1.0, 0.0), out=scores)


def least_score(k: int, ridge: float) -> float:
    """Smallest score that an affinity with a diagonal of 1 can give: that of k copies of one domain."""
    return 1.0 / (k + ridge)


def scores_in_place(K: Array, ridge: float) -> Array:
    """(k,) scores, not clipped, without a second matrix of the size of K.

    Args:
        K: (k, k) C-contiguous affinity matrix, overwritten: its upper triangle with the diagonal holds the
            transposed inverse of the Cholesky factor of K + mu I afterwards, its strictly lower triangle is
            unchanged.
        ridge: Ridge mu.

    Raises:
        InputError: K + mu I is not positive definite.
    """
    diagonal = np.diag(K).copy()
    K.flat[:: len(K) + 1] += ridge
    # LAPACK works in column order, in which the transpose is the same symmetric matrix. Its lower triangle is
    # overwritten, its upper one (K's lower) is not.
    factor, failed = lapack.dpotrf(K.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise InputError(_INDEFINITE)
    inverse, failed = lapack.dtrtri(factor, lower=1, overwrite_c=1)
    if failed:
        raise InputError(_INDEFINITE)
    rows = inverse.T  # row i holds column i of L^-1 from its diagonal on
    squares = np.array([row[i:] @ row[i:] for i, row in enumerate(rows)])
    scores: Array = 1.0 - ridge * squares
    if scores.min() >= _CANCELLED:
        return scores
    for begin in range(0, len(rows), _COLUMNS):
        columns = range(begin, min(begin + _COLUMNS, len(rows)))
        # K's columns, put together from its lower triangle and the diagonal.
        block = np.array(
            [np.concatenate([rows[i, :i], diagonal[i : i + 1], rows[i + 1 :, i]]) for i in columns]
        )
        halves = blas.dtrmm(1.0, inverse, block.T, lower=1)
        solved = blas.dtrmm(1.0, inverse, halves, lower=1, trans_a=1)
        scores[begin : columns.stop] = [solved[i, i - begin] for i in columns]
    return scores


def _checked_affinity(affinity: npt.ArrayLike) -> Array:
    K = real_array(affinity, "affinities")
    if K.ndim != 2 or K.shape[0] != K.shape[1] or not len(K):
        raise InputError(f"expected a square affinity matrix, got shape {K.shape}")
    blocks = [slice(begin, begin + _COLUMNS) for begin in range(0, len(K), _COLUMNS)]
    largest = max(max(float(K[rows].max()), -float(K[rows].min())) for rows in blocks)
    if not np.isfinite(largest):
        raise InputError("the affinity matrix holds numbers that are not finite")
    for number, rows in enumerate(blocks):
        for columns in blocks[: number + 1]:  # square tiles, which fit the caches
            one, other = K[rows, columns], K[columns, rows].T
            if (np.abs(one - other) > 1e-9 * np.abs(other) + 1e-12 * largest).any():
                raise InputError("the affinity matrix is not symmetric")
    if (np.diag(K) < 0).any():
        raise InputError(_INDEFINITE)
    return K
