"""The parts of a report, each with what it says in words."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from chameleon.report import tables
from chameleon.report.bars import ALL_SHOWN, draw_change, draw_others, draw_weights
from chameleon.report.content import ALL_PICTURED, Report
from chameleon.report.heat_map import MOST_CELLS, draw_heat_map, rows_named
from chameleon.report.markup import (
    Markup,
    decimals_for,
    figure,
    joined,
    large,
    listed,
    mention,
    name_of,
    one_line,
    percent,
    tag,
)
from chameleon.report.plane import draw_plane
from chameleon.report.sensitivity import COLOURED, draw_paths, leaves, paths_shown
from chameleon.report.svg import NARROW, WIDE, both_widths
from chameleon.weights.domain_weights import DomainWeights

_WINDOWS_SHOWN = 3


# Letters of a window, and of all windows together where there are very many.
_LETTERS = 600


_ALL_LETTERS = 200_000


_FEWEST_LETTERS = 160


_OPENED_ON_PAPER = 12


# Of more domains than all that are pictured, so many have their windows shown.
MOST_EXAMPLES = 50


_MEANINGS = {
    "lambda_reg": "lambda (the regularisation)",
    "rbf_sigma": "sigma (the width of the kernel)",
    "temperature": "the temperature",
}


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, heading and content."""

    key: str
    title: str
    content: Markup


def sections(report: Report) -> list[Section]:
    """All parts that there is something to say in."""
    return list(_sections(report))


def _sections(report: Report) -> Iterator[Section]:
    yield Section("weights", "Weights", _weights(report))
    if len(report.pictured.names) > 1:
        yield Section("affinity", "How alike the domains are", _affinity(report))
        yield Section("plane", "The domains on a plane", _plane(report))
    if paths_shown(report):
        yield Section("paths", "If a setting were another", _paths(report))
    if report.others:
        yield Section("others", "Other blocks and seeds", _others(report))
    if report.before is not None or report.moved_by:
        yield Section("change", "What changed", _change(report))
    if len(report.pictured.names) > 1:
        yield Section("neighbours", "Nearest neighbours", _neighbours(report))
    if any(report.examples.get(name) for name in report.weights.names):
        yield Section("examples", "Example windows", _examples(report))
    yield Section("settings", "Settings and provenance", _settings(report))


def _weights(report: Report) -> Markup:
    words = "Each weight is a share of the training tokens."
    if any(facts.get("interval") for facts in report.weights.domains.values()):
        words += (
            " The 95 % interval says how far it may be off because only some windows of each domain were "
            "looked at."
        )
    k = len(report.weights.names)
    rest = (
        f"The table has the {tables.HEAVIEST} heaviest and the {tables.LIGHTEST} lightest of {k:,} domains; "
        "the weights file has all."
    )
    return joined(
        tag("p", words),
        both_widths(partial(draw_weights, report), "weights-picture"),
        tag("p", rest, class_="caption") if k > ALL_PICTURED else Markup(),
        tables.weights_table(report),
        tables.sources_table(report) if report.weights.diagnostics.get("sources") else Markup(),
    )


def _affinity(report: Report) -> Markup:
    k = len(report.pictured.names)
    words = (
        "The stronger the colour of a square, the more alike its two domains are to the proxy. Domains that "
        "are alike stand side by side, so that groups show as blocks along the diagonal."
    )
    steps = (rows_named(report, width) for width in (WIDE, NARROW))
    named = [
        tag("span", f"Of every {step} rows one is named." if step > 1 else "", class_=kind)
        for step, kind in zip(steps, ("wide", "narrow"), strict=True)
    ]
    return joined(
        _pictured(report),
        tag("p", words),
        tag("p", *named, class_="caption") if k > MOST_CELLS else Markup(),
        both_widths(partial(draw_heat_map, report), "affinity-picture"),
    )


def _pictured(report: Report) -> Markup:
    """What is shown, where it is not all domains."""
    return tag("p", report.pictured.words, class_="caption") if report.pictured.words else Markup()


def _plane(report: Report) -> Markup:
    together = float(np.sum(report.explained))
    words = (
        "Domains near each other are alike to the proxy. A dot is as large as its domain's weight: those in "
        "the midst of others have much in common with them, those far out are special. "
        f"The plane holds {percent(together, 0)} of what tells the domains apart."
    )
    if report.spreads.any():
        words += " Each ellipse holds its domain's true place by 95 %."
    return joined(
        _pictured(report), tag("p", words), both_widths(partial(draw_plane, report), "plane-picture")
    )


