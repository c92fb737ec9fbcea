"""Which domains the weights' variance comes from, by the delta method (first-order derivatives).

A window moves its domain's mean, which moves the distances or inner products, the affinities, the scores and
the weights. To first order a weight's variance is a sum over domains, and each part falls with the number of
that domain's windows. So the sum says of which domain more windows are worth embedding.

Shapes: k domains, u units of a domain, d width of an embedding.
"""

import numpy as np

from chameleon.common.arrays import Array
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.sample import Sample, means_of


def variances_by_domain(samples: list[Sample], formula: Formula, solution: Solution) -> Array:
    """(k, k) part of each weight's variance (row) that comes from each domain's windows (column).

    Args:
        samples: k samples of u units each.
        formula: From means to weights.
        solution: The formula's solution for the samples.
    """
    means = means_of(samples)
    k = len(means)
    ridge = k * formula.lambda_reg
    inverse = np.asarray(np.linalg.inv(solution.affinity + ridge * np.eye(k)), dtype=np.float64)
    variances = np.empty((k, k))
    through_width = _width_derivatives(formula, solution, inverse, ridge)
    for c, sample in enumerate(samples):
        moves = np.asarray(sample.influences(), dtype=np.float64)
        if formula.kernel == "linear":
            towards = moves @ ((means - means.mean(axis=0)).T @ inverse)
            scores = 2 * ridge * towards * (inverse[c] - inverse.mean(axis=0))
        else:
            distances = 2 * moves @ (means[c] - means).T  # (u, k) changes of squared distances
            assert solution.sigma is not None
            scores = -ridge / solution.sigma**2 * ((distances * solution.affinity[c]) @ inverse) * inverse[c]
            if through_width is not None:
                by_width, pairs = through_width
                scores += np.outer(distances @ pairs[c], by_width)
        variances[:, c] = np.square(_weight_moves(scores, formula, solution)).sum(axis=0)
    return variances


def _width_derivatives(
    formula: Formula, solution: Solution, inverse: Array, ridge: float
) -> tuple[Array, Array] | None:
    """(k,) derivatives of the scores by the squared width, and (k, k) of the squared width by distances.

    None where the width does not depend on the distances.
    """
    if formula.kernel != "rbf" or formula.rbf_sigma is not None or solution.sigma is None:
        return None
    affinity = solution.affinity
    k = len(affinity)
    # Squared distances are -2 sigma^2 log K; where K is 0 in float64, nothing moves it.
    affinity_moves = -affinity * np.log(np.where(affinity > 0, affinity, 1.0)) / solution.sigma**2
    by_width = ridge * np.einsum("ia,ab,bi->i", inverse, affinity_moves, inverse, optimize=True)
    rows, columns = np.triu_indices(k, 1)
    order = np.argsort(affinity[rows, columns], kind="stable")
    middle = {int(order[(len(order) - 1) // 2]), int(order[len(order) // 2])}
    pairs = np.zeros((k, k))
    for each in middle:
        a, b = rows[each], columns[each]
        pairs[a, b] = pairs[b, a] = 1 / len(middle)
    return np.asarray(by_width), pairs


def _weight_moves(scores: Array, formula: Formula, solution: Solution) -> Array:
    """(u, k) moves of the weights for (u, k) moves of the scores."""
    total = solution.scores.sum()
    shares = solution.scores / total
    by_share = (scores - shares * scores.sum(axis=1, keepdims=True)) / total
    exponents = by_share / formula.temperature_used
    if formula.mode == "pretrain":
        # A share of 0 is the limit in which its domain has all the weight, and nothing moves.
        exponents = -exponents / np.where(shares > 0, shares, np.inf) ** 2
    weights = solution.weights
    return np.asarray(weights * (exponents - exponents @ weights[:, None]))
