"""Pictures with a row for each domain: weights, weights by other blocks and seeds, and before and after."""

from collections.abc import Sequence
from typing import NamedTuple

from chameleon.common.tables import ALL_SHOWN, rows_to_show
from chameleon.report import svg
from chameleon.report.content import ALL_PICTURED, Report
from chameleon.report.markup import (
    Markup,
    decimals_for,
    fitted,
    joined,
    one_line,
    percent,
    points,
    tag,
    widest,
)

# Rows of a picture of very many domains: the heaviest and the lightest.
_HEAVIEST = 30
_LIGHTEST = 10

# A share beyond the longest weight's interval by this factor lies at the picture's edge, behind an arrow.
_FAR_OUT = 1.6
_SAID = 12

# Facts that are marked beside a weight where they are known.
_BESIDE = (
    ("natural_share", svg.diamond("natural"), "natural share"),
    ("weight_in_use", svg.square("in-use"), "in use now"),
)


class _Rows(NamedTuple):
    """Where rows are.

    Attributes:
        scale: Of shares.
        tops: The middle of the row of each domain, in pixels.
        end: The right edge of what is written at the end of rows.
        drawn: The key, grid, names and axis.
        height: Of the whole picture.
    """

    scale: svg.Scale
    tops: dict[str, float]
    end: float
    drawn: list[Markup]
    height: float


def draw_weights(report: Report, key: str, width: int) -> Markup:
    """Each domain's weight as a bar with its interval; uniform and the natural share beside it."""
    shares = report.weights.by_name()
    facts = {name: report.weights.domains.get(name, {}) for name in shares}
    k, decimals = len(shares), decimals_for(len(shares))
    beside = [each for each in _BESIDE if any(of.get(each[0]) is not None for of in facts.values())]
    intervals = [of["interval"] for of in facts.values() if of.get("interval")]
    reach = max([1 / k, *shares.values(), *(high for _, high in intervals)])
    furthest = max([reach, *(float(of.get(fact) or 0) for fact, _, _ in beside for of in facts.values())])
    signs = [
        (svg.bar("bar"), "weight"),
        *([(svg.stroke("interval"), "95 % interval")] if intervals else []),
        (svg.upright("uniform"), f"uniform, {percent(1 / k, decimals)}"),
        *((sign, words) for _, sign, words in beside),
    ]
    rows = _rows(signs, _names(report), width, min(furthest, _FAR_OUT * reach), uniform=1 / k, k=k)
    at, drawn = rows.scale.at, rows.drawn

    def with_interval(name: str) -> str:
        ends = [percent(end, decimals) for end in facts[name].get("interval") or ()]
        return percent(shares[name], decimals) + (f" ({ends[0]} to {ends[1]})" if ends else "")

    for name, y in rows.tops.items():
        long = max(at(shares[name]) - at(0), 1)
        row = [tag("rect", class_="bar", x=at(0), y=y - 6, width=long, height=12, rx=2)]
        title = f"{one_line(name)}: {with_interval(name)}"
        if ends := facts[name].get("interval"):
            row.append(svg.interval(at(ends[0]), at(ends[1]), y))
        for fact, sign, words in _BESIDE:
            if (share := facts[name].get(fact)) is not None:
                row.append(_beside(float(share), sign, rows, y))
                title += f", {words} {percent(share, decimals)}"
        drawn.append(svg.accessible(title, *row, _at_end(percent(shares[name], decimals), rows, y)))
    names = [report.weights.names[i] for i in report.by_weight[:_SAID]]
    said = _some([f"{one_line(name)} {with_interval(name)}" for name in names], k)
    title = f"Weights of {k:,} domains, heaviest first"
    return svg.picture(key, width, rows.height, title, f"{said}. Uniform is {percent(1 / k)}.", *drawn)


def draw_others(report: Report, key: str, width: int) -> Markup:
    """Each domain's weight, and what it is by other blocks or seeds, as dots in one row."""
    shares, others = report.weights.by_name(), [each.by_name() for _, each in report.others]
    k, decimals = len(shares), decimals_for(len(shares))
    signs = [(svg.dot("main", 5.5), "these weights")]
    for number, (label, _) in enumerate(report.others):
        signs.append((svg.dot(f"other c{number % 7 + 2}", 4), fitted(label, width / 3)))
    reach = max(1 / k, *(max(each.values()) for each in (shares, *others)))
    row = min(44.0, 24 + 4.0 * max(0, len(others) - 2))
    rows = _rows(signs, _names(report), width, reach, uniform=1 / k, k=k, row=row)
    at, drawn = rows.scale.at, rows.drawn
    largest = (0.0, "")
    for name, y in rows.tops.items():
        known = [each[name] for each in (shares, *others) if name in each]
        low, high = min(known), max(known)
        fewer = 1 if low > 0.02 else 2
        span = f"from {percent(low, fewer)} to {percent(high, fewer)}"
        largest = max(largest, (high - low, f"{one_line(name)}, {span}"))
        marks = [tag("line", class_="span", x1=at(low), x2=at(high), y1=y, y2=y)]
        for number, (each, (sign, _)) in enumerate(zip(others, signs[1:], strict=True)):
            if name in each:
                marks.append(sign(at(each[name]), y + (row - 12) * ((number + 0.5) / len(others) - 0.5)))
        marks.append(signs[0][0](at(shares[name]), y))
        end = _at_end(f"±\u00a0{50 * (high - low):.{decimals}f}", rows, y)
        drawn.append(svg.accessible(f"{one_line(name)}: {span}", *marks, end))
    title = f"Weights by {len(others)} other blocks or seeds beside these"
    description = f"Furthest apart is the weight of {largest[1]}."
    return svg.picture(key, width, rows.height, title, description, *drawn)


