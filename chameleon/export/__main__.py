"""`python -m chameleon.export weights.json --format F`: weights as a trainer takes them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chameleon.argument_types import count, directory
from chameleon.command_line import Parser, carry_out, tell
from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError
from chameleon.export.exporting import export_to
from chameleon.export.flags import limited, places
from chameleon.export.formats import FORMATS, format_named
from chameleon.export.mixture import Stage
from chameleon.export.table import render_limits
from chameleon.export_flags import add_count_flags, add_limit_flags, add_place_flags


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    return carry_out(lambda: _export(arguments), "nothing was written")


def _export(arguments: argparse.Namespace) -> None:
    row = format_named(arguments.format)
    weights, notices = limited(arguments, DomainWeights.read(arguments.weights))
    for notice in notices:
        tell(f"note: {notice}")
    stages = _further(arguments, weights, row.takes_stages)
    sources = places(arguments, weights.names)
    if table := render_limits(weights):
        tell(table)
    output = None if str(arguments.output) == "-" else arguments.output
    if output is not None and output.resolve() in (
        arguments.weights.resolve(),
        arguments.then and arguments.then.resolve(),
    ):
        raise InputError(f"--output {output} is a weights file to read; give another")
    export_to(weights, arguments.format, sources, output, arguments.seed, stages, tell)


def _further(arguments: argparse.Namespace, weights: DomainWeights, takes_stages: bool) -> list[Stage]:
    """The stage that `--then` asks for."""
    if (arguments.then is None) != (arguments.at is None):
        raise InputError("--then and --at belong together: the weights to go over to, and the step")
    if arguments.then is None:
        return []
    if not takes_stages:
        takers = ", ".join(name for name, row in FORMATS.items() if row.takes_stages)
        raise InputError(f"{arguments.format} takes no schedule (--then); these do: {takers}")
    if arguments.at < 1:
        raise InputError("--at 0 leaves nothing of the first stage; give a step of at least 1")
    later, notices = limited(arguments, DomainWeights.read(arguments.then))
    for notice in notices:
        tell(f"note: {notice}")
    if set(later.names) != set(weights.names):
        raise InputError(
            f"{arguments.then} has weights for {', '.join(later.names)[:300]}, {arguments.weights} for "
            f"{', '.join(weights.names)[:300]}; both must be of the same domains"
        )
    by_name = later.by_name()
    return [Stage(arguments.at, np.array([by_name[name] for name in weights.names]))]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m chameleon.export",
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
        type=directory,
        default=Path("-"),
        metavar="PATH",
        help="file to write (default: -, standard output). Give it to keep a file; where the format has no "
        "comments, <file>.weights.json beside it says where it came from",
    )
    group.add_argument(
        "--seed",
        type=count,
        default=0,
        help="of the trainer's draws (default: 0). Change it with the run's own",
    )
    add_place_flags(group)
    stages = parser.add_argument_group("two stages in one")
    stages.add_argument(
        "--then",
        type=directory,
        metavar="FILE",
        help="weights file to go over to, such as that of --mode finetune (default: none). Give it for "
        "trainers that take a schedule",
    )
    stages.add_argument(
        "--at",
        type=count,
        metavar="STEP",
        help="training step at which that is (default: none). Give it with --then",
    )
    limits = parser.add_argument_group("tokens at hand")
    add_count_flags(limits)
    add_limit_flags(limits)
    return parser


if __name__ == "__main__":
    sys.exit(main())
