"""Standard errors of many domains' weights, without a bootstrap of all of them.

To first order the variance of a score is the sum over domains of what their windows contribute. Most of it
is from the domain's own windows: 90 to 94 % of a weight's variance at 50 to 500 domains, and never under
79 %. So here it is sum_u (m_u . g_i)^2, with the influences m_u of the units of domain i on its mean and the
gradient g_i of its score by that mean.

The bootstrap also has the terms beyond first order, and gives up to twice that and more where noise is large.
So all variances are multiplied by one factor: on some of the domains at random, taken alone with the same
width and lambda, the sum of the bootstrap's variances over the sum of these. Scores are then taken to vary
independently, and weights follow by the derivatives of the softmax.

Shapes: k domains, u units of a domain, d width of an embedding.
"""

from dataclasses import replace

import numpy as np

from chameleon.common.arrays import Array, blocks_of_rows
from chameleon.confidence.bootstrap import Spread, intervals_of, replicate
from chameleon.weights.formula import Formula, Gradients, Solution
from chameleon.weights.kept_ratios import KeptRatios
from chameleon.weights.many_domains.exact import exact_scores, linear_scores
from chameleon.weights.sample import Sample, means_of, noise_of

# Domains and replicates of the bootstrap that the factor is fitted to.
FITTED_ON = 300
_REPLICATES = 200

# A domain with a smaller share of the scores has all the pretrain weight, which then does not move.
_VANISHING = 1e-150


def analytic_errors(
    samples: list[Sample], formula: Formula, solution: Solution, ratios: KeptRatios | None = None
) -> tuple[Spread, Spread, str]:
    """Analytic errors and intervals of k weights and of k scores, and where they are from in words.

    Args:
        samples: k samples, each of more than one window.
        formula: From means to weights.
        solution: The formula's solution for the samples, with gradients.
        ratios: Shares kept from earlier weights, if any; they are taken to be exact.
    """
    assert solution.many is not None
    assert solution.many.gradients is not None
    own = own_variances(samples, solution.many.gradients)
    fitted_on, factor = _fitted(samples, formula, solution, own)
    variances = factor * own
    weights = solution.weights if ratios is None else ratios.mixed(solution.weights)
    errors = np.sqrt(weight_variances(variances, formula, solution, ratios))
    degrees = np.array([max(sample.num_units - 1, 1) for sample in samples], dtype=np.float64)
    how = "analytic, from each domain's own windows"
    if fitted_on:
        how += f", times {factor:.2f} by a bootstrap of {fitted_on:,} domains"
    return _spread(weights, errors, degrees), _spread(solution.scores, np.sqrt(variances), degrees), how


def own_variances(samples: list[Sample], gradients: Gradients) -> Array:
    """(k,) variances of the scores from their own domains' windows, to first order.

    Args:
        samples: k samples of u units each.
        gradients: Derivatives of the scores of some rows by their means.
    """
    variances = np.zeros(len(samples))
    for rows in blocks_of_rows(len(samples), samples[0].width):
        slopes = gradients(rows)
        sizes = np.sqrt(np.einsum("ij,ij->i", slopes, slopes))
        directions = (slopes / np.where(sizes > 0, sizes, 1.0)[:, None]).astype(np.float32)
        for i, direction, size in zip(range(rows.start, rows.stop), directions, sizes, strict=True):
            influences = samples[i].influences()
            if len(influences):
                along = influences @ direction
                variances[i] = size**2 * float(np.vdot(along, along))
    return variances


def weight_variances(
    variances: Array, formula: Formula, solution: Solution, ratios: KeptRatios | None = None
) -> Array:
    """(k,) variances of weights from (k,) variances of scores that vary independently, to first order.

    With the derivatives e_j of the exponents by the shares p_j = S_j / sum(S) and c = sum_j w_j e_j p_j,

        dw_i / dS_j = w_i / sum(S) ([i = j] e_i - e_i p_i - w_j e_j + c).

    Where ratios are kept, the weights of existing domains move together, as their sum does.
    """
    total = float(solution.scores.sum())
    shares, weights = solution.scores / total, solution.weights
    if formula.mode == "pretrain":
        vanishes = shares < _VANISHING
        slopes = -1 / formula.temperature_used / np.square(np.where(vanishes, 1.0, shares))
        slopes[vanishes] = 0.0
    else:
        slopes = np.full(len(shares), 1 / formula.temperature_used)
    pulls = weights * slopes
    level = float(pulls @ shares)
    rests = level - slopes * shares
    # sum_j (rest_i - pull_j)^2 variance_j, about the mean pull, so that nothing cancels.
    sum_of_all = max(float(variances.sum()), np.finfo(np.float64).tiny)
    middle = float(pulls @ variances) / sum_of_all
    others = sum_of_all * np.square(rests - middle) + float(np.square(pulls - middle) @ variances)
    others -= np.square(rests - pulls) * variances
    own = np.square(slopes + rests - pulls) * variances
    moved = np.square(weights / total) * (np.maximum(others, 0.0) + own)
    if ratios is None:
        return np.asarray(moved)
    old = ratios.is_old
    share_of_old = float(weights[old].sum())
    together = np.where(old, pulls, 0.0) - float(pulls[old] @ shares[old]) - share_of_old * (pulls - level)
    of_sum = float(np.square(together / total) @ variances)
    return np.asarray(np.where(old, np.square(ratios.shares / ratios.shares.sum()) * of_sum, moved))


def _fitted(samples: list[Sample], formula: Formula, solution: Solution, own: Array) -> tuple[int, float]:
    """Number of domains that variances were fitted to the bootstrap on, and the factor.

    Domains without variance come last in the choice, since the ratio says nothing of them.
    """
    if not own.any():
        return 0, 1.0
    order = np.random.default_rng(0).permutation(len(samples))
    first = order[np.argsort(own[order] <= 0, kind="stable")][:FITTED_ON]
    some = [samples[i] for i in np.sort(first)]
    alone = replace(formula, k=len(some), rbf_sigma=solution.sigma)
    means, noise = means_of(some), noise_of(some) if formula.takes_noise_off else None
    gradients = (
        linear_scores(means, formula.lambda_reg).gradients
        if formula.kernel == "linear"
        else exact_scores(means, formula.lambda_reg, solution.sigma, noise, True).gradients
    )
    analytic = float(own_variances(some, gradients).sum())
    drawn = replicate(some, alone, replicates=_REPLICATES).scores
    return len(some), float(drawn.var(axis=0, ddof=1).sum()) / max(analytic, np.finfo(np.float64).tiny)


def _spread(values: Array, errors: Array, degrees: Array) -> Spread:
    """Errors with intervals: on the scale of the logit errors are wider by 1 / (x (1 - x))."""
    inside = np.clip(values, 1e-300, np.nextafter(1.0, 0.0))
    return Spread(errors, intervals_of(values, errors, errors / (inside * (1 - inside)), degrees))
