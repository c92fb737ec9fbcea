"""From numbers to places on a picture, and the numbers that are written along an axis."""

import math
from dataclasses import dataclass

from chameleon.report.labels import percent
from chameleon.report.markup import Markup, joined, tag


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
