"""How runs deviate from the law: what it does not know of their mixtures, and chance.

    cov(u, u') = v(w) v(w') (f C(w, w') + (1 - f) [u and u' are of one run])
    C(w, w') = exp(-|a(w) - a(w')|^2 / (2 m L^2))
    v(w) = 1 + h |a(w) - a(uniform)|^2 / (m L^2)

Deviations are in part a smooth function of the mixture, so that mixtures near those of runs deviate like
these, and in part chance, such as a run's seed. They are in units of the standard deviation at uniform
weights, and grow with the distance from these: the logarithm of the law holds near by, and where a share is
very small losses flatten, so that far runs say less of the slopes near uniform weights, where the answer
mostly lies. a(w) are the logarithms of the m effective shares.

Shapes: n runs, m losses, k domains.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from chameleon.common.arrays import Array
from chameleon.methods.law.transfer import USUAL

# L, a typical change of ln e within which deviations are alike: a factor of two.
_LENGTH = 0.7

# f, the part of the variance that depends on the mixture; the rest is chance.
_SMOOTH = 0.5

# h, how fast deviations grow with the distance from uniform weights.
_GROWTH = 1.0


class Difference(NamedTuple):
    """How a run deviates against another one.

    Attributes:
        covariances: (n - 1,) of the smooth part, with the contrasts between the runs of a law.
        smooth: Variance of the smooth part.
        chance: Variance of what is chance in the two runs.
    """

    covariances: Array
    smooth: float
    chance: float


@dataclass(frozen=True, eq=False)
class Deviations:
    """The deviations of n runs, as contrasts between the runs that are independent and of variance 1.

    Attributes:
        mixtures: (n, k) of the runs.
        matrix: (m, k) transfer matrix by which a(w) is measured.
        contrasts: (n - 1, n) combinations of runs that sum to 0.
    """

    mixtures: Array
    matrix: Array
    contrasts: Array

    @classmethod
    def of(cls, mixtures: Array, affinities: Array | None, is_own: npt.NDArray[np.bool_]) -> "Deviations":
        """Those of runs on (n, k) mixtures; see `LawData` for the other arguments."""
        n, matrix = len(mixtures), USUAL.matrix(affinities, is_own)
        scales = growths(mixtures, matrix)
        covariance = _smooth(mixtures, mixtures, matrix) + (1 - _SMOOTH) * np.diag(np.square(scales))
        # Rows of an orthogonal matrix whose first is constant: the others are orthonormal contrasts.
        contrasts = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0].T[1:]
        factor = np.linalg.cholesky(contrasts @ covariance @ contrasts.T)
        return cls(mixtures, matrix, solve_triangular(factor, contrasts, lower=True))

    def between(self, weights: Array, baseline: Array) -> Difference:
        """How runs on (k,) weights deviate against runs on a (k,) baseline."""
        both = np.stack([weights, baseline])
        one, other = self.contrasts @ _smooth(self.mixtures, both, self.matrix).T[..., None]
        smooth = _smooth(both, both, self.matrix)
        chance = (1 - _SMOOTH) * float(np.square(growths(both, self.matrix)).sum())
        variance = float(smooth[0, 0] + smooth[1, 1] - 2 * smooth[0, 1])
        return Difference((one - other)[:, 0], variance, chance)


def growths(mixtures: Array, matrix: Array) -> Array:
    """(n,) standard deviations v of (n, k) mixtures, relative to that of uniform weights."""
    uniform = np.full((1, mixtures.shape[1]), 1 / mixtures.shape[1])
    return np.asarray(1 + _GROWTH * _squared_distances(mixtures, uniform, matrix)[:, 0])


def _smooth(one: Array, other: Array, matrix: Array) -> Array:
    """(n, n') covariances of the smooth parts of deviations on (n, k) and (n', k) mixtures."""
    scales = growths(one, matrix)[:, None] * growths(other, matrix)
    return np.asarray(_SMOOTH * scales * np.exp(-_squared_distances(one, other, matrix) / 2))


def _squared_distances(one: Array, other: Array, matrix: Array) -> Array:
    differences = np.log(one @ matrix.T)[:, None] - np.log(other @ matrix.T)
    return np.asarray(np.square(differences).mean(axis=2)) / _LENGTH**2
