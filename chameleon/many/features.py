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

from chameleon.affinity import Array
from chameleon.many.found import Means

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Features:
    """The map from means to features.

    Attributes:
        frequencies: (d, D / 2) float64.
        centre: (d,) about which means are taken: it changes no product, and keeps the phases small.
    """

    frequencies: Array
    centre: Array

    @classmethod
    def of(cls, count: int, sigma: float, centre: Array, seed: int = 0) -> "Features":
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
