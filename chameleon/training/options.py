"""All that can be asked of a training run: its options, their defaults and their flags."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chameleon.common.command_line import (
    fraction,
    mapping,
    nonempty,
    nonempty_path,
    nonnegative_int,
    nonnegative_number,
    positive_int,
    positive_number,
)
from chameleon.proxy.checkpoints import DEFAULT_CHECKPOINT
from chameleon.proxy.options import add_dtype_flag, add_trust_flag
from chameleon.text.options import (
    DEFAULT_DATASET,
    DEFAULT_SAMPLE_LENGTH,
    DEFAULT_SEED,
    ReadingOptions,
    add_domains_flag,
)

DEFAULT_PACKED_DIR = "./packed/"
DEFAULT_HELDOUT_SHARE = 0.01
DEFAULT_VOCAB_SIZE = 50257
DEFAULT_MAX_STEPS = 2000
DEFAULT_MIN_LEARNING_RATE = 1e-4
DEFAULT_WARMUP_STEPS = 500

# Domains repeated more often than this are flagged.
MANY_EPOCHS = 4


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(ReadingOptions):
    """Options of a training run, named after the flags; None means chosen by the program.

    `python -m chameleon train --help` says what each does.
    """

    dataset: str = DEFAULT_DATASET
    output_dir: Path = Path(DEFAULT_CHECKPOINT)
    packed_dir: Path = Path(DEFAULT_PACKED_DIR)
    weights: str = "uniform"
    rename: dict[str, str] | None = None
    model: str = "82M"
    vocab_size: int | None = None
    heldout_share: float = DEFAULT_HELDOUT_SHARE
    max_steps: int | None = None
    max_tokens: int | None = None
    sample_length: int = DEFAULT_SAMPLE_LENGTH
    batch_size: int = 32
    gradient_accumulation_steps: int = 1
    learning_rate: float = 5e-4
    min_learning_rate: float | None = None
    lr_schedule: str = "cosine"
    warmup_steps: int | None = None
    weight_decay: float = 0.01
    seed: int = DEFAULT_SEED
    device: str = "auto"
    dtype: str = "auto"
    compile: bool = False
    activation_checkpointing: bool = False
    save_steps: int = 500
    logging_steps: int = 10
    tensorboard: bool = False
    resume: bool = False


def add_output_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add --output_dir and --resume; returns their group, for flags of the model."""
    group = parser.add_argument_group("model")
    add = partial(add_flag, group)
    add(
        "--output_dir DIR",
        nonempty_path,
        f"directory of the model (default: {DEFAULT_CHECKPOINT}, where the weights command looks for "
        "its proxy)",
    )
    add(
        "--resume",
        bool,
        "continue from the last checkpoint in --output_dir, with the same flags as before (default: "
        "start a new run)",
    )
    return group


def add_model_flags(group: argparse._ArgumentGroup) -> None:
    """Add --model and the flags of its tokenizer."""
    add_flag(
        group,
        "--model NAME",
        nonempty,
        "82M, 124M or 684M (GPT-2 shapes of the method's papers), a config.json, or a checkpoint or "
        "hub id to finetune (default: 82M, the proxy)",
    )
    add_tokenizer_flags(group)


def add_tokenizer_flags(group: argparse._ArgumentGroup) -> None:
    """Add --tokenizer, --vocab_size and --trust_remote_code."""
    add = partial(add_flag, group)
    add(
        "--tokenizer PATH",
        nonempty,
        "directory or hub id of the tokenizer (default: the checkpoint's; for a new model, one trained "
        "on the corpus). If the corpus has token arrays, name the tokenizer that made them",
    )
    add(
        "--vocab_size N",
        positive_int,
        f"entries of a newly trained tokenizer (default: {DEFAULT_VOCAB_SIZE}). Lower it for small corpora",
    )
    add_trust_flag(group)


def add_mixture_flags(parser: argparse.ArgumentParser, weights: bool) -> None:
    """Add the flags of the corpus and its division; `weights` adds --weights and --rename too."""
    group = parser.add_argument_group("mixture" if weights else "text")
    add = partial(add_flag, group)
    add("--dataset NAME", nonempty, f"corpus, as for the weights command (default: {DEFAULT_DATASET})")
    add_domains_flag(group)
    if weights:
        _add_weights_flags(group)
    add(
        "--heldout_share SHARE",
        fraction,
        "share of documents that are never trained on, chosen by their hash (default: "
        f"{DEFAULT_HELDOUT_SHARE}). Use the same share in all runs; raise it for small corpora",
    )
    add_packed_dir_flag(group)


