"""Approximate RBF leverage scores of any number of domains, from random features of some rows at a time.

With features Z the affinity K is about Z Z^T. Where noise is taken off, K becomes A K A off the diagonal and
1 on it, with A = diag(a) and a_i = exp(noise_i / (2 sigma^2)). So with the ridge mu

    K + mu I = B B^T + diag(D_i),  B = A Z,  D_i = mu + 1 - a_i^2,

where D_i is at least mu / 2 (see `chameleon.weights.affinity.usable_noise`). With C = D^-1/2 B,
M = I + C^T C and h_i = c_i^T M^-1 c_i, the inverse has the diagonal (1 - h_i) / D_i, and the score is

    S_i = 1 - (mu / D_i) (1 - h_i) = (mu h_i + 1 - a_i^2) / D_i,

which without noise is h_i, a sum of squares that loses no digits. It takes two passes over the rows: one for
M, one for the scores.

Shapes: k domains, d width of an embedding, D features, r rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import get_blas_funcs, lapack

from chameleon.common.arrays import Array, Floats, blocks_of_rows
from chameleon.weights.affinity import usable_noise
from chameleon.weights.leverage import effective_dimension, least_score, ridge_of
from chameleon.weights.many_domains.exact import exact_scores
from chameleon.weights.many_domains.features import PAIRS, RandomFeatures, width_of_pairs
from chameleon.weights.many_domains.subsets import checked_rows, some_of

# Relative error of float32 in the least eigenvalue of M, and so in the scores, that is allowed: far less than
# the error of the features.
_WORST_SINGLE = 1e-3

# Features computed at once: 64 MiB of float32.
_AT_ONCE = 1 << 24

# Random domains whose exact scores are computed too, to report the error of approximate ones.
CHECKED_ON = 4000

# Features for each effective dimension of the affinity: errors of 2 to 5 % (docs/decisions).
PER_DIMENSION = 40
FEWEST_FEATURES, MOST_FEATURES = 512, 4096

# With fewer features for each dimension than this, or larger errors, the notice says what to do.
_TOO_FEW = 10
_WORST_ERROR, _WORST_CORRELATION = 0.05, 0.99


@dataclass(frozen=True, eq=False)
class FourierScores:
    """Approximate scores, and what their gradients need.

    Attributes:
        means: (k, d) domain embeddings.
        features: Map from embeddings to features.
        scales: (k,) a_i / sqrt(D_i), the factors from features to C.
        shares: (k,) mu / D_i.
        inverse: (D, D) inverse of the lower Cholesky factor of M in column order, of the features' dtype.
        sigma: Width of the kernel.
        noise: (k,) noise that was taken off squared distances.
        captured: (k,) h_i.
        scores: (k,) float64 scores in [0, 1).
    """

    means: Floats
    features: RandomFeatures
    scales: Array
    shares: Array
    inverse: Floats
    sigma: float
    noise: Array
    captured: Array
    scores: Array

    def gradients(self, rows: slice) -> Array:
        """(r, d) derivatives of the scores of some rows by their own means, at a fixed width and noise.

        dS_i = 2 (mu / D_i) (1 - h_i) (M^-1 c_i)^T dc_i, through the derivatives of the features.
        """
        values = self.features.values(self.means, rows, self.inverse.dtype)
        scales = self.scales[rows, None]
        trmm = get_blas_funcs("trmm", dtype=self.inverse.dtype)
        halves = trmm(1.0, self.inverse, (values * scales.astype(values.dtype)).T, lower=1, overwrite_b=1)
        solved = trmm(1.0, self.inverse, halves, lower=1, trans_a=1, overwrite_b=1).T
        factors = 2 * self.shares[rows] * (1 - self.captured[rows])
        return np.asarray(factors[:, None] * scales * self.features.backpropagated(values, solved))


def dtype_for(lambda_reg: float) -> type[np.float32] | type[np.float64]:
    """float32 for features where its rounding, epsilon trace(K) / (k lambda), is small; else float64.

    The trace is k, so this depends on lambda alone: float32 from about 1e-4 on.
    """
    return np.float32 if np.finfo(np.float32).eps / lambda_reg <= _WORST_SINGLE else np.float64


def fourier_scores(
    means: Floats,
    features: RandomFeatures,
    lambda_reg: float,
    sigma: float,
    noise: Array,
    dtype: npt.DTypeLike | None = None,
) -> FourierScores:
    """Scores with the affinity that given random features stand for.

    Args:
        means: (k, d) domain embeddings, float32 or float64, in memory or mapped from disk, all finite.
        features: Features of the kernel.
        lambda_reg: Regularisation lambda > 0; the ridge is k lambda.
        sigma: Width of the kernel.
        noise: (k,) noise to take off squared distances (see `usable_noise`); zeros for none.
        dtype: dtype of the features and their products, summed in float64; by default `dtype_for`.

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
    return FourierScores(means, features, scales, ridge / diagonal, inverse, sigma, noise, captured, scores)


