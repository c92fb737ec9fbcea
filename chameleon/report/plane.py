"""Domains as places on a plane: near each other where they are alike.

Shapes: k domains.
"""

import numpy as np

from chameleon.affinity import Array
from chameleon.report.axes import Scale
from chameleon.report.content import Report
from chameleon.report.labels import decimals_for, one_line, percent
from chameleon.report.markup import Markup, joined, tag
from chameleon.report.placing import Box, Dot, Label, labels_of
from chameleon.report.svg import NARROW, named, picture

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
        marks.append(named(f"{one_line(dots[i].name)}: {share}", circle))
    clip = tag("clipPath", _frame(frame), id=f"{key}-clip")
    names = [_drawn(label, dots[i]) for i, label in labels_of(dots, report.pictured.by_weight, frame)]
    title = f"{len(dots)} {report.pictured.kind} on the first two principal components of their affinity"
    within = tag("g", *ellipses, clip_path=f"url(#{key}-clip)")
    drawn = tag("g", within, *marks, *names, class_="many" if len(dots) >= _MANY else None)
    content = (clip, _axes(report, across, up, frame), drawn)
    return picture(key, width, frame.bottom + 24, title, _said(report), *content)


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
    return [
        Dot(name, across.at(float(x)), up.at(float(y)), float(radius), float(beside), float(below))
        for name, (x, y), radius, (beside, below) in zip(
            pictured.names, report.places, radii, keeps, strict=True
        )
    ]


def _axes(report: Report, across: Scale, up: Scale, frame: Box) -> Markup:
    """The frame, lines through the middle of all domains, and what the axes are."""
    x, y = (
        scale.at(float(mean)) for scale, mean in zip((across, up), report.places.mean(axis=0), strict=True)
    )
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
    kind = {"start": "halo", "middle": "halo mid", "end": "halo end"}[label.anchor]
    text = tag("text", label.text, class_=kind, x=label.x, y=label.y)
    if not label.is_led:
        return named(one_line(dot.name), text)
    y = (label.box.top + label.box.bottom) / 2
    part = dot.radius / max(float(np.hypot(label.x - dot.x, y - dot.y)), dot.radius)
    x1, y1 = dot.x + part * (label.x - dot.x), dot.y + part * (y - dot.y)
    return named(one_line(dot.name), tag("line", class_="leader", x1=x1, y1=y1, x2=label.x, y2=y), text)


def _said(report: Report) -> str:
    """Which domains lie furthest out, and which nearest to the middle."""
    names = [one_line(name) for name in report.pictured.names]
    far = np.linalg.norm(report.places - report.places.mean(axis=0), axis=1)
    order = [names[i] for i in np.argsort(-far, kind="stable")]
    if len(order) <= _SAID:
        return f"From the furthest out to the nearest to the middle: {', '.join(order)}."
    return f"Furthest out: {', '.join(order[:3])}. Nearest to the middle: {', '.join(order[-3:])}."
