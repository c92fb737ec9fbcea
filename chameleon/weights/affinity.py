"""Affinity: how close domains are to each other, as a kernel K between their mean embeddings x.

    linear   K_ij = (x_i - c) . (x_j - c)                  c the mean of all x
    RBF      K_ij = exp(-|x_i - x_j|^2 / (2 sigma^2))      sigma^2 by default the median of |x_i - x_j|^2

Means of samples lie further apart than the domains themselves: sampling adds noise_i + noise_j to the squared
distance on average, with noise_i the expected squared distance of x_i from the mean of all windows of domain
i. The RBF kernel can take it off again.

Shapes: k domains, d width of an embedding. All arithmetic is float64.
"""

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array, blocks_of_rows
from chameleon.common.errors import InputError
from chameleon.weights.distances import AT_ONCE, checked_means, median_of_pairs, squared_distances


def linear_affinity(means: npt.ArrayLike) -> Array:
    """Centred linear kernel, K = (X - c)(X - c)^T with the mean c of the rows of X.

    Centring the rows and columns of X X^T gives the same matrix, the affinity of the method's published code.
    It has the scale of the embeddings squared, and so has the ridge that goes with it.

    Args:
        means: (k, d) domain embeddings X, any real dtype.

    Returns:
        (k, k) symmetric positive semi-definite matrix.

    Raises:
        InputError: `means` is not a finite (k, d) array with k >= 2 and d >= 1, or its products overflow
            float64.
    """
    x = checked_means(means)
    with np.errstate(over="ignore", invalid="ignore"):
        centred = x - x.mean(axis=0)
        affinity = np.asarray(centred @ centred.T)
    if not np.isfinite(affinity).all():
        raise InputError(
            f"domain embeddings of up to {np.abs(x).max():.3g} are too large for a linear kernel; "
            "scale them down or use the RBF kernel"
        )
    return affinity


def rbf_affinity(
    means: npt.ArrayLike, sigma: float | None = None, noise: npt.ArrayLike | None = None
) -> Array:
    """Gaussian (RBF) kernel, K_ij = exp(-(|x_i - x_j|^2 - noise_i - noise_j) / (2 sigma^2)), 1 for i = j.

    With the kernel K' of the means as they are and A = diag(exp(noise / (2 sigma^2))), this is A K' A less
    the excess of its diagonal over 1. So with a ridge above that excess it is positive definite (see
    `usable_noise`).

    Args:
        means: (k, d) domain embeddings, any real dtype.
        sigma: Width in the unit of the embeddings; by default `median_sigma(means, noise)`.
        noise: (k,) expected squared distance of each mean from its domain's own; by default none.

    Returns:
        (k, k) symmetric matrix with a diagonal of exactly 1; without noise it is positive semi-definite.

    Raises:
        InputError: `means` is not a finite (k, d) array with k >= 2 and d >= 1, `sigma` is not a positive
            number, or no width can be derived because most domains coincide.
    """
    squared, unit = squared_distances(means)
    if sigma is None:
        sigma = sigma_of_distances(squared, unit, noise)
    return affinity_of_distances(squared, unit, sigma, noise)


def median_sigma(means: npt.ArrayLike, noise: npt.ArrayLike | None = None) -> float:
    """Width by the median heuristic: sigma^2 is the median squared distance over pairs of domains.

    Args:
        means: (k, d) domain embeddings, any real dtype.
        noise: (k,) noise to take off squared distances (see `rbf_affinity`); by default none.

    Raises:
        InputError: `means` is not a finite (k, d) array with k >= 2 and d >= 1, or more than half of the
            pairs of domains coincide, so that the median is zero.
    """
    return sigma_of_distances(*squared_distances(means), noise)


def usable_noise(noise: npt.ArrayLike, sigma: float, ridge: float, from_median: bool) -> Array:
    """The part of the noise that can be taken off RBF distances with K + ridge I positive definite.

    All of it, unless there are so few windows that a domain's noise nears the distances themselves: the
    excess exp(noise / sigma^2) - 1 is bounded by half of the ridge.

    Args:
        noise: (k,) noise as in `rbf_affinity`.
        sigma: Width that is given, or the median distance with its noise.
        ridge: k lambda.
        from_median: Whether the width in use is the median distance without noise, which is smaller.

    Returns:
        (k,) noise, reduced where it is over the bound.
    """
    bound = float(np.log1p(ridge / 2))
    if from_median:
        bound /= 1 + 2 * bound
    return np.minimum(np.asarray(noise, dtype=np.float64), bound * sigma * sigma)


def affinity_of_distances(squared: Array, unit: float, sigma: float, noise: npt.ArrayLike | None) -> Array:
    """`rbf_affinity` from squared distances, which it overwrites.

    Args:
        squared, unit: (k, k) squared distances and their unit, as from `squared_distances`.
        sigma, noise: See `rbf_affinity`.

    Raises:
        InputError: `sigma` is not a positive number.
    """
    if not (np.isfinite(sigma) and sigma > 0):
        raise InputError(f"sigma must be a positive number, got {sigma}")
    affinity = squared
    with np.errstate(over="ignore"):  # infinitely far apart at this width: an affinity of 0
        offsets = None if noise is None else np.asarray(noise, dtype=np.float64) / sigma / sigma
        for rows in blocks_of_rows(len(affinity), len(affinity), AT_ONCE):
            part = affinity[rows]
            np.sqrt(part, out=part)
            part /= sigma
            part *= unit
            np.square(part, out=part)
            if offsets is not None:
                part -= offsets[rows, None] + offsets
            part *= -0.5
            np.exp(part, out=part)
    np.fill_diagonal(affinity, 1.0)
    return affinity


def sigma_of_distances(squared: Array, unit: float, noise: npt.ArrayLike | None = None) -> float:
    """`median_sigma` from squared distances.

    Args:
        squared, unit: (k, k) squared distances and their unit, as from `squared_distances`.
        noise: See `median_sigma`.
    """
    offsets = np.zeros(len(squared)) if noise is None else np.asarray(noise, dtype=np.float64) / unit / unit
    return sigma_of_median(median_of_pairs(squared, offsets), unit)


def sigma_of_median(median: float, unit: float) -> float:
    """The width for a median squared distance.

    Args:
        median: Median in the square of `unit`; below zero where more noise was taken off.
        unit: Unit of the distances.

    Raises:
        InputError: The median is not above zero.
    """
    sigma = float(np.sqrt(max(median, 0.0))) * unit
    if sigma == 0.0:
        raise InputError(
            "more than half of the pairs of domains have the same embedding, so no RBF width can be "
            "derived from their distances: remove duplicate domains or give the width (--rbf_sigma)"
        )
    return sigma
