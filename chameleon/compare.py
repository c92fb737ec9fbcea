"""`python -m chameleon.compare a.json b.json ...`: weights of several files side by side."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chameleon.argument_types import directory
from chameleon.command_line import Parser, carry_out, print_table, tell
from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError
from chameleon.table import shown_name

# Domains that are named as those that differ most.
_MOST_NAMED = 5
_PALETTE = ("#1f6f8b", "#d9822b", "#5b8c5a", "#8a4f7d", "#b5443c", "#6b6b6b", "#c2a83e", "#3d5a99")


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    return carry_out(lambda: _compare(arguments), "nothing was written")


def _compare(arguments: argparse.Namespace) -> None:
    if len(arguments.weights) < 2:
        raise InputError("comparing takes at least two weights files")
    files = [DomainWeights.read(path) for path in arguments.weights]
    labels = labels_of(arguments.weights, files)
    names, table = aligned(files)
    print_table(render(names, labels, table), "nothing was written")
    if arguments.picture is not None:
        draw(names, labels, table, arguments.picture)
        tell(f"picture: {arguments.picture}")


def labels_of(paths: Sequence[Path], files: Sequence[DomainWeights]) -> list[str]:
    """What to call each file: its method and mode where these tell them apart, else its name or path."""
    choices = [
        [f"{file.method} {file.mode}" if file.mode else file.method for file in files],
        [path.stem for path in paths],
        [str(path) for path in paths],
    ]
    found = next((labels for labels in choices if len(set(labels)) == len(labels)), None)
    return found or [f"{path} ({number})" for number, path in enumerate(paths, 1)]


def aligned(files: Sequence[DomainWeights]) -> tuple[list[str], npt.NDArray[np.float64]]:
    """All domains in the order in which they come, and (k, m) weights of the m files; NaN where one has "
    "none."""
    names = list(dict.fromkeys(name for file in files for name in file.names))
    table = np.full((len(names), len(files)), np.nan)
    at = {name: i for i, name in enumerate(names)}
    for column, file in enumerate(files):
        table[[at[name] for name in file.names], column] = file.weights
    return names, table


def distance(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Total variation distance of two (k,) mixtures: the share of tokens that is of other domains."""
    return float(np.abs(np.nan_to_num(one) - np.nan_to_num(other)).sum() / 2)


def render(names: Sequence[str], labels: Sequence[str], table: npt.NDArray[np.float64]) -> str:
    """Weights side by side, the distance between each two files, and the domains in which they differ "
    "most."""
    width = max(6, *(len(shown_name(name)) for name in names))
    columns = [max(6, len(shown_name(label))) for label in labels]
    order = np.argsort(-np.nan_to_num(table).max(axis=1), kind="stable")
    heads = (f"{shown_name(label):>{wide}}" for label, wide in zip(labels, columns, strict=True))
    lines = [f"{'domain':<{width}}  " + "  ".join(heads)]
    for i in order:
        cells = ("-" if np.isnan(value) else f"{value:.4f}" for value in table[i])
        padded = (f"{cell:>{wide}}" for cell, wide in zip(cells, columns, strict=True))
        lines.append(f"{shown_name(names[i]):<{width}}  " + "  ".join(padded))
    lines += ["", "share of tokens that is of other domains (total variation distance)"]
    wide = max(len(shown_name(label)) for label in labels)
    for first in range(len(labels)):
        for second in range(first + 1, len(labels)):
            one, other = table[:, first], table[:, second]
            moves = np.nan_to_num(other) - np.nan_to_num(one)
            furthest = [
                i for i in np.argsort(-np.abs(moves), kind="stable")[:_MOST_NAMED] if abs(moves[i]) > 5e-5
            ]
            what = ", ".join(f"{shown_name(names[i])} {moves[i]:+.4f}" for i in furthest) or "the same"
            pair = f"{shown_name(labels[first]):<{wide}}  {shown_name(labels[second]):<{wide}}"
            lines.append(f"{pair}  {distance(one, other):.4f}  {what}")
    return "\n".join(lines)


def draw(names: Sequence[str], labels: Sequence[str], table: npt.NDArray[np.float64], path: Path) -> None:
    """Write a picture of the weights: a group of bars a domain, a colour a file.

    Raises:
        InputError: It cannot be written, or its name says no kind of picture.
    """
    from matplotlib.figure import Figure

    from chameleon.training.pictures import plain

    most = 40
    order = np.argsort(-np.nan_to_num(table).max(axis=1), kind="stable")[:most][::-1]
    size = 0.8 / len(labels)
    figure = Figure(figsize=(7, 1.4 + 0.16 * len(order) * (1 + len(labels))), layout="constrained")
    axes = figure.add_subplot()
    for column, label in enumerate(labels):
        at = np.arange(len(order)) + 0.4 - (column + 0.5) * size
        colour = _PALETTE[column % len(_PALETTE)]
        axes.barh(at, np.nan_to_num(table[order, column]), size, label=plain(shown_name(label)), color=colour)
    axes.set_yticks(np.arange(len(order)), [plain(shown_name(names[i])) for i in order])
    axes.axvline(1 / len(names), color="#555555", linewidth=0.8, linestyle="--", label=f"1/{len(names)}")
    axes.set_xlabel("share of tokens")
    title = (
        f"{len(names)} domains" if len(order) == len(names) else f"the {most} largest of {len(names)} domains"
    )
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(-0.6, len(order) - 0.4)
    figure.legend(loc="outside lower center", ncols=min(4, len(labels) + 1), frameon=False)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {path} (--picture): {' '.join(str(error).split())[:200]}") from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m chameleon.compare", description="Weights of several files or methods side by side."
    )
    parser.add_argument("weights", type=Path, nargs="+", help="weights files, at least two")
    parser.add_argument(
        "--picture",
        type=directory,
        metavar="PNG",
        help="file for a picture, .png, .svg or .pdf (default: none). Give it to show them to others",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
