"""Exact leverage scores of many domains, and their gradients, within one matrix of memory.

RBF kernel: one (k, k) matrix holds the squared distances, then the affinity K, then the inverse of the
Cholesky factor of K + mu I beside one half of K (`chameleon.weights.leverage.scores_in_place`). For gradients
it then holds the inverse of K + mu I beside that half, and last their products.

Linear kernel: a (d, d) matrix suffices, since S_i = x_i^T (X^T X + mu I)^-1 x_i for centred rows x_i.

Shapes: k domains, d width of an embedding, r rows; mu = k lambda is the ridge.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas, lapack

from chameleon.common.arrays import Array, Floats, blocks_of_rows
from chameleon.common.errors import InputError
from chameleon.weights.affinity import affinity_of_distances, sigma_of_distances, usable_noise
from chameleon.weights.distances import squared_distances
from chameleon.weights.leverage import clipped, least_score, ridge_of, scores_in_place
from chameleon.weights.many_domains.subsets import checked_rows

# Rows and columns of a tile: 2 MiB.
_TILE = 512


@dataclass(frozen=True, eq=False)
class ExactScores:
    """Exact scores with the RBF kernel, and what their gradients need.

    Attributes:
        means: (k, d) domain embeddings.
        sigma: Width in the unit of the means.
        noise: (k,) noise that was taken off squared distances.
        scores: (k,) float64 scores in [0, 1).
        pulls: (k, k) products (K + mu I)^-1_ij K_ij, 0 on the diagonal; None without gradients.
    """

    means: Floats
    sigma: float
    noise: Array
    scores: Array
    pulls: Array | None

    def gradients(self, rows: slice) -> Array:
        """(r, d) derivatives of the scores of some rows by their own means, at a fixed width.

        dS_i / dx_i = -2 mu / sigma^2 A^-1_ii sum_b A^-1_ib K_ib (x_i - x_b) with A = K + mu I, where
        mu A^-1_ii = 1 - S_i.
        """
        assert self.pulls is not None
        pulls = self.pulls[rows]
        x = np.asarray(self.means, dtype=np.float64)
        towards = pulls.sum(axis=1, keepdims=True) * x[rows] - pulls @ x
        return np.asarray(-2 / self.sigma**2 * (1 - self.scores[rows])[:, None] * towards)


def exact_scores(
    means: Floats, lambda_reg: float, sigma: float | None, noise: Array | None, with_gradients: bool
) -> ExactScores:
    """Exact scores with the RBF kernel, the same numbers as from `Formula.solve`.

    Args:
        means: (k, d) domain embeddings.
        lambda_reg: Regularisation lambda > 0; the ridge is k lambda.
        sigma: Width; None for the median distance over all pairs.
        noise: (k,) noise to take off squared distances where possible; None for none.
        with_gradients: Whether to prepare gradients. They take a third more time, and no more memory.

    Raises:
        InputError: See `rbf_affinity` and `leverage_scores`.
    """
    k = len(means)
    ridge, rounding = ridge_of(lambda_reg, k, float(k))
    matrix, unit = squared_distances(means)
    taken = None
    if noise is not None and noise.any():
        whole = sigma_of_distances(matrix, unit) if sigma is None else sigma
        taken = usable_noise(noise, whole, ridge, from_median=sigma is None)
    if sigma is None:
        sigma = sigma_of_distances(matrix, unit, taken)
    affinity_of_distances(matrix, unit, sigma, taken)
    scores = clipped(
        scores_in_place(matrix, ridge), rounding, None if taken is None else least_score(k, ridge)
    )
    pulls = None
    if with_gradients:
        # The lower triangle of the transpose holds the factor's inverse; that of the matrix overwrites it.
        _, failed = lapack.dlauum(matrix.T, lower=1, overwrite_c=1)
        if failed:
            raise ArithmeticError(f"the product of an inverse factor failed ({failed})")
        pulls = _products_in_place(matrix)
    return ExactScores(means, sigma, np.zeros(k) if taken is None else taken, scores, pulls)


def _products_in_place(matrix: Array) -> Array:
    """The (k, k) products of elements mirrored at the diagonal, which is 0; overwrites its input."""
    tiles = [*blocks_of_rows(len(matrix), 1, _TILE)]
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
    """Scores with the linear kernel, and what their gradients need.

    Attributes:
        means: (k, d) domain embeddings.
        centre: (d,) mean of the rows.
        inverse: (d, d) inverse of the lower Cholesky factor of X^T X + mu I in column order; zero above.
        scores: (k,) float64 scores in [0, 1).
    """

    means: Floats
    centre: Array
    inverse: Array
    scores: Array

    def gradients(self, rows: slice) -> Array:
        """(r, d) derivatives of the scores of some rows by their own means.

        dS_i / dx_i = 2 (1 - S_i) (X^T X + mu I)^-1 x_i; the centre moves by 1/k of a mean, which is ignored.
        """
        centred = np.asarray(self.means[rows], dtype=np.float64) - self.centre
        halves = blas.dtrmm(1.0, self.inverse, centred.T, lower=1)
        solved = blas.dtrmm(1.0, self.inverse, halves, lower=1, trans_a=1)
        return np.asarray(2 * (1 - self.scores[rows])[:, None] * solved.T)


def linear_scores(means: Floats, lambda_reg: float) -> LinearScores:
    """Scores with the centred linear kernel, in three passes over the rows.

    Args:
        means: (k, d) domain embeddings, float32 or float64, in memory or on disk.
        lambda_reg: Regularisation lambda > 0; the ridge is k lambda.

    Raises:
        InputError: Means or their squares are not finite, lambda is not positive, or rounding would decide
            the scores.
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
