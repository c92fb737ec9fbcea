"""Random Fourier features: vectors whose inner products are about the RBF affinities of domains.

With frequencies w_j drawn from the kernel's spectrum, a normal distribution of standard deviation 1 / sigma,
z(x) = sqrt(2 / D) [cos(w_j x), sin(w_j x)] has the expected inner product z(x) z(y) = K(x, y), and exactly 1
with itself. (Rahimi & Recht, 2007.) Frequencies are orthogonal in groups of d, which lowers the spread of the
products (Yu et al., 2016).

Shapes: d width of an embedding, D features, half of them frequencies, r rows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.weights.affinity import sigma_of_median, usable_noise
from chameleon.weights.formula import Means
from chameleon.weights.many_domains.blocks import blocks_of_rows

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class RandomFeatures:
    """The map from means to features.

    Attributes:
        frequencies: (d, D / 2) float64.
        centre: (d,) about which means are taken: it changes no product, and keeps the phases small.
    """

    frequencies: Array
    centre: Array

    @classmethod
    def of(cls, count: int, sigma: float, centre: Array, seed: int = 0) -> "RandomFeatures":
        """Features for an RBF kernel.

        Args:
            count: D, rounded up to an even number.
            sigma: Width of the kernel.
            centre: (d,) as above.
            seed: Of the frequencies.
        """
        generator = np.random.default_rng(seed)
        d, pairs = len(centre), (count + 1) // 2
        groups = -(-pairs // d)
        directions = np.empty((groups, d, d))
        for group in range(groups):
            q, r = np.linalg.qr(generator.standard_normal((d, d)))
            directions[group] = (q * np.sign(np.diag(r))).T
        norms = np.sqrt(generator.chisquare(d, size=groups * d))
        rows = directions.reshape(groups * d, d) * norms[:, None] / sigma
        return cls(np.ascontiguousarray(rows[:pairs].T), centre)

    @property
    def count(self) -> int:
        """D."""
        return 2 * int(self.frequencies.shape[1])

    def values(self, means: Means, rows: slice, dtype: npt.DTypeLike) -> Floats:
        """(r, D) features of some rows of means, cosines first, computed in a dtype."""
        centred = (np.asarray(means[rows], dtype=np.float64) - self.centre).astype(dtype, copy=False)
        phases = centred @ self.frequencies.astype(dtype, copy=False)
        pairs = self.frequencies.shape[1]
        found = np.empty((len(phases), 2 * pairs), dtype=dtype)
        np.cos(phases, out=found[:, :pairs])
        np.sin(phases, out=found[:, pairs:])
        found *= np.sqrt(1 / pairs).astype(dtype)
        return found

    def back(self, values: Floats, slopes: Floats) -> Floats:
        """(r, d) derivatives by means of what has (r, D) derivatives by their features.

        Args:
            values: (r, D) the features.
            slopes: (r, D).
        """
        pairs = self.frequencies.shape[1]
        by_phase = values[:, :pairs] * slopes[:, pairs:] - values[:, pairs:] * slopes[:, :pairs]
        return np.asarray(by_phase @ self.frequencies.T.astype(values.dtype, copy=False))


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
