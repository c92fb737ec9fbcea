"""Pictures with a row for each domain: weights, weights by other blocks and seeds, and before and after."""

from collections.abc import Sequence
from dataclasses import dataclass

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
from chameleon.report.svg import (
    NARROW,
    Scale,
    Sign,
    accessible,
    bar,
    diamond,
    dot,
    interval,
    key_to,
    picture,
    shares_across,
    square,
    stroke,
    upright,
)
from chameleon.weights.domain_weights import DomainWeights

# Rows of a picture of very many domains: the heaviest and the lightest. A few more than that are all shown.
_HEAVIEST = 30
_LIGHTEST = 10
ALL_SHOWN = 45

# A share beyond the longest weight's interval by this factor lies at the picture's edge, behind an arrow.
_FAR_OUT = 1.6
_SAID = 12


@dataclass(frozen=True)
class _Rows:
    """Where rows are.

    Attributes:
        scale: Of shares.
        tops: The middle of each row, in pixels.
        end: The right edge of what is written at the end of rows.
        drawn: Grid, names and axis.
        height: Of the whole picture.
    """

    scale: Scale
    tops: list[float]
    end: float
    drawn: Markup
    height: float


def shown_of(by_weight: Sequence[int]) -> list[int | None]:
    """Domains that a picture has rows for, None where it leaves some out."""
    if len(by_weight) <= ALL_SHOWN:
        return list(by_weight)
    return [*by_weight[:_HEAVIEST], None, *by_weight[-_LIGHTEST:]]


def draw_weights(report: Report, key: str, width: int) -> Markup:
    """Each domain's weight as a bar with its interval; uniform and the natural share beside it."""
    weights, k = report.weights, len(report.weights.names)
    rows = shown_of(report.by_weight)
    facts = [weights.domains.get(name, {}) for name in weights.names]
    reach = max(
        max(weights.weights[i], *(facts[i].get("interval") or ())[1:], 1 / k) for i in report.by_weight
    )
    beside = [
        (fact, sign, words)
        for fact, sign, words in (
            ("natural_share", diamond("natural"), "natural share"),
            ("weight_in_use", square("in-use"), "in use now"),
        )
        if any(each.get(fact) is not None for each in facts)
    ]
    furthest = max([reach, *(float(each.get(fact) or 0) for fact, _, _ in beside for each in facts)])
    has_intervals = any(each.get("interval") for each in facts)
    signs = [(bar("bar"), "weight"), (upright("uniform"), f"uniform, {percent(1 / k, decimals_for(k))}")]
    signs[1:1] = [(stroke("interval"), "95 % interval")] if has_intervals else []
    signs += [(sign, words) for _, sign, words in beside]
    legend, top = key_to(signs, width)
    names = [None if i is None else weights.names[i] for i in rows]
    layout = _rows(names, width, top, min(furthest, _FAR_OUT * reach), row=24, k=k)
    at, drawn = layout.scale.at, [legend, layout.drawn, _uniform(layout, 1 / k)]
    for i, y in zip(rows, layout.tops, strict=True):
        if i is None:
            drawn.append(_left_out(k - len(rows) + 1, layout, y))
            continue
        share = float(weights.weights[i])
        row = [tag("rect", class_="bar", x=at(0), y=y - 6, width=max(at(share) - at(0), 1), height=12, rx=2)]
        if facts[i].get("interval"):
            low, high = facts[i]["interval"]
            row.append(interval(at(low), at(high), y))
        row += [
            _beside(float(facts[i][fact]), sign, layout, y)
            for fact, sign, _ in beside
            if facts[i].get(fact) is not None
        ]
        row.append(_at_end(percent(share, decimals_for(k)), layout, y))
        drawn.append(accessible(_row_title(weights, i), *row))
    said = [f"{one_line(weights.names[i])} {_with_interval(weights, i)}" for i in report.by_weight[:_SAID]]
    title = f"Weights of {k:,} domains, heaviest first"
    return picture(
        key, width, layout.height, title, f"{_some(said, k)}. Uniform is {percent(1 / k)}.", *drawn
    )


