"""The command `python -m chameleon methods`: weights by other methods, one at a time or all in a table.

python -m chameleon methods doge --dataset my_corpus --output weights_doge.json
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from chameleon.common.command_line import note, print_json, print_stderr, print_table, run_command
from chameleon.common.figures import require_picture_name
from chameleon.methods.options import build_parser, options_from


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 2 for bad input or 130 for an interrupt."""
    arguments = build_parser().parse_args(argv)
    work = _run_all if arguments.method == "all" else _run
    return run_command(
        partial(work, arguments), "trained models and runs are kept: repeat the command to resume"
    )


def _run(arguments: argparse.Namespace) -> None:
    from chameleon.common.files import check_writable
    from chameleon.methods.run import FUNCTIONS
    from chameleon.methods.table import render_method

    options, method = options_from(vars(arguments)), arguments.method
    output = arguments.output or f"weights_{method}.json"
    path = None if output == "-" else Path(output)
    picture = _picture(arguments, path)
    for each in (path, picture):
        if each is not None:
            check_writable(each)
    weights, draw = FUNCTIONS[method](options, note)
    if path is not None:
        weights.write(path)
    if draw is not None and picture is not None:
        draw(picture)
    table = render_method(weights, "stdout" if path is None else output, picture)
    if path is None:
        print_json(weights.to_json())
        print_stderr(table)
    else:
        print_table(table, f"the weights are in {output}")


def _run_all(arguments: argparse.Namespace) -> None:
    from chameleon.common.files import check_writable
    from chameleon.methods.run import run_all
    from chameleon.weights.domain_weights import DomainWeights

    options, directory = options_from(vars(arguments)), Path(arguments.output_dir)
    picture = _picture(arguments, directory / "weights")
    assert picture is not None
    check_writable(picture)
    beside = [(path.stem, DomainWeights.read(path)) for path in arguments.beside]
    table = run_all(options, beside, picture, note)
    print_table(table, f"the weights are in {directory}")


def _picture(arguments: argparse.Namespace, weights: Path | None) -> Path | None:
    """Where the picture goes, by default next to the weights; None where there is none."""
    if not hasattr(arguments, "picture") or (arguments.picture is None and weights is None):
        return None
    picture: Path = arguments.picture or Path(f"{str(weights).removesuffix('.json')}.png")
    require_picture_name(picture)
    return picture