def draw_change(report: Report, key: str, width: int) -> Markup:
    """Each domain's weight before and after the set of domains changed."""
    assert report.before is not None
    before, after = report.before.by_name(), report.weights.by_name()
    decimals = decimals_for(len(after))
    changes = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in {**after, **before}}
    most = sorted(changes, key=lambda name: (-abs(changes[name]), name))[:ALL_SHOWN]
    names = sorted(most, key=lambda name: (-after.get(name, -1.0), -before.get(name, 0.0), name))
    sides = ((before, svg.dot("before", 5), "before"), (after, svg.dot("main", 5.5), "after"))
    reach = max(side.get(name, 0.0) for name in names for side in (before, after))
    rows = _rows([(sign, words) for _, sign, words in sides], names, width, reach, k=len(after))
    at, drawn = rows.scale.at, rows.drawn
    for name, y in rows.tops.items():
        marks = [sign(at(side[name]), y) for side, sign, _ in sides if name in side]
        end = points(changes[name], decimals)
        if name not in before or name not in after:
            end = "removed" if name in before else "new"
        else:
            marks.insert(0, tag("line", class_="span", x1=at(before[name]), x2=at(after[name]), y1=y, y2=y))
        drawn.append(svg.accessible(f"{one_line(name)}: {end}", *marks, _at_end(end, rows, y)))
    said = _some(
        [f"{one_line(name)} {points(changes[name], decimals)}" for name in most[:_SAID]], len(changes)
    )
    title = "Weights before and after a change of the set of domains"
    return svg.picture(key, width, rows.height, title, f"Changes in points: {said}.", *drawn)


def _names(report: Report) -> list[str | None]:
    """The domains that a picture has rows for, None where it leaves some out."""
    shown = rows_to_show(report.by_weight, _HEAVIEST, _LIGHTEST)
    return [None if i is None else report.weights.names[i] for i in shown]


def _rows(
    signs: Sequence[tuple[svg.Sign, str]],
    names: Sequence[str | None],
    width: int,
    reach: float,
    *,
    k: int,
    uniform: float | None = None,
    row: float = 24,
) -> _Rows:
    """The grid of a picture with a row for each name, shares going up to `reach`."""
    is_narrow, is_long = width == svg.NARROW, len(names) > 20
    legend, top = svg.key_to(signs, width)
    left = 8 + widest([name for name in names if name is not None], 108 if is_narrow else 190)
    right = width - 62 - 7.0 * max(0, decimals_for(k) - 3)
    scale = svg.Scale(0.0, 1.02 * reach, left + 2, right)
    begin = top + (24 if is_long else 6)
    bottom = begin + row * len(names)
    drawn = [legend, svg.shares_across(scale, begin, bottom, 4 if is_narrow else 7, above=is_long)]
    if uniform is not None:
        x = scale.at(uniform)
        drawn.append(tag("line", class_="uniform", x1=x, x2=x, y1=begin, y2=bottom))
    tops = {}
    for number, name in enumerate(names):
        y = begin + row * (number + 0.5)
        if name is None:
            drawn.append(_left_out(k - len(names) + 1, width, scale.begin, y))
            continue
        tops[name] = y
        text = tag("text", fitted(name, left - 8), class_="name end", x=left - 6, y=y + 4)
        drawn.append(svg.accessible(one_line(name), text))
    return _Rows(scale, tops, width - 2, drawn, bottom + 26)


def _left_out(count: int, width: int, x: float, y: float) -> Markup:
    words = f"{count:,} more {'are in the table' if count <= ALL_PICTURED else 'between these'}"
    return joined(
        tag("rect", class_="gap", x=0, y=y - 10, width=width - 2, height=20, rx=3),
        tag("text", words, class_="tick", x=x + 6, y=y + 4),
    )


def _at_end(words: str, rows: _Rows, y: float) -> Markup:
    return tag("text", words, class_="value end", x=rows.end, y=y + 4)


def _beside(share: float, sign: svg.Sign, rows: _Rows, y: float) -> Markup:
    if share <= rows.scale.high:
        return sign(rows.scale.at(share), y)
    x = rows.scale.end
    return joined(sign(x - 6, y), tag("path", class_="beyond", d=f"M{x + 1:.1f} {y - 4:.1f}l5 4l-5 4"))


def _some(said: list[str], k: int) -> str:
    return "; ".join(said) + (f"; and {k - len(said):,} more" if k > len(said) else "")
