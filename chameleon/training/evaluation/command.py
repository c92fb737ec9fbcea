"""Measures models on the held-out documents of each domain. See README.md.

python -m chameleon evaluate checkpoints/BASE-82M checkpoints/tuned --dataset my_corpus
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from chameleon.common.command_line import (
    Parser,
    fraction,
    nonempty,
    nonempty_path,
    note,
    positive_int,
    print_json,
    print_stderr,
    print_table,
    run_command,
)
from chameleon.common.errors import InputError
from chameleon.proxy.options import add_dtype_flag, add_trust_flag
from chameleon.text.options import DEFAULT_DATASET, DEFAULT_SAMPLE_LENGTH, add_domains_flag, add_reading_flags
from chameleon.training.options import (
    DEFAULT_MAX_TOKENS,
    DEFAULT_OUTPUT,
    EvaluationOptions,
    add_packed_dir_flag,
)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m chameleon evaluate",
        description="Measure causal language models on the documents of each domain that no training saw.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "checkpoints", nargs="+", type=nonempty, metavar="CHECKPOINT", help="directories or hub ids"
    )
    _add_result_flags(parser)
    _add_text_flags(parser)
    _add_machine_flags(parser)
    add_reading_flags(parser)
    return parser


def _add_result_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("result")
    group.add_argument(
        "--output",
        type=nonempty,
        default=DEFAULT_OUTPUT,
        metavar="FILE",
        help=f"where the figures go as JSON (default: {DEFAULT_OUTPUT}). Change it to keep several; - "
        "writes them to stdout and the table to stderr",
    )
    group.add_argument(
        "--picture",
        type=nonempty_path,
        metavar="FILE",
        help="where the picture goes: .png, .svg or .pdf (default: beside --output, as .png). Change it "
        "for another kind",
    )


def _add_text_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("held-out documents")
    group.add_argument(
        "--dataset",
        type=nonempty,
        default=DEFAULT_DATASET,
        metavar="NAME",
        help=f"corpus (default: {DEFAULT_DATASET}). Change it to the one trained on, or to another",
    )
    add_domains_flag(group)
    group.add_argument(
        "--heldout_share",
        type=fraction,
        metavar="SHARE",
        help="share of documents that are held out (default: that of the checkpoints' training, 0.01 "
        "where they do not say). Give it as 1 for a corpus that is all for testing",
    )
    group.add_argument(
        "--max_tokens",
        type=positive_int,
        default=DEFAULT_MAX_TOKENS,
        metavar="N",
        help=f"tokens of each domain to look at, in whole documents (default: {DEFAULT_MAX_TOKENS}). Raise "
        "it for smaller standard errors",
    )
    group.add_argument(
        "--sample_length",
        type=positive_int,
        metavar="TOKENS",
        help=f"tokens of a row (default: {DEFAULT_SAMPLE_LENGTH}, or the shortest context of the "
        "checkpoints). Change it to what they were trained with",
    )
    add_packed_dir_flag(group)


def _add_machine_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--batch_size",
        type=positive_int,
        metavar="N",
        help="rows in one forward pass (default: what suits the device). Lower it where memory runs out",
    )
    group.add_argument(
        "--device",
        default="auto",
        help="where to compute: auto, cpu, cuda, cuda:1, mps (default: auto, a GPU where there is one). "
        "Change it to pick one of several",
    )
    add_dtype_flag(group, "products are computed")
    add_trust_flag(group)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 2 for bad input or 130 for an interrupt."""
    arguments = vars(build_parser().parse_args(argv))
    output, picture = arguments.pop("output"), arguments.pop("picture")
    if picture is None and output != "-":
        picture = Path(f"{output.removesuffix('.json')}.png")
    options = EvaluationOptions(**{**arguments, "checkpoints": tuple(arguments["checkpoints"])})
    return run_command(partial(_run, options, output, picture), "packed text is kept")


def _run(options: EvaluationOptions, output: str, picture: Path | None) -> None:
    from chameleon.common.files import check_writable, write_atomically
    from chameleon.training.evaluation.evaluate import evaluate
    from chameleon.training.evaluation.report import draw_evaluation, render_evaluation

    if picture is not None and picture.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"expected a picture's name to end in .png, .svg or .pdf, got {picture}")
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
        where = f"{output} (picture: {picture})"
        print_table(render_evaluation(evaluation, where), f"the figures are in {output}")
