"""What a report says in sentences: the verdict, who gets most, and the few numbers to start with."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from chameleon.domain_weights import DomainWeights
from chameleon.report.content import Report
from chameleon.report.labels import decimals_for, figure, large, mention, one_line, percent
from chameleon.report.markup import Markup, joined, listed, tag

# An order that is less probable than this is called unsure.
_SURE = 0.95
_NAMED = 4


def heading(weights: DomainWeights) -> str:
    """What the weights are, and of what."""
    purpose = f" to {one_line(weights.mode)} on" if weights.mode else " for"
    return f"Domain weights{purpose} {dataset_of(weights)}"


def dataset_of(weights: DomainWeights) -> str:
    """The dataset's name; of a path in this machine its last part."""
    name = one_line(str(weights.settings.get("dataset") or "given embeddings"))
    is_path = name.startswith(("/", "./", "../", "~"))
    return name.rstrip("/").rsplit("/", 1)[-1] if is_path and name.strip("./~") else name


def summary(report: Report) -> Markup:
    """Who gets most and least."""
    weights, order = report.weights, report.by_weight
    k = len(order)
    decimals = decimals_for(k)
    most, least = (float(weights.weights[i]) for i in (order[0], order[-1]))
    first, last = (mention(weights.names[i]) for i in (order[0], order[-1]))
    if k == 1:
        return joined(first, " is the only domain.")
    if math.isclose(most, least, rel_tol=1e-6):
        every = "Both domains" if k == 2 else f"All {k:,} domains"
        return joined(f"{every} get the same share of the training tokens: {percent(1 / k, decimals)}.")
    return joined(
        first,
        f" gets the largest share of the training tokens, {percent(most, decimals)} "
        f"({figure(most * k, 2)} times its uniform share), and ",
        last,
        f" the smallest, {percent(least, decimals)}.",
    )


def verdict(weights: DomainWeights) -> Markup:
    """Whether enough windows were looked at, or what is needed; and where the order is unsure."""
    diagnostics = weights.diagnostics
    largest = diagnostics.get("largest_standard_error")
    if largest is None:
        return tag(
            "p",
            tag("strong", "How sure these weights are is not known: "),
            "no standard errors are with them.",
        )
    error = f"the largest standard error of a weight is {_points(largest)}"
    target = weights.settings.get("target_se")
    against = f", for a target of {_points(target)}" if isinstance(target, int | float) else ""
    if diagnostics.get("enough_windows"):
        said = tag("p", tag("strong", "Enough windows were looked at: "), f"{error}{against}.")
    else:
        said = tag("p", tag("strong", "More windows are needed: "), f"{error}{against}.", _needed(weights))
    return joined(said, tag("p", _order(weights)))


def _unsure(weights: DomainWeights) -> list[Mapping[str, Any]]:
    """Neighbours by weight whose order is unsure, the most unsure first."""
    return sorted(
        (each for each in _neighbours(weights) if each["probability"] < _SURE),
        key=lambda each: float(each["probability"]),
    )


def _neighbours(weights: DomainWeights) -> list[Mapping[str, Any]]:
    names = weights.names
    order = sorted(range(len(names)), key=lambda i: (-weights.weights[i], i))
    below = {names[one]: names[other] for one, other in pairwise(order)}
    return [
        each for each in weights.diagnostics.get("order", ()) if below.get(each["above"]) == each["below"]
    ]


def _order(weights: DomainWeights) -> Markup:
    neighbours, unsure = _neighbours(weights), _unsure(weights)
    if not neighbours:
        return Markup()
    if not unsure:
        least = min(float(each["probability"]) for each in neighbours)
        return joined(
            f"The order of the domains is sure: of any two neighbours by at least {percent(least, 0)}."
        )
    said = "The order is unsure of "
    if len(unsure) > _NAMED:
        said = f"Of {len(neighbours):,} pairs of neighbours the order of {len(unsure):,} is unsure, most of "
    pairs = [
        joined(
            mention(each["above"]),
            " over ",
            mention(each["below"]),
            f" ({percent(float(each['probability']), 0)})",
        )
        for each in unsure[:_NAMED]
    ]
    others = "; of other neighbours it is sure." if len(unsure) < len(neighbours) else "."
    return joined(said, listed(pairs), others)


def _needed(weights: DomainWeights) -> Markup:
    needed = weights.diagnostics.get("windows_needed", {})
    lacking = sorted(
        (
            (int(count), name)
            for name, count in needed.items()
            if count > weights.domains.get(name, {}).get("windows", 0)
        ),
        reverse=True,
    )
    if not lacking:
        return Markup()
    parts = [joined(f"{count:,} of ", mention(name)) for count, name in lacking[:_NAMED]]
    rest = len(lacking) - len(parts)
    more = [joined(f"more of {rest:,} other domains" if rest > 1 else "more of one other")] if rest else []
    return joined(" About so many windows would do: ", listed([*parts, *more]), ".")


def facts(report: Report) -> list[tuple[str, str]]:
    """The few numbers that stand at the top."""
    weights, k = report.weights, len(report.weights.names)
    found = [("Domains", f"{k:,}")]
    sources = weights.diagnostics.get("sources")
    if sources:
        found.append(("Sources", f"{len(sources):,}"))
    if (effective := weights.diagnostics.get("effective_dimension")) is not None:
        is_nested = weights.settings.get("hierarchy") == "nested"
        of = f"{len(sources):,} sources" if sources and is_nested else f"{k:,}"
        found.append(("Effective dimension", f"{effective:{',.0f' if effective >= 1000 else '.2f'}} of {of}"))
    if (approximation := weights.diagnostics.get("approximation") or {}).get("approximate"):
        error = percent(approximation["median_relative_error"])
        found.append(("Scores", f"approximate, half within {error}"))
    for title, fact in (("Windows looked at", "windows"), ("Tokens looked at", "tokens")):
        counts = [weights.domains.get(name, {}).get(fact) for name in weights.names]
        known = [count for count in counts if count is not None]
        if known:
            found.append((title, large(sum(known))))
    if (largest := weights.diagnostics.get("largest_standard_error")) is not None:
        found.append(("Largest standard error", _points(largest)))
    return found


def _points(share: float) -> str:
    return f"{100 * share:.2g} points" if share < 0.1 else f"{100 * share:.3g} points"
