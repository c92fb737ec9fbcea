"""Weights of several files by domain: the table and the picture of `python -m chameleon compare`.

Shapes: k domains, m files.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.common.figures import PALETTE, escape_math, new_axes, new_figure, save_figure
from chameleon.common.tables import (
    Column,
    display_name,
    format_share,
    most_changed_rows,
    share_decimals,
    table_lines,
    two_digits,
)
from chameleon.weights.domain_weights import DomainWeights

_MOST_NAMED = 5  # domains that differ most, for each pair of files
_MOST_DRAWN = 40
_LONGEST_NAME = 80


class Aligned(NamedTuple):
    """Weights of m files by domain.

    Attributes:
        names: (k,) domains of any of the files, in the order in which they first appear.
        weights: (k, m) weights; 0 where a file has no such domain.
        is_known: (k, m) whether it has.
    """

    names: list[str]
    weights: Array
    is_known: npt.NDArray[np.bool_]

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """(k,) domains by their largest weight, falling."""
        return np.argsort(-self.weights.max(axis=1), kind="stable")


def aligned(files: Sequence[DomainWeights]) -> Aligned:
    """Weights of several files by domain."""
    names = list(dict.fromkeys(name for file in files for name in file.names))
    by_name = [file.by_name() for file in files]
    weights = np.array([[each.get(name, 0.0) for each in by_name] for name in names])
    return Aligned(names, weights, np.array([[name in each for each in by_name] for name in names]))


def labels_of(paths: Sequence[Path], files: Sequence[DomainWeights]) -> list[str]:
    """A label for each file: method and mode if these differ, else the file's name, else its path."""
    choices = [
        [f"{file.method} {file.mode}" if file.mode else file.method for file in files],
        [path.stem for path in paths],
        [str(path) for path in paths],
    ]
    labels = next((labels for labels in choices if len(set(labels)) == len(labels)), None)
    return labels or [f"{path} ({number})" for number, path in enumerate(paths, 1)]


def distance(one: Array, other: Array) -> float:
    """Total variation distance of two (k,) mixtures: the share of tokens that goes to other domains."""
    return float(np.abs(one - other).sum() / 2)


def render(labels: Sequence[str], table: Aligned) -> str:
    """Weights side by side, then the distance between each two files and where they differ most."""
    decimals = share_decimals(len(table.names))
    apart = table.weights.max(axis=1) - table.weights.min(axis=1)
    # Of few domains all, of many those that differ most, the heaviest first.
    chosen = set(most_changed_rows(apart))
    rows = [i for i in table.order.tolist() if i in chosen]
    columns = [Column("domain", [display_name(table.names[i], _LONGEST_NAME) for i in rows], is_text=True)]
    for label, weights, is_known in zip(labels, table.weights.T, table.is_known.T, strict=True):
        cells = [format_share(float(weights[i]), decimals) if is_known[i] else "-" for i in rows]
        columns.append(Column(display_name(label), cells))
    lines = table_lines(columns)
    if rest := len(table.names) - len(rows):
        largest = two_digits(float(np.sort(apart)[-len(rows) - 1]))
        lines.append(f"... {rest:,} more that differ less, none by over {largest}")
    distances = _distances(labels, table, decimals)
    return "\n".join([*lines, "", "share of tokens in other domains (total variation distance)", *distances])


def _distances(labels: Sequence[str], table: Aligned, decimals: int) -> list[str]:
    """A line for each pair of files: their distance, and the domains that differ most."""
    pairs = list(combinations(range(len(labels)), 2))
    sides = [(table.weights[:, first], table.weights[:, second]) for first, second in pairs]
    columns = [
        Column("", [display_name(labels[first]) for first, _ in pairs], is_text=True),
        Column("", [display_name(labels[second]) for _, second in pairs], is_text=True),
        Column("", [f"{distance(one, other):.4f}" for one, other in sides]),
        Column("", [_largest(table.names, other - one, decimals) for one, other in sides], is_text=True),
    ]
    return table_lines(columns)[1:]


def _largest(names: Sequence[str], moves: Array, decimals: int) -> str:
    furthest = np.argsort(-np.abs(moves), kind="stable")[:_MOST_NAMED].tolist()
    words = [
        f"{display_name(names[i], _LONGEST_NAME)} {moves[i]:+.{decimals}f}"
        for i in furthest
        if abs(moves[i]) > 0.5 * 10.0**-decimals
    ]
    return ", ".join(words) or "the same"


def draw(labels: Sequence[str], table: Aligned, path: Path) -> None:
    """Write a picture of the weights: a group of bars for each domain, a colour for each file.

    Raises:
        InputError: The file cannot be written.
    """
    order, k = table.order[:_MOST_DRAWN][::-1], len(table.names)
    size = 0.8 / len(labels)
    figure = new_figure(7, 1.4 + 0.16 * len(order) * (1 + len(labels)))
    axes = new_axes(figure)
    for column, label in enumerate(labels):
        at = np.arange(len(order)) + 0.4 - (column + 0.5) * size
        colour = PALETTE[column % len(PALETTE)]
        name = escape_math(display_name(label))
        axes.barh(at, table.weights[order, column], size, label=name, color=colour)
    axes.set_yticks(np.arange(len(order)), [escape_math(display_name(table.names[i])) for i in order])
    axes.axvline(1 / k, color="#555555", linewidth=0.8, linestyle="--", label=f"1/{k}")
    axes.set_xlabel("share of tokens")
    axes.set_title(f"{k} domains" if len(order) == k else f"the {len(order)} largest of {k} domains")
    axes.set_ylim(-0.6, len(order) - 0.4)
    figure.legend(loc="outside lower center", ncols=min(4, len(labels) + 1), frameon=False)
    save_figure(figure, path)
