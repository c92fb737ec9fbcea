"""How sure weights are, as a weights file says it: standard errors, intervals, order, and a verdict.

Shapes: k domains, b replicates.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chameleon.common.arrays import Array
from chameleon.confidence.bootstrap import (
    Replicates,
    Spread,
    degrees_of_freedom,
    order_probabilities,
    replicate,
    spread_of,
)
from chameleon.confidence.many_domains import analytic_errors
from chameleon.confidence.pca import Plane
from chameleon.confidence.stopping import windows_needed, windows_needed_of_many
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.kept_ratios import KeptRatios
from chameleon.weights.sample import Sample

# Up to so many domains the order of any two is said, of more only that of neighbours.
_ALL_PAIRS = 50


@dataclass(frozen=True, eq=False)
class Confidence:
    """How sure the weights of k domains are.

    Attributes:
        weights: Errors and intervals of the weights.
        scores: Those of the scores.
        replicates: What they are from; of no replicates where they are analytic.
        needed: Windows of each domain for the target, where those looked at are not enough; else empty.
        how: Where errors of many domains are from, in words; else None.
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
    seed: int = 0,
    plane: Plane | None = None,
    kept: KeptRatios | None = None,
) -> Confidence | None:
    """How sure weights are; None where a domain has a single window, which says nothing of that.

    Args:
        samples: Of the k domains.
        available: Windows that each has in all.
        formula: From means to weights.
        solution: What it gave.
        target: The largest standard error that is enough.
        seed: Of the bootstrap.
        plane: Where to place the replicates of each domain, if anywhere.
        kept: Shares that are kept from before, if any are.
    """
    if not all(sample.says_spread for sample in samples):
        return None
    if solution.many is not None:
        errors = analytic_errors(samples, formula, solution, kept)
        enough = bool(errors.weights.errors.max() <= target)
        needed = {} if enough else windows_needed_of_many(samples, available, errors.weights.errors, target)
        k = len(samples)
        none = Replicates(np.empty((0, k)), np.empty((0, k)), np.empty((0, k, 0)))
        return Confidence(errors.weights, errors.scores, none, needed, errors.how)
    replicates = replicate(samples, formula, seed=seed, plane=plane)
    degrees = degrees_of_freedom(samples, formula, solution)
    estimates = solution.weights
    if kept is not None:
        replicates = replace(replicates, weights=kept.mixed_replicates(replicates.weights))
        estimates = kept.mixed(estimates)
    weights = spread_of(estimates, replicates.weights, degrees)
    scores = spread_of(solution.scores, replicates.scores, degrees)
    enough = bool(weights.errors.max() <= target)
    needed = {} if enough else windows_needed(samples, available, formula, target)
    return Confidence(weights, scores, replicates, needed)


def order_facts(names: Sequence[str], weights: Array, confidence: Confidence) -> list[dict[str, Any]]:
    """Probability that the heavier of two domains is truly the heavier: of all pairs, or of neighbours.

    Args:
        names: (k,) domain names.
        weights: (k,) weights.
        confidence: Their errors; replicates of the weights where there are few domains.
    """
    if confidence.how is not None:
        return _order_of_many(names, weights, confidence.weights.errors)
    order = np.argsort(-weights, kind="stable")
    k = len(order)
    reach = k if k <= _ALL_PAIRS else 2
    some = order_probabilities(confidence.replicates.weights[:, order], reach)
    return [
        {"above": names[order[i]], "below": names[order[j]], "probability": float(some[i, j - i])}
        for i in range(k)
        for j in range(i + 1, min(i + reach, k))
    ]


def _order_of_many(names: Sequence[str], weights: Array, errors: Array) -> list[dict[str, Any]]:
    """The same of neighbours, with normal errors that are independent."""
    order = np.argsort(-weights, kind="stable")
    apart = weights[order[:-1]] - weights[order[1:]]
    both = np.hypot(errors[order[:-1]], errors[order[1:]])
    pairs = []
    for one, other, by, error in zip(order[:-1], order[1:], apart.tolist(), both.tolist(), strict=True):
        certain = 0.5 if by == 0 else 1.0
        probability = 1 - 0.5 * math.erfc(by / error / math.sqrt(2)) if error > 0 else certain
        pairs.append({"above": names[one], "below": names[other], "probability": probability})
    return pairs


def confidence_notices(
    names: Sequence[str], confidence: Confidence | None, samples: Sequence[Sample], target: float
) -> list[str]:
    """What to do where errors are unknown or above the target; nothing where they are within it."""
    if confidence is None:
        return ["a single window of a domain says nothing of how sure the weights are: raise --num_samples"]
    return [_not_enough(names, confidence, samples, target)] if confidence.needed else []


def _not_enough(
    names: Sequence[str], confidence: Confidence, samples: Sequence[Sample], target: float
) -> str:
    """What to do about errors that are larger than asked for."""
    errors = confidence.weights.errors
    worst = int(np.argmax(errors))
    lacking = sorted(
        ((confidence.needed[sample.name], sample.name) for sample in samples if _lacks(sample, confidence)),
        reverse=True,
    )
    said = f"the standard error of {names[worst]} is {errors[worst]:.2g}, over the target of {target:g}"
    if not lacking:
        return f"{said}, but about so many windows are enough by the estimate: raise --num_samples a little"
    most = lacking[0][0]
    listed = ", ".join(f"{number:,} windows of {name}" for number, name in lacking[:4])
    rest = f" and more of {len(lacking) - 4} others" if len(lacking) > 4 else ""
    return f"{said}: about {listed}{rest} are needed; give --num_samples {most}, or a larger --target_se"


def _lacks(sample: Sample, confidence: Confidence) -> bool:
    return confidence.needed[sample.name] > len(sample)
