"""Which mixtures to run: those that say most about the slopes of the law.

Shapes: n runs, k domains.
"""

from collections.abc import Mapping

import numpy as np

from chameleon.common.arrays import Array
from chameleon.methods.law.transfer import USUAL
from chameleon.methods.rules import temperature_shares

# A contrast gives half of the domains this many times the share of the other half.
_CONTRAST = 4.0
_CONTRASTS = 256

# Variance of a slope before any run, over the variance of a loss about the law.
_PRIOR = 100.0
_TEMPERATURE = 2.0


def add_runs(
    runs: Mapping[str, Array], natural: Array, affinities: Array | None, number: int, seed: int
) -> dict[str, Array]:
    """Mixtures to run: those given, and then each that says most beside the ones before.

    Candidates are natural shares, shares between natural and uniform, and contrasts, in which the shares of
    a random half of the domains are a multiple of the others'. What runs say is measured by the logarithm of
    the determinant of the slopes' precision (a D-optimal design), with the usual constants.

    Args:
        runs: (k,) mixtures by name, at least one.
        natural: (k,) natural shares.
        affinities: (k, k) affinities of the domains; None if unknown.
        number: Number of mixtures in all.
        seed: Seed of the contrasts.

    Returns:
        `number` mixtures by name, or those given if they are more.
    """
    k = len(natural)
    candidates = {"natural": natural, "temperature": temperature_shares(natural, _TEMPERATURE)}
    random = np.random.default_rng(seed)
    for index in range(_CONTRASTS):
        is_high = random.permutation(k) < (k + index % 2) // 2
        shares = np.where(is_high, _CONTRAST, 1.0)
        candidates[f"contrast-{index:03}"] = shares / shares.sum()
    matrix = USUAL.matrix(affinities, np.eye(k, dtype=bool))
    chosen = dict(runs)
    while len(chosen) < number and candidates:
        best = max(candidates, key=lambda name: _information([*chosen.values(), candidates[name]], matrix))
        chosen[best] = candidates.pop(best)
    return chosen


def _information(mixtures: list[Array], matrix: Array) -> float:
    logs = np.log(np.stack(mixtures) @ matrix.T)
    logs -= logs.mean(axis=0)
    return float(np.log1p(_PRIOR * np.square(logs).sum(axis=0)).sum())
