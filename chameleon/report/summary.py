"""The top of the page: its title, the weights in a sentence, how sure they are, and a few numbers."""

import math

from chameleon.report.content import Report
from chameleon.report.markup import (
    Markup,
    decimals_for,
    figure,
    joined,
    large,
    listed,
    mention,
    one_line,
    percent,
    tag,
)
from chameleon.report.terminal import CERTAIN, neighbours_by_weight
from chameleon.weights.domain_weights import DomainWeights

# Domains or pairs spelled out in a sentence.
_NAMED = 4


def heading(weights: DomainWeights) -> str:
    """The title of the page: purpose and dataset of the weights."""
    purpose = f" to {one_line(weights.mode)} on" if weights.mode else " for"
    return f"Domain weights{purpose} {dataset_of(weights)}"


def dataset_of(weights: DomainWeights) -> str:
    """The dataset's name; of a path in this machine its last part."""
    name = one_line(str(weights.settings.get("dataset") or "given embeddings"))
    is_path = name.startswith(("/", "./", "../", "~"))
    return name.rstrip("/").rsplit("/", 1)[-1] if is_path and name.strip("./~") else name


def summary(report: Report) -> Markup:
    """A sentence on the largest and the smallest weight."""
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
    """Whether there are enough windows, how many more are needed, and where the ranking is uncertain."""
    diagnostics = weights.diagnostics
    largest = diagnostics.get("largest_standard_error")
    if largest is None:
        start = tag("strong", "How sure these weights are is not known: ")
        return tag("p", start, "they have no standard errors.")
    error = f"the largest standard error of a weight is {_points(largest)}"
    target = weights.settings.get("target_se")
    against = f", for a target of {_points(target)}" if isinstance(target, int | float) else ""
    is_enough = diagnostics.get("enough_windows")
    start = tag("strong", "Enough windows: " if is_enough else "More windows are needed: ")
    words = tag("p", start, f"{error}{against}.", "" if is_enough else _needed(weights))
    return joined(words, tag("p", _ranking(weights)))


def _ranking(weights: DomainWeights) -> Markup:
    pairs = neighbours_by_weight(weights)
    uncertain = [each for each in pairs if each["probability"] < CERTAIN]
    if not pairs:
        return Markup()
    if not uncertain:
        least = percent(float(pairs[0]["probability"]), 0)
        return joined(f"The ranking of the domains is certain: each neighbour by at least {least}.")
    words = []
    for each in uncertain[:_NAMED]:
        share = percent(float(each["probability"]), 0)
        words.append(joined(mention(each["above"]), " > ", mention(each["below"]), f" ({share})"))
    start = "The ranking is uncertain for "
    if len(uncertain) > _NAMED:
        start += f"{len(uncertain):,} of {len(pairs):,} pairs of neighbours, most for "
    end = "; that of other neighbours is certain." if len(uncertain) < len(pairs) else "."
    return joined(start, listed(words), end)


def _needed(weights: DomainWeights) -> Markup:
    needed = weights.diagnostics.get("windows_needed", {}).items()
    embedded = {name: facts.get("windows", 0) for name, facts in weights.domains.items()}
    lacking = sorted(((int(n), name) for name, n in needed if n > embedded.get(name, 0)), reverse=True)
    if not lacking:
        return Markup()
    parts = [joined(f"{count:,} of ", mention(name)) for count, name in lacking[:_NAMED]]
    if rest := len(lacking) - len(parts):
        parts.append(joined(f"more of {rest:,} other domains" if rest > 1 else "more of one other"))
    return joined(" Estimated windows needed: ", listed(parts), ".")


def facts(report: Report) -> list[tuple[str, str]]:
    """The few numbers at the top of the page, with their titles."""
    weights, k = report.weights, len(report.weights.names)
    numbers = [("Domains", f"{k:,}")]
    if sources := weights.diagnostics.get("sources"):
        numbers.append(("Sources", f"{len(sources):,}"))
    if (effective := weights.diagnostics.get("effective_dimension")) is not None:
        is_nested = weights.settings.get("hierarchy") == "nested"
        units = f"{len(sources):,} sources" if sources and is_nested else f"{k:,}"
        words = f"{effective:{',.0f' if effective >= 1000 else '.2f'}} of {units}"
        numbers.append(("Effective dimension", words))
    if (approximation := weights.diagnostics.get("approximation") or {}).get("approximate"):
        error = percent(approximation["median_relative_error"])
        numbers.append(("Scores", f"approximate, half within {error}"))
    for title, fact in (("Windows embedded", "windows"), ("Tokens embedded", "tokens")):
        counts = [weights.domains.get(name, {}).get(fact) for name in weights.names]
        known = [count for count in counts if count is not None]
        if known:
            numbers.append((title, large(sum(known))))
    if (largest := weights.diagnostics.get("largest_standard_error")) is not None:
        numbers.append(("Largest standard error", _points(largest)))
    return numbers


def _points(share: float) -> str:
    return f"{100 * share:.2g} points" if share < 0.1 else f"{100 * share:.3g} points"
