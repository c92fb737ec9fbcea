"""`python -m chameleon compare A.json B.json ...`: weights of several files side by side."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from chameleon.common.command_line import Parser, nonempty_path, print_stderr, print_table, run_command
from chameleon.common.errors import InputError
from chameleon.common.figures import require_picture_name
from chameleon.common.files import check_writable


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    return run_command(lambda: _compare(arguments.weights, arguments.picture), "nothing was written")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m chameleon compare", description="Print weights of several files side by side."
    )
    parser.add_argument("weights", type=Path, nargs="+", help="weights files, at least two")
    parser.add_argument(
        "--picture",
        type=nonempty_path,
        metavar="PNG",
        help="picture to write: a .png, .svg or .pdf file (default: none)",
    )
    return parser


def _compare(paths: Sequence[Path], picture: Path | None) -> None:
    from chameleon.report.side_by_side import aligned, draw, labels_of, render
    from chameleon.weights.domain_weights import DomainWeights

    if len(paths) < 2:
        raise InputError("compare takes at least two weights files")
    if picture is not None:
        require_picture_name(picture)
        check_writable(picture)
    files = [DomainWeights.read(path) for path in paths]
    labels, table = labels_of(paths, files), aligned(files)
    print_table(render(labels, table), "nothing was written")
    if picture is not None:
        draw(labels, table, picture)
        print_stderr(f"picture: {picture}")
