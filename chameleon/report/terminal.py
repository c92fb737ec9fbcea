"""Weights as a table in the terminal, with what the numbers rest on below it.

Shapes: k domains.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from chameleon.common.tables import (
    ALL_SHOWN,
    Column,
    describe_hidden_rows,
    describe_spread,
    display_name,
    fact_lines,
    format_share,
    heaviest_first,
    listed,
    most_changed_rows,
    rows_to_show,
    share_decimals,
    table_lines,
    two_digits,
)
from chameleon.weights.domain_weights import DomainWeights

# A ranking of two neighbours that is less probable than this is called uncertain.
CERTAIN = 0.95
_UNCERTAIN_SHOWN = 3
_SOURCES_SHOWN = 20
_CAUSE = 20

# Characters of a bar, and what its last one may be.
_BAR = 24

# The weights follow from embeddings alone: whether they train a better model is another question.
_UNTESTED = "not on this corpus: python -m chameleon methods law tests weights with a few small models"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def render_table(
    weights: DomainWeights,
    written_to: str,
    *,
    unicode: bool = True,
    width: int | None = None,
    report: Path | None = None,
) -> str:
    """A row for each domain, the heaviest first, and facts about all of them.

    Args:
        weights: What to show.
        written_to: Where the weights file went.
        unicode: Whether bars are drawn with block characters.
        width: Of the terminal; bars are dropped where it is too narrow. None for a file or a pipe.
        report: Where the report went, if one was written.
    """
    order = heaviest_first(weights.names, weights.weights)
    rows = rows_to_show(order)
    shown = [i for i in rows if i is not None]
    table, facts = table_lines(_columns(weights, shown, unicode=unicode), width), []
    if None in rows:
        table.insert(1 + rows.index(None), describe_hidden_rows(order, weights.weights))
        facts = describe_spread(weights.weights)
    facts += [*_facts(weights), ("tested", _UNTESTED), ("weights file", written_to)]
    if report is not None:
        facts.append(("report", str(report)))
    title = f"Share of tokens of each domain, to {weights.mode} on {weights.settings.get('dataset', '?')}"
    return "\n".join([title, "", *table, "", *fact_lines(facts)])


def _columns(weights: DomainWeights, rows: Sequence[int], *, unicode: bool) -> list[Column]:
    k = len(weights.names)
    decimals, uniform = share_decimals(k), 1 / k
    names, shares = [weights.names[i] for i in rows], weights.weights[list(rows)].tolist()
    facts = [weights.domains[name] for name in names]
    largest = max(float(weights.weights.max()), uniform)

    def known(title: str, fact: str) -> list[Column]:
        if not any(fact in each for each in weights.domains.values()):
            return []
        return [Column(title, [_share(each.get(fact), decimals) for each in facts])]

    bars = [_bar(share / largest, uniform / largest, unicode=unicode) for share in shares]
    return [
        Column("domain", list(map(display_name, names)), is_text=True),
        Column("windows", [str(each.get("windows", "-")) for each in facts]),
        Column("score", [_score(each.get("score"), k) for each in facts]),
        *known("natural", "natural_share"),
        *known("in use", "weight_in_use"),
        Column("uniform", [format_share(uniform, decimals)] * len(rows)),
        Column("weight", [format_share(share, decimals) for share in shares]),
        *known("+- s.e.", "standard_error"),
        Column("", bars, is_text=True, is_optional=True),
        Column("vs uniform", [f"{_times(share / uniform, k)} x" for share in shares]),
    ]


def _share(value: float | None, decimals: int) -> str:
    return "-" if value is None else format_share(value, decimals)


def _score(score: float | None, k: int) -> str:
    """A score, which a source of one domain has none of; those of very many domains may be small."""
    if score is None:
        return "-"
    return f"{score:.4f}" if k <= ALL_SHOWN or score >= 0.001 else f"{score:.0e}"


def _times(ratio: float, k: int) -> str:
    return f"{ratio:.2f}" if k <= ALL_SHOWN or ratio >= 0.005 or ratio == 0 else f"{ratio:.0e}"


def _bar(share: float, mark: float, *, unicode: bool) -> str:
    """A bar of length `share` of the whole, with a mark where uniform would end."""
    if unicode:
        eighths = round(share * _BAR * 8)
        cells = list(("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(_BAR))
    else:
        cells = list(("#" * round(share * _BAR)).ljust(_BAR))
    at = min(round(mark * _BAR), _BAR) - 1
    if cells[at] == " ":
        cells[at] = "│" if unicode else "|"
    return "".join(cells)


def _facts(weights: DomainWeights) -> list[tuple[str, str]]:
    """What the weights rest on."""
    settings, diagnostics = weights.settings, weights.diagnostics
    is_nested = settings.get("hierarchy") == "nested"
    units = diagnostics.get("sources", weights.names) if is_nested else weights.names
    effective = diagnostics["effective_dimension"]
    dimension = f"{effective:{',.0f' if effective >= 1000 else '.2f'}} of {len(units):,}"
    kernel = f"{settings['kernel']} kernel"
    if (sigma := settings.get("rbf_sigma")) is not None:
        kernel += f", sigma {sigma:.4g} ({settings['rbf_sigma_from']})"
    ridge = f"lambda {settings['lambda_reg']:.4g} (k lambda = {settings['ridge']:.4g})"
    nested = [("hierarchy", "nested: weights across sources times those within each")]
    return [
        *_sources(weights),
        *_certainty(weights),
        *_approximation(weights),
        ("effective dimension", f"{dimension} {'sources' if is_nested else 'domains'}"),
        *(nested if is_nested else ()),
        ("kernel and ridge", f"{kernel}, {ridge}"),
        ("temperature", f"{settings['temperature_used']:.4g}, recipe {settings['recipe']}"),
    ]


def _sources(weights: DomainWeights) -> list[tuple[str, str]]:
    """The weight of each source, where the domains' names begin with one."""
    heaviest = heaviest_sources(weights)
    shown, others = heaviest[:_SOURCES_SHOWN], heaviest[_SOURCES_SHOWN:]
    counts = [facts["domains"] for _, facts in shown]
    columns = [
        Column("", [display_name(name) for name, _ in shown], is_text=True),
        Column("", [f"{facts['weight']:.4f}" for _, facts in shown]),
        Column("", [f"of {count:,} domain{'s' if count > 1 else ''}" for count in counts], is_text=True),
    ]
    lines = table_lines(columns)[1:]
    if others:
        together = sum(facts["weight"] for _, facts in others)
        lines.append(f"... {len(others):,} more, together {two_digits(together)}")
    return [("" if at else "by source", line) for at, line in enumerate(lines)]


