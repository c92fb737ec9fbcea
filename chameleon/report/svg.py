"""What pictures are made of: the frame with its title and description, signs, and a key to them."""

from collections.abc import Callable, Sequence

from chameleon.report.labels import width_of
from chameleon.report.markup import Markup, joined, tag

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


def named(name: str, *content: Markup) -> Markup:
    """Elements that tell their name in full where a pointer rests on them."""
    return tag("g", tag("title", name), *content)
