"""`python -m chameleon export weights.json --format F`: weights as a trainer takes them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from chameleon.common.command_line import Parser, nonempty_path, nonnegative_int, print_stderr, run_command
from chameleon.common.errors import InputError
from chameleon.export.formats import FORMATS, format_spec
from chameleon.export.options import add_budget_flags, add_limit_flags, add_source_flags, add_stage_flags
from chameleon.export.write import asked_for, export_to, places
from chameleon.weights.domain_weights import DomainWeights


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    return run_command(lambda: _export(arguments), "nothing was written")


def _export(arguments: argparse.Namespace) -> None:
    row = format_spec(arguments.format)
    if arguments.then is not None and not row.takes_stages:
        takers = ", ".join(name for name, row in FORMATS.items() if row.takes_stages)
        raise InputError(f"{arguments.format} takes no schedule (--then); these do: {takers}")
    asked = asked_for(arguments, DomainWeights.read(arguments.weights))
    sources = places(arguments, asked.weights.names)
    output = None if str(arguments.output) == "-" else arguments.output
    per_row = None if arguments.tokens_per_row is None else Path(arguments.tokens_per_row)
    inputs = (arguments.weights, arguments.then, arguments.sources, arguments.token_counts, per_row)
    export_to(asked, arguments.format, sources, output, arguments.seed, inputs, print_stderr)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m chameleon export",
        description="Write weights as a trainer takes them: its units, its order, the keys that it needs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="formats:\n" + "\n".join(f"  {name:<18}{row.trainer}" for name, row in FORMATS.items()),
    )
    parser.add_argument("weights", type=Path, help="weights file")
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--format", required=True, metavar="F", help="one of the formats below. Change it with the trainer"
    )
    group.add_argument(
        "--output",
        type=nonempty_path,
        default=Path("-"),
        metavar="PATH",
        help="file to write (default: -, standard output). Give it to keep a file; where the format has no "
        "comments, <file>.weights.json beside it says where it came from",
    )
    group.add_argument(
        "--seed",
        type=nonnegative_int,
        default=0,
        help="of the trainer's draws (default: 0). Change it with the run's own",
    )
    add_source_flags(group)
    add_stage_flags(parser.add_argument_group("two stages in one"))
    limits = parser.add_argument_group("tokens at hand")
    add_budget_flags(limits)
    add_limit_flags(limits)
    return parser
