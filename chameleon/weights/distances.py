"""Squared distances between all pairs of domains, and their median, within one (k, k) matrix of memory.

Shapes: k domains, d width of an embedding. All arithmetic is float64.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array, blocks_of_rows, real_array
from chameleon.common.errors import InputError

# Squared distances below this share of |x|^2 + |y|^2 have lost three digits and more to cancellation.
_CANCELLED = 1e-3

# Numbers of a large matrix that are processed at once: 8 MiB.
AT_ONCE = 1 << 20

# The median of the pairs of up to this many domains is taken directly; of more, by their leading bits first.
_SORTED_AT_ONCE = 2048
_LEADING_BITS = 20


def checked_means(means: npt.ArrayLike) -> Array:
    """Domain embeddings as a float64 array.

    Raises:
        InputError: `means` is not a finite (k, d) array with k >= 2 and d >= 1.
    """
    x = real_array(means, "domain embeddings")
    if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 1:
        raise InputError(f"expected embeddings of at least 2 domains as a (k, d) array, got shape {x.shape}")
    if not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        raise InputError(f"domain embeddings must be finite numbers, those in rows {bad.tolist()} are not")
    return x


def squared_distances(means: npt.ArrayLike) -> tuple[Array, float]:
    """(k, k) squared distances in the square of a unit, and that unit, a power of two.

    They are |x|^2 + |y|^2 - 2 x.y about the centroid, or the sum of squared differences of coordinates where
    the former loses digits; exactly symmetric and zero on the diagonal. The unit keeps squares from
    overflowing. Only a few rows are held beside the result.

    Args:
        means: (k, d) domain embeddings.

    Raises:
        InputError: See `checked_means`.
    """
    x = checked_means(means)
    largest = float(np.abs(x).max())
    unit = float(2.0 ** np.floor(np.log2(largest))) if largest else 1.0
    x = x / unit
    centred = x - x.mean(axis=0)
    sizes = np.einsum("ij,ij->i", centred, centred)
    squared = np.empty((len(x), len(x)))
    for rows in blocks_of_rows(len(x), len(x), AT_ONCE):
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


def median_of_pairs(values: Array, offsets: Array) -> float:
    """Median of values[i, j] - offsets[i] - offsets[j] over pairs i > j, without an array of all pairs.

    Of many domains the pairs are counted by their leading bits, and only those about the middle are sorted.

    Args:
        values: (k, k) symmetric matrix.
        offsets: (k,) numbers to subtract.
    """
    k = len(values)
    if k <= _SORTED_AT_ONCE:
        return float(np.median(np.concatenate(list(_pairs(values, offsets)))))
    middle = ((k * (k - 1) // 2 - 1) // 2, k * (k - 1) // 2 // 2)  # ranks, equal where the number is odd
    counts = np.zeros(1 << _LEADING_BITS, dtype=np.int64)
    for part in _pairs(values, offsets):
        counts += np.bincount(_leading_bits(part), minlength=len(counts))
    before = np.cumsum(counts) - counts
    first, last = (int(np.searchsorted(before + counts, rank, side="right")) for rank in middle)
    candidates = []
    for part in _pairs(values, offsets):
        bits = _leading_bits(part)
        candidates.append(part[(bits >= first) & (bits <= last)])
    ranks = [rank - int(before[first]) for rank in middle]
    return float(np.partition(np.concatenate(candidates), ranks)[ranks].mean())


def _pairs(values: Array, offsets: Array) -> Iterator[Array]:
    """The values of all pairs, some rows at a time."""
    begin = 1
    while begin < len(values):
        end = min(len(values), max(begin + 1, math.isqrt(begin**2 + 2 * AT_ONCE)))
        yield np.concatenate([values[i, :i] - (offsets[:i] + offsets[i]) for i in range(begin, end)])
        begin = end


def _leading_bits(values: Array) -> npt.NDArray[np.int64]:
    """The leading bits of numbers, as integers from 0 in the same order."""
    bits = (values + 0.0).view(np.int64)  # no negative zero
    # Negative numbers are ordered by their bits reversed.
    ordered = np.where(bits < 0, bits ^ np.int64((1 << 63) - 1), bits)
    return np.asarray((ordered >> (64 - _LEADING_BITS)) + (1 << (_LEADING_BITS - 1)))
