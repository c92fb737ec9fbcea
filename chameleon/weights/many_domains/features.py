"""Random Fourier features: vectors z(x) whose inner products approximate the RBF affinity of domains.

    z(x) = sqrt(2 / D) [cos(w_1 . x), ..., sin(w_1 . x), ...],    z(x) . z(y) ~ K(x, y),    |z(x)| = 1

with D / 2 frequencies w drawn from the kernel's spectrum, a normal distribution of standard deviation
1 / sigma (Rahimi & Recht, 2007). Frequencies are orthogonal in groups of d, which lowers the variance of the
products (Yu et al., 2016).

Shapes: k domains, d width of an embedding, D features, r rows, p pairs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array, Floats, blocks_of_rows
from chameleon.weights.affinity import sigma_of_median, usable_noise


@dataclass(frozen=True, eq=False)
class RandomFeatures:
    """The map from domain embeddings to features.

    Attributes:
        frequencies: (d, D / 2) float64 frequencies, one a column.
        centre: (d,) point subtracted from embeddings, which changes no product and keeps phases small.
    """

    frequencies: Array
    centre: Array

    @classmethod
    def of(cls, count: int, sigma: float, centre: Array) -> "RandomFeatures":
        """Features for an RBF kernel.

        Args:
            count: Number of features D, rounded up to an even number.
            sigma: Width of the kernel.
            centre: (d,) point to subtract from embeddings.
        """
        generator = np.random.default_rng(0)
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
        """Number of features D."""
        return 2 * int(self.frequencies.shape[1])

    def values(self, means: Floats, rows: slice, dtype: npt.DTypeLike) -> Floats:
        """(r, D) features of some rows of (k, d) embeddings, cosines first, computed in `dtype`."""
        centred = (np.asarray(means[rows], dtype=np.float64) - self.centre).astype(dtype, copy=False)
        phases = centred @ self.frequencies.astype(dtype, copy=False)
        pairs = self.frequencies.shape[1]
        features = np.empty((len(phases), 2 * pairs), dtype=dtype)
        np.cos(phases, out=features[:, :pairs])
        np.sin(phases, out=features[:, pairs:])
        features *= np.sqrt(1 / pairs).astype(dtype)
        return features

    def backpropagated(self, values: Floats, slopes: Floats) -> Floats:
        """(r, d) derivatives by the embeddings, from derivatives by the features.

        Args:
            values: (r, D) features.
            slopes: (r, D) derivatives by them.
        """
        pairs = self.frequencies.shape[1]
        by_phase = values[:, :pairs] * slopes[:, pairs:] - values[:, pairs:] * slopes[:, :pairs]
        return np.asarray(by_phase @ self.frequencies.T.astype(values.dtype, copy=False))


# With this many random pairs the median is known to a thousandth of the spread of distances.
PAIRS = 1 << 20


def width_of_pairs(means: Floats, noise: Array | None, ridge: float) -> tuple[float, Array]:
    """The median distance of random pairs of domains, and the (k,) noise that can be taken off at that width.

    Pairs are of two different domains, drawn with replacement.

    Args:
        means: (k, d) domain embeddings, in memory or mapped from disk.
        noise: (k,) noise to take off squared distances where possible; None for none.
        ridge: Ridge k lambda, which bounds the noise.

    Raises:
        InputError: More than half of the pairs coincide.
    """
    generator = np.random.default_rng(0)
    k = len(means)
    one = np.sort(generator.integers(k, size=PAIRS))
    other = (one + generator.integers(1, k, size=PAIRS)) % k
    squared = squared_distances_of_pairs(means, one, other)
    unit = float(np.sqrt(squared.max())) or 1.0
    squared /= unit * unit
    if noise is None or not noise.any():
        return sigma_of_median(float(np.median(squared)), unit), np.zeros(k)
    taken = usable_noise(noise, sigma_of_median(float(np.median(squared)), unit), ridge, from_median=True)
    squared -= (taken[one] + taken[other]) / unit / unit
    return sigma_of_median(float(np.median(squared)), unit), taken


def squared_distances_of_pairs(
    means: Floats, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]
) -> Array:
    """(p,) float64 squared distances of pairs of rows, from the differences of their coordinates."""
    squared = np.empty(len(one))
    for some in blocks_of_rows(len(one), means.shape[1]):
        apart = np.asarray(means[one[some]], dtype=np.float64) - means[other[some]]
        squared[some] = np.einsum("ij,ij->i", apart, apart)
    return squared
