"""Measures models on the held-out documents of each domain. See docs/guide/evaluation.md.

python -m chameleon evaluate checkpoints/BASE-82M checkpoints/tuned --dataset my_corpus
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from chameleon.common.command_line import (
    Parser,
    nonempty,
    nonempty_path,
    note,
    print_json,
    print_stderr,
    print_table,
    run_command,
)
from chameleon.common.flags import add_flags
from chameleon.training.evaluation.options import DEFAULT_EVALUATION_FILE, EVALUATION_FLAGS, EvaluationOptions


def build_parser() -> argparse.ArgumentParser:
    """The parser, with flags grouped by topic."""
    parser = Parser(
        prog="python -m chameleon evaluate",
        description="Measure the loss of causal language models on documents of each domain that were held "
        "out of training.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "checkpoints", nargs="+", type=nonempty, metavar="CHECKPOINT", help="directories or hub ids"
    )
    result = parser.add_argument_group("result")
    result.add_argument(
        "--output",
        type=nonempty,
        default=DEFAULT_EVALUATION_FILE,
        metavar="FILE",
        help="JSON file of the figures; - writes them to stdout, the table to stderr (default: %(default)s)",
    )
    result.add_argument(
        "--picture",
        type=nonempty_path,
        metavar="FILE",
        help="picture file: .png, .svg or .pdf (default: beside --output, as .png)",
    )
    add_flags(parser, EvaluationOptions, EVALUATION_FLAGS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 2 for bad input or 130 for an interrupt."""
    arguments = vars(build_parser().parse_args(argv))
    output, picture = arguments.pop("output"), arguments.pop("picture")
    if picture is None and output != "-":
        picture = Path(f"{output.removesuffix('.json')}.png")
    options = EvaluationOptions(**{**arguments, "checkpoints": tuple(arguments["checkpoints"])})
    return run_command(partial(_run, options, output, picture), "packed text is kept")


def _run(options: EvaluationOptions, output: str, picture: Path | None) -> None:
    from chameleon.common.figures import require_picture_name
    from chameleon.common.files import check_writable, write_atomically
    from chameleon.training.evaluation.evaluate import evaluate
    from chameleon.training.evaluation.report import draw_evaluation, render_evaluation

    if picture is not None:
        require_picture_name(picture)
    for path in (None if output == "-" else Path(output), picture):
        if path is not None:
            check_writable(path)
    evaluation = evaluate(options, notify=note)
    text = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if output == "-":
        print_json(text)
        print_stderr(render_evaluation(evaluation, "stdout"))
    else:
        write_atomically(Path(output), text.encode())
    if picture is not None:
        draw_evaluation(evaluation, picture)
    if output != "-":
        table = render_evaluation(evaluation, f"{output} (picture: {picture})")
        print_table(table, f"the figures are in {output}")