def draw_others(report: Report, key: str, width: int) -> Markup:
    """Each domain's weight, and what it is by other blocks or seeds, as dots in one row."""
    weights, k = report.weights, len(report.weights.names)
    rows = shown_of(report.by_weight)
    others = [(one_line(label), each.by_name()) for label, each in report.others]
    signs: list[tuple[Sign, str]] = [(dot("main", 5.5), "these weights")]
    signs += [
        (dot(f"other c{number % 7 + 2}", 4), fitted(label, width / 3))
        for number, (label, _) in enumerate(others)
    ]
    legend, top = key_to(signs, width)
    reach = max([float(weights.weights.max()), *(max(each.values()) for _, each in others)])
    row = min(44.0, 24 + 4.0 * max(0, len(others) - 2))
    names = [None if i is None else weights.names[i] for i in rows]
    layout = _rows(names, width, top, max(reach, 1 / k), row=row, k=k)
    drawn = [legend, layout.drawn, _uniform(layout, 1 / k)]
    largest, decimals = (0.0, ""), decimals_for(k)
    for i, y in zip(rows, layout.tops, strict=True):
        if i is None:
            drawn.append(_left_out(k - len(rows) + 1, layout, y))
            continue
        name, share = weights.names[i], float(weights.weights[i])
        shares = [each.get(name) for _, each in others]
        known = [share, *(each for each in shares if each is not None)]
        largest = max(largest, (max(known) - min(known), f"{one_line(name)}, {_from_to(known)}"))
        marks = [
            sign(layout.scale.at(each), y + (row - 12) * ((number + 0.5) / len(others) - 0.5))
            for number, (each, (sign, _)) in enumerate(zip(shares, signs[1:], strict=True))
            if each is not None
        ]
        span = tag(
            "line", class_="span", x1=layout.scale.at(min(known)), x2=layout.scale.at(max(known)), y1=y, y2=y
        )
        end = _at_end(f"±\u00a0{50 * (max(known) - min(known)):.{decimals}f}", layout, y)
        row_title = f"{one_line(name)}: {_from_to(known)}"
        drawn.append(accessible(row_title, span, *marks, signs[0][0](layout.scale.at(share), y), end))
    title = f"Weights by {len(others)} other blocks or seeds beside these"
    return picture(key, width, layout.height, title, f"Furthest apart is the weight of {largest[1]}.", *drawn)


def draw_change(report: Report, key: str, width: int) -> Markup:
    """Each domain's weight before and after the set of domains changed."""
    assert report.before is not None
    before, after = report.before.by_name(), report.weights.by_name()
    changes = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in {**after, **before}}
    most = sorted(changes, key=lambda name: (-abs(changes[name]), name))[:ALL_SHOWN]
    names = sorted(most, key=lambda name: (-after.get(name, -1.0), -before.get(name, 0.0), name))
    signs = [(dot("before", 5), "before"), (dot("main", 5.5), "after")]
    legend, top = key_to(signs, width)
    reach = max(*(before.get(name, 0.0) for name in names), *(after.get(name, 0.0) for name in names))
    layout = _rows([*names], width, top, reach, row=24, k=len(after))
    drawn = [legend, layout.drawn]
    decimals = decimals_for(len(after))
    for name, y in zip(names, layout.tops, strict=True):
        marks = []
        if name in before and name in after:
            ends = layout.scale.at(before[name]), layout.scale.at(after[name])
            marks.append(tag("line", class_="span", x1=ends[0], x2=ends[1], y1=y, y2=y))
        marks += [
            sign(layout.scale.at(side[name]), y)
            for side, (sign, _) in ((before, signs[0]), (after, signs[1]))
            if name in side
        ]
        end = points(changes[name], decimals)
        if name not in before or name not in after:
            end = "removed" if name in before else "new"
        drawn.append(accessible(f"{one_line(name)}: {end}", *marks, _at_end(end, layout, y)))
    said = [f"{one_line(name)} {points(changes[name], decimals)}" for name in most[:_SAID]]
    title = "Weights before and after a change of the set of domains"
    return picture(
        key, width, layout.height, title, f"Changes in points: {_some(said, len(changes))}.", *drawn
    )


