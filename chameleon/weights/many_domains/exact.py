"""Exact scores of the RBF kernel, and their derivatives, in the place of one matrix of all pairs.

The matrix holds squared distances, then the affinity K, then the inverse of the Cholesky factor of
K + mu I beside the other half of K (`chameleon.weights.leverage.scores_in_place`). For
derivatives it then holds the inverse of K + mu I beside that half, and last the products of both.

Shapes: k domains, d width of an embedding.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas, lapack

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.weights.affinity import (
    affinity_of_distances,
    median_of_pairs,
    sigma_of_distances,
    sigma_of_median,
    squared_distances,
    usable_noise,
)
from chameleon.weights.formula import Means
from chameleon.weights.leverage import least_score, ridge_of, scores_in_place, settled
from chameleon.weights.many_domains.blocks import blocks_of_rows, checked_rows

# Rows and columns of a tile: 2 MiB.
_TILE = 512


@dataclass(frozen=True, eq=False)
class ExactScores:
    """Exact scores of means under the RBF kernel, and what their derivatives take.

    Attributes:
        means: (k, d) as given.
        sigma: Width in the unit of the means.
        noise: (k,) what was taken off squared distances.
        scores: (k,) float64 in [0, 1).
        pulls: (k, k) the products (K + mu I)^-1_ij K_ij, 0 on the diagonal; None where they were not asked
            for.
    """

    means: Means
    sigma: float
    noise: Array
    scores: Array
    pulls: Array | None

    def gradients(self, rows: slice) -> Array:
        """(r, d) derivatives of scores by their own means, all else and the width as they are.

        - 2 mu / sigma^2 A^-1_ii sum_b A^-1_ib K_ib (x_i - x_b) with A = K + mu I, of which mu A^-1_ii is
        1 - S_i.
        """
        assert self.pulls is not None
        pulls = self.pulls[rows]
        x = np.asarray(self.means, dtype=np.float64)
        towards = pulls.sum(axis=1, keepdims=True) * x[rows] - pulls @ x
        return np.asarray(-2 / self.sigma**2 * (1 - self.scores[rows])[:, None] * towards)


def exact_scores(
    means: Means, lambda_reg: float, sigma: float | None, noise: Array | None, with_gradients: bool
) -> ExactScores:
    """Exact scores of domains under the RBF kernel: the numbers of `Formula.solve`.

    Args:
        means: (k, d) domain embeddings.
        lambda_reg: Regularisation lambda > 0; the ridge is k lambda.
        sigma: Width; None for the median distance over all pairs.
        noise: (k,) noise to take off squared distances so far as it can be; None for none.
        with_gradients: Whether derivatives will be asked for. They take a third more time, not more memory.

    Raises:
        InputError: As of `rbf_affinity` and `leverage_scores`.
    """
    k = len(means)
    ridge, rounding = ridge_of(lambda_reg, k, float(k))
    matrix, unit = squared_distances(means)
    from_median = sigma is None
    taken = None
    if noise is not None and noise.any():
        whole = sigma if sigma is not None else sigma_of_median(median_of_pairs(matrix, np.zeros(k)), unit)
        taken = usable_noise(noise, whole, ridge, from_median)
    if sigma is None:
        sigma = sigma_of_distances(matrix, unit, taken)
    affinity_of_distances(matrix, unit, sigma, taken)
    scores = settled(
        scores_in_place(matrix, ridge), rounding, None if taken is None else least_score(k, ridge)
    )
    pulls = None
    if with_gradients:
        # The factor's inverse lies in the lower triangle of the transpose, that of the matrix goes there.
        _, failed = lapack.dlauum(matrix.T, lower=1, overwrite_c=1)
        if failed:
            raise ArithmeticError(f"the product of an inverse factor failed ({failed})")
        pulls = _products_in_place(matrix)
    return ExactScores(means, sigma, np.zeros(k) if taken is None else taken, scores, pulls)


def _products_in_place(matrix: Array) -> Array:
    """A symmetric matrix of the products of what a (k, k) matrix has above and below its diagonal."""
    k = len(matrix)
    tiles = [slice(begin, min(begin + _TILE, k)) for begin in range(0, k, _TILE)]
    for number, rows in enumerate(tiles):
        for columns in tiles[number:]:
            above, below = matrix[rows, columns], matrix[columns, rows]
            if rows == columns:
                products = np.triu(above, 1) * np.tril(below, -1).T
                products += products.T
            else:
                products = above * below.T
            matrix[rows, columns] = products
            matrix[columns, rows] = products.T
    return matrix


@dataclass(frozen=True, eq=False)
class LinearScores:
    """Scores of means under the linear kernel, and what their derivatives take.

    Attributes:
        means: (k, d) as given.
        centre: (d,) their mean.
        inverse: (d, d) inverse of the lower Cholesky factor of X^T X + mu I, by columns; zero above.
        scores: (k,) float64 in [0, 1).
    """

    means: Means
    centre: Array
    inverse: Array
    scores: Array

    def gradients(self, rows: slice) -> Array:
        """(r, d) derivatives of scores by their own means, 2 (1 - S_i) (X^T X + mu I)^-1 x_i.

        That the centre moves with a mean, by a k-th of it, is left out.
        """
        centred = np.asarray(self.means[rows], dtype=np.float64) - self.centre
        halves = blas.dtrmm(1.0, self.inverse, centred.T, lower=1)
        solved = blas.dtrmm(1.0, self.inverse, halves, lower=1, trans_a=1)
        return np.asarray(2 * (1 - self.scores[rows])[:, None] * solved.T)


def linear_scores(means: Means, lambda_reg: float) -> LinearScores:
    """Scores of domains under the centred linear kernel, in three passes over their rows.

    Args:
        means: (k, d) domain embeddings, float32 or float64, in memory or on disk.
        lambda_reg: Regularisation lambda > 0; the ridge is k lambda.

    Raises:
        InputError: Means are not finite, or so large that their squares are not; lambda is not positive,
            or rounding would decide the scores.
    """
    k, d = means.shape
    centre = sum((checked_rows(means, rows).sum(axis=0) for rows in blocks_of_rows(k, d)), np.zeros(d)) / k
    gram = np.zeros((d, d))
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in blocks_of_rows(k, d):
            centred = np.asarray(means[rows], dtype=np.float64) - centre
            gram += centred.T @ centred
    if not np.isfinite(gram).all():
        raise InputError(
            "domain embeddings are too large for a linear kernel; scale them down or use the RBF kernel"
        )
    ridge, _ = ridge_of(lambda_reg, k, float(np.trace(gram)))
    gram.flat[:: d + 1] += ridge
    factor, failed = lapack.dpotrf(gram.T, lower=1, clean=1, overwrite_a=1)
    inverse, singular = lapack.dtrtri(factor, lower=1, overwrite_c=1)
    if failed or singular:
        raise ArithmeticError(f"a matrix of squares with its ridge is not positive definite ({failed})")
    scores = np.empty(k)
    for rows in blocks_of_rows(k, d):
        centred = np.asarray(means[rows], dtype=np.float64) - centre
        halves = blas.dtrmm(1.0, inverse, centred.T, lower=1)
        scores[rows] = np.einsum("ij,ij->j", halves, halves)
    np.clip(scores, 0.0, np.nextafter(1.0, 0.0), out=scores)
    return LinearScores(means, centre, inverse, scores)