def heaviest_sources(weights: DomainWeights) -> list[tuple[str, dict[str, Any]]]:
    """Weight and number of domains of each source, the heaviest first; none where names tell no sources."""
    sources = weights.diagnostics.get("sources", {})
    return sorted(sources.items(), key=lambda each: (-each[1]["weight"], each[0]))


def _certainty(weights: DomainWeights) -> list[tuple[str, str]]:
    """How sure the weights are, and how much text that took."""
    largest = weights.diagnostics.get("largest_standard_error")
    if largest is None:
        return []
    windows = [weights.domains[name]["windows"] for name in weights.names]
    tokens = sum(weights.domains[name].get("tokens", 0) for name in weights.names)
    counted = f" ({tokens:,} tokens)" if tokens else ""
    error = f"up to {largest:.2g}"
    if (target := weights.settings.get("target_se")) is not None:
        within = "within" if weights.diagnostics["enough_windows"] else "above"
        error += f", {within} the target of {target:g}"
    facts = [
        ("windows embedded", f"{sum(windows):,}{counted}, {min(windows)} to {max(windows)} per domain"),
        ("standard errors", error),
    ]
    if weights.diagnostics.get("order"):
        facts.append(("ranking", _ranking(weights)))
    return facts


def _ranking(weights: DomainWeights) -> str:
    pairs = neighbours_by_weight(weights)
    uncertain = [each for each in pairs if each["probability"] < CERTAIN]
    if not uncertain:
        return f"certain: each neighbour by at least {pairs[0]['probability']:.0%}"
    words = [
        f"{display_name(each['above'])} > {display_name(each['below'])} ({100 * each['probability']:.0f} %)"
        for each in uncertain
    ]
    others = "; other neighbours certain" if len(uncertain) < len(pairs) else ""
    return f"uncertain: {listed(words, _UNCERTAIN_SHOWN)}{others}"


def neighbours_by_weight(weights: DomainWeights) -> list[Mapping[str, Any]]:
    """How probable the order of any two neighbours is, the least probable first."""
    by_weight = np.argsort(-weights.weights, kind="stable").tolist()
    neighbours = {(weights.names[one], weights.names[other]) for one, other in pairwise(by_weight)}
    order = weights.diagnostics.get("order", ())
    pairs = [each for each in order if (each["above"], each["below"]) in neighbours]
    return sorted(pairs, key=lambda each: float(each["probability"]))


def _approximation(weights: DomainWeights) -> list[tuple[str, str]]:
    """How far off scores are that are not exact."""
    facts = weights.diagnostics.get("approximation") or {}
    if not facts.get("approximate"):
        return []
    words = (
        f"approximate: {facts['features']:,} features; of {facts['checked_on']:,} domains half are within "
        f"{facts['median_relative_error']:.2%} of the exact score and 95 of 100 within "
        f"{facts['relative_error_95']:.2%}; rank correlation {facts['rank_correlation']:.4f}"
    )
    return [("scores", words)]


def render_change(
    weights: DomainWeights, before: DomainWeights, moved_by: Sequence[tuple[str, Mapping[str, float]]]
) -> str:
    """Weights before and after a change of the set of domains, and how far each cause moves them.

    Args:
        weights: After the change.
        before: Before the change.
        moved_by: For each added or removed domain, in words, how far it alone moves each weight.
    """
    was, now = before.by_name(), weights.by_name()
    everybody = list(dict.fromkeys([*now, *was]))
    moves = np.array([abs(now.get(name, 0.0) - was.get(name, 0.0)) for name in everybody])
    names = sorted((everybody[i] for i in most_changed_rows(moves)), key=lambda name: -now.get(name, -1.0))
    decimals = share_decimals(len(everybody))

    def moved(name: str) -> str:
        if name in was and name in now:
            return f"{now[name] - was[name]:+.{decimals}f}"
        return "removed" if name in was else "new"

    columns = [
        Column("domain", list(map(display_name, names)), is_text=True),
        Column("before", [_share(was.get(name), decimals) for name in names]),
        Column("after", [_share(now.get(name), decimals) for name in names]),
        Column("moved", list(map(moved, names))),
    ]
    for cause, by in moved_by:
        cells = [f"{by[name]:+.{decimals}f}" if name in by else "-" for name in names]
        columns.append(Column(display_name(cause, _CAUSE), cells))
    lines = table_lines(columns)
    if rest := len(everybody) - len(names):
        largest = two_digits(float(np.sort(moves)[rest - 1]))
        lines.append(f"... {rest:,} more that moved less, none by over {largest}")
    return "\n".join(lines)