def _add_weights_flags(group: argparse._ArgumentGroup) -> None:
    add = partial(add_flag, group)
    add(
        "--weights W",
        nonempty,
        "uniform, natural (shares of the corpus's tokens), a weights file, or a schedule file (default: "
        "uniform, as for the proxy)",
    )
    add(
        "--rename THEIRS=OURS,...",
        mapping,
        "domains that have other names in the weights file than in the corpus (default: none)",
    )


def add_packed_dir_flag(group: argparse._ArgumentGroup) -> None:
    """Add --packed_dir."""
    add_flag(
        group,
        "--packed_dir DIR",
        nonempty_path,
        "directory of packed tokens, 2 or 4 bytes each, shared by training and evaluation (default: "
        f"{DEFAULT_PACKED_DIR})",
    )


def add_step_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the run's length, batches, learning rate and seed."""
    group = parser.add_argument_group("steps")
    add = partial(add_flag, group)
    length = group.add_mutually_exclusive_group()
    add_flag(
        length,
        "--max_steps N",
        positive_int,
        f"optimizer steps (default: {DEFAULT_MAX_STEPS}, about as many as the published proxies)",
    )
    add_flag(length, "--max_tokens N", positive_int, "tokens to train on, instead of --max_steps")
    add(
        "--sample_length TOKENS",
        positive_int,
        f"tokens per row, and the context of a new model (default: {DEFAULT_SAMPLE_LENGTH})",
    )
    add(
        "--batch_size N",
        positive_int,
        f"rows per step, over all processes (default: {TrainingOptions.batch_size})",
    )
    add(
        "--gradient_accumulation_steps N",
        positive_int,
        "forward passes per step (default: 1). Raise it if the rows of a step do not fit in memory; "
        "the step stays the same",
    )
    _add_learning_rate_flags(group)
    add(
        "--seed N",
        nonnegative_int,
        f"seed of the initial weights and of the order of rows (default: {DEFAULT_SEED})",
    )


def _add_learning_rate_flags(group: argparse._ArgumentGroup) -> None:
    add = partial(add_flag, group)
    add(
        "--learning_rate X",
        positive_number,
        f"peak learning rate of AdamW (default: {TrainingOptions.learning_rate}). Lower it for larger models "
        "and for finetuning",
    )
    add(
        "--lr_schedule",
        ("cosine", "linear", "constant"),
        "learning rate after the warm-up (default: cosine, down to --min_learning_rate). Use constant "
        "if you may add steps later",
    )
    add(
        "--min_learning_rate X",
        nonnegative_number,
        f"learning rate at the end of the cosine (default: {DEFAULT_MIN_LEARNING_RATE}, but at most a "
        "fifth of --learning_rate)",
    )
    add(
        "--warmup_steps N",
        nonnegative_int,
        f"steps in which the learning rate rises (default: {DEFAULT_WARMUP_STEPS}, but at most a "
        "quarter of the run)",
    )
    add(
        "--weight_decay X",
        nonnegative_number,
        f"weight decay of AdamW (default: {TrainingOptions.weight_decay}). Raise it to 0.1 for long runs",
    )


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of device, precision, memory and logging."""
    group = parser.add_argument_group("machine")
    add = partial(add_flag, group)
    add("--device", ("auto", "cpu", "cuda", "mps"), "where to train (default: auto, a GPU if there is one)")
    add_dtype_flag(group, "products, of weights in float32")
    add("--compile", bool, "compile the model, which pays in long runs on a GPU (default: no)")
    add(
        "--activation_checkpointing",
        bool,
        "recompute activations in the backward pass, to save memory (default: no)",
    )
    add(
        "--save_steps N",
        positive_int,
        f"steps between checkpoints, of which the last two are kept (default: {TrainingOptions.save_steps})",
    )
    add(
        "--logging_steps N",
        positive_int,
        f"steps between lines of loss.csv (default: {TrainingOptions.logging_steps})",
    )
    add("--tensorboard", bool, "also log to TensorBoard (default: no). Needs the extra tensorboard")


def add_flag(
    group: argparse._ActionsContainer,
    usage: str,
    values: Callable[[str], object] | tuple[str, ...],
    help: str,
    options: type[ReadingOptions] = TrainingOptions,
) -> None:
    """Add a flag that defaults to what a class of options has.

    Args:
        group: Group to add it to.
        usage: The flag and its metavar, such as "--max_steps N".
        values: What parses the value, or a tuple of choices, or `bool` for a flag without value.
        help: Help text.
        options: Class of options.
    """
    flag, _, metavar = usage.partition(" ")
    default = getattr(options, flag.removeprefix("--"))
    if values is bool:
        group.add_argument(flag, action="store_true", help=help)
    elif isinstance(values, tuple):
        group.add_argument(flag, choices=values, default=default, help=help)
    else:
        group.add_argument(flag, type=values, default=default, metavar=metavar, help=help)
