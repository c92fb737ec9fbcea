"""`python -m chameleon check weights.json --format F --file X`: what a trainer will make of a file."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.command_line import (
    Parser,
    nonnegative_int,
    positive_int,
    print_stderr,
    print_table,
    run_command,
)
from chameleon.common.errors import InputError
from chameleon.common.tables import display_name
from chameleon.export.budget import tokens_text
from chameleon.export.draws import (
    Counts,
    FileShares,
    draw,
    faults_of_numbers,
    shares_in_file,
    table_of_draws,
    undrawn_domains,
)
from chameleon.export.formats import FormatSpec, format_spec
from chameleon.export.mixture import TrainerSource, fact_number
from chameleon.export.options import add_budget_flags, add_limit_flags, add_source_flags, add_stage_flags
from chameleon.export.parse import ParsedFile
from chameleon.export.write import ExportPlan, asked_for, places
from chameleon.weights.domain_weights import DomainWeights

# Beyond so many epochs text has little more to give (Muennighoff et al. 2023).
MANY_EPOCHS = 4


FAULTY = 1


_MOST_SHOWN = 20


_MOST_DRAWS = 10**8


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command: 0 where the file does what was asked, 1 where it does not, 2 for bad input."""
    arguments = _parser().parse_args(argv)
    faults: list[str] = []

    def work() -> None:
        table, found = check(arguments)
        faults.extend(found)
        print_table(table, "the file was read")

    code = run_command(work, "nothing was written")
    return FAULTY if faults and code == 0 else code


def check(arguments: argparse.Namespace) -> tuple[str, list[str]]:
    """The table to print, and what is wrong.

    Raises:
        InputError: A file cannot be read, or lacks what is needed to understand it.
    """
    if arguments.draws > _MOST_DRAWS:
        raise InputError(f"expected --draws up to {_MOST_DRAWS:,}, got {arguments.draws:,}")
    row = format_spec(arguments.format)
    asked = asked_for(arguments, DomainWeights.read(arguments.weights))
    weights = asked.weights
    sources = places(arguments, weights.names)
    found = _found(arguments.file, row)
    read = shares_in_file(found.numbers, row, weights.names, weights.weights, sources)
    rows, are_all = _rows(arguments, read, found, sources)
    drawn = draw(np.append(read.numbers, read.elsewhere), rows, row.draws, arguments.seed)
    epochs = _epochs(weights, read)
    faults = [
        *found.problems,
        *read.problems,
        *faults_of_numbers(read, found, weights.names, weights.weights),
    ]
    faults += _faults_of_draws(row, found, read, weights.names, drawn, are_all)
    if epochs is not None:
        faults += _faults_of_epochs(row, found, weights, epochs)
    faults += _faults_of_stages(row, found, asked, sources)
    notes = _notes(found, asked, read, drawn, are_all, epochs)
    table = table_of_draws(weights, row, read, drawn, epochs)
    for notice in asked.notices:
        print_stderr(f"note: {notice}")
    return "\n".join([*table, *notes, *_listed(faults)]), faults