def _paths(report: Report) -> Markup:
    shown, k = paths_shown(report), len(report.pictured.names)
    meanings = [joined(_MEANINGS.get(path.setting, path.setting)) for path in shown]
    words = joined(
        "How the weights would come out with another value of ",
        listed(meanings),
        ", the other settings as they "
        "are. The flatter the lines, the less hangs on the setting. A dashed line marks what is in force.",
    )
    if k > COLOURED:
        words = joined(words, f" Coloured are the {COLOURED} heaviest domains, grey the others.")
    if leaves(report):
        words = joined(words, " A line that leaves its panel at the top goes on rising.")
    return joined(
        _pictured(report), tag("p", words), both_widths(partial(draw_paths, report), "paths-picture")
    )


def _others(report: Report) -> Markup:
    words = (
        "What the weights would be with another block of the proxy or another seed. Where dots lie close "
        "together, the weight hangs on the text and not on that choice. At the end of each row stands half "
        "of the distance between its outermost dots, in points (hundredths of all tokens)."
    )
    # On paper the table of very many domains would take pages.
    kind = "printed" if len(report.weights.names) <= ALL_SHOWN else None
    table = tag("details", tag("summary", "The numbers as a table"), tables.others_table(report), class_=kind)
    return joined(tag("p", words), both_widths(partial(draw_others, report), "others-picture"), table)


def _change(report: Report) -> Markup:
    content = []
    if report.before is not None:
        words = (
            "Each weight before and after domains came or went. At the end of each row stands the change in "
            "points (hundredths of all tokens)."
        )
        if len({*report.weights.names, *report.before.names}) > ALL_SHOWN:
            words += f" The {ALL_SHOWN} that change most are shown."
        content += [tag("p", words), both_widths(partial(draw_change, report), "change-picture")]
    if report.moved_by:
        words = (
            "What each domain that came or went does to the weights of the others: by how many points they "
            "rise (+) or fall (−) because of it."
        )
        content += [tag("h3", "What moved because of whom"), tag("p", words), tables.moves_table(report)]
    return joined(*content)


def _neighbours(report: Report) -> Markup:
    words = "The domains that are most alike to each to the proxy, with their affinity."
    return joined(_pictured(report), tag("p", words), tables.neighbours_table(report))


def _examples(report: Report) -> Markup:
    places = [i for i in report.by_weight if report.examples.get(report.weights.names[i])]
    most = len(places) if len(report.weights.names) <= ALL_PICTURED else MOST_EXAMPLES
    names = [report.weights.names[i] for i in places[:most]]
    letters = min(_LETTERS, max(_FEWEST_LETTERS, _ALL_LETTERS // (_WINDOWS_SHOWN * len(names))))
    kind = "printed" if len(names) <= _OPENED_ON_PAPER else None
    shares = report.weights.by_name()
    shown = [_windows(report, name, shares[name], letters, kind) for name in names]
    is_some = len(shares) > ALL_PICTURED
    which = f"of {len(names)} of the heaviest domains" if is_some else "of each domain"
    words = f"What the proxy looked at: a few windows {which}, up to {letters} characters of each."
    return joined(tag("p", words), tag("div", *shown, class_="long" if len(names) > 20 else None))


def _windows(report: Report, name: str, weight: float, letters: int, kind: str | None) -> Markup:
    share = percent(weight, decimals_for(len(report.weights.names)))
    windows = [
        tag("pre", _beginning(text, letters), dir="auto") for text in report.examples[name][:_WINDOWS_SHOWN]
    ]
    return tag("details", tag("summary", name_of(name), " ", tag("span", share)), *windows, class_=kind)


def _beginning(text: str, letters: int) -> str:
    """So many letters of a text; pages drop a line feed that stands first, so that one is put before it."""
    shown = text if len(text) <= letters else f"{text[:letters]}…"
    return f"\n{shown}" if shown.startswith(("\n", "\r")) else shown


def _settings(report: Report) -> Markup:
    content = [tables.settings_table(report)] if report.weights.settings else []
    if report.weights.provenance:
        content.append(tables.provenance_table(report))
    return joined(*content) if content else tag("p", "None are with these weights.")


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
        (each for each in _neighbours_by_weight(weights) if each["probability"] < _SURE),
        key=lambda each: float(each["probability"]),
    )


def _neighbours_by_weight(weights: DomainWeights) -> list[Mapping[str, Any]]:
    names = weights.names
    order = sorted(range(len(names)), key=lambda i: (-weights.weights[i], i))
    below = {names[one]: names[other] for one, other in pairwise(order)}
    return [
        each for each in weights.diagnostics.get("order", ()) if below.get(each["above"]) == each["below"]
    ]


def _order(weights: DomainWeights) -> Markup:
    neighbours, unsure = _neighbours_by_weight(weights), _unsure(weights)
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
