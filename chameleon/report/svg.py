"""What pictures are made of: the frame with its title and description, signs, and a key to them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
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
ROW_OF_KEY = 22
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
    return tag(
        "svg",
        tag("title", title, id=f"{key}-title"),
        tag("desc", description, id=f"{key}-desc"),
        *content,
        id=key,
        role="img",
        aria_labelledby=f"{key}-title",
        aria_describedby=f"{key}-desc",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
    )


def both_widths(draw: Callable[[str, int], Markup], key: str) -> Markup:
    """A picture drawn wide and narrow; the page's style shows one of them.

    Args:
        draw: Draws it under a key, for a width in pixels.
        key: Of the picture.
    """
    wide, narrow = draw(f"{key}-wide", WIDE), draw(f"{key}-narrow", NARROW)
    return tag("figure", tag("div", wide, class_="wide"), tag("div", narrow, class_="narrow"))


def dot(kind: str, radius: float = 5) -> Sign:
    """A round sign of a class of the page's style."""
    return lambda x, y: tag("circle", class_=kind, cx=x, cy=y, r=radius)


def diamond(kind: str, radius: float = 5) -> Sign:
    """A sign that stands on its corner."""
    return lambda x, y: tag(
        "path",
        class_=kind,
        d=f"M{x - radius:.1f} {y:.1f}l{radius} {-radius}l{radius} {radius}l{-radius} {radius}z",
    )


def square(kind: str, radius: float = 4) -> Sign:
    """A square sign."""
    return lambda x, y: tag(
        "rect", class_=kind, x=x - radius, y=y - radius, width=2 * radius, height=2 * radius
    )


def bar(kind: str, height: float = 12) -> Sign:
    """A piece of a bar."""
    return lambda x, y: tag("rect", class_=kind, x=x - 8, y=y - height / 2, width=16, height=height, rx=2)


def stroke(kind: str) -> Sign:
    """A piece of a line from left to right."""
    return lambda x, y: tag("line", class_=kind, x1=x - 8, x2=x + 8, y1=y, y2=y)


def upright(kind: str) -> Sign:
    """A piece of a line from top to bottom."""
    return lambda x, y: tag("line", class_=kind, x1=x, x2=x, y1=y - 8, y2=y + 8)


def interval(low: float, high: float, y: float, cap: float = 4) -> Markup:
    """A line with ends from one pixel to another."""
    return tag(
        "path",
        class_="interval",
        d=f"M{low:.1f} {y - cap:.1f}v{2 * cap:.1f}m0 {-cap:.1f}H{high:.1f}m0 {-cap:.1f}v{2 * cap:.1f}",
    )


def key_to(signs: Sequence[tuple[Sign, str]], width: float, left: float = 0) -> tuple[Markup, float]:
    """What each sign means, side by side in as many rows as it takes.

    Args:
        signs: Each with words.
        width: Of the picture.
        left: Where rows begin.

    Returns:
        The key, and its height.
    """
    drawn: list[Markup] = []
    x, y = left, ROW_OF_KEY / 2
    for sign, words in signs:
        taken = 24 + width_of(words) + 14
        if x > left and x + taken - 14 > width:
            x, y = left, y + ROW_OF_KEY
        drawn.append(sign(x + 9, y))
        drawn.append(tag("text", words, class_="key", x=x + 24, y=y + 4))
        x += taken
    return joined(*drawn), (y + ROW_OF_KEY / 2 if signs else 0.0)


def accessible(name: str, *content: Markup) -> Markup:
    """Elements that tell their name in full where a pointer rests on them."""
    return tag("g", tag("title", name), *content)
