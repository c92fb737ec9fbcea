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
    value_of,
)
from chameleon.report.style import MOVES

_NEAREST = 3

# Rows of a table of very many domains, and values of settings.
HEAVIEST, LIGHTEST = 500, 100
_MOST_VALUES = 300

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
    body = [
        tag(
            "tr",
            tag("th", name_of(name), scope="row", class_="lengthy" if len(name) > _LENGTHY else None),
            *cells,
        )
        for name, cells in rows
    ]
    content = tag("table", tag("caption", title), tag("thead", head), tag("tbody", *body), class_=kind)
    whole = "scroll whole" if len(rows) <= _SCROLLED else "scroll"
    return tag("div", content, class_=whole, tabindex="0", role="region", aria_label=f"Table: {title}")


def _head(words: str) -> Markup:
    short = fitted(words, _HEAD)
    return tag("th", short, scope="col", title=words if short != words else None)


def cell(text: str | None, kind: str | None = None) -> Markup:
    """One cell; a dash for an unknown value."""
    return tag("td", "–" if text is None else text, class_=kind)


def weights_table(report: Report) -> Markup:
    """All domains with their weights, and what is known of each."""
    weights, k = report.weights, len(report.weights.names)
    decimals = decimals_for(k)

    def of(fact: str, written: Callable[[Any], str]) -> Callable[[int], str | None]:
        def read(i: int) -> str | None:
            value = weights.domains.get(weights.names[i], {}).get(fact)
            return None if value is None else written(value)

        return read

    def share(value: float) -> str:
        return percent(value, decimals)

    columns: list[tuple[str, Callable[[int], str | None]]] = [
        ("weight", lambda i: share(float(weights.weights[i]))),
        ("95 % interval", of("interval", lambda ends: f"{100 * ends[0]:.{decimals}f} – {share(ends[1])}")),
        ("vs uniform", lambda i: f"{weights.weights[i] * k:.2f} ×"),
        ("natural", of("natural_share", share)),
        ("in use now", of("weight_in_use", share)),
        ("score", of("score", lambda score: f"{score:.4f}")),
        ("windows", of("windows", lambda count: f"{count:,}")),
        ("windows in all", of("windows_available", lambda count: f"{count:,}")),
        ("tokens in all", of("corpus_tokens", large)),
    ]
    shown = rows_of(report)
    known = [each for each in columns if any(each[1](i) is not None for i in shown)]
    rows = [(weights.names[i], [cell(read(i)) for _, read in known]) for i in shown]
    return table(f"Weights of {_which(report)}", ["domain", *(head for head, _ in known)], rows)


def rows_of(report: Report) -> list[int]:
    """The domains that tables have: all, or of very many the heaviest and the lightest."""
    order = report.by_weight
    return order if len(order) <= ALL_PICTURED else [*order[:HEAVIEST], *order[-LIGHTEST:]]


def _which(report: Report) -> str:
    k = len(report.weights.names)
    return f"all {k} domains" if k <= ALL_PICTURED else f"the {HEAVIEST} heaviest and {LIGHTEST} lightest"


def sources_table(report: Report) -> Markup:
    """What each source has in all, where domains' names tell them."""
    decimals = decimals_for(len(report.weights.names))
    sources = report.weights.diagnostics["sources"]
    order = sorted(sources, key=lambda name: (-sources[name]["weight"], name))
    rows = [
        (
            name,
            [cell(percent(sources[name]["weight"], min(decimals, 3))), cell(f"{sources[name]['domains']:,}")],
        )
        for name in order[:HEAVIEST]
    ]
    which = f"all {len(order)} sources" if len(order) <= HEAVIEST else f"the {HEAVIEST} heaviest sources"
    return table(f"Weights of {which}", ["source", "weight", "domains"], rows)


def others_table(report: Report) -> Markup:
    """Each domain's weight by each other block or seed."""
    weights, others = report.weights, [(label, each.by_name()) for label, each in report.others]
    decimals = decimals_for(len(weights.names))
    rows = []
    for i in rows_of(report):
        name = weights.names[i]
        shares = [float(weights.weights[i]), *(each.get(name) for _, each in others)]
        rows.append((name, [cell(None if each is None else percent(each, decimals)) for each in shares]))
    heads = ["domain", "these", *(one_line(label) for label, _ in others)]
    return table("Weights by other blocks and seeds", heads, rows)


def moves_table(report: Report) -> Markup:
    """How far each added or removed domain moves each weight."""
    decimals = decimals_for(len(report.weights.names))
    names = list(
        dict.fromkeys(
            [report.weights.names[i] for i in report.by_weight]
            + [name for _, moves in report.moved_by for name in moves]
        )
    )
    if len(names) > _ALL_MOVES or len(report.moved_by) > _ALL_MOVES:
        return _furthest_moves(report, decimals)
    largest = max((abs(move) for _, moves in report.moved_by for move in moves.values()), default=0.0)
    rows = []
    for name in names:
        moved = [moves.get(name) for _, moves in report.moved_by]
        rows.append((name, [_move(each, largest, decimals) for each in moved]))
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
        cells = [
            tag("td", name_of(name), " ", tag("span", points(change, decimals))) for name, change in furthest
        ]
        cells += [cell(None)] * (_FURTHEST - len(cells))
        rows.append((label, cells))
    heads = ["cause", "moves furthest", *["next"] * (_FURTHEST - 1)]
    return table("Weights that move furthest, in points", heads, rows, "near")


def neighbours_table(report: Report) -> Markup:
    """The domains most similar to each domain."""
    names, k = report.pictured.names, len(report.pictured.names)
    count = min(_NEAREST, k - 1)
    rows = []
    for i in report.pictured.by_weight:
        others = [int(j) for j in np.argsort(-report.affinity[i], kind="stable") if j != i][:count]
        cells = [
            tag(
                "td",
                name_of(names[j]),
                " ",
                tag("span", affinity_number(float(report.affinity[i, j]), report.affinity)),
            )
            for j in others
        ]
        rows.append((names[i], cells))
    heads = ["domain", *("most similar", "second", "third")[:count]]
    return table("Nearest neighbours, with affinity", heads, rows, "near")


def settings_table(report: Report) -> Markup:
    """Every setting in force."""
    rows = [(key, [cell(value_of(value))]) for key, value in _flat(report.weights.settings)]
    return table("Settings in force", ["setting", "value"], rows, "words")


def provenance_table(report: Report) -> Markup:
    """Where the numbers came from."""
    rows = [(key, [cell(value_of(value))]) for key, value in _flat(report.weights.provenance)]
    return table("Provenance", ["what", "value"], rows, "words")


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
