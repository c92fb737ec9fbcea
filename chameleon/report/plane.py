"""Domains as points on a plane: similar domains are close together.

Shapes: k domains.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from chameleon.common.arrays import Array
from chameleon.report.content import Report
from chameleon.report.markup import Markup, decimals_for, fitted, joined, one_line, percent, tag, width_of
from chameleon.report.svg import NARROW, Scale, accessible, picture

_LETTERS = 12.0

# Up to so many dots all are named, above those for which there is room, and no more than twice as many.
_ALL_NAMED = 20
_MOST_NAMED = 40

# Beside a dot, under and over it, then at its corners; the better places first.
_SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (0.75, -0.75), (0.75, 0.75), (-0.75, -0.75), (-0.75, 0.75))

# Pixels further out, from which a line leads to the dot.
_FURTHER = (0.0, 14.0, 28.0)


class Box(NamedTuple):
    """A rectangle that something takes up, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, boxes: Array) -> Array:
        """(n,) how much of it each of (n, 4) boxes takes up too."""
        across = np.minimum(boxes[:, 2], self.right) - np.maximum(boxes[:, 0], self.left)
        down = np.minimum(boxes[:, 3], self.bottom) - np.maximum(boxes[:, 1], self.top)
        return np.asarray(np.maximum(across, 0.0) * np.maximum(down, 0.0))


class Dot(NamedTuple):
    """What is named.

    Attributes:
        name: In full.
        x, y: Its middle in pixels.
        radius: Which nothing may cover.
        across, down: How far from its middle its own name keeps.
    """

    name: str
    x: float
    y: float
    radius: float
    across: float
    down: float


class Label(NamedTuple):
    """Where a name stands: its text, the class of that, and whether a line leads to its dot."""

    text: str
    x: float
    y: float
    kind: str
    box: Box
    is_led: bool


def labels_of(dots: Sequence[Dot], order: Sequence[int], frame: Box) -> list[tuple[int, Label]]:
    """Names beside their dots, none over another or over a dot: of few dots all, of many some.

    Args:
        dots: What is named.
        order: Numbers of the dots, those that matter most first.
        frame: Within which names stand.
    """
    around = [(d.x - d.radius, d.y - d.radius, d.x + d.radius, d.y + d.radius) for d in dots]
    boxes = np.array([frame, *around])
    room = 0.3 * (frame.right - frame.left)
    placed: list[tuple[int, Label]] = []
    for i in order:
        if len(placed) >= _MOST_NAMED:
            break
        candidates = _candidates(dots[i], fitted(dots[i].name, room, _LETTERS))
        costs = [_cost(each.box, boxes) for each in candidates]
        best = min(range(len(costs)), key=costs.__getitem__)
        if len(dots) > _ALL_NAMED and (costs[best] > 0 or candidates[best].is_led):
            continue
        placed.append((i, candidates[best]))
        boxes = np.vstack([boxes, candidates[best].box])
    return placed


def _cost(box: Box, boxes: Array) -> float:
    """What a label covers of (n, 4) boxes, and ten times what of it is outside of the first, the frame."""
    overlaps = box.overlaps(boxes)
    outside = (box.right - box.left) * (box.bottom - box.top) - overlaps[0]
    return float(overlaps[1:].sum() + 10 * max(outside, 0.0))


def _candidates(dot: Dot, text: str) -> list[Label]:
    long, found = width_of(text, _LETTERS), []
    for further in _FURTHER:
        for right, below in _SIDES:
            x = dot.x + right * (dot.across + 4 + further)
            # Beside a dot a name's middle is level with it; over and under it, its edge is beyond it.
            y = dot.y + below * (dot.down + 4 + further) + (4 if below == 0 else 0 if below < 0 else 9)
            kind, before = ("halo", 0.0) if right > 0 else ("halo end", long)
            if right == 0:
                kind, before = "halo mid", long / 2
            box = Box(x - before - 1, y - 10, x - before + long + 1, y + 4)
            found.append(Label(text, x, y, kind, box, further > 0))
    return found


# The 0.95 quantile of chi squared with two degrees of freedom: the square of an ellipse of 95 %.
_SQUARED_RADIUS = 5.991

# Of so many domains and more dots are smaller.
_MANY = 60
_LEAST_RADIUS = 3.0

# A name stands beyond its domain's ellipse where that is no larger.
_SMALL_ELLIPSE = 34.0
_SAID = 6


def draw_plane(report: Report, key: str, width: int) -> Markup:
    """Each domain as a dot as large as its weight, with the ellipse that it lies in by 95 %."""
    across, up, frame = _scales(report, width)
    dots = _dots(report, across, up, 5.5 if width == NARROW else 8.0)
    unit = abs(across.at(1.0) - across.at(0.0))
    ellipses, marks = [], []
    for i in report.pictured.by_weight:
        if report.spreads[i].any():
            ellipses.append(_ellipse(report.spreads[i], dots[i], unit))
        share = percent(float(report.pictured.weights[i]), decimals_for(len(report.weights.names)))
        circle = tag("circle", class_="place", cx=dots[i].x, cy=dots[i].y, r=dots[i].radius)
        marks.append(accessible(f"{one_line(dots[i].name)}: {share}", circle))
    clip = tag("clipPath", _frame(frame), id=f"{key}-clip")
    names = [_drawn(label, dots[i]) for i, label in labels_of(dots, report.pictured.by_weight, frame)]
    title = f"{len(dots)} {report.pictured.kind} on the first two principal components of their affinity"
    within = tag("g", *ellipses, clip_path=f"url(#{key}-clip)")
    drawn = tag("g", within, *marks, *names, class_="many" if len(dots) >= _MANY else None)
    axes = _axes(report, across, up, frame)
    return picture(key, width, frame.bottom + 24, title, _said(report), clip, axes, drawn)


