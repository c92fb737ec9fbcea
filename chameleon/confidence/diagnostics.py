"""Warnings about weights: collapsed, flat, sensitive to lambda, near duplicates, too few windows.

Shapes: k domains, d width of an embedding.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from chameleon.common.arrays import Array, Floats, blocks_of_rows
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.confidence.sensitivity import HALVED_AND_DOUBLED, WeightPath, largest_move, weight_paths
from chameleon.weights.affinity import median_sigma
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.many_domains.features import width_of_pairs
from chameleon.weights.many_domains.subsets import is_many, some_of
from chameleon.weights.sample import Sample, means_of, noise_of

# The search for near duplicates takes time with the square of the domains: above this many, search a sample.
SEARCHED = 20_000

# A domain with over half of all weight is a collapse; weights within a tenth of uniform are flat.
_COLLAPSED = 0.5
_FLAT = 0.1

# Share of all tokens that moves to other domains when lambda is halved or doubled, above which to warn.
_SENSITIVE = 0.1

# Affinity at the median width from which two domains are near duplicates: 0.3 of the usual distance.
_DUPLICATE = 0.95
_FEW_WINDOWS = 16
_MOST_GROUPS = 3

# Distances computed at once: 32 MiB.
_AT_ONCE = 1 << 22

# Lifts the ridge's bound on the noise that is taken off, which near duplicates do not need.
_NO_BOUND = float(np.finfo(np.float64).max)


def warnings_of(
    samples: list[Sample], formula: Formula, solution: Solution
) -> tuple[list[str], list[WeightPath]]:
    """Warnings, one sentence each, and the weights with each setting halved and doubled.

    Args:
        samples: k samples, one for each domain.
        formula: From means to weights.
        solution: The formula's solution for the samples.
    """
    names = [sample.name for sample in samples]
    warnings = []
    paths = weight_paths(samples, formula, solution, HALVED_AND_DOUBLED)
    if len(names) > 2:
        warnings += _shape(names, formula, solution)
        warnings += _sensitive_to_lambda(names, solution, paths)
        warnings += _duplicates(samples, formula, solution)
    return [*warnings, *_few_windows(samples), *_few_documents(samples)], paths


def near_duplicates(
    means: Floats, noise: Array, affinity: float, sigma: float | None = None
) -> list[list[int]]:
    """Groups of two and more domains linked by near-duplicate pairs, the largest first.

    Args:
        means: (k, d) domain embeddings.
        noise: (k,) noise to take off squared distances.
        affinity: RBF affinity from which two domains are near duplicates.
        sigma: Width of the kernel; None for the median distance of random pairs.

    Raises:
        InputError: Most domains coincide, so that there is no median width.
    """
    x = np.array(means, dtype=np.float64)
    if sigma is None:
        sigma, noise = width_of_pairs(x, noise, _NO_BOUND)
    reach = -2 * sigma * sigma * np.log(affinity)
    x -= x.mean(axis=0)
    sizes = np.einsum("ij,ij->i", x, x) - noise
    k = len(x)
    labels = np.arange(k, dtype=np.int64)
    for rows in blocks_of_rows(k, k, _AT_ONCE):
        later = slice(rows.start, k)
        distances = sizes[rows, None] + sizes[later] - 2 * (x[rows] @ x[later].T)
        one, other = np.nonzero(distances <= reach)
        pairs = labels[one + rows.start], labels[other + rows.start]
        graph = coo_array((np.ones(len(one), dtype=bool), pairs), shape=(k, k))
        labels = connected_components(graph, directed=False)[1].astype(np.int64)[labels]
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return sorted((group.tolist() for group in groups if len(group) > 1), key=len, reverse=True)


def _shape(names: Sequence[str], formula: Formula, solution: Solution) -> list[str]:
    """A warning where one domain has most of all weight, or all have about the same."""
    weights, scores, k = solution.weights, solution.scores, len(names)
    top = int(np.argmax(weights))
    flag = "--pt_temperature" if formula.mode == "pretrain" else "--ft_temperature"
    if weights[top] > _COLLAPSED:
        return [
            f"the weights have collapsed: {names[top]} has {weights[top]:.0%} of all. Check that it is a "
            f"domain like the others; raise {flag} to spread weights, or cap repeated tokens (--max_epochs)"
        ]
    if np.abs(weights * k - 1).max() >= _FLAT:
        return []
    flat = f"the weights are nearly uniform, each within {_FLAT:.0%} of 1/{k}"
    if (scores.max() - scores.min()) < 0.05 * scores.max():
        return [
            f"{flat}, since all scores lie between {scores.min():.3g} and {scores.max():.3g}: the domains "
            f"are equally far apart, or lambda ({formula.lambda_reg:.3g}) does not fit the kernel's scale"
        ]
    return [f"{flat}, though scores lie between {scores.min():.3g} and {scores.max():.3g}: lower {flag}"]


def _sensitive_to_lambda(names: Sequence[str], solution: Solution, paths: Sequence[WeightPath]) -> list[str]:
    path = next((path for path in paths if path.setting == "lambda_reg"), None)
    if path is None or not len(path.weights):
        return []
    moved = float(0.5 * np.abs(path.weights - solution.weights).sum(axis=1).max())
    if moved <= _SENSITIVE:
        return []
    i, move = largest_move(solution.weights, path.weights)
    return [
        f"weights are sensitive to lambda: halving or doubling it moves {moved:.0%} of all tokens to other "
        f"domains, {names[i]} by {move:.2f}"
    ]


def _duplicates(samples: Sequence[Sample], formula: Formula, solution: Solution) -> list[str]:
    """Warnings about groups of near duplicates; of very many domains, among a random sample."""
    searched = some_of(len(samples), SEARCHED)
    some = [samples[i] for i in searched]
    means, noise = means_of(some), noise_of(some)
    try:
        sigma = None if is_many(len(samples)) else median_sigma(means, noise)
        groups = near_duplicates(means, noise, _DUPLICATE, sigma)
    except InputError:  # most of them at one point
        return ["most domains look the same to the proxy: remove duplicates, or use another proxy"]
    names = [sample.name for sample in some]
    if not is_many(len(samples)):
        return [_one_group(names, means, noise, group, formula, solution) for group in groups[:_MOST_GROUPS]]
    if not groups:
        return []
    among = "" if len(some) == len(samples) else f" of {len(some):,} domains at random"
    largest = groups[0]
    together = float(solution.weights[searched[largest]].sum())
    return [
        f"{sum(map(len, groups)):,}{among} are near duplicates of others to the proxy, in {len(groups):,} "
        f"groups; the largest, {listed([names[i] for i in largest])}, has "
        f"{together:.3f} of all. Merge them, or keep only one"
    ]


def _one_group(
    names: Sequence[str], means: Array, noise: Array, group: list[int], formula: Formula, solution: Solution
) -> str:
    """A warning about one group, with what it would weigh as a single domain."""
    together = float(solution.weights[group].sum())
    said = (
        f"{listed([names[i] for i in group])} are near duplicates to the proxy: together they have "
        f"{together:.3f} of all"
    )
    remaining = [i for i in range(len(names)) if i == group[0] or i not in group]
    if len(remaining) > 1:
        same_ridge = formula.lambda_reg * len(means) / len(remaining)
        fewer = replace(formula, k=len(remaining), lambda_reg=same_ridge)
        try:
            usable = fewer.usable(means[remaining], noise[remaining])
            alone = fewer.solve(means[remaining], usable).weights[remaining.index(group[0])]
        except InputError:  # they coincide
            alone = 1 / len(remaining)
        said += f"; with {names[group[0]]} alone of them it would have {alone:.3f}"
    return f"{said}. Merge them, or keep only one"


def _few_windows(samples: Sequence[Sample]) -> list[str]:
    few = [f"{each.name} ({len(each)})" for each in samples if not each.is_exact and len(each) < _FEW_WINDOWS]
    return [f"too few windows: {listed(few)}; add text, or merge with other domains"] if few else []


def _few_documents(samples: Sequence[Sample]) -> list[str]:
    few = [
        f"{each.name} ({each.num_documents})"
        for each in samples
        if each.num_documents is not None and each.num_documents < each.num_units and each.fraction < 1
    ]
    if not few:
        return []
    return [
        f"too few documents: {listed(few)}; their standard errors say how well the windows represent these "
        "documents, not other documents of the domain"
    ]
