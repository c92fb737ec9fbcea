"""All that can be asked of a training run: its options, their defaults and their flags."""

import argparse
from dataclasses import dataclass
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
DEFAULT_BATCH_SIZE = 32
DEFAULT_LEARNING_RATE = 5e-4
DEFAULT_MIN_LEARNING_RATE = 1e-4
DEFAULT_WARMUP_STEPS = 500
DEFAULT_WEIGHT_DECAY = 0.01
DEFAULT_SAVE_STEPS = 500
DEFAULT_LOGGING_STEPS = 10

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
    batch_size: int = DEFAULT_BATCH_SIZE
    gradient_accumulation_steps: int = 1
    learning_rate: float = DEFAULT_LEARNING_RATE
    min_learning_rate: float | None = None
    lr_schedule: str = "cosine"
    warmup_steps: int | None = None
    weight_decay: float = DEFAULT_WEIGHT_DECAY
    seed: int = DEFAULT_SEED
    device: str = "auto"
    dtype: str = "auto"
    compile: bool = False
    activation_checkpointing: bool = False
    save_steps: int = DEFAULT_SAVE_STEPS
    logging_steps: int = DEFAULT_LOGGING_STEPS
    tensorboard: bool = False
    resume: bool = False


def add_output_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add --output_dir and --resume; returns their group, for flags of the model."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--output_dir",
        type=nonempty_path,
        default=Path(DEFAULT_CHECKPOINT),
        metavar="DIR",
        help=f"directory of the model (default: {DEFAULT_CHECKPOINT}, where the weights command looks for "
        "its proxy)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="continue from the last checkpoint in --output_dir, with the same flags as before (default: "
        "start a new run)",
    )
    return group


def add_model_flags(group: argparse._ArgumentGroup) -> None:
    """Add --model and the flags of its tokenizer."""
    group.add_argument(
        "--model",
        type=nonempty,
        default="82M",
        metavar="NAME",
        help="82M, 124M or 684M (GPT-2 shapes of the method's papers), a config.json, or a checkpoint or "
        "hub id to finetune (default: 82M, the proxy)",
    )
    add_tokenizer_flags(group)


def add_tokenizer_flags(group: argparse._ArgumentGroup) -> None:
    """Add --tokenizer, --vocab_size and --trust_remote_code."""
    group.add_argument(
        "--tokenizer",
        type=nonempty,
        metavar="PATH",
        help="directory or hub id of the tokenizer (default: the checkpoint's; for a new model, one trained "
        "on the corpus). If the corpus has token arrays, name the tokenizer that made them",
    )
    group.add_argument(
        "--vocab_size",
        type=positive_int,
        metavar="N",
        help=f"entries of a newly trained tokenizer (default: {DEFAULT_VOCAB_SIZE}). Lower it for small "
        "corpora",
    )
    add_trust_flag(group)


def add_mixture_flags(parser: argparse.ArgumentParser, weights: bool) -> None:
    """Add the flags of the corpus and its division; `weights` adds --weights and --rename too."""
    group = parser.add_argument_group("mixture" if weights else "text")
    group.add_argument(
        "--dataset",
        type=nonempty,
        default=DEFAULT_DATASET,
        metavar="NAME",
        help=f"corpus, as for the weights command (default: {DEFAULT_DATASET})",
    )
    add_domains_flag(group)
    if weights:
        _add_weights_flags(group)
    group.add_argument(
        "--heldout_share",
        type=fraction,
        default=DEFAULT_HELDOUT_SHARE,
        metavar="SHARE",
        help="share of documents that are never trained on, chosen by their hash (default: "
        f"{DEFAULT_HELDOUT_SHARE}). Use the same share in all runs; raise it for small corpora",
    )
    add_packed_dir_flag(group)


def _add_weights_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--weights",
        type=nonempty,
        default="uniform",
        metavar="W",
        help="uniform, natural (shares of the corpus's tokens), a weights file, or a schedule file (default: "
        "uniform, as for the proxy)",
    )
    group.add_argument(
        "--rename",
        type=mapping,
        metavar="THEIRS=OURS,...",
        help="domains that have other names in the weights file than in the corpus (default: none)",
    )


