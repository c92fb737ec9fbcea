"""How sure the weights of many domains are, without a bootstrap of all of them.

To first order the variance of a score is the sum over domains of what their windows move it by. Most of that
is from the domain's own windows: 90 to 94 % of a weight's variance at 50 to 500 domains, and never under
79 %. So here it is sum_u (moves_u . g_i)^2, with the moves of domain i's own mean by its units and the
derivative g_i of its score by that mean. The bootstrap, which also has what is beyond first order, gives up
to twice that and more where noise is large. So all variances are multiplied by one number: on some of the
domains, taken at random and looked at by themselves at the same width and lambda, the sum of the bootstrap's
variances over that of these. Scores are then taken to vary independently, and weights by the derivatives of
the softmax.

Shapes: k domains, u units of a domain, d width of an embedding.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.confidence.bootstrap import Spread, intervals_of, replicate
from chameleon.weights.formula import Formula, Gradients, Solution
from chameleon.weights.kept_ratios import KeptRatios
from chameleon.weights.many_domains.blocks import blocks_of_rows
from chameleon.weights.many_domains.exact import exact_scores, linear_scores
from chameleon.weights.sample import Sample, means_of, noise_of

# Domains of the bootstrap that variances are fitted to, and its replicates.
FITTED_ON = 300


_REPLICATES = 200


# A share of the scores below this has all the pretrain weight, and nothing moves.
_VANISHING = 1e-150


@dataclass(frozen=True, eq=False)
class AnalyticErrors:
    """How sure the weights and scores of k domains are.

    Attributes:
        weights, scores: Their errors and intervals.
        how: Where these are from, in words.
    """

    weights: Spread
    scores: Spread
    how: str


def analytic_errors(
    samples: list[Sample], formula: Formula, solution: Solution, kept: KeptRatios | None = None
) -> AnalyticErrors:
    """Analytic standard errors and intervals.

    Args:
        samples: Of the k domains, each saying its spread.
        formula: From means to weights.
        solution: What it gave, with derivatives.
        kept: Shares that are kept from before, if any are; they are taken as they stand.
    """
    assert solution.many is not None
    assert solution.many.gradients is not None
    own = own_variances(samples, solution.many.gradients)
    fitted_on, factor = _fitted(samples, formula, solution, own)
    variances = factor * own
    moved = weight_variances(variances, formula, solution, kept)
    weights = solution.weights if kept is None else kept.mixed(solution.weights)
    degrees = np.array([max(sample.num_units - 1, 1) for sample in samples], dtype=np.float64)
    how = "analytic, from each domain's own windows"
    if fitted_on:
        how += f", times {factor:.2f} by a bootstrap of {fitted_on:,} domains"
    return AnalyticErrors(
        _spread(weights, np.sqrt(moved), degrees),
        _spread(solution.scores, np.sqrt(variances), degrees),
        how,
    )


def own_variances(samples: list[Sample], gradients: Gradients) -> Array:
    """(k,) variances of the scores by their own domains' windows, to first order.

    Args:
        samples: Of the k domains, with u units each.
        gradients: Derivatives of some rows' scores by their means.
    """
    variances = np.zeros(len(samples))
    for rows in blocks_of_rows(len(samples), samples[0].width):
        slopes = gradients(rows)
        sizes = np.sqrt(np.einsum("ij,ij->i", slopes, slopes))
        directions = (slopes / np.where(sizes > 0, sizes, 1.0)[:, None]).astype(np.float32)
        for i, direction, size in zip(range(rows.start, rows.stop), directions, sizes, strict=True):
            moves = samples[i].influences()
            if len(moves):
                along = moves @ direction
                variances[i] = size**2 * float(np.vdot(along, along))
    return variances


def weight_variances(
    variances: Array, formula: Formula, solution: Solution, kept: KeptRatios | None = None
) -> Array:
    """(k,) variances of weights whose scores vary independently with (k,) variances, to first order.

    With the exponents' derivatives by the shares e_j, shares p_j and c = sum w_j e_j p_j, a weight moves with
    score j by w_i / sum(S) times (e_i if j is i, else 0) - e_i p_i - w_j e_j + c. Of weights whose ratios
    are kept, those of before move together, as the sum of their own.
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
    found = np.square(weights / total) * (np.maximum(others, 0.0) + own)
    if kept is None:
        return np.asarray(found)
    old = kept.is_old
    share_of_old = float(weights[old].sum())
    together = np.where(old, pulls, 0.0) - float(pulls[old] @ shares[old]) - share_of_old * (pulls - level)
    of_sum = float(np.square(together / total) @ variances)
    ratios = kept.shares / kept.shares.sum()
    return np.asarray(np.where(old, np.square(ratios) * of_sum, found))


def _fitted(samples: list[Sample], formula: Formula, solution: Solution, own: Array) -> tuple[int, float]:
    """On how many domains the analytic variances were fitted to the bootstrap's, and the factor.

    Domains without variance say nothing of it, and are taken where there are too few others.
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


Counts = npt.NDArray[np.int64]


def errors_with(variances: Array, counts: Counts, wholes: Counts, then: Counts) -> Array:
    """(k,) standard errors of weights with other numbers of windows.

    Args:
        variances: (k,) of the weights now.
        counts: (k,) windows looked at now.
        wholes: (k,) windows that there are.
        then: (k,) windows that would be looked at.
    """
    now = np.maximum(1 / counts - 1 / wholes, 1e-300)
    return np.sqrt(variances * np.maximum(1 / then - 1 / wholes, 0.0) / now)


def counts_for(target: float, variances: Array, counts: Counts, wholes: Counts, ends: Counts) -> Counts:
    """(k,) windows, doubled until each weight's error is within a target or the domain at its end.

    Args:
        target: The largest standard error that is enough.
        variances, counts, wholes: As of `errors_with`.
        ends: (k,) windows at most.
    """
    wanted = counts.copy()
    while True:
        more = (errors_with(variances, counts, wholes, wanted) > target) & (wanted < ends)
        if not more.any():
            return wanted
        wanted = np.where(more, np.minimum(2 * wanted, ends), wanted)
