"""Tables in the terminal: which rows to show of many domains, number formats, names and column layout.

Shapes: k domains.
"""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from chameleon.common.arrays import Array

# Up to this many domains a table has a row for each, of more only for these numbers of them.
ALL_SHOWN = 45
HEAVIEST, LIGHTEST = 20, 10
MOST_MOVED = 30


def heaviest_first(names: Sequence[str], weights: Array) -> list[int]:
    """Indices of the domains by falling weight, ties by name.

    Args:
        names: (k,) domain names.
        weights: (k,) weights.
    """
    by_name = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    return [int(i) for i in by_name[np.argsort(-weights[by_name], kind="stable")]]


def rows_to_show(
    order: Sequence[int], heaviest: int = HEAVIEST, lightest: int = LIGHTEST
) -> list[int | None]:
    """The rows to show of domains in an order, with None for those left out between.

    Args:
        order: Indices of the domains.
        heaviest, lightest: Rows to show at either end of many domains.
    """
    if len(order) <= ALL_SHOWN:
        return list(order)
    return [*order[:heaviest], None, *order[-lightest:]]


def most_changed_rows(differences: Array, most: int = MOST_MOVED) -> list[int]:
    """The rows to show of (k,) differences, in order: all of few, the `most` largest of many."""
    if len(differences) <= ALL_SHOWN:
        return list(range(len(differences)))
    return sorted(int(i) for i in np.argsort(-differences, kind="stable")[:most])


def share_decimals(k: int) -> int:
    """Decimals of the share of a domain of k: four for few, at least three digits of 1/k for many."""
    return 4 if k <= ALL_SHOWN else max(5, 2 + math.ceil(math.log10(k)))


def format_share(share: float, decimals: int) -> str:
    """A share with a number of decimals, or with a power of ten where these would all be zero."""
    # With four decimals, as for few domains, 0.0000 is clear enough.
    if decimals > 4 and 0 < abs(share) < 10.0 ** (1 - decimals):
        return f"{share:.{max(1, decimals - 5)}e}"
    return f"{share:.{decimals}f}"


def describe_hidden_rows(
    order: Sequence[int], weights: Array, heaviest: int = HEAVIEST, lightest: int = LIGHTEST
) -> str:
    """The line for domains that `rows_to_show` leaves out: how many, their range of weights and their sum."""
    middle = weights[np.array(order[heaviest:-lightest], dtype=np.int64)]
    most, least, together = (two_digits(float(each)) for each in (middle[0], middle[-1], middle.sum()))
    return f"... {len(middle):,} more between {most} and {least}, together {together} of all"


def two_digits(value: float) -> str:
    """A number with two significant digits, without a power of ten where it is readable."""
    if value == 0 or not 1e-7 < abs(value) < 1e4:
        return f"{value:.2g}"
    return f"{value:.{max(0, 1 - math.floor(math.log10(abs(value))))}f}"


def describe_spread(weights: Array) -> list[tuple[str, str]]:
    """Labels and texts on the spread of (k,) weights: quantiles over 1/k, and what the heaviest hold."""
    k = len(weights)
    falling = np.sort(weights)[::-1]
    words = ("least", "5 %", "median", "95 %", "most")
    quantiles = k * np.quantile(weights, [0.0, 0.05, 0.5, 0.95, 1.0])
    parts = [f"{word} {two_digits(float(each))}" for word, each in zip(words, quantiles, strict=True)]
    held = [(share, float(falling[: math.ceil(share * k / 100)].sum())) for share in (1, 10)]
    heaviest = ", ".join(f"{share} % of the domains have {two_digits(part)} of all" for share, part in held)
    return [("times uniform", ", ".join(parts)), ("heaviest", heaviest)]


def display_name(name: str, most: int = 40) -> str:
    """A domain's name for the terminal: printable, on one line, shortened to `most` characters."""
    printable = "".join(each if each.isprintable() else "?" for each in name)
    return printable if len(printable) <= most else f"{printable[: most - 3]}..."


def listed(parts: Sequence[str], most: int = 5, all_up_to: int = 0) -> str:
    """Names in a sentence: "a, b, c and 4 more".

    Args:
        parts: Names or phrases.
        most: Parts to spell out; the rest are counted.
        all_up_to: Up to this many parts all are spelled out.
    """
    if len(parts) <= max(most, all_up_to):
        return ", ".join(parts)
    return f"{', '.join(parts[:most])} and {len(parts) - most:,} more"


@dataclass(frozen=True)
class Column:
    """A column of a table in the terminal.

    Attributes:
        title: What stands above it.
        cells: One for each row.
        is_text: Whether cells are text, aligned to the left; numbers are aligned to the right.
        is_optional: Whether the column is dropped where the terminal is too narrow for the table.
    """

    title: str
    cells: Sequence[str]
    is_text: bool = False
    is_optional: bool = False


def table_lines(columns: Sequence[Column], width: int | None = None) -> list[str]:
    """Lines of a table: the titles, then a line for each row, with two spaces between columns.

    Nothing is shortened or wrapped: a number without its last digits would be another number.

    Args:
        columns: All of them with equally many cells.
        width: Of the terminal in characters; None where the table goes to a file or a pipe.
    """
    lines = _aligned(columns)
    if width is not None and max(map(display_width, lines)) > width:
        lines = _aligned([column for column in columns if not column.is_optional])
    return lines


def fact_lines(facts: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of labels and texts, aligned; a label may be empty."""
    labels, texts = zip(*facts, strict=True)
    return _aligned([Column("", labels, is_text=True), Column("", texts, is_text=True)])[1:]


def _aligned(columns: Sequence[Column]) -> list[str]:
    padded = []
    for column in columns:
        texts = [column.title, *column.cells]
        widest = max(map(display_width, texts))
        gaps = [" " * (widest - display_width(text)) for text in texts]
        padded.append(
            [text + gap if column.is_text else gap + text for text, gap in zip(texts, gaps, strict=True)]
        )
    return ["  ".join(row).rstrip() for row in zip(*padded, strict=True)]


def display_width(text: str) -> int:
    """Characters of a terminal's line that a text takes: two for a wide letter, none for a combining mark."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)
