"""Chooses how the scores of many domains are computed, and returns them as a `Solution`.

Shapes: k domains, d width of an embedding.
"""

from typing import NamedTuple

import numpy as np

from chameleon.common.arrays import Array, Floats
from chameleon.common.errors import InputError
from chameleon.common.machine import available_memory, gibibytes
from chameleon.weights.affinity import rbf_affinity
from chameleon.weights.formula import Formula, LargeSolution, Solution
from chameleon.weights.many_domains.exact import ExactScores, LinearScores, exact_scores, linear_scores
from chameleon.weights.many_domains.fourier import Approximation, FourierScores, approximate_scores
from chameleon.weights.many_domains.gpu import WORTH_IT, GpuScores, gpu_of, gpu_scores, lacking_on
from chameleon.weights.many_domains.subsets import checked_rows, displayed_domains

# Exact scores need this much memory beside their matrix: a share of it for the pairs about the median, and
# blocks of rows.
_EXTRA_SHARE, _EXTRA_BYTES = 0.1, 256 << 20


class _Result(NamedTuple):
    """Scores, the way in which they were computed, and notices on why not in another way."""

    way: str
    scores: LinearScores | ExactScores | GpuScores | Approximation
    notices: tuple[str, ...] = ()


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
    off = noise if formula.takes_noise_off and noise is not None and noise.any() else None
    if formula.kernel == "linear":
        result = _Result("from a matrix of the embedding's width", linear_scores(means, formula.lambda_reg))
    elif is_exact(len(means), formula):
        result = _exact(means, off, formula, with_gradients)
    else:
        approximation = approximate_scores(
            means, formula.lambda_reg, formula.rbf_sigma, off, formula.num_features
        )
        result = _Result("by random Fourier features", approximation, (approximation.notice,))
    return _solution(means, formula, result, with_gradients)


def _exact(means: Floats, noise: Array | None, formula: Formula, with_gradients: bool) -> _Result:
    """RBF scores from the matrix of all pairs, on a GPU if there is one and the matrix fits."""
    k, d = means.shape
    settings = means, formula.lambda_reg, formula.rbf_sigma, noise
    device = gpu_of(formula.device) if k > WORTH_IT else None
    notices: tuple[str, ...] = ()
    if device is not None:
        lacking = lacking_on(device, k, d)
        if lacking is None:
            return _Result(f"from the matrix of all pairs, on {device}", gpu_scores(*settings, device))
        notices = (f"scores of {k:,} domains are computed on the CPU: {lacking}",)
    _require_memory(k, formula.exact_up_to)
    for rows in (slice(0, k // 2), slice(k // 2, k)):
        checked_rows(means, rows)
    return _Result("from the matrix of all pairs", exact_scores(*settings, with_gradients), notices)


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


def _solution(means: Floats, formula: Formula, result: _Result, with_gradients: bool) -> Solution:
    """The scores with the weights that they give, and the affinity of the domains that pictures show."""
    k, scores = len(means), result.scores
    sigma, noise, sigma_from, facts = None, np.zeros(k), None, None
    if not isinstance(scores, LinearScores):
        sigma, noise = scores.sigma, scores.noise
        sigma_from = "median distance" if formula.rbf_sigma is None else "given"
    if isinstance(scores, Approximation):
        sigma_from, facts = scores.sigma_from, scores.facts
        scored: FourierScores | LinearScores | ExactScores | GpuScores = scores.scores
    else:
        scored = scores
    weights = formula.weights(scored.scores)
    displayed = displayed_domains(weights)
    some = np.asarray(means[displayed], dtype=np.float64)
    if isinstance(scores, LinearScores):
        centred = some - scores.centre
        affinity = centred @ centred.T
    else:
        affinity = rbf_affinity(some, sigma, noise[displayed] if noise.any() else None)
    many = LargeSolution(
        way=result.way,
        sigma_from=sigma_from,
        noise=noise,
        displayed=displayed,
        gradients=scored.gradients if with_gradients else None,
        approximation=facts,
        notices=result.notices,
    )
    return Solution(sigma, affinity, scored.scores, weights, many)
