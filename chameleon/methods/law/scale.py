"""Carries slopes from two lengths of runs to another number of tokens.

    b_l(N) = b_l(N_2) (N / N_2)^(-a_l),    a_l = ln(b_l(N_1) / b_l(N_2)) / ln(N_2 / N_1)

A loss that falls with a power of the tokens of its own text has slopes that fall likewise. The exponents of
all losses share a mean, and one that the runs do not determine stays near it. The further N is from the runs,
the more an error of an exponent counts: slopes at a thousand times the tokens are hardly known.

Shapes: m losses, k domains, d draws.
"""

from dataclasses import replace

import numpy as np

from chameleon.common.arrays import Array
from chameleon.methods.law.fit import Draws

# Standard deviation of exponents about their mean before any run, and the range of the mean.
_SPREAD = 0.1
_LEAST, _MOST = -0.5, 1.0


def carry(short: Draws, long: Draws, tokens: tuple[float, float], budget: float, seed: int) -> Draws:
    """Draws of the law at a number of tokens.

    Args:
        short, long: As many draws of the laws of short and of long runs.
        tokens: Tokens of a short and of a long run, the first smaller.
        budget: Tokens to carry the slopes to.
        seed: Seed of the draws of exponents.
    """
    exponents = exponents_of(short.slopes, long.slopes, tokens, seed)
    slopes = long.slopes * (budget / tokens[1]) ** -exponents
    return replace(long, slopes=slopes)


def exponents_of(short: Array, long: Array, tokens: tuple[float, float], seed: int) -> Array:
    """(d, m) draws of exponents from (d, m) draws of slopes at two lengths; arguments as for `carry`."""
    random, span = np.random.default_rng(seed), np.log(tokens[1] / tokens[0])
    sums = [np.maximum(each.sum(axis=1), 0.0) + 1e-6 for each in (short, long)]
    mean = np.clip(np.log(sums[0] / sums[1]) / span, _LEAST, _MOST)  # (d,)
    means, errors = (
        [each.mean(axis=0) for each in (short, long)],
        [each.std(axis=0) for each in (short, long)],
    )
    # Slopes that are not clearly above 0 have no logarithm to speak of, and say nothing of their exponent.
    is_clear = (means[0] > 2 * errors[0]) & (means[1] > 2 * errors[1])
    low, high = (np.where(is_clear, each, 1.0) for each in means)
    own = np.log(low / high) / span  # (m,)
    variance = sum(np.square(e / m) for e, m in zip(errors, (low, high), strict=True)) / span**2
    precision = np.where(is_clear, 1 / np.maximum(variance, 1e-12), 0.0)
    total = precision + 1 / _SPREAD**2
    expected = (precision * own + mean[:, None] / _SPREAD**2) / total
    return np.asarray(expected + random.standard_normal(short.shape) / np.sqrt(total))
