"""Weights as a table that a person reads at a glance."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.tables import (
    ALL_SHOWN,
    MOST_MOVED,
    column_width,
    describe_hidden_rows,
    describe_spread,
    display_name,
    format_share,
    heaviest_first,
    most_changed_rows,
    rows_to_show,
    share_decimals,
    two_digits,
)
from chameleon.weights.domain_weights import DomainWeights

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
    width = column_width(display_name(name) for name, _ in shown)
    lines = []
    for name, facts in shown:
        count = facts["domains"]
        of = f"{count:,} domain{'s' if count > 1 else ''}"
        lines.append(f"{display_name(name):<{width}}  {facts['weight']:6.4f}  of {of}")
    if others:
        together = sum(facts["weight"] for _, facts in others)
        lines.append(f"... {len(others):,} more, together {two_digits(together)}")
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
        f"{display_name(each['above'])} over {display_name(each['below'])} {each['probability']:.0%}"
        for each in unsure[:_UNSURE_SHOWN]
    )
    rest = f" and {len(unsure) - _UNSURE_SHOWN:,} more" if len(unsure) > _UNSURE_SHOWN else ""
    return f"unsure for {listed}{rest}{'; others sure' if len(unsure) < len(neighbours) else ''}"


__all__ = ["display_name", "render_change", "render_table"]


_BAR = 24


_EIGHTHS = " ▏▎▍▌▋▊▉"


def render_table(
    weights: DomainWeights,
    written_to: str,
    *,
    unicode: bool = True,
    report: Path | None = None,
) -> str:
    """Domains with their scores and weights, uniform beside them, and what the numbers rest on.

    Args:
        weights: What to show; heaviest domain first.
        written_to: Where the weights file went.
        unicode: Draw bars with block characters rather than with plain ones.
        report: Where a page about them went, if one did.
    """
    k = len(weights.names)
    order = heaviest_first(weights.names, weights.weights)
    rows = rows_to_show(order)
    lines = [
        f"Share of tokens of each domain, to {weights.mode} on {weights.settings.get('dataset', '?')}",
        "",
        *_rows(weights, rows, unicode=unicode),
    ]
    if None in rows:
        lines.insert(3 + rows.index(None), describe_hidden_rows(order, weights.weights))
    lines += ["", *(describe_spread(weights.weights) if k > ALL_SHOWN else ()), *footer(weights, written_to)]
    if report is not None:
        lines.append(f"report               {report}")
    return "\n".join(lines)


def _rows(weights: DomainWeights, rows: Sequence[int | None], *, unicode: bool) -> list[str]:
    """The head, and a line for each row that is not left out."""
    k, shown = len(weights.names), [i for i in rows if i is not None]
    uniform, decimals = 1.0 / k, share_decimals(k)
    width = column_width(display_name(weights.names[i]) for i in shown)
    largest = max(float(weights.weights.max()), uniform)
    all_facts = [weights.domains[name] for name in weights.names]
    beside = [
        (title, fact)
        for title, fact in (("natural", "natural_share"), ("in use", "weight_in_use"))
        if any(fact in facts for facts in all_facts)
    ]
    size = decimals + 3
    titles = "".join(f"{title:>{size}}  " for title, _ in beside)
    has_errors = any("standard_error" in facts for facts in all_facts)
    errors = f"{'+- s.e.':>{size}}  " if has_errors else ""
    head = (
        f"{'domain':<{width}}  windows   score  {titles}{'uniform':>{size}}  {'weight':>{size - 1}}  {errors}"
    )
    lines = [f"{head}{'':{_BAR}}  against uniform"]
    for i in shown:
        facts, weight = all_facts[i], float(weights.weights[i])
        beside_it = "".join(_share(facts.get(fact), decimals) for _, fact in beside)
        lines.append(
            f"{display_name(weights.names[i]):<{width}}  {facts.get('windows', '-'):>7}  {_score(facts, k)}  "
            f"{beside_it}{_share(uniform, decimals)}{format_share(weight, decimals):>{size - 1}}  "
            f"{_share(facts.get('standard_error'), decimals) if has_errors else ''}"
            f"{_bar(weight / largest, uniform / largest, unicode=unicode)}  {_times(weight / uniform, k)} x"
        )
    return lines


def _score(facts: Mapping[str, Any], k: int) -> str:
    """A score, which a source of one domain has none of; those of very many domains may be small."""
    if "score" not in facts:
        return f"{'-':>6}"
    score = float(facts["score"])
    return f"{score:6.4f}" if k <= ALL_SHOWN or score >= 0.001 else f"{score:6.0e}"


def _times(ratio: float, k: int) -> str:
    return f"{ratio:5.2f}" if k <= ALL_SHOWN or ratio >= 0.005 or ratio == 0 else f"{ratio:5.0e}"


def render_change(
    weights: DomainWeights, before: DomainWeights, moved_by: Sequence[tuple[str, Mapping[str, float]]]
) -> str:
    """Weights before and after domains came or went, and what moved because of whom.

    Args:
        weights: After.
        before: Before.
        moved_by: For each of those domains, in words, what it alone moves each weight by.
    """
    was, now = before.by_name(), weights.by_name()
    everybody = list(dict.fromkeys([*now, *was]))
    moves = np.array([abs(now.get(name, 0.0) - was.get(name, 0.0)) for name in everybody])
    names = sorted((everybody[i] for i in most_changed_rows(moves)), key=lambda name: -now.get(name, -1.0))
    width, decimals = column_width(display_name(name) for name in names), share_decimals(len(everybody))
    size = decimals + 4
    columns = [
        (max(size, len(display_name(label, 20))), display_name(label, 20), by) for label, by in moved_by
    ]
    heads = "".join(f"  {label:>{wide}}" for wide, label, _ in columns)
    lines = [
        f"{'domain':<{width}}  {'before':>{size - 2}}  {'after':>{size - 2}}  {'moved':>{size}}{heads}",
    ]
    for name in names:
        if name in was and name in now:
            moved = f"{now[name] - was[name]:+.{decimals}f}"
        else:
            moved = "gone" if name in was else "new"
        cells = "".join(
            f"  {format(by[name], f'+.{decimals}f') if name in by else '-':>{wide}}"
            for wide, _, by in columns
        )
        shares = "  ".join(f"{_share(each.get(name), decimals).strip():>{size - 2}}" for each in (was, now))
        lines.append(f"{display_name(name):<{width}}  {shares}  {moved:>{size}}{cells}")
    if len(names) < len(everybody):
        rest = len(everybody) - len(names)
        lines.append(f"... {rest:,} more that moved less, none by over {two_digits(float(_next(moves)))}")
    return "\n".join(lines)


def _next(moves: Array) -> float:
    """The largest of the moves that are not shown."""
    return float(np.sort(moves)[-MOST_MOVED - 1])


def _share(value: float | None, decimals: int) -> str:
    return f"{'-' if value is None else format_share(value, decimals):>{decimals + 3}}  "


def _bar(share: float, mark: float, *, unicode: bool) -> str:
    """A bar of length `share` of the whole, with a mark where uniform would end."""
    if unicode:
        eighths = round(share * _BAR * 8)
        cells = list(("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(_BAR))
        marks = "│"
    else:
        cells = list(("#" * round(share * _BAR)).ljust(_BAR))
        marks = "|"
    at = min(round(mark * _BAR), _BAR) - 1
    if cells[at] == " ":
        cells[at] = marks
    return "".join(cells)
