"""Markup in which whatever text stands is harmless: the only way that text gets into a report."""

import math
import re
from unicodedata import combining, east_asian_width

# What XML has no place for, what ends or turns a line of a terminal, and what turns the order of letters.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
_REPLACEMENT = "\ufffd"
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})

# Elements that have no content. Others are closed by a tag of their own, as HTML wants it.
_EMPTY = {"br", "circle", "ellipse", "image", "line", "link", "meta", "path", "polyline", "rect", "use"}


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(element: str, /, *content: str, **attributes: str | float | None) -> Markup:
    """An element. Its content is escaped unless it is markup, and so is what attributes hold.

    An attribute's name may end in _ where Python has a word like it, and has - where _ stands; one that is
    None is left out. Numbers, which are places on pictures, are rounded to a tenth.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if element in _EMPTY:
        return Markup(f"<{element}{written} />")
    return Markup(f"<{element}{written}>{joined(*content)}</{element}>")


def joined(*content: str) -> Markup:
    """One after the other; what is no markup is escaped."""
    return Markup("".join(each if isinstance(each, Markup) else _escaped(each) for each in content))


def listed(parts: list[Markup]) -> Markup:
    """As an English list: a, b and c."""
    if len(parts) < 2:
        return joined(*parts)
    return Markup(f"{', '.join(parts[:-1])} and {parts[-1]}")


def number(value: str | float) -> str:
    """A place on a picture as SVG has it; text as it is."""
    if isinstance(value, str):
        return value
    written = f"{value:.1f}".removesuffix(".0")
    return "0" if written == "-0" else written


def clean(text: str) -> str:
    """Text in which a sign stands for each character that no page may hold; lines end in line feeds."""
    return _UNFIT.sub(_REPLACEMENT, text.replace("\r\n", "\n").replace("\r", "\n"))


def _escaped(text: str) -> str:
    return clean(text).translate(_ESCAPES)


# Widths of letters in parts of the size of type: those of a wide sans serif, since readers have any.
_NARROW = frozenset("iljtfrI.,:;'|!()[]{}/\\` -")
_WIDE = frozenset("mwMW@%…<>=+~")

# Pixels of a name in a sentence.
_MENTIONED = 360.0


def one_line(name: str) -> str:
    """A name on one line, whatever is in it."""
    return " ".join(clean(name).split()) or "(no name)"


def name_of(name: str) -> Markup:
    """A domain's name in a sentence or table, where the direction of its script ends with it."""
    return tag("bdi", one_line(name))


def mention(name: str) -> Markup:
    """A name in a sentence: a very long one shortened."""
    whole, short = one_line(name), fitted(name, _MENTIONED)
    return tag("bdi", short, title=whole if short != whole else None)


def width_of(text: str, size: float = 12) -> float:
    """About how wide a text is, in pixels, at a size of type in pixels."""
    return size * sum(_width(each) for each in text)


def _width(letter: str) -> float:
    if combining(letter):
        return 0.0
    if east_asian_width(letter) in "WF" or ord(letter) > 0x2E7F:
        return 1.05
    if letter in _NARROW:
        return 0.38
    if letter in _WIDE:
        return 1.0
    return 0.75 if letter.isupper() or ord(letter) > 0x24F else 0.62


def fitted(name: str, room: float, size: float = 12) -> str:
    """A name on one line that is about `room` pixels wide at most: its beginning and its end."""
    whole = one_line(name)
    if width_of(whole, size) <= room:
        return whole
    room -= width_of("…", size)
    begin, end, taken = 0, len(whole), 0.0
    while begin < end:
        # Two letters of the beginning to one of the end.
        at_end = begin >= 2 * (len(whole) - end + 1)
        taken += size * _width(whole[end - 1] if at_end else whole[begin])
        if taken > room:
            break
        begin, end = (begin, end - 1) if at_end else (begin + 1, end)
    return f"{whole[:begin].rstrip()}…{whole[end:].lstrip()}"


def widest(names: list[str], most: float, size: float = 12) -> float:
    """Room for the widest of some names, if that is no more than `most` pixels."""
    return min(most, max((width_of(one_line(name), size) for name in names), default=0.0))


def decimals_for(k: int) -> int:
    """Decimals of a per cent that tell weights of k domains apart."""
    return 1 if k < 30 else 2 if k < 300 else max(3, math.ceil(math.log10(k)))


def percent(share: float, decimals: int = 1) -> str:
    """A share in per cent; one that is too small for many decimals by its power of ten."""
    if decimals > 3 and 0 < abs(share) < 0.5 * 10.0 ** (-decimals - 2):
        return f"{100 * share:.0e}\u00a0%"
    return f"{100 * share:.{decimals}f}\u00a0%"


def points(change: float, decimals: int = 1) -> str:
    """By how many hundredths of the whole a share changes, with a sign."""
    written = f"{100 * change:+.{decimals}f}"
    return f"{0:.{decimals}f}" if float(written) == 0 else written.replace("-", "−")


def figure(value: float, digits: int = 3) -> str:
    """A number of a few digits with a proper minus sign."""
    written = f"{value:,.0f}" if 10**digits <= abs(value) < 1e6 else f"{value:.{digits}g}"
    return written.replace("-", "−")


def large(count: float) -> str:
    """A count of windows or tokens, in millions where that is shorter."""
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return f"{count:,.0f}"