def _found(path: Path, row: FormatSpec) -> ParsedFile:
    try:
        return row.read(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot read {path} (--file): {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} (--file) is not UTF-8") from None
    except InputError as error:
        raise InputError(f"{path} ({row.trainer}): {error}") from None


def _rows(
    arguments: argparse.Namespace, read: FileShares, found: ParsedFile, sources: dict[str, TrainerSource]
) -> tuple[int, bool]:
    """Rows to draw, and whether they are all that the run will draw, so far as that is known."""
    lengths = [source.tokens_per_row for source in sources.values()]
    all_rows = found.epoch_size
    if arguments.budget is not None and None not in lengths:
        mean = float((read.numbers * np.array(lengths, dtype=np.float64)).sum() / read.numbers.sum())
        all_rows = max(1, round(arguments.budget / mean))
    if all_rows is None:
        return arguments.draws, False
    return min(all_rows, arguments.draws), all_rows <= arguments.draws


def _epochs(weights: DomainWeights, read: FileShares) -> Array | None:
    """(k,) how often each domain is seen, where tokens at hand and to train on are known."""
    budget = fact_number(weights.settings, "budget", "settings")
    at_hand = [
        fact_number(weights.domains[name], "tokens_at_hand", f"domain {name}") for name in weights.names
    ]
    if budget is None or None in at_hand:
        return None
    return read.shares * budget / np.array(at_hand, dtype=np.float64)


def _faults_of_draws(
    row: FormatSpec, found: ParsedFile, read: FileShares, names: Sequence[str], drawn: Counts, are_all: bool
) -> list[str]:
    never = undrawn_domains(read.numbers, row.draws)
    faults = [
        f"{name}: never drawn; its share is too small for blocks of 2048 sequences"
        for name, is_so in zip(names, never, strict=True)
        if is_so
    ]
    if are_all:
        faults += [
            f"{name}: none of the {int(drawn.sum()):,} rows of the run is of it; its share is too small"
            for i, name in enumerate(names)
            if read.numbers[i] > 0 and drawn[i] == 0 and not never[i]
        ]
    if found.stopping == "all_exhausted_without_replacement":
        faults.append("the run ends with other shares: domains that are used up are no longer drawn")
    return faults


def _faults_of_epochs(row: FormatSpec, found: ParsedFile, weights: DomainWeights, epochs: Array) -> list[str]:
    """What happens where domains are used up."""
    faults = []
    budget = float(weights.settings["budget"])
    stops = row.at_end == "stops" or found.stopping == "first_exhausted"
    first = int(np.argmax(epochs))
    if stops and epochs[first] > 1:
        faults.append(
            f"the run stops after {tokens_text(budget / epochs[first])} tokens, when {weights.names[first]} "
            f"is used up; the budget is {tokens_text(budget)}"
        )
    for name, times in zip(weights.names, epochs.tolist(), strict=True):
        bound = None if found.repetition is None else found.repetition.get(name)
        if bound is not None and times > bound * (1 + 1e-9):
            faults.append(
                f"{name} would be seen {times:.2f} times, but the file allows {bound:g}: the trainer stops "
                "with insufficient tokens"
            )
        elif not stops and times > MANY_EPOCHS:
            faults.append(f"{name} is seen {times:.1f} times; cap it by export's --max_epochs")
    return faults


def _faults_of_stages(
    row: FormatSpec, found: ParsedFile, asked: ExportPlan, sources: dict[str, TrainerSource]
) -> list[str]:
    """What is wrong with the stages after the first, against those that are asked for if any are."""
    names = asked.weights.names
    faults = []
    if asked.later and [step for step, _ in found.stages] != [step for step, _ in asked.later]:
        steps = ", ".join(str(step) for step, _ in found.stages) or "none"
        faults.append(f"stages were asked for at step {asked.later[0].step}; the file has {steps}")
    for number, (step, numbers) in enumerate(found.stages):
        later = asked.later[number].weights if number < len(asked.later) else None
        weights = (
            np.zeros(len(names)) if later is None else np.array([later.by_name()[name] for name in names])
        )
        read = shares_in_file(numbers, row, names, weights, sources)
        further = [*read.problems]
        if later is not None:
            further += faults_of_numbers(read, ParsedFile(numbers), names, weights)
        faults += [f"from step {step} on: {fault}" for fault in further]
    return faults


def _notes(
    found: ParsedFile, asked: ExportPlan, read: FileShares, drawn: Counts, are_all: bool, epochs: Array | None
) -> list[str]:
    """What else there is to know."""
    notes = []
    names = asked.weights.names
    unseen = [name for i, name in enumerate(names) if read.numbers[i] > 0 and drawn[i] == 0]
    if unseen and not are_all:
        more = f" and {len(unseen) - 3:,} more" if len(unseen) > 3 else ""
        notes.append(
            f"unseen     {', '.join(map(display_name, unseen[:3]))}{more} in these draws; see --draws"
        )
    if found.stopping == "all_exhausted" and epochs is not None and (least := epochs[epochs > 0].min()) > 1:
        tokens = tokens_text(float(asked.weights.settings["budget"]) / float(least))
        notes.append(f"one pass   {tokens} tokens; then all was seen, and the trainer begins anew or ends")
    if found.stages and not asked.later:
        steps = ", ".join(str(step) for step, _ in found.stages)
        notes.append(f"stages     at step {steps}, held against nothing: give --then and --at")
    return notes


def _listed(faults: Sequence[str]) -> list[str]:
    if not faults:
        return ["problems   none"]
    lines = [f"problem    {fault}" for fault in faults[:_MOST_SHOWN]]
    more = len(faults) - _MOST_SHOWN
    return [*lines, f"problems   {more:,} more like these"] if more > 0 else lines


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m chameleon check",
        description="Read a trainer's file back, draw as the trainer draws, and say what it will see.",
    )
    parser.add_argument("weights", type=Path, help="weights file")
    group = parser.add_argument_group("what is checked")
    group.add_argument(
        "--format",
        required=True,
        metavar="F",
        help="as of python -m chameleon export. Change it with the trainer",
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
        type=positive_int,
        default=100_000,
        help="rows to draw at most (default: 100000). Raise it for domains of tiny weight",
    )
    group.add_argument(
        "--seed",
        type=nonnegative_int,
        default=0,
        help="of random draws (default: 0). Change it to see how far they vary",
    )
    add_source_flags(group)
    add_stage_flags(parser.add_argument_group("two stages in one, as given to export"))
    limits = parser.add_argument_group("tokens at hand, as given to export")
    add_budget_flags(limits)
    add_limit_flags(limits)
    return parser
