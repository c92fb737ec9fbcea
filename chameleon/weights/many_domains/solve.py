"""Which way the scores of many domains are computed, and what comes of it.

Shapes: k domains, d width of an embedding.
"""

from typing import NamedTuple

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.machine import require_memory_for_exact
from chameleon.weights.affinity import rbf_affinity
from chameleon.weights.formula import Formula, LargeSolution, Means, Solution
from chameleon.weights.many_domains.blocks import checked_rows, displayed_domains
from chameleon.weights.many_domains.exact import ExactScores, LinearScores, exact_scores, linear_scores
from chameleon.weights.many_domains.fourier import Approximation, FourierScores, approximate_scores
from chameleon.weights.many_domains.gpu import WORTH_IT, GpuScores, gpu_of, gpu_scores, lacking_on


def is_exact(k: int, formula: Formula) -> bool:
    """Whether the scores of k domains, which are many, come without approximation."""
    return formula.kernel == "linear" or k <= formula.exact_up_to


def solve_many(means: Means, noise: Array | None, formula: Formula, with_gradients: bool = False) -> Solution:
    """Scores and weights of many domains.

    The linear kernel takes matrices of the embedding's width alone. RBF scores are exact up to the formula's
    `exact_up_to`, on a GPU where its `device` is or finds one, and beyond that by random features.

    Args:
        means: (k, d) domain embeddings, float32 or float64, in memory or on disk.
        noise: (k,) noise of each, taken off squared distances so far as it can be where the formula takes it
            off; None for none.
        formula: From means to weights.
        with_gradients: Whether derivatives will be asked for.

    Raises:
        InputError: As of `rbf_affinity`, `linear_affinity`, `leverage_scores` and the weights; or memory is
            not enough.
    """
    k = len(means)
    off = noise if formula.takes_noise_off and noise is not None and noise.any() else None
    if formula.kernel == "linear":
        found = _Way("from a matrix of the embedding's width", linear_scores(means, formula.lambda_reg))
    elif is_exact(k, formula):
        found = _exact(means, off, formula, with_gradients)
    else:
        approximation = approximate_scores(
            means, formula.lambda_reg, formula.rbf_sigma, off, formula.num_features
        )
        found = _Way("by random Fourier features", approximation)
    return _solution(means, formula, found, with_gradients)


class _Way(NamedTuple):
    """How scores were computed, what came of it, and words on why not in another way."""

    name: str
    scores: LinearScores | ExactScores | GpuScores | Approximation
    notices: tuple[str, ...] = ()


def _exact(means: Means, noise: Array | None, formula: Formula, with_gradients: bool) -> _Way:
    """RBF scores from the matrix of all pairs, on a GPU where there is one and the matrix fits."""
    k, d = means.shape
    settings = means, formula.lambda_reg, formula.rbf_sigma, noise
    device = gpu_of(formula.device) if k > WORTH_IT else None
    notices: tuple[str, ...] = ()
    if device is not None:
        lacking = lacking_on(device, k, d)
        if lacking is None:
            return _Way(f"from the matrix of all pairs, on {device}", gpu_scores(*settings, device))
        notices = (f"scores of {k:,} domains are computed on the CPU: {lacking}",)
    require_memory_for_exact(k, formula.exact_up_to)
    for rows in (slice(0, k // 2), slice(k // 2, k)):
        checked_rows(means, rows)
    return _Way("from the matrix of all pairs", exact_scores(*settings, with_gradients), notices)


def _solution(means: Means, formula: Formula, found: _Way, with_gradients: bool) -> Solution:
    k = len(means)
    way, result, notices = found
    sigma, noise, sigma_from, facts = None, np.zeros(k), None, None
    if isinstance(result, Approximation):
        sigma, noise, sigma_from, facts = result.sigma, result.noise, result.sigma_from, result.facts
        notices = (*notices, result.notice)
        scored: FourierScores | LinearScores | ExactScores | GpuScores = result.scores
    else:
        scored = result
        if not isinstance(result, LinearScores):
            sigma, noise = result.sigma, result.noise
            sigma_from = "median distance" if formula.rbf_sigma is None else "given"
    weights = formula.weights(scored.scores)
    displayed = displayed_domains(weights)
    some = np.asarray(means[displayed], dtype=np.float64)
    if isinstance(result, LinearScores):
        centred = some - result.centre
        affinity = centred @ centred.T
    else:
        affinity = rbf_affinity(some, sigma, noise[displayed] if noise.any() else None)
    return Solution(
        sigma,
        affinity,
        scored.scores,
        weights,
        LargeSolution(
            way, sigma_from, noise, displayed, scored.gradients if with_gradients else None, facts, notices
        ),
    )