def add_packed_dir_flag(group: argparse._ArgumentGroup) -> None:
    """Add --packed_dir."""
    group.add_argument(
        "--packed_dir",
        type=nonempty_path,
        default=Path(DEFAULT_PACKED_DIR),
        metavar="DIR",
        help="directory of packed tokens, 2 or 4 bytes each, shared by training and evaluation (default: "
        f"{DEFAULT_PACKED_DIR})",
    )


def add_step_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the run's length, batches, learning rate and seed."""
    group = parser.add_argument_group("steps")
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--max_steps",
        type=positive_int,
        metavar="N",
        help=f"optimizer steps (default: {DEFAULT_MAX_STEPS}, about as many as the published proxies)",
    )
    length.add_argument(
        "--max_tokens",
        type=positive_int,
        metavar="N",
        help="tokens to train on, instead of --max_steps",
    )
    group.add_argument(
        "--sample_length",
        type=positive_int,
        default=DEFAULT_SAMPLE_LENGTH,
        metavar="TOKENS",
        help=f"tokens per row, and the context of a new model (default: {DEFAULT_SAMPLE_LENGTH})",
    )
    group.add_argument(
        "--batch_size",
        type=positive_int,
        default=DEFAULT_BATCH_SIZE,
        metavar="N",
        help=f"rows per step, over all processes (default: {DEFAULT_BATCH_SIZE})",
    )
    group.add_argument(
        "--gradient_accumulation_steps",
        type=positive_int,
        default=1,
        metavar="N",
        help="forward passes per step (default: 1). Raise it if the rows of a step do not fit in memory; "
        "the step stays the same",
    )
    _add_learning_rate_flags(group)
    group.add_argument(
        "--seed",
        type=nonnegative_int,
        default=DEFAULT_SEED,
        metavar="N",
        help=f"seed of the initial weights and of the order of rows (default: {DEFAULT_SEED})",
    )


def _add_learning_rate_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--learning_rate",
        type=positive_number,
        default=DEFAULT_LEARNING_RATE,
        metavar="X",
        help=f"peak learning rate of AdamW (default: {DEFAULT_LEARNING_RATE}). Lower it for larger models "
        "and for finetuning",
    )
    group.add_argument(
        "--lr_schedule",
        choices=("cosine", "linear", "constant"),
        default="cosine",
        help="learning rate after the warm-up (default: cosine, down to --min_learning_rate). Use constant "
        "if you may add steps later",
    )
    group.add_argument(
        "--min_learning_rate",
        type=nonnegative_number,
        metavar="X",
        help=f"learning rate at the end of the cosine (default: {DEFAULT_MIN_LEARNING_RATE}, but at most a "
        "fifth of --learning_rate)",
    )
    group.add_argument(
        "--warmup_steps",
        type=nonnegative_int,
        metavar="N",
        help=f"steps in which the learning rate rises (default: {DEFAULT_WARMUP_STEPS}, but at most a "
        "quarter of the run)",
    )
    group.add_argument(
        "--weight_decay",
        type=nonnegative_number,
        default=DEFAULT_WEIGHT_DECAY,
        metavar="X",
        help=f"weight decay of AdamW (default: {DEFAULT_WEIGHT_DECAY}). Raise it to 0.1 for long runs",
    )


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of device, precision, memory and logging."""
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="where to train (default: auto, a GPU if there is one)",
    )
    add_dtype_flag(group, "products are computed, of weights in float32,")
    group.add_argument(
        "--compile",
        action="store_true",
        help="compile the model, which pays in long runs on a GPU (default: no)",
    )
    group.add_argument(
        "--activation_checkpointing",
        action="store_true",
        help="recompute activations in the backward pass, to save memory (default: no)",
    )
    group.add_argument(
        "--save_steps",
        type=positive_int,
        default=DEFAULT_SAVE_STEPS,
        metavar="N",
        help=f"steps between checkpoints, of which the last two are kept (default: {DEFAULT_SAVE_STEPS})",
    )
    group.add_argument(
        "--logging_steps",
        type=positive_int,
        default=DEFAULT_LOGGING_STEPS,
        metavar="N",
        help=f"steps between lines of loss.csv (default: {DEFAULT_LOGGING_STEPS})",
    )
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="also log to TensorBoard (default: no). Needs the extra tensorboard",
    )
