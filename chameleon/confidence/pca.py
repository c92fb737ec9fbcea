"""Domains on a plane: the first two kernel principal components, and the spread of replicates on it.

Shapes: k domains, b replicates.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane on which domains lie furthest apart, in the kernel's feature space.

    Attributes:
        places: (k, 2) coordinates of the domains.
        explained: (2,) part of the domains' variance along each axis.
        axes: (k, 2) matrix from centred affinities to the domains to coordinates.
        column_means: (k,) mean affinity to each domain.
    """

    places: Array
    explained: Array
    axes: Array
    column_means: Array

    @classmethod
    def of(cls, affinity: Array) -> "Plane":
        """The plane of domains with (k, k) affinities."""
        column_means = affinity.mean(axis=0)
        centred = affinity - column_means - column_means[:, None] + column_means.mean()
        values, vectors = np.linalg.eigh(centred)
        values, vectors = np.maximum(values[:-3:-1], 0.0), vectors[:, :-3:-1]
        # Signs of eigenvectors are arbitrary: put the domain furthest out to the right, and up.
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), [0, 1]])
        roots = np.sqrt(values)
        axes = np.divide(
            vectors, roots, out=np.zeros_like(vectors), where=roots > 1e-9 * max(roots[0], 1e-300)
        )
        total = max(float(np.trace(centred)), float(values.sum()), 1e-300)
        return cls(vectors * roots, values / total, axes, column_means)

    def place(self, affinities: npt.NDArray[np.floating]) -> Array:
        """(..., 2) coordinates of points with (..., k) affinities to the domains."""
        centred = affinities - affinities.mean(axis=-1, keepdims=True)
        return np.asarray((centred - self.column_means + self.column_means.mean()) @ self.axes)


def spreads_of(places: Array) -> Array:
    """(k, 2, 2) covariances of the (b, k, 2) coordinates of replicates."""
    moves = places - places.mean(axis=0)
    return np.asarray(np.einsum("bki,bkj->kij", moves, moves) / max(len(places) - 1, 1))