def _rows(names: Sequence[str | None], width: int, top: float, reach: float, *, row: float, k: int) -> _Rows:
    """The grid of a picture with a row for each name, shares going up to `reach`."""
    is_narrow = width == NARROW
    left = 8 + widest([name for name in names if name is not None], 108 if is_narrow else 190)
    right = width - 62 - 7.0 * max(0, decimals_for(k) - 3)
    scale = Scale(0.0, 1.02 * reach, left + 2, right)
    is_long = len(names) > 20
    begin = top + (24 if is_long else 6)
    tops = [begin + row * (number + 0.5) for number in range(len(names))]
    bottom = begin + row * len(names)
    drawn = [shares_across(scale, begin, bottom, 4 if is_narrow else 7, above=is_long)]
    for name, y in zip(names, tops, strict=True):
        if name is not None:
            text = tag("text", fitted(name, left - 8), class_="name end", x=left - 6, y=y + 4)
            drawn.append(accessible(one_line(name), text))
    return _Rows(scale, tops, width - 2, joined(*drawn), bottom + 26)


def _uniform(layout: _Rows, share: float) -> Markup:
    x = layout.scale.at(share)
    half = (layout.tops[1] - layout.tops[0]) / 2 if len(layout.tops) > 1 else 12
    return tag("line", class_="uniform", x1=x, x2=x, y1=layout.tops[0] - half, y2=layout.tops[-1] + half)


def _left_out(count: int, layout: _Rows, y: float) -> Markup:
    words = f"{count:,} more {'are in the table' if count <= ALL_PICTURED else 'between these'}"
    x = layout.scale.begin
    return joined(
        tag("rect", class_="gap", x=0, y=y - 10, width=layout.end, height=20, rx=3),
        tag("text", words, class_="tick", x=x + 6, y=y + 4),
    )


def _at_end(words: str, layout: _Rows, y: float) -> Markup:
    return tag("text", words, class_="value end", x=layout.end, y=y + 4)


def _beside(share: float, sign: Sign, layout: _Rows, y: float) -> Markup:
    if share <= layout.scale.high:
        return sign(layout.scale.at(share), y)
    x = layout.scale.end
    return joined(sign(x - 6, y), tag("path", class_="beyond", d=f"M{x + 1:.1f} {y - 4:.1f}l5 4l-5 4"))


def _row_title(weights: DomainWeights, i: int) -> str:
    facts = weights.domains.get(weights.names[i], {})
    words = f"{one_line(weights.names[i])}: {_with_interval(weights, i)}"
    for fact, beside in (("natural_share", "natural share"), ("weight_in_use", "in use now")):
        if facts.get(fact) is not None:
            words += f", {beside} {percent(facts[fact], decimals_for(len(weights.names)))}"
    return words


def _with_interval(weights: DomainWeights, i: int) -> str:
    decimals = decimals_for(len(weights.names))
    found = weights.domains.get(weights.names[i], {}).get("interval")
    within = "" if found is None else f" ({percent(found[0], decimals)} to {percent(found[1], decimals)})"
    return f"{percent(float(weights.weights[i]), decimals)}{within}"


def _from_to(shares: Sequence[float]) -> str:
    decimals = 1 if min(shares) > 0.02 else 2
    return f"from {percent(min(shares), decimals)} to {percent(max(shares), decimals)}"


def _some(said: list[str], k: int) -> str:
    return "; ".join(said) + (f"; and {k - len(said):,} more" if k > len(said) else "")
