"""Trains a proxy or base model on a mixture of domains. See README.md.

python -m chameleon train --dataset my_corpus --output_dir checkpoints/BASE-82M
"""

import argparse
import os
from collections.abc import Sequence
from functools import partial

from chameleon.common.command_line import Parser, note, print_table, run_command
from chameleon.text.options import add_reading_flags
from chameleon.training.options import (
    TrainingOptions,
    add_machine_flags,
    add_mixture_flags,
    add_model_flags,
    add_output_flags,
    add_step_flags,
)


def build_parser() -> argparse.ArgumentParser:
    """The command line, grouped by what the flags are about."""
    parser = Parser(
        prog="python -m chameleon train",
        description="Train a causal language model on a mixture of text domains, in exactly the shares "
        "asked for.",
        allow_abbrev=False,
    )
    add_model_flags(add_output_flags(parser))
    add_mixture_flags(parser, weights=True)
    add_step_flags(parser)
    add_machine_flags(parser)
    add_reading_flags(parser, tokenizer=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 2 for bad input or 130 for an interrupt."""
    options = TrainingOptions(**vars(build_parser().parse_args(argv)))
    return run_command(partial(_run, options), "the last checkpoint is kept: go on with --resume")


def _run(options: TrainingOptions) -> None:
    from chameleon.training.outcome import render_trained
    from chameleon.training.run import train

    speaks = os.environ.get("RANK", "0") == "0"
    trained = train(options, notify=note if speaks else lambda text: None)
    if speaks:
        print_table(render_trained(trained), f"the model is in {options.output_dir}")
