"""What pictures are made of: the frame with its title and description, signs, and a key to them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chameleon.report.content import Report
from chameleon.report.markup import Markup, joined, percent, tag, width_of


@dataclass(frozen=True)
class Scale:
    """Where numbers lie along one direction of a picture.

    Attributes:
        low, high: The numbers at its ends.
        begin, end: The pixels there.
        is_log: Whether equal factors are equally far apart, rather than equal differences.
    """

    low: float
    high: float
    begin: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a number."""
        if self.is_log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)

    def ticks(self, most: int) -> list[float]:
        """At most so many round numbers within it."""
        return _log_ticks(self.low, self.high, most) if self.is_log else _ticks(self.low, self.high, most)


def _ticks(low: float, high: float, most: int) -> list[float]:
    least = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= 0.9999 * least)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
        found = [value for value in found if low * 0.9999 <= value <= high * 1.0001]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]


def shares_across(scale: Scale, top: float, bottom: float, most: int, *, above: bool = False) -> Markup:
    """Upright lines at round shares, and their per cent below (and above) them."""
    ticks = scale.ticks(most)
    decimals = share_decimals(ticks)
    drawn: list[Markup] = []
    for tick in ticks:
        x = scale.at(tick)
        drawn.append(tag("line", class_="grid", x1=x, x2=x, y1=top, y2=bottom))
        for y in [bottom + 16, *([top - 7] if above else [])]:
            drawn.append(tag("text", percent(tick, decimals), class_="tick mid", x=x, y=y))
    return joined(*drawn)


def share_decimals(ticks: list[float]) -> int:
    """Decimals that tell the per cents of an axis apart."""
    step = 100 * (ticks[1] - ticks[0]) if len(ticks) > 1 else 1.0
    return max(0, -math.floor(math.log10(step) + 1e-9))


# Widths in pixels for which each picture is drawn: for a desk or paper, and for a telephone.
WIDE = 820
NARROW = 350
_ROW_OF_KEY = 22
Sign = Callable[[float, float], Markup]


def picture(key: str, width: float, height: float, title: str, description: str, *content: Markup) -> Markup:
    """An SVG element with a title and a description for those who do not see it.

    Args:
        key: Told apart from those of all other pictures of the page.
        width, height: In pixels.
        title: What it shows.
        description: What it says, with numbers.
        content: Its elements.
    """
    words = tag("title", title, id=f"{key}-title"), tag("desc", description, id=f"{key}-desc")
    named = {"role": "img", "aria_labelledby": f"{key}-title", "aria_describedby": f"{key}-desc"}
    wide, high = f"{width:.0f}", f"{height:.0f}"
    return tag(
        "svg", *words, *content, id=key, **named, viewBox=f"0 0 {wide} {high}", width=wide, height=high
    )


def both_widths(draw: Callable[[Report, str, int], Markup], report: Report, key: str) -> Markup:
    """A picture of a report, drawn under a key wide and narrow; the page's style shows one of them."""
    wide, narrow = draw(report, f"{key}-wide", WIDE), draw(report, f"{key}-narrow", NARROW)
    return tag("figure", tag("div", wide, class_="wide"), tag("div", narrow, class_="narrow"))


def dot(kind: str, radius: float) -> Sign:
    """A round sign of a class of the page's style."""
    return lambda x, y: tag("circle", class_=kind, cx=x, cy=y, r=radius)


def diamond(kind: str) -> Sign:
    """A sign that stands on its corner."""
    return lambda x, y: tag("path", class_=kind, d=f"M{x - 5:.1f} {y:.1f}l5 -5l5 5l-5 5z")


def square(kind: str) -> Sign:
    """A square sign."""
    return lambda x, y: tag("rect", class_=kind, x=x - 4, y=y - 4, width=8, height=8)


def bar(kind: str) -> Sign:
    """A piece of a bar."""
    return lambda x, y: tag("rect", class_=kind, x=x - 8, y=y - 6, width=16, height=12, rx=2)


def stroke(kind: str) -> Sign:
    """A piece of a line from left to right."""
    return lambda x, y: tag("line", class_=kind, x1=x - 8, x2=x + 8, y1=y, y2=y)


def upright(kind: str) -> Sign:
    """A piece of a line from top to bottom."""
    return lambda x, y: tag("line", class_=kind, x1=x, x2=x, y1=y - 8, y2=y + 8)


def interval(low: float, high: float, y: float) -> Markup:
    """A line with ends from one pixel to another."""
    return tag("path", class_="interval", d=f"M{low:.1f} {y - 4:.1f}v8.0m0 -4.0H{high:.1f}m0 -4.0v8.0")


def key_to(signs: Sequence[tuple[Sign, str]], width: float) -> tuple[Markup, float]:
    """What each of some signs means, side by side in as many rows as it takes; and the height of that."""
    drawn: list[Markup] = []
    x, y = 0.0, _ROW_OF_KEY / 2
    for sign, words in signs:
        taken = 24 + width_of(words)
        if x > 0 and x + taken > width:
            x, y = 0.0, y + _ROW_OF_KEY
        drawn += [sign(x + 9, y), tag("text", words, class_="key", x=x + 24, y=y + 4)]
        x += taken + 14
    return joined(*drawn), y + _ROW_OF_KEY / 2


def accessible(name: str, *content: Markup) -> Markup:
    """Elements that tell their name in full where a pointer rests on them."""
    return tag("g", tag("title", name), *content)
