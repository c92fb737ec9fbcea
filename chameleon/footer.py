"""What stands under a table of weights: sources, how sure the weights are, and what they rest on."""

from itertools import pairwise

import numpy as np

from chameleon.domain_weights import DomainWeights
from chameleon.long_tables import rounded, shown_name, width_of

# An order that is less probable than this is called unsure.
_SURE = 0.95
_UNSURE_SHOWN = 3
_SOURCES_SHOWN = 20


def footer(weights: DomainWeights, written_to: str) -> list[str]:
    """Lines on weights that are written to a file."""
    used = weights.settings
    sigma = used.get("rbf_sigma")
    kernel = f"{used['kernel']} kernel"
    if sigma is not None:
        kernel += f", sigma {sigma:.4g} ({used['rbf_sigma_from']})"
    effective = weights.diagnostics["effective_dimension"]
    is_nested = used.get("hierarchy") == "nested"
    units = f"{len(weights.diagnostics.get('sources', weights.names) if is_nested else weights.names):,}"
    nested = "hierarchy            nested: weights across sources times those within each"
    dimension = f"{effective:,.0f}" if effective >= 1000 else f"{effective:.2f}"
    return [
        *_sources(weights),
        *_certainty(weights),
        *_approximation(weights),
        f"effective dimension  {dimension} of {units} {'sources' if is_nested else 'domains'}",
        *([nested] if is_nested else ()),
        f"kernel and ridge     {kernel}, lambda {used['lambda_reg']:.4g} (k lambda = {used['ridge']:.4g})",
        f"temperature          {used['temperature_used']:.4g}, recipe {used['recipe']}",
        f"weights file         {written_to}",
    ]


def _sources(weights: DomainWeights) -> list[str]:
    """The sources that domains' names begin with, where they do: what each has in all."""
    sources = weights.diagnostics.get("sources")
    if not sources:
        return []
    heaviest = sorted(sources.items(), key=lambda each: (-each[1]["weight"], each[0]))
    shown, others = heaviest[:_SOURCES_SHOWN], heaviest[_SOURCES_SHOWN:]
    width = width_of(shown_name(name) for name, _ in shown)
    lines = []
    for name, facts in shown:
        count = facts["domains"]
        of = f"{count:,} domain{'s' if count > 1 else ''}"
        lines.append(f"{shown_name(name):<{width}}  {facts['weight']:6.4f}  of {of}")
    if others:
        together = sum(facts["weight"] for _, facts in others)
        lines.append(f"... {len(others):,} more, together {rounded(together)}")
    return [f"{'by source' if at == 0 else '':<21}{line}" for at, line in enumerate(lines)]


def _approximation(weights: DomainWeights) -> list[str]:
    """How far off scores are that are not exact."""
    facts = weights.diagnostics.get("approximation") or {}
    if not facts.get("approximate"):
        return []
    return [
        f"scores               approximate: {facts['features']:,} features; of {facts['checked_on']:,} "
        f"domains half are within {facts['median_relative_error']:.2%} of the exact and 95 of 100 within "
        f"{facts['relative_error_95']:.2%}, rank correlation {facts['rank_correlation']:.4f}"
    ]


def _certainty(weights: DomainWeights) -> list[str]:
    """How sure the weights are, and what that took."""
    largest = weights.diagnostics.get("largest_standard_error")
    if largest is None:
        return []
    windows = [weights.domains[name]["windows"] for name in weights.names]
    tokens = sum(weights.domains[name].get("tokens", 0) for name in weights.names)
    counted = f" of {tokens:,} tokens" if tokens else ""
    enough = "enough" if weights.diagnostics["enough_windows"] else "not enough"
    target = weights.settings.get("target_se")
    return [
        f"windows looked at    {sum(windows):,}{counted}, {min(windows)} to {max(windows)} a domain",
        f"standard errors      up to {largest:.2g}"
        + (f": {enough} for a target of {target:g}" if target is not None else ""),
        *([f"order                {_order(weights)}"] if weights.diagnostics.get("order") else ()),
    ]


def _order(weights: DomainWeights) -> str:
    """How sure the order of neighbours is."""
    by_weight = np.argsort(-weights.weights, kind="stable").tolist()
    below = {weights.names[one]: weights.names[other] for one, other in pairwise(by_weight)}
    neighbours = [each for each in weights.diagnostics["order"] if below.get(each["above"]) == each["below"]]
    unsure = sorted(
        (each for each in neighbours if each["probability"] < _SURE), key=lambda each: each["probability"]
    )
    if not unsure:
        return f"sure: neighbours by at least {min(each['probability'] for each in neighbours):.0%}"
    listed = ", ".join(
        f"{shown_name(each['above'])} over {shown_name(each['below'])} {each['probability']:.0%}"
        for each in unsure[:_UNSURE_SHOWN]
    )
    rest = f" and {len(unsure) - _UNSURE_SHOWN:,} more" if len(unsure) > _UNSURE_SHOWN else ""
    return f"unsure for {listed}{rest}{'; others sure' if len(unsure) < len(neighbours) else ''}"
