"""Scores of the linear kernel for more domains than an embedding has numbers: a matrix of the width suffices.

With the centred means X, the affinity X X^T and the ridge mu, the score of domain i is
x_i^T (X^T X + mu I)^-1 x_i: a sum of squares, so it loses no digits however small it is.

Shapes: k domains, d width of an embedding.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas, lapack

from chameleon.affinity import Array
from chameleon.errors import InputError
from chameleon.leverage import ridge_of
from chameleon.many.found import Means, blocks_of_rows, checked_rows


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
