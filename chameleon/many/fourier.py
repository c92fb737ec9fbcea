"""Approximate scores of the RBF kernel for any number of domains, from random features of some at a time.

With features Z the affinity K is about Z Z^T. Where noise is taken off, K becomes A K A off the diagonal and
1 on it, with the diagonal matrix A of a_i = exp(noise_i / (2 sigma^2)). So with the ridge mu

    K + mu I = B B^T + diag(D_i),  B = A Z,  D_i = mu + 1 - a_i^2,

where D_i is at least mu / 2 (see `chameleon.affinity.usable_noise`). With C = D^-1/2 B, M = I + C^T C and
h_i = c_i^T M^-1 c_i, the inverse has the diagonal (1 - h_i) / D_i, and the score is

    S_i = 1 - (mu / D_i) (1 - h_i) = (mu h_i + 1 - a_i^2) / D_i,

which without noise is h_i: a sum of squares, which loses no digits. Two passes over the rows: one for M, one
for the scores.

Shapes: k domains, d width of an embedding, D features.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import get_blas_funcs, lapack

from chameleon.affinity import Array
from chameleon.leverage import least_score, ridge_of
from chameleon.many.features import Features, Floats
from chameleon.many.found import Means, blocks_of_rows

# How far float32 may move M, as a share of its least eigenvalue, and so the scores as a share of
# themselves: far less than the features do.
_WORST_SINGLE = 1e-3
# Numbers of a block of features: 64 MiB of float32.
_AT_ONCE = 1 << 24


@dataclass(frozen=True, eq=False)
class FourierScores:
    """Scores of means by features, and what their derivatives take.

    Attributes:
        means: (k, d) as given.
        features: What maps them.
        scales: (k,) what features are multiplied by for C: a_i / sqrt(D_i).
        shares: (k,) mu / D_i.
        inverse: (D, D) inverse of the lower Cholesky factor of M, by columns, in the dtype of the features.
        captured: (k,) h_i.
        scores: (k,) float64 in [0, 1).
    """

    means: Means
    features: Features
    scales: Array
    shares: Array
    inverse: Floats
    captured: Array
    scores: Array

    def gradients(self, rows: slice) -> Array:
        """(r, d) derivatives of scores by their own means, the width and the noise as they are.

        2 (mu / D_i) (1 - h_i) (M^-1 c_i)^T dc_i, through the features' own derivatives.
        """
        values = self.features.values(self.means, rows, self.inverse.dtype)
        scales = self.scales[rows, None]
        trmm = get_blas_funcs("trmm", dtype=self.inverse.dtype)
        halves = trmm(1.0, self.inverse, (values * scales.astype(values.dtype)).T, lower=1, overwrite_b=1)
        solved = trmm(1.0, self.inverse, halves, lower=1, trans_a=1, overwrite_b=1).T
        factors = 2 * self.shares[rows] * (1 - self.captured[rows])
        return np.asarray(factors[:, None] * scales * self.features.back(values, solved))


def dtype_for(lambda_reg: float) -> type[np.float32] | type[np.float64]:
    """In what features can be computed: float32 where its rounding, epsilon trace(K) / (k lambda), is small.

    The trace is k, so it hangs on lambda alone: from about 1e-4 on.
    """
    return np.float32 if np.finfo(np.float32).eps / lambda_reg <= _WORST_SINGLE else np.float64


def fourier_scores(
    means: Means,
    features: Features,
    lambda_reg: float,
    sigma: float,
    noise: Array,
    dtype: npt.DTypeLike | None = None,
) -> FourierScores:
    """Scores of domains with the affinity that random features give.

    Args:
        means: (k, d) domain embeddings, float32 or float64, in memory or on disk, all finite.
        features: Of the kernel.
        lambda_reg: Regularisation lambda > 0; the ridge is k lambda.
        sigma: Width of the kernel.
        noise: (k,) noise to take off, as of `usable_noise`; of zeros for none.
        dtype: Of the features and of products of them, whose sums are float64; by default `dtype_for`.

    Raises:
        InputError: lambda is not positive, or rounding would decide the scores.
    """
    k, count = len(means), features.count
    ridge, _ = ridge_of(lambda_reg, k, float(k))
    dtype = np.dtype(dtype_for(lambda_reg) if dtype is None else dtype)
    excess = np.expm1(noise / sigma / sigma)  # a_i^2 - 1
    diagonal = ridge - excess
    scales = np.exp(noise / sigma / sigma / 2) / np.sqrt(diagonal)
    M = np.eye(count)
    for rows in blocks_of_rows(k, count, _AT_ONCE):
        scaled = features.values(means, rows, dtype)
        scaled *= scales[rows, None].astype(dtype)
        M += scaled.T @ scaled
    factor, failed = lapack.dpotrf(M.T, lower=1, clean=1, overwrite_a=1)
    inverse, singular = lapack.dtrtri(factor, lower=1, overwrite_c=1)
    if failed or singular:
        raise ArithmeticError(f"a matrix of features with its ridge is not positive definite ({failed})")
    inverse = np.asfortranarray(inverse, dtype=dtype)
    trmm = get_blas_funcs("trmm", dtype=dtype)
    captured = np.empty(k)
    for rows in blocks_of_rows(k, count, _AT_ONCE):
        scaled = features.values(means, rows, dtype)
        scaled *= scales[rows, None].astype(dtype)
        halves = trmm(1.0, inverse, scaled.T, lower=1, overwrite_b=1).T
        captured[rows] = np.einsum("ij,ij->i", halves, halves)
    np.minimum(captured, np.nextafter(1.0, 0.0), out=captured)
    scores = (ridge * captured - excess) / diagonal
    least = least_score(k, ridge) if noise.any() else 0.0
    np.clip(scores, least, np.nextafter(1.0, 0.0), out=scores)
    return FourierScores(means, features, scales, ridge / diagonal, inverse, captured, scores)
