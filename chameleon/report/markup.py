"""Markup in which whatever text stands is harmless: the only way that text gets into a report."""

import re

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
