"""Losses of runs by a known law, for tests of the affinity law.

Shapes: n runs, k domains.
"""

from dataclasses import dataclass

import numpy as np

from chameleon.common.arrays import Array
from chameleon.methods.law.answer import DRAWS, Answer, answer_of
from chameleon.methods.law.fit import LawData, fit_law
from chameleon.methods.law.request import Bounds
from chameleon.methods.law.transfer import USUAL


@dataclass(frozen=True, eq=False)
class Truth:
    """Domains whose losses follow the law c - b ln e, or a power of the effective shares, c + b e^-0.4 / 0.4.

    Attributes:
        affinities, matrix: (k, k) of the domains.
        constants, slopes: (k,) c and b.
        is_power: Whether the law is wrong about them.
    """

    affinities: Array
    matrix: Array
    constants: Array
    slopes: Array
    is_power: bool = False

    @classmethod
    def of(cls, k: int, seed: int, is_power: bool = False) -> "Truth":
        """Random domains, scattered in a plane."""
        random = np.random.default_rng(seed)
        points = random.normal(size=(k, 2))
        affinities = 0.3 * np.exp(-2 * np.square(points[:, None] - points).sum(axis=2))
        matrix = USUAL.matrix(affinities, np.eye(k, dtype=bool))
        return cls(
            affinities, matrix, random.uniform(2, 5, k), 0.3 * np.exp(random.normal(0, 0.5, k)), is_power
        )

    def losses(self, mixtures: Array) -> Array:
        """(n, k) losses of (n, k) mixtures, without noise."""
        effective = mixtures @ self.matrix.T
        rise = effective**-0.4 / 0.4 if self.is_power else -np.log(effective)
        return np.asarray(self.constants + self.slopes * rise)

    def data(self, n: int, seed: int, noise: float, common: float = 0.0) -> LawData:
        """Runs on uniform and random mixtures, with noise of each loss and noise common to all of a run."""
        k, random = len(self.slopes), np.random.default_rng(seed)
        mixtures = np.vstack([np.full(k, 1 / k), random.dirichlet(np.full(k, 1.5), n - 1)])
        losses = self.losses(mixtures) + random.normal(0, common, (n, 1)) + random.normal(0, noise, (n, k))
        return LawData(mixtures, losses, np.eye(k, dtype=bool), self.affinities)


def answered(data: LawData, seed: int = 0) -> Answer:
    """What a law fitted to the data says, with all losses alike and no bounds but the law's own."""
    m, k = data.is_own.shape
    names, importance = tuple(map(str, range(k))), np.full(m, 1 / m)
    bounds = Bounds(np.zeros(k), np.ones(k)).for_importance(names, names[:m], importance)
    law = fit_law(data)
    draws = law.draw(DRAWS, np.random.default_rng(seed))
    return answer_of(law, draws, importance, bounds, seed)
