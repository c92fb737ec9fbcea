"""Chooses how the scores of many domains are computed, and returns them as a `Solution`.

Shapes: k domains, d width of an embedding.
"""

import numpy as np

from chameleon.common.arrays import Array, Floats
from chameleon.common.errors import InputError
from chameleon.common.machine import available_memory, gibibytes
from chameleon.weights.affinity import rbf_affinity
from chameleon.weights.formula import Formula, LargeSolution, Solution
from chameleon.weights.many_domains.exact import ExactScores, LinearScores, exact_scores, linear_scores
from chameleon.weights.many_domains.fourier import FourierScores, approximate_scores
from chameleon.weights.many_domains.gpu import WORTH_IT, GpuScores, gpu_of, gpu_scores, lacking_on
from chameleon.weights.many_domains.subsets import checked_rows, displayed_domains

# Exact scores need this much memory beside their matrix: a share of it for the pairs about the median, and
# blocks of rows.
_EXTRA_SHARE, _EXTRA_BYTES = 0.1, 256 << 20


def is_exact(k: int, formula: Formula) -> bool:
    """Whether the scores of k domains are computed without approximation."""
    return formula.kernel == "linear" or k <= formula.exact_up_to


def solve_many(
    means: Floats, noise: Array | None, formula: Formula, with_gradients: bool = False
) -> Solution:
    """Scores and weights of many domains.

    The linear kernel needs matrices of the embedding's width only. RBF scores are exact up to the formula's
    `exact_up_to`, on a GPU if its `device` names or finds one, and above that from random features.

    Args:
        means: (k, d) domain embeddings, float32 or float64, in memory or mapped from disk.
        noise: (k,) sampling noise of the means; None for none. It is taken off squared distances where
            possible if the formula does so.
        formula: From means to weights.
        with_gradients: Whether to prepare gradients.

    Raises:
        InputError: See `rbf_affinity`, `linear_affinity`, `leverage_scores` and `pretrain_weights`; or there
            is too little memory.
    """
    k = len(means)
    off = noise if formula.takes_noise_off and noise is not None and noise.any() else None
    scores: LinearScores | ExactScores | GpuScores | FourierScores
    notices: tuple[str, ...] = ()
    sigma_from, facts = None, None
    if formula.kernel == "linear":
        way, scores = "from a matrix of the embedding's width", linear_scores(means, formula.lambda_reg)
    elif is_exact(k, formula):
        way, scores, notices = _exact(means, off, formula, with_gradients)
    else:
        approximation = approximate_scores(
            means, formula.lambda_reg, formula.rbf_sigma, off, formula.num_features
        )
        way, scores, notices = "by random Fourier features", approximation.scores, (approximation.notice,)
        sigma_from, facts = approximation.sigma_from, approximation.facts
    weights = formula.weights(scores.scores)
    displayed = displayed_domains(weights)
    some = np.asarray(means[displayed], dtype=np.float64)
    if isinstance(scores, LinearScores):
        sigma, noise = None, np.zeros(k)
        affinity = (some - scores.centre) @ (some - scores.centre).T
    else:
        sigma, noise = scores.sigma, scores.noise
        affinity = rbf_affinity(some, sigma, noise[displayed] if noise.any() else None)
    gradients = scores.gradients if with_gradients else None
    many = LargeSolution(way, sigma_from, noise, displayed, gradients, facts, notices)
    return Solution(sigma, affinity, scores.scores, weights, many)


def _exact(
    means: Floats, noise: Array | None, formula: Formula, with_gradients: bool
) -> tuple[str, ExactScores | GpuScores, tuple[str, ...]]:
    """RBF scores from the matrix of all pairs, on a GPU if there is one and the matrix fits, and notices."""
    k, d = means.shape
    settings = means, formula.lambda_reg, formula.rbf_sigma, noise
    device = gpu_of(formula.device) if k > WORTH_IT else None
    notices: tuple[str, ...] = ()
    if device is not None:
        lacking = lacking_on(device, k, d)
        if lacking is None:
            return f"from the matrix of all pairs, on {device}", gpu_scores(*settings, device), ()
        notices = (f"scores of {k:,} domains are computed on the CPU: {lacking}",)
    _require_memory(k, formula.exact_up_to)
    for rows in (slice(0, k // 2), slice(k // 2, k)):
        checked_rows(means, rows)
    return "from the matrix of all pairs", exact_scores(*settings, with_gradients), notices


def _require_memory(k: int, exact_up_to: int) -> None:
    """Raise InputError if exact RBF scores of k domains need more memory than is known to be available."""
    needed = 8 * k * k * (1 + _EXTRA_SHARE) + _EXTRA_BYTES
    free = available_memory()
    if free is not None and needed > free:
        raise InputError(
            f"exact scores of {k:,} domains need {gibibytes(needed)} of memory, and {gibibytes(free)} are "
            f"free: lower --exact_up_to (now {exact_up_to:,}) to below {k:,} for approximate scores, or free "
            "memory"
        )
