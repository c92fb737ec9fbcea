"""The sections of the page below its top: a heading, an explanation, pictures and tables."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chameleon.common.tables import ALL_SHOWN
from chameleon.report import tables
from chameleon.report.bars import draw_change, draw_others, draw_weights
from chameleon.report.content import ALL_PICTURED, Report
from chameleon.report.heat_map import MOST_CELLS, draw_heat_map, rows_named
from chameleon.report.markup import Markup, decimals_for, joined, listed, name_of, percent, tag
from chameleon.report.plane import draw_plane
from chameleon.report.sensitivity import COLOURED, draw_paths, leaves, paths_shown
from chameleon.report.svg import NARROW, WIDE, both_widths

# Windows of a domain, letters of a window, and letters of all windows together where there are very many.
_WINDOWS_SHOWN = 3
_LETTERS, _FEWEST_LETTERS = 600, 160
_ALL_LETTERS = 200_000

# Up to this many domains, their windows are printed on paper.
_OPENED_ON_PAPER = 12

# Domains whose windows are shown, where there are more than the pictures show.
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


def sections(report: Report) -> Iterator[Section]:
    """The sections that have content."""
    yield Section("weights", "Weights", _weights(report))
    if len(report.pictured.names) > 1:
        yield Section("affinity", "Similarity of the domains", _affinity(report))
        yield Section("plane", "The domains on a plane", _plane(report))
    if paths_shown(report):
        yield Section("paths", "Weights with other settings", _paths(report))
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
            "embedded."
        )
    k = len(report.weights.names)
    rest = (
        f"The table lists the {tables.HEAVIEST} heaviest and the {tables.LIGHTEST} lightest of {k:,} "
        "domains; the weights file has all."
    )
    return joined(
        tag("p", words),
        both_widths(draw_weights, report, "weights-picture"),
        tag("p", rest, class_="caption") if k > ALL_PICTURED else Markup(),
        tables.weights_table(report),
        tables.sources_table(report) if report.weights.diagnostics.get("sources") else Markup(),
    )


def _affinity(report: Report) -> Markup:
    k = len(report.pictured.names)
    words = (
        "The stronger the colour of a square, the more similar its two domains are to the proxy. Similar "
        "domains are placed next to each other, so that groups show as blocks along the diagonal."
    )
    steps = (rows_named(report, width) for width in (WIDE, NARROW))
    named = [
        tag("span", f"One of every {step} rows is labelled." if step > 1 else "", class_=kind)
        for step, kind in zip(steps, ("wide", "narrow"), strict=True)
    ]
    return joined(
        _pictured(report),
        tag("p", words),
        tag("p", *named, class_="caption") if k > MOST_CELLS else Markup(),
        both_widths(draw_heat_map, report, "affinity-picture"),
    )


def _pictured(report: Report) -> Markup:
    """What is pictured, if not all domains."""
    return tag("p", report.pictured.words, class_="caption") if report.pictured.words else Markup()


def _plane(report: Report) -> Markup:
    together = float(np.sum(report.explained))
    words = (
        "Domains near each other are similar to the proxy. Those in the middle have much in common with the "
        "others, those far out are special. The area of a dot is its domain's weight. "
        f"The plane holds {percent(together, 0)} of the variance between domains."
    )
    if report.spreads.any():
        words += " Each ellipse contains its domain's true position with 95 % confidence."
    return joined(_pictured(report), tag("p", words), both_widths(draw_plane, report, "plane-picture"))


def _paths(report: Report) -> Markup:
    shown, k = paths_shown(report), len(report.pictured.names)
    meanings = [joined(_MEANINGS.get(path.setting, path.setting)) for path in shown]
    words = (
        ", all other settings unchanged. The flatter the lines, the less the weights depend on the setting. "
        "A dashed line marks the value in force."
    )
    if k > COLOURED:
        words += f" The {COLOURED} heaviest domains are coloured, the others grey."
    if leaves(report):
        words += " A line that leaves its panel at the top keeps rising."
    sentence = tag("p", "The weights with another value of ", listed(meanings), words)
    return joined(_pictured(report), sentence, both_widths(draw_paths, report, "paths-picture"))


def _others(report: Report) -> Markup:
    words = (
        "The weights with another block of the proxy or another seed. Where dots lie close together, the "
        "weight depends on the text and not on that choice. Each row ends with half the distance between "
        "its outermost dots, in points (hundredths of all tokens)."
    )
    # On paper the table of very many domains would take pages.
    kind = "printed" if len(report.weights.names) <= ALL_SHOWN else None
    table = tag("details", tag("summary", "The numbers as a table"), tables.others_table(report), class_=kind)
    return joined(tag("p", words), both_widths(draw_others, report, "others-picture"), table)


def _change(report: Report) -> Markup:
    content = []
    if report.before is not None:
        words = (
            "Each weight before and after the set of domains changed. Each row ends with the change in "
            "points (hundredths of all tokens)."
        )
        if len({*report.weights.names, *report.before.names}) > ALL_SHOWN:
            words += f" The {ALL_SHOWN} that change most are shown."
        content += [tag("p", words), both_widths(draw_change, report, "change-picture")]
    if report.moved_by:
        words = (
            "What each added or removed domain does to the weights of the others: by how many points they "
            "rise (+) or fall (−) because of it."
        )
        content += [tag("h3", "What each domain moved"), tag("p", words), tables.moves_table(report)]
    return joined(*content)


def _neighbours(report: Report) -> Markup:
    words = "The domains most similar to each domain, as the proxy sees them, with their affinity."
    return joined(_pictured(report), tag("p", words), tables.neighbours_table(report))


def _examples(report: Report) -> Markup:
    places = [i for i in report.by_weight if report.examples.get(report.weights.names[i])]
    most = len(places) if len(report.weights.names) <= ALL_PICTURED else MOST_EXAMPLES
    names = [report.weights.names[i] for i in places[:most]]
    letters = min(_LETTERS, max(_FEWEST_LETTERS, _ALL_LETTERS // (_WINDOWS_SHOWN * len(names))))
    kind = "printed" if len(names) <= _OPENED_ON_PAPER else None
    shares = report.weights.by_name()
    shown = [_windows_of(report, name, shares[name], letters, kind) for name in names]
    is_some = len(shares) > ALL_PICTURED
    which = f"of {len(names)} of the heaviest domains" if is_some else "of each domain"
    words = f"What the proxy read: a few windows {which}, up to {letters} characters of each."
    return joined(tag("p", words), tag("div", *shown, class_="long" if len(names) > 20 else None))


def _windows_of(report: Report, name: str, weight: float, letters: int, kind: str | None) -> Markup:
    share = percent(weight, decimals_for(len(report.weights.names)))
    windows = [
        tag("pre", _beginning(text, letters), dir="auto") for text in report.examples[name][:_WINDOWS_SHOWN]
    ]
    return tag("details", tag("summary", name_of(name), " ", tag("span", share)), *windows, class_=kind)


def _beginning(text: str, letters: int) -> str:
    """The first letters of a text. Browsers drop a line feed at the start, so one is added before it."""
    shown = text if len(text) <= letters else f"{text[:letters]}…"
    return f"\n{shown}" if shown.startswith(("\n", "\r")) else shown


def _settings(report: Report) -> Markup:
    settings, provenance = report.weights.settings, report.weights.provenance
    if not settings and not provenance:
        return tag("p", "The weights file has none.")
    return joined(
        tables.values_table("Settings in force", "setting", settings) if settings else "",
        tables.values_table("Provenance", "what", provenance) if provenance else "",
    )
