"""`python -m chameleon compare a.json b.json ...`: weights of several files side by side."""

import argparse
import warnings
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.common.command_line import Parser, nonempty_path, print_stderr, print_table, run_command
from chameleon.common.errors import InputError
from chameleon.common.files import check_writable
from chameleon.common.tables import (
    column_width,
    display_name,
    format_share,
    most_changed_rows,
    share_decimals,
    two_digits,
)
from chameleon.weights.domain_weights import DomainWeights

# Domains that are named as those that differ most, and that are drawn.
_MOST_NAMED = 5


_MOST_DRAWN = 40


_LONGEST_NAME = 80


_PICTURES = (".png", ".svg", ".pdf")


_PALETTE = ("#1f6f8b", "#d9822b", "#5b8c5a", "#8a4f7d", "#b5443c", "#6b6b6b", "#c2a83e", "#3d5a99")


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    return run_command(lambda: _compare(arguments), "nothing was written")


def _compare(arguments: argparse.Namespace) -> None:
    if len(arguments.weights) < 2:
        raise InputError("comparing takes at least two weights files")
    if arguments.picture is not None:
        if arguments.picture.suffix.lower() not in _PICTURES:
            raise InputError(
                f"--picture {arguments.picture}: expected a name that ends in {', '.join(_PICTURES)}"
            )
        check_writable(arguments.picture)
    files = [DomainWeights.read(path) for path in arguments.weights]
    labels, found = labels_of(arguments.weights, files), aligned(files)
    print_table(render(labels, found), "nothing was written")
    if arguments.picture is not None:
        draw(labels, found, arguments.picture)
        print_stderr(f"picture: {arguments.picture}")


def labels_of(paths: Sequence[Path], files: Sequence[DomainWeights]) -> list[str]:
    """What to call each file: its method and mode where these tell them apart, else its name or path."""
    choices = [
        [f"{file.method} {file.mode}" if file.mode else file.method for file in files],
        [path.stem for path in paths],
        [str(path) for path in paths],
    ]
    found = next((labels for labels in choices if len(set(labels)) == len(labels)), None)
    return found or [f"{path} ({number})" for number, path in enumerate(paths, 1)]


class Aligned(NamedTuple):
    """Weights of m files by domain.

    Attributes:
        names: The k domains that any of them has, in the order in which they come.
        weights: (k, m); 0 where a file has no such domain.
        there: (k, m) whether it has.
    """

    names: list[str]
    weights: Array
    there: npt.NDArray[np.bool_]

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


def distance(one: Array, other: Array) -> float:
    """Total variation distance of two (k,) mixtures: the share of tokens that is of other domains."""
    return float(np.abs(one - other).sum() / 2)


def render(labels: Sequence[str], found: Aligned) -> str:
    """Weights side by side, the distance between each two files, and where they differ most."""
    apart, decimals = found.weights.max(axis=1) - found.weights.min(axis=1), share_decimals(len(found.names))
    # Of few domains all, the heaviest first; of many those that differ most, in that order too.
    some = set(most_changed_rows(apart))
    rows = [i for i in found.order.tolist() if i in some]
    shown = {i: display_name(found.names[i], _LONGEST_NAME) for i in rows}
    width = column_width(shown.values())
    columns = [max(decimals + 2, len(display_name(label))) for label in labels]
    heads = (f"{display_name(label):>{wide}}" for label, wide in zip(labels, columns, strict=True))
    lines = [f"{'domain':<{width}}  " + "  ".join(heads)]
    for i in rows:
        row = zip(found.weights[i], found.there[i], columns, strict=True)
        cells = (
            f"{format_share(float(weight), decimals) if there else '-':>{wide}}"
            for weight, there, wide in row
        )
        lines.append(f"{shown[i]:<{width}}  " + "  ".join(cells))
    if len(rows) < len(found.names):
        largest = float(np.sort(apart)[-len(rows) - 1])
        lines.append(
            f"... {len(found.names) - len(rows):,} more that differ less, none by over {two_digits(largest)}"
        )
    lines += ["", "share of tokens that is of other domains (total variation distance)"]
    wide = max(len(display_name(label)) for label in labels)
    for (first, one), (second, other) in combinations(enumerate(labels), 2):
        moves = found.weights[:, second] - found.weights[:, first]
        furthest = [
            i
            for i in np.argsort(-np.abs(moves), kind="stable")[:_MOST_NAMED].tolist()
            if abs(moves[i]) > 0.5 * 10.0**-decimals
        ]
        what = ", ".join(
            f"{display_name(found.names[i], _LONGEST_NAME)} {moves[i]:+.{decimals}f}" for i in furthest
        )
        what = what or "the same"
        pair = f"{display_name(one):<{wide}}  {display_name(other):<{wide}}"
        lines.append(f"{pair}  {distance(found.weights[:, first], found.weights[:, second]):.4f}  {what}")
    return "\n".join(lines)


def draw(labels: Sequence[str], found: Aligned, path: Path) -> None:
    """Write a picture of the weights: a group of bars a domain, a colour a file.

    Raises:
        InputError: It cannot be written.
    """
    from matplotlib.figure import Figure

    from chameleon.common.figures import escape_math

    order = found.order[:_MOST_DRAWN][::-1]
    size = 0.8 / len(labels)
    figure = Figure(figsize=(7, 1.4 + 0.16 * len(order) * (1 + len(labels))), layout="constrained")
    axes = figure.add_subplot()
    for column, label in enumerate(labels):
        at = np.arange(len(order)) + 0.4 - (column + 0.5) * size
        colour = _PALETTE[column % len(_PALETTE)]
        axes.barh(
            at, found.weights[order, column], size, label=escape_math(display_name(label)), color=colour
        )
    axes.set_yticks(np.arange(len(order)), [escape_math(display_name(found.names[i])) for i in order])
    k = len(found.names)
    axes.axvline(1 / k, color="#555555", linewidth=0.8, linestyle="--", label=f"1/{k}")
    axes.set_xlabel("share of tokens")
    axes.set_title(f"{k} domains" if len(order) == k else f"the {len(order)} largest of {k} domains")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(-0.6, len(order) - 0.4)
    figure.legend(loc="outside lower center", ncols=min(4, len(labels) + 1), frameon=False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # drawn as a box
            figure.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"cannot write {path} (--picture): {error.strerror}") from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m chameleon compare", description="Weights of several files or methods side by side."
    )
    parser.add_argument("weights", type=Path, nargs="+", help="weights files, at least two")
    parser.add_argument(
        "--picture",
        type=nonempty_path,
        metavar="PNG",
        help="file for a picture, .png, .svg or .pdf (default: none). Give it to show them to others",
    )
    return parser
