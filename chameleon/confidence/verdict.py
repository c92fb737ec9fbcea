"""How certain weights are, and how the weights file says so: errors, intervals, ranking, windows needed.

Shapes: k domains, b replicates.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.tables import listed
from chameleon.confidence.analytic_errors import analytic_errors
from chameleon.confidence.bootstrap import (
    Replicates,
    Spread,
    degrees_of_freedom,
    order_probabilities,
    replicate,
    spread_of,
)
from chameleon.confidence.pca import Plane
from chameleon.confidence.stopping import windows_needed
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.kept_ratios import KeptRatios
from chameleon.weights.sample import Sample

# Up to this many domains the order of all pairs is recorded, above it that of neighbours.
_ALL_PAIRS = 50


@dataclass(frozen=True, eq=False)
class Confidence:
    """How certain the weights of k domains are.

    Attributes:
        weights: Errors and intervals of the weights.
        scores: Errors and intervals of the scores.
        replicates: The bootstrap that they are from; without replicates where they are analytic.
        needed: Windows of each domain for the target; empty where there are enough.
        how: Where analytic errors are from, in words; else None.
    """

    weights: Spread
    scores: Spread
    replicates: Replicates
    needed: Mapping[str, int]
    how: str | None = None


def assess(
    samples: list[Sample],
    available: Mapping[str, int],
    formula: Formula,
    solution: Solution,
    target: float,
    *,
    plane: Plane | None = None,
    ratios: KeptRatios | None = None,
) -> Confidence | None:
    """How certain weights are; None where a domain has a single window, which has no spread.

    Args:
        samples: k samples, one for each domain.
        available: Windows that each domain has in all, by name.
        formula: From means to weights.
        solution: The formula's solution for the samples.
        target: Largest standard error that is enough.
        plane: Plane on which to place the replicates of each domain, if any.
        ratios: Shares kept from earlier weights, if any.
    """
    if not all(sample.says_spread for sample in samples):
        return None
    if solution.many is not None:
        weights, scores, how = analytic_errors(samples, formula, solution, ratios)
        k = len(samples)
        replicates = Replicates(np.empty((0, k)), np.empty((0, k)), np.empty((0, k, 0)))
    else:
        replicates, how = replicate(samples, formula, plane=plane), None
        degrees = degrees_of_freedom(samples, formula, solution)
        estimates = solution.weights
        if ratios is not None:
            replicates = replace(replicates, weights=ratios.mixed_replicates(replicates.weights))
            estimates = ratios.mixed(estimates)
        weights = spread_of(estimates, replicates.weights, degrees)
        scores = spread_of(solution.scores, replicates.scores, degrees)
    needed: Mapping[str, int] = {}
    if weights.errors.max() > target:
        needed = windows_needed(samples, available, formula, target, weights.errors)
    return Confidence(weights, scores, replicates, needed, how)


def order_facts(names: Sequence[str], weights: Array, confidence: Confidence) -> list[dict[str, Any]]:
    """Probability that the heavier of two domains truly weighs more, of all pairs or of neighbours.

    Args:
        names: (k,) domain names.
        weights: (k,) weights.
        confidence: Confidence of the weights, with replicates where there are few domains.
    """
    order = np.argsort(-weights, kind="stable")
    k = len(order)
    reach = k if confidence.how is None and k <= _ALL_PAIRS else 2
    if confidence.how is None:
        probabilities = order_probabilities(confidence.replicates.weights[:, order], reach)
    else:
        probabilities = _normal_probabilities(weights[order], confidence.weights.errors[order])
    return [
        {"above": names[order[i]], "below": names[order[j]], "probability": float(probabilities[i, j - i])}
        for i in range(k)
        for j in range(i + 1, min(i + reach, k))
    ]


def confidence_notices(
    names: Sequence[str], confidence: Confidence | None, samples: Sequence[Sample], target: float
) -> list[str]:
    """What to do where errors are unknown or over the target; nothing where they are within it.

    Args:
        names: (k,) domain names.
        confidence: Confidence of the weights; None where it is unknown.
        samples: k samples that the weights are from.
        target: Largest standard error that is enough.
    """
    if confidence is None:
        return ["standard errors are unknown, because a domain has a single window: raise --num_samples"]
    errors, needed = confidence.weights.errors, confidence.needed
    if not needed:
        return []
    worst = int(np.argmax(errors))
    said = f"the standard error of {names[worst]} is {errors[worst]:.2g}, over the target of {target:g}"
    short = [(needed[each.name], each.name) for each in samples if needed[each.name] > len(each)]
    if not short:
        return [f"{said}, though about this many windows should be enough: raise --num_samples a little"]
    short.sort(reverse=True)
    windows = listed([f"{number:,} windows of {name}" for number, name in short], 4)
    return [f"{said}: about {windows} are needed; give --num_samples {short[0][0]}, or a larger --target_se"]


def _normal_probabilities(weights: Array, errors: Array) -> Array:
    """(k, 2) with the probability that domain i truly weighs more than domain i + 1 at [i, 1].

    The (k,) weights fall; their (k,) errors are taken as normal and independent.
    """
    probabilities = np.ones((len(weights), 2))
    gaps = (weights[:-1] - weights[1:]).tolist()
    spreads = np.hypot(errors[:-1], errors[1:]).tolist()
    for i, (gap, spread) in enumerate(zip(gaps, spreads, strict=True)):
        certain = 0.5 if gap == 0 else 1.0
        probabilities[i, 1] = 1 - 0.5 * math.erfc(gap / spread / math.sqrt(2)) if spread > 0 else certain
    return probabilities
