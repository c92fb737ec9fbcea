"""Random permutations and numbers as functions of a key: any part is computed without the rest."""

import numpy as np
import numpy.typing as npt

_FEISTEL_ROUNDS = 6

# Up to this size sorting is faster than the network, which has at least 8 bits.
_SMALL = 1 << 11


def permuted(indices: npt.NDArray[np.int64], size: int, key: int) -> npt.NDArray[np.int64]:
    """Images of indices under the permutation of 0 to size - 1 that `key` names.

    A balanced Feistel network on the smallest even number of bits that holds `size`, applied again to images
    outside. Small permutations are computed whole, by sorting.

    Args:
        indices: (s,) indices below `size`.
        size: Number of elements.
        key: Key of the permutation.
    """
    if size <= _SMALL:
        words = ranks(np.arange(size, dtype=np.uint64), key)
        order: npt.NDArray[np.int64] = np.argsort(words, kind="stable")[indices]
        return order
    half = max(4, -(-(size - 1).bit_length() // 2))
    mask = np.uint64((1 << half) - 1)
    images = indices.astype(np.uint64)
    outside = np.ones(len(images), dtype=bool)
    while outside.any():
        left, right = images[outside] >> np.uint64(half), images[outside] & mask
        for number in range(_FEISTEL_ROUNDS):
            left, right = right, left ^ (_mixed(right, key + number) & mask)
        images[outside] = left << np.uint64(half) | right
        outside = images >= size
    return images.astype(np.int64)


def ranks(keys: npt.NDArray[np.uint64], key: int) -> npt.NDArray[np.uint64]:
    """(s,) random words, each a function of `key` and one of (s,) keys.

    Sorted by them, any subset of things is in the same order as in the whole.
    """
    return _mixed(_mixed(keys, key), key >> 64)


def fractions(keys: npt.NDArray[np.uint64], key: int) -> npt.NDArray[np.float64]:
    """(s,) random numbers in [0, 1), each a function of `key` and one of (s,) keys."""
    return (ranks(keys, key) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _mixed(words: npt.NDArray[np.uint64], key: int) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, 2014), of words offset by `key` of its steps."""
    x = words + np.uint64(key * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
