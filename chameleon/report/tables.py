"""Tables of a report: weights, others, what moved, nearest neighbours, settings and provenance."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chameleon.report.content import ALL_PICTURED, Report
from chameleon.report.heat_map import affinity_number
from chameleon.report.markup import (
    Markup,
    decimals_for,
    fitted,
    large,
    name_of,
    one_line,
    percent,
    points,
    tag,
)
from chameleon.report.style import MOVES
from chameleon.report.terminal import heaviest_sources

_NEAREST = 3

# Rows of a table of very many domains, values of settings, and letters of one.
HEAVIEST, LIGHTEST = 500, 100
_MOST_VALUES = 300
_LETTERS_SHOWN = 1000

# Of so many domains and causes the moves of each weight are shown, of more only the furthest.
_ALL_MOVES = 16
_FURTHEST = 4
_SCROLLED = 20

# Names of more letters than that may be broken.
_LENGTHY = 22

# Pixels of the words over a column.
_HEAD = 150.0


def table(
    title: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[Markup]]], kind: str | None = None
) -> Markup:
    """A table in a box of its own that scrolls if there is no room.

    Args:
        title: What it holds, for its caption.
        heads: Of its columns.
        rows: Of each the name, and cells for all columns but the first.
        kind: A class of the page's style.
    """
    head = tag("tr", *(_head(each) for each in heads))
    body = []
    for name, cells in rows:
        lengthy = "lengthy" if len(name) > _LENGTHY else None
        body.append(tag("tr", tag("th", name_of(name), scope="row", class_=lengthy), *cells))
    content = tag("table", tag("caption", title), tag("thead", head), tag("tbody", *body), class_=kind)
    whole = "scroll whole" if len(rows) <= _SCROLLED else "scroll"
    return tag("div", content, class_=whole, tabindex="0", role="region", aria_label=f"Table: {title}")


def _head(words: str) -> Markup:
    short = fitted(words, _HEAD)
    return tag("th", short, scope="col", title=words if short != words else None)


def cell(text: str | None, kind: str | None = None) -> Markup:
    """One cell; a dash for an unknown value."""
    return tag("td", "–" if text is None else text, class_=kind)


def _named(name: str, number: str) -> Markup:
    return tag("td", name_of(name), " ", tag("span", number))


def weights_table(report: Report) -> Markup:
    """All domains with their weights, and what is known of each."""
    weights, k = report.weights, len(report.weights.names)
    decimals, shown = decimals_for(k), rows_of(report)
    names, shares = [weights.names[i] for i in shown], weights.weights[shown].tolist()

    def of(fact: str, written: Callable[[Any], str]) -> list[str | None]:
        values = [weights.domains.get(name, {}).get(fact) for name in names]
        return [None if value is None else written(value) for value in values]

    def share(value: float) -> str:
        return percent(value, decimals)

    columns: list[tuple[str, list[str | None]]] = [
        ("weight", list(map(share, shares))),
        ("95 % interval", of("interval", lambda ends: f"{100 * ends[0]:.{decimals}f} – {share(ends[1])}")),
        ("vs uniform", [f"{each * k:.2f} ×" for each in shares]),
        ("natural", of("natural_share", share)),
        ("in use now", of("weight_in_use", share)),
        ("score", of("score", lambda score: f"{score:.4f}")),
        ("windows", of("windows", lambda count: f"{count:,}")),
        ("windows in all", of("windows_available", lambda count: f"{count:,}")),
        ("tokens in all", of("corpus_tokens", large)),
    ]
    known = {head: cells for head, cells in columns if any(each is not None for each in cells)}
    rows = [(name, list(map(cell, cells))) for name, *cells in zip(names, *known.values(), strict=True)]
    which = f"all {k} domains" if k <= ALL_PICTURED else f"the {HEAVIEST} heaviest and {LIGHTEST} lightest"
    return table(f"Weights of {which}", ["domain", *known], rows)


def rows_of(report: Report) -> list[int]:
    """The domains that tables have: all, or of very many the heaviest and the lightest."""
    order = report.by_weight
    return order if len(order) <= ALL_PICTURED else [*order[:HEAVIEST], *order[-LIGHTEST:]]


def sources_table(report: Report) -> Markup:
    """What each source has in all, where domains' names tell them."""
    decimals = min(decimals_for(len(report.weights.names)), 3)
    order = heaviest_sources(report.weights)
    rows = [
        (name, [cell(percent(facts["weight"], decimals)), cell(f"{facts['domains']:,}")])
        for name, facts in order[:HEAVIEST]
    ]
    which = f"all {len(order)} sources" if len(order) <= HEAVIEST else f"the {HEAVIEST} heaviest sources"
    return table(f"Weights of {which}", ["source", "weight", "domains"], rows)