@dataclass(frozen=True, eq=False)
class Approximation:
    """Approximate scores of domains, and how far off they are.

    Attributes:
        scores: Scores, and what their gradients need.
        sigma_from: Where the width is from, in words.
        facts: Errors of the scores, for the weights file.
        notice: The same in words, and what to do where they are large.
    """

    scores: FourierScores
    sigma_from: str
    facts: Mapping[str, Any]
    notice: str


def approximate_scores(
    means: Floats, lambda_reg: float, sigma: float | None, noise: Array | None, num_features: int | None
) -> Approximation:
    """Scores with the RBF kernel by random features, compared with exact scores of some domains.

    Args:
        means: (k, d) domain embeddings, float32 or float64, in memory or mapped from disk.
        lambda_reg: Regularisation lambda > 0; the ridge is k lambda.
        sigma: Width; None for the median distance of random pairs.
        noise: (k,) noise to take off squared distances where possible; None for none.
        num_features: Number of features D; None for 40 times the effective dimension of some of the domains,
            from 512 to 4,096.

    Raises:
        InputError: See `chameleon.weights.affinity.rbf_affinity` and `leverage_scores`.
    """
    k = len(means)
    ridge, _ = ridge_of(lambda_reg, k, float(k))
    checked = some_of(k, CHECKED_ON)
    some = checked_rows(means[checked], slice(0, len(checked)))
    if sigma is None:
        sigma, taken = width_of_pairs(means, noise, ridge)
        sigma_from = f"median distance of {PAIRS:,} random pairs"
    else:
        taken = np.zeros(k) if noise is None else usable_noise(noise, sigma, ridge, from_median=False)
        sigma_from = "given"
    exact = exact_scores(some, lambda_reg, sigma, taken[checked], with_gradients=False)
    dimension = effective_dimension(exact.scores)
    count = features_for(dimension) if num_features is None else num_features
    features = RandomFeatures.of(count, sigma, some.mean(axis=0))
    of_some = fourier_scores(some, features, lambda_reg, sigma, exact.noise)
    scores = fourier_scores(means, features, lambda_reg, sigma, taken)
    facts = {
        "approximate": True,
        "features": features.count,
        "effective_dimension": dimension,
        "checked_on": len(some),
        **errors_of(of_some.scores, exact.scores),
    }
    return Approximation(scores, sigma_from, facts, _notice(k, facts))


def features_for(dimension: float) -> int:
    """The default number of features, which is even, for an effective dimension."""
    wanted = 2 * int(np.ceil(PER_DIMENSION * dimension / 2))
    return min(max(wanted, FEWEST_FEATURES), MOST_FEATURES)


def errors_of(scores: Array, exact: Array) -> dict[str, float]:
    """Relative errors of (m,) approximate scores against exact ones, and their rank correlation."""
    relative = np.abs(scores - exact) / np.maximum(exact, np.finfo(np.float64).tiny)
    one, other = _ranks(scores), _ranks(exact)
    spreads = float(one.std() * other.std())
    covariance = float(((one - one.mean()) * (other - other.mean())).mean())
    return {
        "median_relative_error": float(np.median(relative)),
        "relative_error_95": float(np.quantile(relative, 0.95)),
        "rank_correlation": covariance / spreads if spreads > 0 else 1.0,
    }


def _ranks(values: Array) -> Array:
    """(m,) ranks, with the mean rank for equal values."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


def _notice(k: int, facts: Mapping[str, Any]) -> str:
    features, dimension, some = facts["features"], facts["effective_dimension"], facts["checked_on"]
    error, correlation = facts["median_relative_error"], facts["rank_correlation"]
    said = (
        f"scores are approximate: {features:,} random features for {k:,} domains; on {some:,} of them the "
        f"median error is {100 * error:.2g} % of the exact score (rank correlation {correlation:.3f})"
    )
    if dimension > some / 4:
        return (
            f"{said}. The effective dimension of these {some:,} alone is {dimension:,.0f}, too many for "
            "random features: raise --lambda_reg, or merge domains"
        )
    is_poor = error > _WORST_ERROR or correlation < _WORST_CORRELATION or features < _TOO_FEW * dimension
    if is_poor:
        more = 2 * max(features, int(np.ceil(PER_DIMENSION * dimension / 2)))
        return (
            f"{said}, at an effective dimension of {dimension:,.0f}: raise --num_features to {more:,} or "
            "more, raise --lambda_reg, or merge domains"
        )
    return said
