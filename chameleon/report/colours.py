"""Colours of a report, for light and for dark, and what may be written on them."""

from collections.abc import Mapping, Sequence

from chameleon.report.png import COLOURS

# Names of the page's style, each light and dark. Text (ink, muted, good, care) has a contrast of 4.5 and more
# on page and soft, signs have one of 3.
THEME: Mapping[str, tuple[str, str]] = {
    "page": ("#ffffff", "#14191f"),
    "soft": ("#f4f7f8", "#1c232b"),
    "ink": ("#17212b", "#e6ecf1"),
    "muted": ("#55626f", "#a3b0bc"),
    "line": ("#d9e0e6", "#323c47"),
    "bar": ("#4b9ab5", "#3d8fae"),
    "accent": ("#1b6a86", "#6cc3e0"),
    "natural": ("#a8600a", "#f0b357"),
    "in-use": ("#7d4fa8", "#c3a3ec"),
    "good": ("#1f7a4d", "#6fd3a0"),
    "care": ("#96590a", "#f0b357"),
    "more": ("#1b6a86", "#6cc3e0"),
    "less": ("#b8423f", "#ff9a8f"),
    "rest": ("#818d99", "#74818e"),
}
# Of single domains, blocks and seeds; told apart by those who see colours differently too, with labels.
SERIES: Sequence[tuple[str, str]] = (
    ("#1b6a86", "#6cc3e0"),
    ("#c93c52", "#ff8896"),
    ("#9c6600", "#ecb94f"),
    ("#367f53", "#7fd0a0"),
    ("#7d57a8", "#bd9fea"),
    ("#bf4a92", "#f598cb"),
    ("#62707e", "#a9b8c6"),
    ("#777a00", "#c9ca58"),
)
# Strengths of the tint behind numbers that say how far a weight moves.
MOVES = 5
# From nothing in common to the same.
_LIGHT_STOPS = ("#f3f7f8", "#a9d3de", "#4796b0", "#17576f", "#082b3a")
_DARK_STOPS = ("#1c242c", "#1d4d61", "#2f86a5", "#7cc8de", "#e9f8fc")


def levels(*, dark: bool) -> list[str]:
    """The colours of a heat map from its lowest to its highest level."""
    stops = [_channels(stop) for stop in (_DARK_STOPS if dark else _LIGHT_STOPS)]
    found = []
    for level in range(COLOURS):
        place = level / (COLOURS - 1) * (len(stops) - 1)
        at = min(int(place), len(stops) - 2)
        found.append(_mixed(stops[at], stops[at + 1], place - at))
    return found


def written_on(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour: by 4.5 and more."""
    return max(("#000000", "#ffffff"), key=lambda text: contrast(text, colour))


def tint(name: str, level: int, *, dark: bool) -> str:
    """A colour of the theme mixed into the page's, by a tenth of it a level."""
    one, other = (_channels(THEME[each][int(dark)]) for each in ("page", name))
    return _mixed(one, other, level / 10)


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    linear = [
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in _channels(colour)
    ]
    return sum(part * channel for part, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _channels(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def _mixed(one: Sequence[float], other: Sequence[float], part: float) -> str:
    channels = [round(255 * (a + (b - a) * part)) for a, b in zip(one, other, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in channels)