def others_table(report: Report) -> Markup:
    """Each domain's weight by each other block or seed."""
    weights = report.weights
    decimals = decimals_for(len(weights.names))
    sides = [weights.by_name(), *(each.by_name() for _, each in report.others)]
    rows = []
    for name in (weights.names[i] for i in rows_of(report)):
        cells = [cell(percent(each[name], decimals) if name in each else None) for each in sides]
        rows.append((name, cells))
    heads = ["domain", "these", *(one_line(label) for label, _ in report.others)]
    return table("Weights by other blocks and seeds", heads, rows)


def moves_table(report: Report) -> Markup:
    """How far each added or removed domain moves each weight."""
    decimals = decimals_for(len(report.weights.names))
    moving = [name for _, moves in report.moved_by for name in moves]
    names = dict.fromkeys([*(report.weights.names[i] for i in report.by_weight), *moving])
    if len(names) > _ALL_MOVES or len(report.moved_by) > _ALL_MOVES:
        return _furthest_moves(report, decimals)
    largest = max((abs(move) for _, moves in report.moved_by for move in moves.values()), default=0.0)
    rows = [
        (name, [_move(moves.get(name), largest, decimals) for _, moves in report.moved_by]) for name in names
    ]
    heads = ["domain", *(one_line(label) for label, _ in report.moved_by)]
    return table("Change of each weight in points", heads, rows)


def _move(change: float | None, largest: float, decimals: int) -> Markup:
    if change is None:
        return cell(None)
    level = round(MOVES * abs(change) / largest) if largest > 0 else 0
    return cell(points(change, decimals), f"{'more' if change > 0 else 'less'}{level}" if level else None)


def _furthest_moves(report: Report, decimals: int) -> Markup:
    rows = []
    for label, moves in report.moved_by:
        furthest = sorted(moves.items(), key=lambda each: (-abs(each[1]), each[0]))[:_FURTHEST]
        cells = [_named(name, points(change, decimals)) for name, change in furthest]
        rows.append((label, [*cells, *[cell(None)] * (_FURTHEST - len(cells))]))
    heads = ["cause", "moves furthest", *["next"] * (_FURTHEST - 1)]
    return table("Weights that move furthest, in points", heads, rows, "near")


def neighbours_table(report: Report) -> Markup:
    """The domains most similar to each domain."""
    names, k = report.pictured.names, len(report.pictured.names)
    count = min(_NEAREST, k - 1)
    rows = []
    for i in report.pictured.by_weight:
        others = [int(j) for j in np.argsort(-report.affinity[i], kind="stable") if j != i][:count]
        numbers = [affinity_number(float(report.affinity[i, j]), report.affinity) for j in others]
        cells = [_named(names[j], number) for j, number in zip(others, numbers, strict=True)]
        rows.append((names[i], cells))
    heads = ["domain", *("most similar", "second", "third")[:count]]
    return table("Nearest neighbours, with affinity", heads, rows, "near")


def values_table(title: str, head: str, values: Mapping[str, Any]) -> Markup:
    """Settings or facts with their values, also those of nested objects; `head` stands above their names."""
    rows = [(key, [cell(_text_of(value))]) for key, value in _flat(values)]
    return table(title, [head, "value"], rows, "words")


def _flat(nested: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Values of nested objects in their order, each with the keys that lead to it."""
    found: list[tuple[str, Any]] = []
    left = list(nested.items())[::-1]
    while left:
        key, value = left.pop()
        if isinstance(value, Mapping) and value:
            left += [(f"{key} › {inner}", each) for inner, each in value.items()][::-1]
        else:
            found.append((key, value))
    if len(found) > _MOST_VALUES:
        found[_MOST_VALUES:] = [("and", f"{len(found) - _MOST_VALUES:,} more in the weights file")]
    return found


def _text_of(value: Any) -> str:  # noqa: ANN401
    """A setting's or a fact's value as text."""
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text_of(each) for each in value[:50])[:_LETTERS_SHOWN]
    text = str(value)
    return text if len(text) <= _LETTERS_SHOWN else f"{text[:_LETTERS_SHOWN]}…"
