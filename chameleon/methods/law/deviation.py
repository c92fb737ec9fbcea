"""How runs deviate from the law: what it does not know of their mixtures, and chance.

    cov(u, u') = f C(w, w') + (1 - f) [u and u' are of one run]
    C(w, w') = exp(-|a(w) - a(w')|^2 / (2 m L^2))

Deviations are in part a smooth function of the mixture, so that mixtures near those of runs deviate like
these, and in part chance, such as a run's seed. Both are in units of the variance of a deviation. a(w) are
the logarithms of the m effective shares.

Shapes: n runs, m losses, k domains.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from chameleon.common.arrays import Array
from chameleon.methods.law.transfer import USUAL

# L, a typical change of ln e within which deviations are alike: a factor of two.
_LENGTH = 0.7

# f, the part of the variance that depends on the mixture; the rest is chance.
SMOOTH = 0.65


@dataclass(frozen=True, eq=False)
class Deviations:
    """The deviations of n runs, as contrasts between the runs that are independent and of variance 1.

    Attributes:
        points: (n, m) a(w) of the runs, divided by sqrt(m) L.
        matrix: (m, k) transfer matrix that these are by.
        contrasts: (n - 1, n) combinations of runs that sum to 0.
    """

    points: Array
    matrix: Array
    contrasts: Array

    @classmethod
    def of(cls, mixtures: Array, affinities: Array | None, is_own: npt.NDArray[np.bool_]) -> "Deviations":
        """Those of runs on (n, k) mixtures; see `LawData` for the other arguments."""
        n, m = len(mixtures), len(is_own)
        matrix = USUAL.matrix(affinities, is_own)
        points = np.log(mixtures @ matrix.T) / (np.sqrt(m) * _LENGTH)
        covariance = SMOOTH * _covariances(points, points) + (1 - SMOOTH) * np.eye(n)
        # Rows of an orthogonal matrix whose first is constant: the others are orthonormal contrasts.
        contrasts = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0].T[1:]
        factor = np.linalg.cholesky(contrasts @ covariance @ contrasts.T)
        return cls(points, matrix, solve_triangular(factor, contrasts, lower=True))

    def between(self, weights: Array, baseline: Array) -> tuple[Array, float]:
        """What is known of the smooth part of u(w) - u(w_0), for (k,) weights w and a (k,) baseline w_0.

        Returns:
            (n - 1,) covariances with the contrasts, and the variance.
        """
        scale = self.points.shape[1] ** 0.5 * _LENGTH
        both = np.log(np.stack([weights, baseline]) @ self.matrix.T) / scale
        covariances = SMOOTH * _covariances(both, self.points)
        variance = 2 * SMOOTH * (1 - float(_covariances(both[:1], both[1:])[0, 0]))
        return self.contrasts @ (covariances[0] - covariances[1]), variance


def _covariances(one: Array, other: Array) -> Array:
    squared = np.square(one[:, None] - other[None]).sum(axis=2)
    return np.asarray(np.exp(-squared / 2))
