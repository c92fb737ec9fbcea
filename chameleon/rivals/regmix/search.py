"""Random mixtures: those that are trained on, and the many more among which the best are looked for.

Shapes: n mixtures, k domains.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon.budget import fitted
from chameleon.rivals.regmix.runs import Array

SIMULATED, BEST = 100_000, 128
# Concentrations of the Dirichlet distributions, as published: few domains at a time, or many.
_LEAST_STRENGTH, _MOST_STRENGTH = 0.1, 5.0
# Natural shares to this power are the mean, so that small domains are seen as well.
_FLATTENED = 0.5
# Shares below are none: a small model would hardly see a row of it.
_NOTHING = 1e-3
_AT_ONCE = 10_000


def draw_mixtures(natural: Array, number: int, seed: int, most: Array | None = None) -> Array:
    """Random mixtures about natural shares.

    Mixture j is a function of seed and j: a longer list begins with the shorter.

    Args:
        natural: (k,) shares, not negative; a domain of 0 stays out.
        number: n.
        seed: Names them.
        most: (k,) caps; what is over them goes to the others in proportion.

    Returns:
        (n, k) shares, rows summing to 1.
    """
    mean = natural**_FLATTENED
    mean /= mean.sum()
    found = np.empty((number, len(mean)))
    for begin in range(0, number, _AT_ONCE):
        size = min(_AT_ONCE, number - begin)
        # All of a stretch are drawn, however many are wanted of it.
        drawn = _stretch(mean, np.random.default_rng([seed, begin]))
        found[begin : begin + size] = drawn[:size]
    if most is not None:
        for row in np.flatnonzero((found > most).any(axis=1)):
            found[row] = fitted(found[row], np.zeros(len(mean)), most)
    return found


def _stretch(mean: Array, chance: np.random.Generator) -> Array:
    low, high = np.log([_LEAST_STRENGTH, _MOST_STRENGTH]).tolist()
    strengths = np.exp(chance.uniform(low, high, size=_AT_ONCE))
    gammas = chance.standard_gamma(strengths[:, None] * mean)
    # Of a tiny concentration all may be 0: then one domain has all, as in the limit.
    lost = gammas.sum(axis=1) <= 0
    gammas[lost] = chance.multinomial(1, mean, size=int(lost.sum()))
    shares = gammas / gammas.sum(axis=1, keepdims=True)
    shares[shares < _NOTHING] = 0.0
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Found:
    """The outcome of a search.

    Attributes:
        weights: (k,) the mean of the best mixtures.
        predicted: What is predicted for it.
        predicted_natural: And for natural shares.
        spread: (k,) standard deviation of the shares among the best.
    """

    weights: Array
    predicted: float
    predicted_natural: float
    spread: npt.NDArray[np.float64]


def search(
    predict: Callable[[Array], Array],
    natural: Array,
    seed: int,
    most: Array | None = None,
    simulated: int = SIMULATED,
    best: int = BEST,
) -> Found:
    """The mean of the best of many random mixtures.

    Args:
        predict: From (n, k) mixtures to (n,) what is to be small.
        natural, seed, most: As of `draw_mixtures`.
        simulated: How many are drawn.
        best: How many of them count.
    """
    drawn = draw_mixtures(natural, simulated, seed, most)
    predicted = predict(drawn)
    chosen = drawn[np.argsort(predicted, kind="stable")[:best]]
    weights = chosen.mean(axis=0)
    weights /= weights.sum()
    shares = natural / natural.sum()
    values = predict(np.stack([weights, shares]))
    return Found(weights, float(values[0]), float(values[1]), chosen.std(axis=0))
