"""Trains a proxy or base model on a mixture of domains. See docs/guide/training.md.

python -m chameleon train --dataset my_corpus --output_dir checkpoints/BASE-82M
"""

import argparse
import os
from collections.abc import Sequence
from functools import partial

from chameleon.common.command_line import Parser, note, print_table, run_command
from chameleon.common.flags import add_flags
from chameleon.training.options import TRAINING_FLAGS, TrainingOptions


def build_parser() -> argparse.ArgumentParser:
    """The parser, with flags grouped by topic."""
    parser = Parser(
        prog="python -m chameleon train",
        description="Train a causal language model on a mixture of text domains, in exactly the shares "
        "requested.",
        allow_abbrev=False,
    )
    add_flags(parser, TrainingOptions, TRAINING_FLAGS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 2 for bad input or 130 for an interrupt."""
    options = TrainingOptions(**vars(build_parser().parse_args(argv)))
    return run_command(partial(_run, options), "the last checkpoint is kept: continue with --resume")


def _run(options: TrainingOptions) -> None:
    from chameleon.training.outcome import render_outcome
    from chameleon.training.run import train

    is_first_process = os.environ.get("RANK", "0") == "0"
    outcome = train(options, notify=note if is_first_process else lambda text: None)
    if is_first_process:
        print_table(render_outcome(outcome), f"the model is in {options.output_dir}")
