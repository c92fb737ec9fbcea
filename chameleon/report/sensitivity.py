"""Weights along one setting each: how they would come out if it were another.

Shapes: k domains, f settings along a path.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from chameleon.common.arrays import Array
from chameleon.confidence.sensitivity import WeightPath
from chameleon.report.content import Report
from chameleon.report.markup import (
    Markup,
    decimals_for,
    figure,
    fitted,
    one_line,
    percent,
    tag,
    widest,
    width_of,
)
from chameleon.report.svg import NARROW, Scale, accessible, picture, share_decimals

# Lines of so many domains have colours; others are thin, and of very many just the band they fill.
COLOURED = 8
_THIN = 32

# Weights far above those in force leave the picture, so that the others can be told apart.
_TALLEST = 1.6
_HEIGHT = 210
_LABELS = 108.0
_GAP = 13.5


class _Panel(NamedTuple):
    """One of several pictures side by side, with pixels for names to the right of it."""

    key: str
    across: Scale
    up: Scale
    room: float


def paths_shown(report: Report) -> list[WeightPath]:
    """The paths that have a way to show: from a setting above 0 to a larger one."""
    return [path for path in report.paths if len(path.values) and 0 < path.values.min() < path.values.max()]


def draw_paths(report: Report, key: str, width: int) -> Markup:
    """A panel for each setting: all weights as lines, and where the setting in force is."""
    shown = paths_shown(report)
    coloured = report.pictured.by_weight[:COLOURED]
    top = _top(report, shown)
    room = 15 + widest([report.pictured.names[i] for i in coloured], _LABELS - 15, 11.5)
    per_row = 1 if width == NARROW else min(len(shown), 3)
    drawn: list[Markup] = []
    # Room for per cents beside the first panel; those of very many domains are long.
    side = 38.0 + 7 * max(0, decimals_for(len(report.weights.names)) - 3)
    panel = (width - side) / per_row
    for number, path in enumerate(shown):
        row, column = divmod(number, per_row)
        left, above = side + panel * column, 26 + (_HEIGHT + 76) * row
        low, high = float(path.values.min()), float(path.values.max())
        across = Scale(low, high, left, left + panel - room - 6, is_log=True)
        place = _Panel(f"{key}-{number}", across, Scale(0.0, top, above + _HEIGHT, above), room)
        drawn += _axes(report, path, place, numbers=column == 0)
        drawn += _lines(report, path, coloured, place)
    rows = -(-len(shown) // per_row)
    title = "Weights along " + " and ".join(path.setting for path in shown)
    return picture(key, width, (_HEIGHT + 76) * rows, title, _said(report, shown), *drawn)


def leaves(report: Report) -> list[str]:
    """Settings along which a weight rises beyond the picture."""
    shown = paths_shown(report)
    return [path.setting for path in shown if path.weights.max() > _top(report, shown)]


def _top(report: Report, shown: Sequence[WeightPath]) -> float:
    in_force = _TALLEST * float(report.pictured.weights.max())
    return min(1.0, in_force, 1.05 * max(float(path.weights.max()) for path in shown))


def _axes(report: Report, path: WeightPath, panel: _Panel, *, numbers: bool) -> list[Markup]:
    """Grid, axes and the mark of what is in force."""
    across, up = panel.across, panel.up
    width, height = across.end - across.begin + 6, _HEIGHT + 3
    inside = tag("rect", x=across.begin - 3, y=up.end, width=width, height=height)
    drawn = [
        tag("text", path.setting, class_="panel", x=across.begin, y=up.end - 10),
        tag("clipPath", inside, id=f"{panel.key}-clip"),
    ]
    ticks = up.ticks(5)
    decimals = share_decimals(ticks)
    for tick in ticks:
        y = up.at(tick)
        drawn.append(tag("line", class_="grid", x1=across.begin, x2=across.end, y1=y, y2=y))
        if numbers:
            text = percent(tick, decimals)
            drawn.append(tag("text", text, class_="tick end", x=across.begin - 6, y=y + 4))
    for tick in _readable(across):
        x = across.at(tick)
        drawn.append(tag("line", class_="grid", x1=x, x2=x, y1=up.begin, y2=up.begin + 4))
        drawn.append(tag("text", f"{tick:g}", class_="tick mid", x=x, y=up.begin + 17))
    value = report.weights.settings.get(path.setting)
    if isinstance(value, int | float) and across.low <= value <= across.high:
        x = across.at(float(value))
        words = f"in force: {figure(float(value))}"
        half = width_of(words, 11.5) / 2
        middle = min(max(x, across.begin + half), across.end + panel.room - half)
        drawn.append(tag("line", class_="in-force", x1=x, x2=x, y1=up.end, y2=up.begin))
        drawn.append(tag("text", words, class_="tick mid", x=middle, y=up.begin + 34))
    return drawn


def _readable(across: Scale) -> list[float]:
    """Round numbers along an axis, as many as do not touch."""
    for most in range(5, 1, -1):
        ticks = across.ticks(most)
        ends = [(across.at(tick), 0.5 * width_of(f"{tick:g}", 11.5) + 3) for tick in ticks]
        if all(x + half <= other - more for (x, half), (other, more) in pairwise(ends)):
            return ticks
    return across.ticks(1)


def _lines(report: Report, path: WeightPath, coloured: Sequence[int], panel: _Panel) -> list[Markup]:
    across, up = panel.across, panel.up
    order = np.argsort(path.values, kind="stable")
    values, weights = path.values[order], path.weights[order]
    xs = [across.at(float(value)) for value in values]
    others = [i for i in range(weights.shape[1]) if i not in set(coloured)]
    lines = [_line(xs, weights[:, i], up, "thin", report.pictured.names[i]) for i in others]
    if len(others) > _THIN:
        lines = [_band(xs, weights[:, others], up)]
    # The heaviest is drawn last, above all others.
    for number, i in reversed(list(enumerate(coloured))):
        lines.append(_line(xs, weights[:, i], up, f"path c{number + 1}", report.pictured.names[i]))
    ends = [min(max(up.at(float(weights[-1, i])), up.end + 4), up.begin) for i in coloured]
    spread, x = _spread_out(ends, _GAP, up.end + 4, up.begin), across.end
    labels = []
    for number, (i, at, y) in enumerate(zip(coloured, ends, spread, strict=True), 1):
        name = report.pictured.names[i]
        elbow = f"{x + 2:.1f},{at:.1f} {x + 7:.1f},{y:.1f} {x + 10:.1f},{y:.1f}"
        line = tag("polyline", class_=f"elbow c{number}", points=elbow)
        short = fitted(name, panel.room - 13, 11.5)
        text = tag("text", short, class_=f"label c{number}", x=x + 13, y=y + 4)
        labels.append(accessible(one_line(name), line, text))
    return [tag("g", *lines, clip_path=f"url(#{panel.key}-clip)"), *labels]


def _line(xs: Sequence[float], weights: Array, up: Scale, kind: str, name: str) -> Markup:
    return accessible(one_line(name), tag("polyline", class_=kind, points=" ".join(_places(xs, weights, up))))


def _places(xs: Sequence[float], weights: Array, up: Scale) -> list[str]:
    return [f"{x:.1f},{up.at(float(share)):.1f}" for x, share in zip(xs, weights, strict=True)]


def _band(xs: Sequence[float], weights: Array, up: Scale) -> Markup:
    """What very many lines fill: all of them, and the middle half of them."""
    bands = []
    for low, high in ((0.0, 1.0), (0.25, 0.75)):
        there, back = (_places(xs, ends, up) for ends in np.quantile(weights, [low, high], axis=1))
        bands.append(tag("path", class_="band", d=f"M{' '.join([*there, *back[::-1]])}z"))
    return accessible(f"{weights.shape[1]} other domains", *bands)


def _spread_out(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved until neighbours are `gap` apart, within `low` and `high` if they fit there."""
    order, gaps = np.argsort(places, kind="stable"), gap * np.arange(len(places))
    # Without the gaps before each, places must not fall: moved up from the first, then down from the last.
    up = np.maximum.accumulate(np.asarray(places)[order] - gaps)
    down = np.minimum.accumulate(np.minimum(up, high - gaps[-1])[::-1])[::-1]
    moved = np.empty(len(places))
    moved[order] = np.maximum(down, low) + gaps
    return [float(place) for place in moved]


def _said(report: Report, shown: Sequence[WeightPath]) -> str:
    """How far the furthest weight goes along each setting."""
    sentences = []
    decimals = decimals_for(len(report.weights.names))
    for path in shown:
        span = path.weights.max(axis=0) - path.weights.min(axis=0)
        at = int(np.argmax(span))
        first, last = (figure(float(end)) for end in (path.values.min(), path.values.max()))
        low, high = (percent(float(end(path.weights[:, at])), decimals) for end in (np.min, np.max))
        sentences.append(
            f"With {path.setting} from {first} to {last}, {one_line(report.pictured.names[at])} moves most, "
            f"from {low} to {high}."
        )
    return " ".join(sentences)
