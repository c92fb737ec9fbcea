"""What a reader of weights should be warned of, in words.

Shapes: k domains.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.confidence.sensitivity import (
    HALVED_AND_DOUBLED,
    WeightPath,
    along_temperature,
    largest_move,
    weight_paths,
)
from chameleon.weights.affinity import median_sigma, rbf_affinity
from chameleon.weights.formula import Formula, Means, Solution
from chameleon.weights.many_domains.blocks import is_many, some_of
from chameleon.weights.many_domains.features import width_of_pairs
from chameleon.weights.sample import Sample, means_of, noise_of

# Of more domains than this so many at random are to be looked at: time grows with their square.
LOOKED_AT = 20_000


# Numbers of a block of distances: 32 MiB.
_AT_ONCE = 1 << 22


_NO_BOUND = float(np.finfo(np.float64).max)


def near_duplicates(means: Means, noise: Array, affinity: float) -> list[list[int]]:
    """Sets of two and more domains that are alike, one by way of the other, the largest first.

    Args:
        means: (k, d) domain embeddings.
        noise: (k,) noise to take off squared distances.
        affinity: From which RBF affinity on, at the median width, two domains are alike.

    Raises:
        InputError: Most domains coincide, so that there is no median width.
    """
    x = np.array(means, dtype=np.float64)
    # As near as this after noise; the ridge, which bounds what is taken off for scores, has no part in it.
    sigma, less = width_of_pairs(x, noise, _NO_BOUND) if noise.any() else width_of_pairs(x, None, 1.0)
    reach = -2 * sigma * sigma * np.log(affinity)
    x -= x.mean(axis=0)
    sizes = np.einsum("ij,ij->i", x, x) - less
    m = len(x)
    labels = np.arange(m, dtype=np.int64)
    step = max(1, _AT_ONCE // m)
    for begin in range(0, m, step):
        rows = slice(begin, min(begin + step, m))
        apart = sizes[rows, None] + sizes[begin:] - 2 * (x[rows] @ x[begin:].T)
        one, other = np.nonzero(apart <= reach)
        pairs = labels[one + begin], labels[other + begin]
        graph = coo_array((np.ones(len(one), dtype=bool), pairs), shape=(m, m))
        labels = connected_components(graph, directed=False)[1].astype(np.int64)[labels]
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    found = [group.tolist() for group in groups if len(group) > 1]
    return sorted(found, key=len, reverse=True)


# A domain over half of all is a collapse; weights within a tenth of uniform are flat.
_COLLAPSED = 0.5


_FLAT = 0.1


# Share of all tokens that changes its domain when lambda is halved or doubled.
_HANGS = 0.1


# An affinity at the median width from which on two domains are as good as one: 0.3 of the usual distance.
_DUPLICATE = 0.95


_FEW_WINDOWS = 16


_MOST_GROUPS = 3


def warnings_of(
    samples: list[Sample], formula: Formula, solution: Solution
) -> tuple[list[str], list[WeightPath]]:
    """Warnings, and the weights with each setting halved and doubled that some of them are from.

    Args:
        samples: Of the k domains.
        formula: From means to weights.
        solution: What it gave.
    """
    names = [sample.name for sample in samples]
    if is_many(len(names)):  # their means may not fit beside all else
        moved = [along_temperature(formula, solution, HALVED_AND_DOUBLED)]
        said = _shape(names, formula, solution) + _duplicates_of_many(samples, solution)
        return said + _few_windows(samples) + _few_documents(samples), moved
    means = means_of(samples)
    noise = noise_of(samples)
    moved = weight_paths(means, noise, formula, solution, HALVED_AND_DOUBLED)
    said = []
    if len(names) > 2:
        said += _shape(names, formula, solution)
        said += _hangs_on_lambda(names, solution, moved)
        said += _duplicates(names, means, noise, formula, solution)
    said += _few_windows(samples) + _few_documents(samples)
    return said, moved


def _shape(names: Sequence[str], formula: Formula, solution: Solution) -> list[str]:
    weights, k = solution.weights, len(names)
    top = int(np.argmax(weights))
    flag = "--pt_temperature" if formula.mode == "pretrain" else "--ft_temperature"
    if weights[top] > _COLLAPSED:
        return [
            f"the weights have collapsed: {names[top]} has {weights[top]:.0%} of all. Look whether it is a "
            f"domain like the others; a higher {flag} spreads weights, and a cap on repeated tokens bounds it"
        ]
    if np.abs(weights * k - 1).max() >= _FLAT:
        return []
    scores = solution.scores
    flat = f"the weights are nearly uniform, each within {_FLAT:.0%} of 1/{k}"
    if (scores.max() - scores.min()) < 0.05 * scores.max():
        return [
            f"{flat}, since all scores lie between {scores.min():.3g} and {scores.max():.3g}: the domains "
            f"are equally far apart, or lambda ({formula.lambda_reg:.3g}) does not fit the kernel's scale"
        ]
    return [f"{flat}, though scores lie between {scores.min():.3g} and {scores.max():.3g}: lower {flag}"]


def _hangs_on_lambda(names: Sequence[str], solution: Solution, moved: Sequence[WeightPath]) -> list[str]:
    path = next((path for path in moved if path.setting == "lambda_reg"), None)
    if path is None or not len(path.weights):
        return []
    turned = float(0.5 * np.abs(path.weights - solution.weights).sum(axis=1).max())
    if turned <= _HANGS:
        return []
    at, by = largest_move(solution.weights, path.weights)
    return [
        f"the weights hang on lambda: half or twice of it moves {turned:.0%} of all tokens to other domains, "
        f"{names[at]} by {by:.2f}"
    ]


def _duplicates(
    names: Sequence[str], means: Array, noise: Array, formula: Formula, solution: Solution
) -> list[str]:
    """Groups of domains that are as good as one, and what each group would weigh as one domain."""
    try:
        alike = rbf_affinity(means, median_sigma(means, noise), noise) >= _DUPLICATE
    except InputError:  # most of them at one point
        return ["most domains are the same to the proxy: remove duplicates, or look with another proxy"]
    said = []
    for group in _groups(alike)[:_MOST_GROUPS]:
        kept = [i for i in range(len(names)) if i == group[0] or i not in group]
        together = float(solution.weights[group].sum())
        listed = ", ".join(names[i] for i in group[:5])
        rest = f" and {len(group) - 5} more" if len(group) > 5 else ""
        as_one = ""
        if len(kept) > 1:
            one = _without(means, noise, formula, kept)
            as_one = f"; with {names[group[0]]} alone of them it would have {one[kept.index(group[0])]:.3f}"
        said.append(
            f"{listed}{rest} are near duplicates to the proxy: together they have {together:.3f} of all"
            f"{as_one}. Merge them, or leave all but one out"
        )
    return said


def _duplicates_of_many(samples: Sequence[Sample], solution: Solution) -> list[str]:
    """Groups of many domains that are as good as one; of very many, among some at random."""
    looked_at = some_of(len(samples), LOOKED_AT)
    some = [samples[i] for i in looked_at]
    try:
        groups = near_duplicates(means_of(some), noise_of(some), _DUPLICATE)
    except InputError:  # most of them at one point
        return ["most domains are the same to the proxy: remove duplicates, or look with another proxy"]
    if not groups:
        return []
    among = "" if len(some) == len(samples) else f" of {len(some):,} domains at random"
    largest = groups[0]
    together = float(solution.weights[looked_at[largest]].sum())
    return [
        f"{sum(map(len, groups)):,}{among} are near duplicates of others to the proxy, in {len(groups):,} "
        f"groups; the largest, {listed([some[i].name for i in largest])}, has "
        f"{together:.3f} of all. Merge them, or leave all but one out"
    ]


def _without(means: Array, noise: Array, formula: Formula, kept: Sequence[int]) -> Array:
    """(len(kept),) weights of some of the domains, the ridge and temperature those of so many."""
    fewer = replace(formula, k=len(kept), lambda_reg=formula.lambda_reg * len(means) / len(kept))
    try:
        return fewer.solve(means[kept], fewer.usable(means[kept], noise[kept])).weights
    except InputError:  # those that are left coincide
        return np.full(len(kept), 1 / len(kept))


def _groups(alike: np.ndarray[Any, np.dtype[np.bool_]]) -> list[list[int]]:
    """Sets of two and more domains that are alike, one by way of the other, the largest first."""
    left, groups = set(range(len(alike))), []
    while left:
        group, border = set(), [min(left)]
        while border:
            each = border.pop()
            if each in left:
                left.remove(each)
                group.add(each)
                border += np.flatnonzero(alike[each]).tolist()
        if len(group) > 1:
            groups.append(sorted(group))
    return sorted(groups, key=len, reverse=True)


def _few_windows(samples: Sequence[Sample]) -> list[str]:
    few = [sample for sample in samples if not sample.is_exact and len(sample) < _FEW_WINDOWS]
    if not few:
        return []
    listed = ", ".join(f"{sample.name} ({len(sample)})" for sample in few[:5])
    rest = f" and {len(few) - 5} more" if len(few) > 5 else ""
    return [f"too few windows to know them by: {listed}{rest}; give them more text, or join them with others"]


def _few_documents(samples: Sequence[Sample]) -> list[str]:
    few = [
        f"{sample.name} ({sample.num_documents})"
        for sample in samples
        if sample.num_documents is not None
        and sample.num_documents < sample.num_units
        and sample.fraction < 1
    ]
    if not few:
        return []
    rest = f" and {len(few) - 5} more" if len(few) > 5 else ""
    return [
        f"the windows of {', '.join(few[:5])}{rest} are of so few documents: their standard errors say how "
        "well the windows stand for these documents, not for others like them"
    ]
