"""`python -m chameleon check weights.json --format F --file X`: what a trainer will draw by a file."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chameleon.common.command_line import Parser, positive_int, print_stderr, print_table, run_command
from chameleon.common.errors import InputError
from chameleon.common.tables import (
    ALL_SHOWN,
    Column,
    describe_hidden_rows,
    display_name,
    format_share,
    heaviest_first,
    listed,
    rows_to_show,
    share_decimals,
    table_lines,
)
from chameleon.export.budget import format_tokens
from chameleon.export.draws import draw
from chameleon.export.file_shares import shares_in_file
from chameleon.export.options import ExportRequest, add_request_flags
from chameleon.export.parse import read_text
from chameleon.export.plan import plan_export
from chameleon.export.problems import CheckedFile, find_problems
from chameleon.weights.domain_weights import DomainWeights

HAS_PROBLEMS = 1  # exit code

_MOST_PROBLEMS = 20
_MOST_DRAWS = 10**8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 where the file does what was requested, 1 where it does not, 2 for bad input."""
    arguments = vars(_parser().parse_args(argv))
    weights_file, file, draws = (arguments.pop(key) for key in ("weights", "file", "draws"))
    problems: list[str] = []

    def work() -> None:
        checked = check(ExportRequest(**arguments), DomainWeights.read(weights_file), file, draws)
        problems.extend(find_problems(checked))
        lines = [*_table(checked), *_notes(checked), *_problem_lines(problems)]
        for note in checked.plan.notes:
            print_stderr(f"note: {note}")
        print_table("\n".join(lines), "the file was read")

    code = run_command(work, "nothing was written")
    return HAS_PROBLEMS if problems and code == 0 else code


def check(request: ExportRequest, weights: DomainWeights, path: Path, draws: int) -> CheckedFile:
    """Read a trainer's file and draw at most so many rows by it, as its trainer draws.

    Raises:
        InputError: A file cannot be read, or something needed to understand it is missing.
    """
    if draws > _MOST_DRAWS:
        raise InputError(f"expected --draws up to {_MOST_DRAWS:,}, got {draws:,}")
    plan = plan_export(request, weights)
    text = read_text(path, "--file")
    try:
        parsed = plan.spec.read(text)
    except InputError as error:
        raise InputError(f"{path} ({plan.spec.trainer}): {error}") from None
    read = shares_in_file(parsed.numbers, plan.spec, plan.weights.names, plan.weights.weights, plan.sources)
    rows = parsed.epoch_size
    lengths = [source.tokens_per_row for source in plan.sources.values()]
    if request.budget is not None and None not in lengths:
        mean = float((read.numbers * np.array(lengths, dtype=np.float64)).sum() / read.numbers.sum())
        rows = max(1, round(request.budget / mean))
    is_whole_run = rows is not None and rows <= draws
    drawn = draw(
        np.append(read.numbers, read.elsewhere),
        rows if rows is not None and is_whole_run else draws,
        plan.spec.draws,
        request.seed,
    )
    return CheckedFile(plan, parsed, read, drawn, is_whole_run)


def _table(checked: CheckedFile) -> list[str]:
    """Shares requested, in the file and drawn; of very many domains the heaviest and the lightest."""
    weights, read, spec = checked.plan.weights, checked.read, checked.plan.spec
    k, decimals = len(weights.names), share_decimals(len(weights.names))
    requested = np.append(weights.weights, 0.0)
    in_file = np.append(read.shares, 1 - read.shares.sum())
    tokens = checked.drawn * np.append(read.lengths, read.mean_length)
    drawn = tokens / tokens.sum()
    order = list(range(k)) if k <= ALL_SHOWN else heaviest_first(weights.names, weights.weights)
    ends = rows_to_show(order)
    rows = [*(i for i in ends if i is not None), *([k] if read.elsewhere else [])]
    columns = [
        Column("domain", [display_name((*weights.names, "(others)")[i]) for i in rows], is_text=True),
        *(
            Column(title, [format_share(float(shares[i]), decimals) for i in rows])
            for title, shares in (("weight", requested), ("file", in_file), ("drawn", drawn))
        ),
    ]
    if checked.epochs is not None:
        epochs = checked.epochs
        columns.append(Column("epochs", [f"{epochs[i]:.2f}" if i < k else "" for i in rows]))
    lines = table_lines(columns)
    if None in ends:
        lines.insert(1 + ends.index(None), describe_hidden_rows(order, weights.weights))
    distance = float(np.abs(drawn - requested).sum() / 2)
    what = "rows" if spec.counts == "rows" else "sequences"
    return [
        f"Shares of tokens with {spec.trainer}",
        "",
        *lines,
        "",
        f"drawn      {int(checked.drawn.sum()):,} {what}; {distance:.4f} of the tokens are of another domain "
        "than requested",
    ]


def _notes(checked: CheckedFile) -> list[str]:
    """Lines on what is worth knowing but no problem."""
    notes = []
    parsed, epochs = checked.parsed, checked.epochs
    unseen = [
        display_name(name)
        for i, name in enumerate(checked.plan.weights.names)
        if checked.read.numbers[i] > 0 and checked.drawn[i] == 0
    ]
    if unseen and not checked.is_whole_run:
        notes.append(f"unseen     {listed(unseen, 3)} in these draws; see --draws")
    if parsed.strategy == "all_exhausted" and epochs is not None and checked.budget is not None:
        least = float(epochs[epochs > 0].min())
        if least > 1:
            tokens = format_tokens(checked.budget / least)
            notes.append(
                f"one pass   {tokens} tokens; by then all was seen, and the trainer restarts or ends"
            )
    if parsed.stages and not checked.plan.later:
        steps = ", ".join(str(step) for step, _ in parsed.stages)
        notes.append(f"stages     at step {steps}, compared with nothing: give --then and --at")
    return notes


def _problem_lines(problems: Sequence[str]) -> list[str]:
    if not problems:
        return ["problems   none"]
    lines = [f"problem    {problem}" for problem in problems[:_MOST_PROBLEMS]]
    more = len(problems) - _MOST_PROBLEMS
    return [*lines, f"problems   {more:,} more like these"] if more > 0 else lines


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m chameleon check",
        description="Read a trainer's file back, draw as the trainer draws, and report what it will see.",
    )
    add_request_flags(parser)
    group = parser.add_argument_group("check")
    group.add_argument(
        "--file",
        type=Path,
        required=True,
        metavar="X",
        help="the trainer's file, written by export or by hand",
    )
    group.add_argument(
        "--draws",
        type=positive_int,
        default=100_000,
        help="rows to draw at most (default: 100000); domains of tiny weight need more",
    )
    return parser
