"""Trains a proxy or base model on a mixture of domains. See README.md.

python -m chameleon.training --dataset my_corpus --output_dir checkpoints/BASE-82M
"""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial

from chameleon.command_line import (
    Parser,
    carry_out,
    leave_on_termination,
    print_table,
    tell,
)
from chameleon.shared_flags import add_reading_flags
from chameleon.training.flags import (
    add_machine_flags,
    add_mixture_flags,
    add_model_flags,
    add_output_flags,
    add_step_flags,
)
from chameleon.training.options import TrainingOptions


def build_parser() -> argparse.ArgumentParser:
    """The command line, grouped by what the flags are about."""
    parser = Parser(
        prog="python -m chameleon.training",
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
    return carry_out(partial(_run, options), "the last checkpoint is kept: go on with --resume")


def _run(options: TrainingOptions) -> None:
    from chameleon.training.run import train
    from chameleon.training.table import render_trained

    speaks = os.environ.get("RANK", "0") == "0"
    trained = train(options, notify=lambda text: tell(f"note: {text}") if speaks else None)
    if speaks:
        print_table(render_trained(trained), f"the model is in {options.output_dir}")


if __name__ == "__main__":
    leave_on_termination()
    sys.exit(main())
