"""`python -m chameleon.check weights.json --format F --file X`: what a trainer will make of a file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chameleon.argument_types import count, whole
from chameleon.budget import shown_tokens
from chameleon.command_line import Parser, carry_out, print_table
from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError
from chameleon.export.draws import Array, Counts, Read, draw, faults_of_numbers, understood
from chameleon.export.flags import counts_of, limited, places
from chameleon.export.formats import Format, format_named
from chameleon.export.reading import Found
from chameleon.export_flags import add_count_flags, add_limit_flags, add_place_flags
from chameleon.table import shown_name

# Beyond so many epochs text has little more to give (Muennighoff et al. 2023).
MANY_EPOCHS = 4
FAULTY = 1
_MOST_SHOWN = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command: 0 where the file does what was asked, 1 where it does not, 2 for bad input."""
    arguments = _parser().parse_args(argv)
    faults: list[str] = []

    def work() -> None:
        table, found = check(arguments)
        faults.extend(found)
        print_table(table, "the file was read")

    code = carry_out(work, "nothing was written")
    return FAULTY if faults and code == 0 else code


def check(arguments: argparse.Namespace) -> tuple[str, list[str]]:
    """The table to print, and what is wrong.

    Raises:
        InputError: A file cannot be read, or lacks what is needed to understand it.
    """
    row = format_named(arguments.format)
    weights, _ = limited(arguments, DomainWeights.read(arguments.weights))
    sources = places(arguments, weights.names)
    counts, _ = counts_of(arguments, weights)
    try:
        found = row.read(arguments.file.read_bytes().decode())
    except OSError as error:
        raise InputError(f"cannot read {arguments.file} (--file): {error.strerror}") from None
    except InputError as error:
        raise InputError(f"{arguments.file} ({row.trainer}): {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{arguments.file} (--file) is not UTF-8") from None
    asked = weights.weights
    read = understood(found.numbers, row, weights.names, asked, sources)
    rows = _rows(arguments, read, found)
    drawn = draw(read.numbers, rows, row.draws, arguments.seed)
    at_hand = None if counts is None else np.array([counts[name] for name in weights.names])
    epochs = None
    if arguments.budget is not None and at_hand is not None:
        epochs = read.shares * arguments.budget / at_hand
    faults = [*found.problems, *read.problems, *faults_of_numbers(read, found, weights.names, asked)]
    faults += _faults_of_draws(found, read, weights.names, drawn)
    faults += _faults_of_epochs(arguments.budget, row, found, read, weights.names, epochs, at_hand)
    table = _table(weights, row, read, drawn, epochs, faults)
    if found.stages:
        steps = ", ".join(str(step) for step, _ in found.stages)
        table += (
            f"\nstages     {len(found.stages) + 1}; the first is checked, those from step {steps} on are not"
        )
    return table, faults


def _rows(arguments: argparse.Namespace, read: Read, found: Found) -> int:
    """Rows to draw: those of the budget, as far as draws are simulated."""
    if arguments.budget is None or bool((read.lengths == 1).all()):
        return int(min(arguments.draws, found.epoch_size or arguments.draws))
    return int(max(1, min(arguments.draws, arguments.budget / float((read.numbers * read.lengths).sum()))))


def _faults_of_draws(found: Found, read: Read, names: tuple[str, ...], drawn: Counts) -> list[str]:
    faults = [
        f"{name}: none of {int(drawn.sum()):,} rows is of it; its weight is too small to be drawn"
        for i, name in enumerate(names)
        if read.numbers[i] > 0 and drawn[i] == 0
    ]
    if found.stopping == "all_exhausted_without_replacement":
        faults.append("the run ends with other shares: domains that are used up are no longer drawn")
    return faults


def _faults_of_epochs(
    budget: float | None,
    row: Format,
    found: Found,
    read: Read,
    names: tuple[str, ...],
    epochs: Array | None,
    at_hand: Array | None,
) -> list[str]:
    """What happens where domains are used up."""
    if epochs is None or at_hand is None or budget is None:
        return []
    faults = []
    stops = row.at_end == "stops" or found.stopping == "first_exhausted"
    first = int(np.argmax(epochs))
    if stops and epochs[first] > 1:
        faults.append(
            f"the run stops after {shown_tokens(budget / epochs[first])} tokens, when {names[first]} is "
            f"used up; the budget is {shown_tokens(budget)}"
        )
    for i, name in enumerate(names):
        bound = None if found.repetition is None else found.repetition.get(name)
        if bound is not None and epochs[i] > bound * (1 + 1e-9):
            faults.append(
                f"{name} would be seen {epochs[i]:.2f} times, but max_repetition_ratio is {bound:g}: the "
                "trainer stops with insufficient tokens"
            )
        elif not stops and epochs[i] > MANY_EPOCHS:
            faults.append(f"{name} is seen {epochs[i]:.1f} times; cap it by export's --max_epochs")
    return faults


def _table(
    weights: DomainWeights,
    row: Format,
    read: Read,
    drawn: Counts,
    epochs: Array | None,
    faults: Sequence[str],
) -> str:
    tokens = drawn * read.lengths
    achieved = tokens / tokens.sum()
    width = max(6, *(len(shown_name(name)) for name in weights.names))
    lines = [
        f"Shares of tokens with {row.trainer}",
        "",
        f"{'domain':<{width}}   asked    file   drawn" + ("   epochs" if epochs is not None else ""),
    ]
    for i, name in enumerate(weights.names):
        shares = (weights.weights[i], read.shares[i], achieved[i])
        line = f"{shown_name(name):<{width}}  " + "  ".join(f"{each:6.4f}" for each in shares)
        lines.append(line + (f"  {epochs[i]:7.2f}" if epochs is not None else ""))
    distance = float(np.abs(achieved - weights.weights).sum() / 2)
    what = "rows" if row.counts == "rows" else "sequences"
    lines += [
        "",
        f"drawn      {int(drawn.sum()):,} {what}; {distance:.4f} of the tokens are of another domain "
        "than asked",
    ]
    lines += [f"problem    {fault}" for fault in faults[:_MOST_SHOWN]] or ["problems   none"]
    if len(faults) > _MOST_SHOWN:
        lines.append(f"problems   {len(faults) - _MOST_SHOWN:,} more like these")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m chameleon.check",
        description="Read a trainer's file back, draw as the trainer draws, and say what it will see.",
    )
    parser.add_argument("weights", type=Path, help="weights file")
    group = parser.add_argument_group("what is checked")
    group.add_argument(
        "--format",
        required=True,
        metavar="F",
        help="as of python -m chameleon.export. Change it with the trainer",
    )
    group.add_argument(
        "--file",
        type=Path,
        required=True,
        metavar="X",
        help="the trainer's file. Give it written by export or by hand",
    )
    group.add_argument(
        "--draws",
        type=whole,
        default=100_000,
        help="rows to draw at most (default: 100000). Raise it for domains of tiny weight",
    )
    group.add_argument(
        "--seed",
        type=count,
        default=0,
        help="of random draws (default: 0). Change it to see how far they vary",
    )
    add_place_flags(group)
    limits = parser.add_argument_group("tokens at hand, as given to export")
    add_count_flags(limits)
    add_limit_flags(limits)
    return parser


if __name__ == "__main__":
    sys.exit(main())
