"""`python -m chameleon export weights.json --format F`: weights in a trainer's format."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from chameleon.common.command_line import Parser, nonempty_path, print_stderr, run_command
from chameleon.common.errors import InputError
from chameleon.common.flags import add_flags
from chameleon.export.formats import FORMATS, format_spec
from chameleon.export.options import REQUEST_FLAGS, ExportRequest


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = vars(_parser().parse_args(argv))
    weights_file, output = arguments.pop("weights"), arguments.pop("output")
    return run_command(
        lambda: _export(ExportRequest(**arguments), weights_file, output), "nothing was written"
    )


def _export(request: ExportRequest, weights_file: Path, output: Path) -> None:
    from chameleon.export.plan import plan_export
    from chameleon.export.write import write_export
    from chameleon.weights.domain_weights import DomainWeights

    if request.then is not None and not format_spec(request.format).takes_stages:
        takers = ", ".join(name for name, spec in FORMATS.items() if spec.takes_stages)
        raise InputError(f"{request.format} takes no schedule (--then); these do: {takers}")
    plan = plan_export(request, DomainWeights.read(weights_file))
    inputs = [weights_file, *request.input_files]
    write_export(plan, None if str(output) == "-" else output, inputs, print_stderr)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m chameleon export",
        description="Write weights in a trainer's format: its units, its order, the keys that it needs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="formats:\n" + "\n".join(f"  {name:<18}{spec.trainer}" for name, spec in FORMATS.items()),
    )
    parser.add_argument("weights", type=Path, help="weights file")
    add_flags(parser, ExportRequest, REQUEST_FLAGS)
    parser.add_argument_group("result").add_argument(
        "--output",
        type=nonempty_path,
        default=Path("-"),
        metavar="PATH",
        help="file to write (default: -, standard output); for a format without comments, "
        "<file>.weights.json beside it says where it is from",
    )
    return parser
