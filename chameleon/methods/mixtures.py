"""Random mixtures around natural shares, to train small models on or to search for the best.

Shapes: n mixtures, k domains.
"""

import numpy as np

from chameleon.common.arrays import Array
from chameleon.export.budget import project_shares

# Concentrations of the Dirichlet distributions, as published: from few domains at a time to many.
_LOWEST_CONCENTRATION, _HIGHEST_CONCENTRATION = 0.1, 5.0

# The mean is natural shares to this power, so that small domains are sampled as well.
_FLATTENING = 0.5

# Smaller shares are set to 0: a small model would hardly see a row of the domain.
_SMALLEST_SHARE = 1e-3
_CHUNK = 10_000


def draw_mixtures(natural: Array, number: int, seed: int, caps: Array | None = None) -> Array:
    """Draw random mixtures around natural shares.

    Mixture j is a function of seed and j: a longer list begins with the shorter.

    Args:
        natural: (k,) shares, not negative; a domain of 0 stays 0.
        number: n.
        seed: Seed of the mixtures.
        caps: (k,) largest shares; the excess goes to the other domains in proportion.

    Returns:
        (n, k) shares, rows summing to 1.
    """
    mean = natural**_FLATTENING
    mean /= mean.sum()
    mixtures = np.empty((number, len(mean)))
    for begin in range(0, number, _CHUNK):
        # A chunk is always drawn whole, so that its mixtures do not depend on how many are used.
        chunk = _draw_chunk(mean, np.random.default_rng([seed, begin]))
        mixtures[begin : begin + _CHUNK] = chunk[: number - begin]
    if caps is not None:
        for row in np.flatnonzero((mixtures > caps).any(axis=1)):
            mixtures[row] = project_shares(mixtures[row], np.zeros(len(mean)), caps)
    return mixtures


def _draw_chunk(mean: Array, random: np.random.Generator) -> Array:
    low, high = np.log([_LOWEST_CONCENTRATION, _HIGHEST_CONCENTRATION]).tolist()
    concentrations = np.exp(random.uniform(low, high, size=_CHUNK))
    gammas = random.standard_gamma(concentrations[:, None] * mean)
    # With a tiny concentration all may be 0: then one domain has everything, as in the limit.
    is_zero = gammas.sum(axis=1) <= 0
    gammas[is_zero] = random.multinomial(1, mean, size=int(is_zero.sum()))
    shares = gammas / gammas.sum(axis=1, keepdims=True)
    shares[shares < _SMALLEST_SHARE] = 0.0
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
