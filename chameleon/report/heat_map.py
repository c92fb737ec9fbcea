"""The affinity of the domains as a heat map, similar domains next to each other.

Shapes: k domains.
"""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.report.content import Report
from chameleon.report.markup import Markup, figure, fitted, joined, one_line, tag, widest, width_of
from chameleon.report.style import COLOURS, levels
from chameleon.report.svg import NARROW, accessible, picture

# Up to this many domains, each cell is an element with its number; above, all cells are one image.
MOST_CELLS = 24
_CELL = 60.0
_CELL_WITH_NUMBER = 30.0
_LABEL = 14.0
_LARGEST_IMAGE = 560.0

# How far slanted names reach across and up, in parts of their length.
_SLANT = 0.72
_PAIRS_SAID = 3


def clustered(affinity: Array) -> list[int]:
    """The order of k domains in which those of a cluster stand together (average linkage)."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    k = len(affinity)
    if k < 3:
        return list(range(k))
    sizes = np.diag(affinity)
    squared = np.maximum(sizes[:, None] + sizes - 2 * affinity, 0.0)
    apart = np.sqrt(0.5 * (squared + squared.T))[np.triu_indices(k, 1)]
    return [int(i) for i in leaves_list(linkage(apart, "average", optimal_ordering=k <= 100))]


def ends_of(affinity: Array) -> tuple[float, float]:
    """What the map's lowest and highest colour stand for: 0 and 1, or, where the diagonal is not 1, what is
    found between different domains.
    """
    if np.allclose(np.diag(affinity), 1.0):
        return min(0.0, float(affinity.min())), 1.0
    different = affinity[~np.eye(len(affinity), dtype=bool)]
    low, high = float(different.min()), float(different.max())
    return (low, high) if high > low else (low - 1.0, high + 1.0)


def levels_of(affinity: Array) -> npt.NDArray[np.uint8]:
    """(k, k) levels of the map's colours."""
    low, high = ends_of(affinity)
    parts = np.clip((affinity - low) / (high - low), 0.0, 1.0)
    return np.minimum(parts * COLOURS, COLOURS - 1).astype(np.uint8)


def heat_images(report: Report) -> Markup:
    """The map as images that pictures refer to, light and dark; nothing where its cells are elements."""
    k = len(report.affinity)
    if k <= MOST_CELLS:
        return Markup()
    order = clustered(report.affinity)
    ordered = levels_of(report.affinity)[np.ix_(order, order)]
    images = [
        tag("image", id=f"heat-{theme}", width=1, height=1, href=png_address(ordered, levels(dark=dark)))
        for theme, dark in (("light", False), ("dark", True))
    ]
    return tag("svg", tag("defs", *images), class_="store", width=0, height=0, aria_hidden="true")


