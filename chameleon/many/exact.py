"""Exact scores of the RBF kernel, and their derivatives, in the place of one matrix of all pairs.

The matrix holds squared distances, then the affinity K, then the inverse of the Cholesky factor of
K + mu I beside the other half of K (`chameleon.leverage.scores_in_place`), and where derivatives are asked
for, the inverse of K + mu I beside that half, and last the products of both.

Shapes: k domains, d width of an embedding.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from chameleon.affinity import (
    Array,
    affinity_of_distances,
    median_of_pairs,
    sigma_of_distances,
    sigma_of_median,
    squared_distances,
    usable_noise,
)
from chameleon.leverage import least_score, ridge_of, scores_in_place, settled
from chameleon.many.found import Means

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
