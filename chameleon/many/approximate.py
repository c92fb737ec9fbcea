"""Approximate scores with as many features as they take, and how far off they are on some of the domains.

Shapes: k domains, d width of an embedding, m domains that are looked at, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chameleon.affinity import Array, usable_noise
from chameleon.leverage import effective_dimension, ridge_of
from chameleon.many.exact import exact_scores
from chameleon.many.features import Features
from chameleon.many.found import Means, checked_rows, some_of
from chameleon.many.fourier import FourierScores, fourier_scores
from chameleon.many.pairs import PAIRS, width_of_pairs

# Domains whose exact scores are looked at, taken at random.
CHECKED_ON = 4000
# Features for each dimension of the affinity: errors of 2 to 5 % (docs/decisions.md).
PER_DIMENSION = 40
FEWEST_FEATURES, MOST_FEATURES = 512, 4096
# Below so many for each dimension, or beyond these errors, a reader must know.
_TOO_FEW = 10
_WORST_ERROR, _WORST_CORRELATION = 0.05, 0.99


@dataclass(frozen=True, eq=False)
class Approximation:
    """Approximate scores of domains.

    Attributes:
        scores: They, with what their derivatives take.
        sigma: Width of the kernel.
        sigma_from: Where that is from, in words.
        noise: (k,) what was taken off squared distances.
        facts: How far off they are, for the weights file.
        notice: The same in words, and what to do where it is much.
    """

    scores: FourierScores
    sigma: float
    sigma_from: str
    noise: Array
    facts: Mapping[str, Any]
    notice: str


def approximate_scores(
    means: Means,
    lambda_reg: float,
    sigma: float | None,
    noise: Array | None,
    num_features: int | None,
    seed: int = 0,
) -> Approximation:
    """Scores of domains under the RBF kernel by random features.

    Args:
        means: (k, d) domain embeddings, float32 or float64, in memory or on disk.
        lambda_reg: Regularisation lambda > 0; the ridge is k lambda.
        sigma: Width; None for the median distance of random pairs.
        noise: (k,) noise to take off squared distances so far as it can be; None for none.
        num_features: D; None for 40 times the effective dimension of some of the domains, 512 to 4,096.
        seed: Of the features.

    Raises:
        InputError: As of `chameleon.affinity.rbf_affinity` and `leverage_scores`.
    """
    k = len(means)
    ridge, _ = ridge_of(lambda_reg, k, float(k))
    looked_at = some_of(k, CHECKED_ON)
    some = checked_rows(means[looked_at], slice(0, len(looked_at)))
    if sigma is None:
        sigma, taken = width_of_pairs(means, noise, ridge)
        sigma_from = f"median distance of {PAIRS:,} random pairs"
    else:
        taken = np.zeros(k) if noise is None else usable_noise(noise, sigma, ridge, from_median=False)
        sigma_from = "given"
    exact = exact_scores(some, lambda_reg, sigma, taken[looked_at], with_gradients=False)
    dimension = effective_dimension(exact.scores)
    count = features_for(dimension) if num_features is None else num_features
    features = Features.of(count, sigma, some.mean(axis=0), seed)
    checked = fourier_scores(some, features, lambda_reg, sigma, exact.noise)
    scores = fourier_scores(means, features, lambda_reg, sigma, taken)
    facts = {
        "approximate": True,
        "features": features.count,
        "effective_dimension": dimension,
        "checked_on": len(some),
        **errors_of(checked.scores, exact.scores),
    }
    return Approximation(scores, sigma, sigma_from, taken, facts, _notice(k, facts))


def features_for(dimension: float) -> int:
    """An even number of features for an effective dimension."""
    wanted = 2 * int(np.ceil(PER_DIMENSION * dimension / 2))
    return min(max(wanted, FEWEST_FEATURES), MOST_FEATURES)


def errors_of(scores: Array, exact: Array) -> dict[str, float]:
    """How far scores are off exact ones: relative errors, and how well the order is kept."""
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
    """Ranks, those of equal values their mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


def _notice(k: int, facts: Mapping[str, Any]) -> str:
    features, dimension, some = facts["features"], facts["effective_dimension"], facts["checked_on"]
    error, correlation = facts["median_relative_error"], facts["rank_correlation"]
    said = (
        f"scores are approximate: {features:,} random features for {k:,} domains; on {some:,} of them half "
        f"lie within {100 * error:.2g} % of the exact ones (rank correlation {correlation:.3f})"
    )
    if dimension > some / 4:
        return (
            f"{said}. These {some:,} alone have an effective dimension of {dimension:,.0f}, too many for "
            "features to tell apart: raise --lambda_reg, or merge domains"
        )
    is_poor = error > _WORST_ERROR or correlation < _WORST_CORRELATION or features < _TOO_FEW * dimension
    if is_poor:
        more = 2 * max(features, int(np.ceil(PER_DIMENSION * dimension / 2)))
        return (
            f"{said}, at an effective dimension of {dimension:,.0f}: raise --num_features to {more:,} or "
            "more, raise --lambda_reg, or merge domains"
        )
    return said
