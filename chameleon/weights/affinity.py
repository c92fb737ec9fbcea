"""How alike domains are: kernels between domain embeddings.

Shapes: k domains, d width of an embedding. All arithmetic is float64.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array, real_array
from chameleon.common.errors import InputError

# Squared distances below this share of |x|^2 + |y|^2 have lost three digits and more to cancellation.
_CANCELLED = 1e-3


# Numbers of a large matrix that are worked on at once: 8 MiB.
_AT_ONCE = 1 << 20


# Medians over the pairs of up to so many domains are taken as they are; of more, these bits come first.
_SORTED_AT_ONCE = 2048


_LEADING_BITS = 20


def linear_affinity(means: npt.ArrayLike) -> Array:
    """Centred linear kernel, K = (X - mean)(X - mean)^T.

    Centring both rows and columns of X X^T gives the same matrix: it is the linear affinity of the
    method's published code. It has the scale of the embeddings squared, and so has its ridge.

    Args:
        means: (k, d) domain embeddings X, any real dtype.

    Returns:
        (k, k) symmetric positive semi-definite matrix.

    Raises:
        InputError: `means` is no finite (k, d) array with k >= 2 and d >= 1, or too large for its
            products to be float64 numbers.
    """
    x = _domain_embeddings(means)
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
    """Gaussian kernel, K_ij = exp(-|x_i - x_j|^2 / (2 sigma^2)).

    The squared distance between two means of samples is too large by what both lie off their domains,
    on average; where `noise` says how much that is, it is taken off. What comes out is A K A less what
    its diagonal is above 1, with the affinity K of the means as they stand and the diagonal matrix A
    of exp(noise / (2 sigma^2)); so with a ridge above that excess it is positive definite (`usable_noise`).

    Args:
        means: (k, d) domain embeddings, any real dtype.
        sigma: Width in the unit of the embeddings; by default `median_sigma(means, noise)`.
        noise: (k,) expected squared distance of each mean from its domain's own; none by default.

    Returns:
        (k, k) symmetric matrix with a diagonal of exactly 1; without noise it is positive semi-definite.

    Raises:
        InputError: `means` is no finite (k, d) array with k >= 2 and d >= 1, or `sigma` is not
            a positive number, or no width can be derived because most domains coincide.
    """
    squared, unit = squared_distances(means)
    if sigma is None:
        sigma = sigma_of_distances(squared, unit, noise)
    return affinity_of_distances(squared, unit, sigma, noise)


def affinity_of_distances(affinity: Array, unit: float, sigma: float, noise: npt.ArrayLike | None) -> Array:
    """What `rbf_affinity` gives, in the place of the (k, k) squared distances that it is given.

    Args:
        affinity: As of `squared_distances`; written over.
        unit: As of there.
        sigma, noise: As of `rbf_affinity`.

    Raises:
        InputError: `sigma` is not a positive number.
    """
    if not (np.isfinite(sigma) and sigma > 0):
        raise InputError(f"sigma must be a positive number, got {sigma}")
    with np.errstate(over="ignore"):  # infinitely far apart at this width: an affinity of 0
        less = None if noise is None else np.asarray(noise, dtype=np.float64) / sigma / sigma
        for rows in _blocks_of_rows(len(affinity)):
            part = affinity[rows]
            np.sqrt(part, out=part)
            part /= sigma
            part *= unit
            np.square(part, out=part)
            if less is not None:
                part -= less[rows, None] + less
            part *= -0.5
            np.exp(part, out=part)
    np.fill_diagonal(affinity, 1.0)
    return affinity


def median_sigma(means: npt.ArrayLike, noise: npt.ArrayLike | None = None) -> float:
    """Square root of the median squared distance over pairs of domains (the median heuristic).

    Args:
        means: (k, d) domain embeddings, any real dtype.
        noise: (k,) what to take off squared distances: see `rbf_affinity`.

    Raises:
        InputError: `means` is no finite (k, d) array with k >= 2 and d >= 1, or more than half of
            the pairs of domains coincide, so that the median distance is zero.
    """
    return sigma_of_distances(*squared_distances(means), noise)


def usable_noise(noise: npt.ArrayLike, sigma: float, ridge: float, from_median: bool) -> Array:
    """How much of the noise can be taken off RBF distances so that the kernel with its ridge stays definite.

    All of it, unless there are so few windows that a domain's noise nears the distances themselves: the
    excess exp(noise / sigma^2) - 1 (see `rbf_affinity`) is kept to half of the ridge.

    Args:
        noise: (k,) as there.
        sigma: Width: the one given, or the median distance with its noise.
        ridge: k lambda.
        from_median: Whether the width is the median distance without noise, which is the smaller for it.

    Returns:
        (k,) noise, some of it perhaps reduced.
    """
    bound = float(np.log1p(ridge / 2))
    if from_median:
        bound /= 1 + 2 * bound
    return np.minimum(np.asarray(noise, dtype=np.float64), bound * sigma * sigma)


def sigma_of_distances(squared: Array, unit: float, noise: npt.ArrayLike | None = None) -> float:
    """What `median_sigma` gives, of (k, k) squared distances in a unit (see `squared_distances`)."""
    less = np.zeros(len(squared)) if noise is None else np.asarray(noise, dtype=np.float64) / unit / unit
    return sigma_of_median(median_of_pairs(squared, less), unit)


def sigma_of_median(median: float, unit: float) -> float:
    """The width that a median squared distance gives.

    Args:
        median: In the square of `unit`; below zero where the noise taken off was more.
        unit: Of the distances.

    Raises:
        InputError: It is not above zero.
    """
    sigma = float(np.sqrt(max(median, 0.0))) * unit
    if sigma == 0.0:
        raise InputError(
            "more than half of the pairs of domains have the same embedding, so no RBF width can be "
            "derived from their distances: remove duplicate domains or give the width (--rbf_sigma)"
        )
    return sigma


def median_of_pairs(values: Array, less: Array) -> float:
    """Median of values[i, j] - less[i] - less[j] over pairs i > j of a (k, k) symmetric matrix.

    Of many domains without an array of all pairs: they are counted by their leading bits, and those in the
    middle are looked at alone.
    """
    k = len(values)
    if k <= _SORTED_AT_ONCE:
        return float(np.median(np.concatenate(list(_pairs(values, less)))))
    middle = ((k * (k - 1) // 2 - 1) // 2, k * (k - 1) // 2 // 2)  # ranks, the same where the number is odd
    counts = np.zeros(1 << _LEADING_BITS, dtype=np.int64)
    for part in _pairs(values, less):
        counts += np.bincount(_leading(part), minlength=len(counts))
    before = np.cumsum(counts) - counts
    first, last = (int(np.searchsorted(before + counts, rank, side="right")) for rank in middle)
    found = []
    for part in _pairs(values, less):
        leading = _leading(part)
        found.append(part[(leading >= first) & (leading <= last)])
    inside = np.concatenate(found)
    ranks = [rank - int(before[first]) for rank in middle]
    return float(np.partition(inside, ranks)[ranks].mean())


def _pairs(values: Array, less: Array) -> Iterator[Array]:
    """The values of all pairs, some rows at a time."""
    begin = 1
    while begin < len(values):
        end = min(len(values), max(begin + 1, math.isqrt(begin**2 + 2 * _AT_ONCE)))
        yield np.concatenate([values[i, :i] - (less[:i] + less[i]) for i in range(begin, end)])
        begin = end


def _leading(values: Array) -> npt.NDArray[np.int64]:
    """Leading bits of numbers as integers in the same order."""
    bits = (values + 0.0).view(np.int64)  # no negative zero
    # The order of negative numbers is that of their bits turned round.
    ordered = np.where(bits < 0, bits ^ np.int64((1 << 63) - 1), bits)
    return np.asarray((ordered >> (64 - _LEADING_BITS)) + (1 << (_LEADING_BITS - 1)))


def squared_distances(means: npt.ArrayLike) -> tuple[Array, float]:
    """(k, k) squared distances, exactly symmetric, zero on the diagonal, and the unit they are the square of.

    As |x|^2 + |y|^2 - 2 xy about the centroid, and anew from the differences of coordinates where
    that loses digits. The unit, a power of two, keeps squares from overflowing. Beside the result a few
    rows of it are in use.
    """
    x = _domain_embeddings(means)
    largest = float(np.abs(x).max())
    unit = float(2.0 ** np.floor(np.log2(largest))) if largest else 1.0
    x = x / unit
    centred = x - x.mean(axis=0)
    sizes = np.einsum("ij,ij->i", centred, centred)
    squared = np.empty((len(x), len(x)))
    for rows in _blocks_of_rows(len(x)):
        part = squared[rows, : rows.stop]
        np.matmul(centred[rows], centred[: rows.stop].T, out=part)
        part *= -2
        part += sizes[rows, None]
        part += sizes[: rows.stop]
        for i in range(rows.start, rows.stop):
            row = squared[i, : i + 1]
            near = np.flatnonzero(row <= _CANCELLED * (sizes[i] + sizes[: i + 1]))
            row[near] = np.square(x[near] - x[i]).sum(axis=1)
            squared[: i + 1, i] = row
    return squared, unit


def _blocks_of_rows(k: int) -> list[slice]:
    """Rows of a (k, k) matrix, a few million numbers at a time."""
    size = max(1, _AT_ONCE // k)
    return [slice(begin, min(begin + size, k)) for begin in range(0, k, size)]


def _domain_embeddings(means: npt.ArrayLike) -> Array:
    x = real_array(means, "domain embeddings")
    if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 1:
        raise InputError(f"expected embeddings of at least 2 domains as a (k, d) array, got shape {x.shape}")
    if not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        raise InputError(f"domain embeddings must be finite numbers, those in rows {bad.tolist()} are not")
    return x