def _scales(report: Report, width: int) -> tuple[Scale, Scale, Box]:
    """Scales along both axes on which a unit is as long on one as on the other, and the frame they fill."""
    is_narrow = width == NARROW
    left, top, right = 26.0, 4.0, width - 2.0
    reach = _reach(report.spreads)
    low, high = report.places.min(axis=0), report.places.max(axis=0)
    room = max(float((high - low).max()), 1e-6 * float(np.abs(report.places).max()), 1e-12)
    # Of very wide ellipses the plane shows a part.
    low = np.maximum((report.places - reach).min(axis=0), low - 0.4 * room)
    high = np.minimum((report.places + reach).max(axis=0), high + 0.4 * room)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 0.05 * room)
    inner = right - left - (50 if is_narrow else 70)
    least, most = (0.75, 1.15) if is_narrow else (0.4, 0.75)
    ratio = float(np.clip(half[1] / half[0], least, most))
    bottom = top + ratio * inner + 56
    per_pixel = 2 * max(half[0] / inner, half[1] / (ratio * inner))
    across, up = (right - left) / 2 * per_pixel, (bottom - top) / 2 * per_pixel
    return (
        Scale(float(middle[0] - across), float(middle[0] + across), left, right),
        Scale(float(middle[1] - up), float(middle[1] + up), bottom, top),
        Box(left, top, right, bottom),
    )


def _reach(spreads: Array) -> Array:
    """(k, 2) how far ellipses go from their middles along each axis."""
    return np.asarray(np.sqrt(_SQUARED_RADIUS * np.maximum(np.einsum("kii->ki", spreads), 0.0)))


def _dots(report: Report, across: Scale, up: Scale, largest: float) -> list[Dot]:
    pictured, k = report.pictured, len(report.pictured.names)
    size = 1.0 if k < _MANY else 0.75
    radii = size * np.maximum(largest * np.sqrt(pictured.weights / pictured.weights.max()), _LEAST_RADIUS)
    reach = _reach(report.spreads) * abs(across.at(1.0) - across.at(0.0))
    keeps = np.where(reach.max(axis=1, keepdims=True) <= _SMALL_ELLIPSE, reach, 0.0)
    keeps = np.maximum(keeps, radii[:, None])
    places = ((across.at(x), up.at(y)) for x, y in report.places.tolist())
    each = zip(pictured.names, places, radii.tolist(), keeps.tolist(), strict=True)
    return [Dot(name, x, y, radius, *keep) for name, (x, y), radius, keep in each]


def _axes(report: Report, across: Scale, up: Scale, frame: Box) -> Markup:
    """The frame, lines through the middle of all domains, and what the axes are."""
    mean = report.places.mean(axis=0).tolist()
    x, y = across.at(mean[0]), up.at(mean[1])
    first, second = (percent(float(share), 0) for share in report.explained)
    middle = (frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2
    turned = f"translate(14 {middle[1]:.1f}) rotate(-90)"
    below = f"first component, {first} of the variance"
    return joined(
        tag("line", class_="grid", x1=x, x2=x, y1=frame.top, y2=frame.bottom),
        tag("line", class_="grid", x1=frame.left, x2=frame.right, y1=y, y2=y),
        _frame(frame),
        tag("text", below, class_="tick mid", x=middle[0], y=frame.bottom + 17),
        tag("text", f"second component, {second}", class_="tick mid", transform=turned),
    )


def _frame(frame: Box) -> Markup:
    width, height = frame.right - frame.left, frame.bottom - frame.top
    return tag("rect", class_="frame", x=frame.left, y=frame.top, width=width, height=height, rx=4)


def _ellipse(spread: Array, dot: Dot, unit: float) -> Markup:
    values, vectors = np.linalg.eigh(spread)
    flat, wide = unit * np.sqrt(_SQUARED_RADIUS * np.maximum(values, 0.0))
    angle = -np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    turned = f"translate({dot.x:.1f} {dot.y:.1f}) rotate({angle:.1f})"
    return tag("ellipse", class_="ellipse", rx=max(wide, 0.5), ry=max(flat, 0.5), transform=turned)


def _drawn(label: Label, dot: Dot) -> Markup:
    text = tag("text", label.text, class_=label.kind, x=label.x, y=label.y)
    if not label.is_led:
        return accessible(one_line(dot.name), text)
    y = (label.box.top + label.box.bottom) / 2
    part = dot.radius / max(float(np.hypot(label.x - dot.x, y - dot.y)), dot.radius)
    x1, y1 = dot.x + part * (label.x - dot.x), dot.y + part * (y - dot.y)
    return accessible(one_line(dot.name), tag("line", class_="leader", x1=x1, y1=y1, x2=label.x, y2=y), text)


def _said(report: Report) -> str:
    """Which domains lie furthest out, and which nearest to the middle."""
    names = [one_line(name) for name in report.pictured.names]
    far = np.linalg.norm(report.places - report.places.mean(axis=0), axis=1)
    order = [names[i] for i in np.argsort(-far, kind="stable")]
    if len(order) <= _SAID:
        return f"From the furthest out to the nearest to the middle: {', '.join(order)}."
    return f"Furthest out: {', '.join(order[:3])}. Nearest to the middle: {', '.join(order[-3:])}."
