"""The median distance of very many domains, from pairs of them at random.

Shapes: k domains, d width of an embedding.
"""

import numpy as np
import numpy.typing as npt

from chameleon.affinity import Array, sigma_of_median, usable_noise
from chameleon.many.found import Means, blocks_of_rows

# The median of so many is known to a thousandth of the spread of distances.
PAIRS = 1 << 20


def width_of_pairs(
    means: Means, noise: Array | None, ridge: float, pairs: int = PAIRS, seed: int = 0
) -> tuple[float, Array]:
    """The median distance of random pairs of domains, and how much noise can be taken off with that width.

    Args:
        means: (k, d) domain embeddings, in memory or on disk.
        noise: (k,) noise to take off squared distances so far as it can be; None for none.
        ridge: k lambda, which bounds it.
        pairs: How many, each of two different domains, drawn with replacement.
        seed: Of the draws.

    Raises:
        InputError: More than half of the pairs coincide.
    """
    generator = np.random.default_rng(seed)
    k = len(means)
    one = np.sort(generator.integers(k, size=pairs))
    other = (one + generator.integers(1, k, size=pairs)) % k
    squared = squared_distances_of_pairs(means, one, other)
    unit = float(np.sqrt(squared.max())) or 1.0
    squared /= unit * unit
    if noise is None or not noise.any():
        return sigma_of_median(float(np.median(squared)), unit), np.zeros(k)
    taken = usable_noise(noise, sigma_of_median(float(np.median(squared)), unit), ridge, from_median=True)
    squared -= (taken[one] + taken[other]) / unit / unit
    return sigma_of_median(float(np.median(squared)), unit), taken


def squared_distances_of_pairs(
    means: Means, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]
) -> Array:
    """(p,) float64 squared distances of p pairs of rows, from the differences of their coordinates."""
    squared = np.empty(len(one))
    for some in blocks_of_rows(len(one), means.shape[1]):
        apart = np.asarray(means[one[some]], dtype=np.float64) - means[other[some]]
        squared[some] = np.einsum("ij,ij->i", apart, apart)
    return squared
