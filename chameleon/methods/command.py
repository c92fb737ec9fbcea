"""Weights by other methods, beside CHAMELEON's. See README.md.

python -m chameleon methods doge --dataset my_corpus --output weights_doge.json
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from chameleon.common.command_line import note, print_json, print_stderr, print_table, run_command
from chameleon.common.errors import InputError
from chameleon.embeddings.options import require_workers
from chameleon.methods.options import MethodOptions, build_parser, options_from

_PICTURES = (".png", ".svg", ".pdf")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 2 for bad input or 130 for an interrupt."""
    arguments = build_parser().parse_args(argv)
    work = _run_all if arguments.method == "all" else _run
    return run_command(
        partial(work, arguments), "models and runs that are trained are kept: give the command again"
    )


def _run(arguments: argparse.Namespace) -> None:
    from chameleon.common.files import check_writable
    from chameleon.methods.output import render_method
    from chameleon.methods.run import run

    options, method = _options(arguments), arguments.method
    output = arguments.output or f"weights_{method}.json"
    picture = _picture(arguments, None if output == "-" else Path(output))
    for path in (None if output == "-" else Path(output), picture):
        if path is not None:
            check_writable(path)
    outcome = run(method, options, note)
    weights = outcome.weights
    if output != "-":
        weights.write(output)
    drawn = picture if picture is not None and outcome.draw is not None else None
    if drawn is not None and outcome.draw is not None:
        outcome.draw(drawn)
    shown = None if drawn is None else str(drawn)
    if output == "-":
        print_json(weights.to_json())
        print_stderr(render_method(weights, "stdout", shown))
    else:
        print_table(render_method(weights, output, shown), f"the weights are in {output}")


def _run_all(arguments: argparse.Namespace) -> None:
    from chameleon.common.files import check_writable
    from chameleon.methods.run import run_all
    from chameleon.weights.domain_weights import DomainWeights

    options, directory = _options(arguments), Path(arguments.output_dir)
    picture = _picture(arguments, directory / "weights")
    assert picture is not None
    check_writable(picture)
    beside = [(path.stem, DomainWeights.read(path)) for path in arguments.beside]
    table = run_all(options, beside, directory, picture, note)
    print_table(table, f"the weights are in {directory}")


def _options(arguments: argparse.Namespace) -> MethodOptions:
    given = vars(arguments)
    if "engine" in given:
        names = ("num_workers", "ray_address", "num_gpus_per_worker")
        require_workers(given["engine"], {name: given[name] for name in names})
    return options_from(given)


def _picture(arguments: argparse.Namespace, beside: Path | None) -> Path | None:
    given: Path | None = getattr(arguments, "picture", None)
    if not hasattr(arguments, "picture") or (given is None and beside is None):
        return None
    picture = given or Path(f"{str(beside).removesuffix('.json')}.png")
    if picture.suffix not in _PICTURES:
        raise InputError(f"expected a picture's name to end in .png, .svg or .pdf, got {picture}")
    return picture