def png_address(pixels: npt.NDArray[np.uint8], colours: Sequence[str]) -> str:
    """A data: address of a PNG picture.

    Args:
        pixels: (rows, columns) indices of colours.
        colours: Up to 16 colours, as #rrggbb.
    """
    from PIL import Image

    image = Image.fromarray(pixels, "P")
    image.putpalette(b"".join(bytes.fromhex(colour[1:]) for colour in colours))
    content = io.BytesIO()
    image.save(content, "PNG", bits=4, optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def draw_heat_map(report: Report, key: str, width: int) -> Markup:
    """The affinity of any two domains as a colour, and as a number where there is room for it."""
    affinity, k, order = report.affinity, len(report.affinity), clustered(report.affinity)
    left, has_cells = _left(report, width), k <= MOST_CELLS
    names = [report.pictured.names[i] for i in order]
    texts = [fitted(name, left - 8) for name in names]
    room = width - left - 2
    # Slanted names over the map reach beyond their columns: how far each does from its column's middle.
    reaches = [_SLANT * width_of(text) + 8 for text in texts]
    slanted = min((room - reach) * k / (at + 0.5) for at, reach in enumerate(reaches))
    is_slanted = has_cells and slanted >= _LABEL * k
    most = min(_CELL * k if has_cells else _LARGEST_IMAGE, room)
    above, side = (_SLANT * (left - 8) + 14, min(most, slanted)) if is_slanted else (8.0, most)
    cell = side / k
    drawn = [_cells(report, order, left, above, cell) if has_cells else _image(left, above, side)]
    for at in range(0, k, math.ceil(_LABEL / cell)):
        middle = cell * (at + 0.5)
        labels = [tag("text", texts[at], class_="name end", x=left - 6, y=above + middle + 4)]
        if is_slanted:
            turned = f"translate({left + middle + 4:.1f} {above - 6:.1f}) rotate(-45)"
            labels.append(tag("text", texts[at], class_="name", transform=turned))
        drawn.append(accessible(one_line(names[at]), *labels))
    legend = max(230.0, min(side, 260.0))
    drawn.append(_legend(affinity, left, above + side + 14, legend))
    title = f"Affinity of {k} {report.pictured.kind}, similar ones side by side"
    beyond = max(cell * (at + 0.5) + reach for at, reach in enumerate(reaches)) if is_slanted else 0.0
    whole = left + max(side, beyond, legend) + 2
    return picture(key, whole, above + side + 52, title, _said(report), *drawn)


def rows_named(report: Report, width: int) -> int:
    """How many rows of the image there are for each labelled one."""
    side = min(_LARGEST_IMAGE, width - _left(report, width) - 2)
    return math.ceil(_LABEL * len(report.affinity) / side)


def _left(report: Report, width: int) -> float:
    """Where the map begins, to the right of names."""
    return 8 + widest(list(report.pictured.names), 96 if width == NARROW else 150)


def _cells(report: Report, order: list[int], left: float, above: float, cell: float) -> Markup:
    affinity, names = report.affinity, [one_line(name) for name in report.pictured.names]
    level = levels_of(affinity)
    drawn = []
    for row, i in enumerate(order):
        for column, j in enumerate(order):
            x, y = left + cell * column, above + cell * row
            number, side = affinity_number(float(affinity[i, j]), affinity), cell - 1
            content = [tag("rect", class_=f"h{level[i, j]}", x=x, y=y, width=side, height=side, rx=2)]
            if cell >= _CELL_WITH_NUMBER:
                kind = f"in-cell t{level[i, j]}"
                content.append(tag("text", number, class_=kind, x=x + side / 2, y=y + cell / 2 + 4))
            drawn.append(accessible(f"{names[i]} and {names[j]}: {number}", *content))
    return joined(*drawn)


def _image(left: float, above: float, side: float) -> Markup:
    place = f"translate({left:.1f} {above:.1f}) scale({side:.1f})"
    themes = ("light", "dark")
    return joined(
        *(tag("use", href=f"#heat-{each}", class_=f"heat {each}", transform=place) for each in themes)
    )


def _legend(affinity: Array, left: float, top: float, width: float) -> Markup:
    low, high = ends_of(affinity)
    piece = width / COLOURS
    pieces = [
        tag("rect", class_=f"h{level}", x=left + piece * level, y=top, width=piece + 0.3, height=10)
        for level in range(COLOURS)
    ]
    is_unit = bool(np.allclose(np.diag(affinity), 1.0))
    first, last = figure(low), f"{figure(high)} and more"
    if is_unit:
        first, last = f"{'0: ' if low == 0 else ''}nothing in common", "1: the same"
    lowest = tag("text", first, class_="tick", x=left, y=top + 26)
    return joined(*pieces, lowest, tag("text", last, class_="tick end", x=left + width, y=top + 26))


def affinity_number(value: float, affinity: Array) -> str:
    """One of the affinities, with as many decimals as the largest has for two digits."""
    largest = float(np.abs(affinity).max())
    if not 1e-4 < largest < 1e5:
        return figure(value, 2)
    decimals = max(0, 1 - math.floor(math.log10(largest))) if largest > 1.0005 else 2
    written = f"{value:.{decimals}f}"
    return f"{0:.{decimals}f}" if float(written) == 0 else written.replace("-", "−")


def _said(report: Report) -> str:
    affinity, names = report.affinity, report.pictured.names
    rows, columns = np.triu_indices(len(names), 1)
    values = affinity[rows, columns]
    order = np.argsort(-values, kind="stable")

    def said(at: int) -> str:
        pair = f"{one_line(names[rows[at]])} and {one_line(names[columns[at]])}"
        return f"{pair} {affinity_number(float(values[at]), affinity)}"

    if len(order) <= 2 * _PAIRS_SAID:
        return f"Affinities: {'; '.join(map(said, order))}."
    most, least = ("; ".join(map(said, some)) for some in (order[:_PAIRS_SAID], order[-_PAIRS_SAID:]))
    return f"Most similar: {most}. Least similar: {least}."
