"""`python -m chameleon check weights.json --format F --file X`: what a trainer will draw by a file."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from chameleon.common.command_line import Parser, note, positive_int, print_table, run_command
from chameleon.common.flags import add_flags
from chameleon.export.options import REQUEST_FLAGS, ExportRequest

HAS_PROBLEMS = 1  # exit code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 where the file does what was requested, 1 where it does not, 2 for bad input."""
    arguments = vars(_parser().parse_args(argv))
    weights_file, file, draws = (arguments.pop(key) for key in ("weights", "file", "draws"))
    problems: list[str] = []

    def work() -> None:
        from chameleon.export.checked_file import check_file
        from chameleon.export.problems import find_problems
        from chameleon.export.tables import render_check
        from chameleon.weights.domain_weights import DomainWeights

        checked = check_file(ExportRequest(**arguments), DomainWeights.read(weights_file), file, draws)
        problems.extend(find_problems(checked))
        for each in checked.plan.notes:
            note(each)
        print_table(render_check(checked, problems), "the file was read")

    code = run_command(work, "nothing was written")
    return HAS_PROBLEMS if problems and code == 0 else code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m chameleon check",
        description="Read a trainer's file back, draw as the trainer draws, and report what it will see.",
    )
    parser.add_argument("weights", type=Path, help="weights file")
    add_flags(parser, ExportRequest, REQUEST_FLAGS)
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
