"""Which mixtures to run: those that say most about the slopes of the law.

Shapes: n runs, k domains.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from chameleon.common.arrays import Array
from chameleon.methods.law.deviation import growths
from chameleon.methods.law.transfer import USUAL

# A contrast gives half of the domains this many times the share of the other half.
_CONTRAST = 3.0
_CONTRASTS = 256
_DIGITS = 4

# Before any run: variances of a slope and of its product with s, over the variance of a loss about the law.
_VARIANCES = (100.0, 0.5)
_STEP = 0.05


def add_runs(runs: Mapping[str, Array], affinities: Array | None, number: int, seed: int) -> dict[str, Array]:
    """Mixtures to run: those given, and then each that says most beside the ones before.

    Candidates are contrasts, in which the shares of a random half of the domains are a multiple of the
    others'. What runs say is measured by the logarithms of the determinants of the precision of each slope
    and of the discount s, which runs must tell apart: what a domain learns from its own text and what it
    learns from its neighbours' (a D-optimal design). Runs count the less the further they are from uniform
    weights, as in the fit.

    Args:
        runs: (k,) mixtures by name, at least one.
        affinities: (k, k) affinities of the domains; None if unknown.
        number: Number of mixtures in all.
        seed: Seed of the contrasts.

    Returns:
        `number` mixtures by name, or fewer if there are not so many contrasts; at most 256 more than those
        given; or those given if they are more.
    """
    k = len(next(iter(runs.values())))
    random = np.random.default_rng(seed)
    halves = [random.permutation(k) < (k + index % 2) // 2 for index in range(_CONTRASTS)]
    _, firsts = np.unique(halves, axis=0, return_index=True)
    candidates = {}
    for index in np.sort(firsts).tolist():
        shares = np.where(halves[index], _CONTRAST, 1.0)
        candidates[f"contrast-{index:03}"] = shares / shares.sum()
    chosen = dict(runs)
    if len(chosen) >= number:
        return chosen
    is_own = np.eye(k, dtype=bool)
    wider = replace(USUAL, discount=USUAL.discount + _STEP)
    matrices = np.stack([each.matrix(affinities, is_own) for each in (USUAL, wider)])
    while len(chosen) < number and candidates:
        best = max(candidates, key=lambda name: _information([*chosen.values(), candidates[name]], matrices))
        chosen[best] = candidates.pop(best)
    return chosen


def rounded(shares: Array) -> Array:
    """(k,) shares with four digits, that sum to 1; uniform ones stay exact.

    A repeated command then finds its runs again, though the last digits of affinities differ.
    """
    if np.ptp(shares) == 0:
        return shares
    short = np.array([float(f"{share:.{_DIGITS}g}") for share in shares])
    short[short.argmax()] += 1 - short.sum()
    return short


def _information(mixtures: list[Array], matrices: Array) -> float:
    """Sum over losses of the logarithm of the determinant of the precision of slope and discount."""
    logs = np.log(np.einsum("nk,tmk->tnm", np.stack(mixtures), matrices))
    certainties = 1 / growths(np.stack(mixtures), matrices[0])
    by_slope, by_discount = logs[0], (logs[1] - logs[0]) / _STEP
    both = np.stack([by_slope, by_discount])
    means = np.tensordot(both, np.square(certainties) / np.square(certainties).sum(), axes=(1, 0))
    both = (both - means[:, None]) * certainties[:, None]
    precisions = np.einsum("anm,bnm->mab", both, both) * np.sqrt(np.outer(_VARIANCES, _VARIANCES))
    return float(np.linalg.slogdet(precisions + np.eye(2))[1].sum())
