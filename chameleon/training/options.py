"""What a training run is asked for."""

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


DEFAULT_OUTPUT = "chameleon_evaluation.json"


DEFAULT_MAX_TOKENS = 1 << 18


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(ReadingOptions):
    """What an evaluation is asked for, by the names of the flags; None is left to the program.

    `python -m chameleon evaluate --help` says what each does.
    """

    checkpoints: tuple[str, ...]
    dataset: str = DEFAULT_DATASET
    packed_dir: Path = Path(DEFAULT_PACKED_DIR)
    heldout_share: float | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    sample_length: int | None = None
    batch_size: int | None = None
    device: str = "auto"
    dtype: str = "auto"


def add_packed_dir_flag(group: argparse._ArgumentGroup) -> None:
    """--packed_dir."""
    group.add_argument(
        "--packed_dir",
        type=nonempty_path,
        default=Path(DEFAULT_PACKED_DIR),
        metavar="DIR",
        help=f"where packed tokens are kept, 2 or 4 bytes each (default: {DEFAULT_PACKED_DIR}). Change it "
        "for a larger disk, in training and evaluation alike",
    )


DEFAULT_HELDOUT_SHARE = 0.01


DEFAULT_MAX_STEPS = 2000


DEFAULT_BATCH_SIZE = 32


DEFAULT_LEARNING_RATE = 5e-4


DEFAULT_MIN_LEARNING_RATE = 1e-4


DEFAULT_WARMUP_STEPS = 500


DEFAULT_WEIGHT_DECAY = 0.01


DEFAULT_VOCAB_SIZE = 50257


# A domain seen more often than this is flagged.
MANY_EPOCHS = 4


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(ReadingOptions):
    """What a training run is asked for, by the names of the flags; None is left to the program.

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
    save_steps: int = 500
    logging_steps: int = 10
    tensorboard: bool = False
    resume: bool = False


def add_output_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """--output_dir and --resume, in a group for what is said of the model."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--output_dir",
        type=nonempty_path,
        default=Path(DEFAULT_CHECKPOINT),
        metavar="DIR",
        help=f"where the model goes (default: {DEFAULT_CHECKPOINT}, where compute_chameleon_weights.py "
        "looks for its proxy). Change it for every further model",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint in --output_dir (default: begin, in a directory without a "
        "model). Give it after an interrupt, with the flags of before",
    )
    return group


def add_model_flags(group: argparse._ArgumentGroup) -> None:
    """--model, and what follows from it."""
    group.add_argument(
        "--model",
        type=nonempty,
        default="82M",
        metavar="NAME",
        help="82M, 124M or 684M (GPT-2 shapes of the method's papers), a config.json, or a checkpoint or "
        "hub id to go on from (default: 82M, the proxy). Change it to train a base model or to finetune "
        "one",
    )
    add_tokenizer_flags(group)


def add_tokenizer_flags(group: argparse._ArgumentGroup) -> None:
    """--tokenizer, --vocab_size and --trust_remote_code."""
    group.add_argument(
        "--tokenizer",
        type=nonempty,
        metavar="PATH",
        help="directory or hub id with the tokenizer (default: the checkpoint's, or for a new model one "
        "learnt from the corpus). Give it to share one with other models, or where the corpus has token "
        "arrays that it made",
    )
    group.add_argument(
        "--vocab_size",
        type=positive_int,
        metavar="N",
        help=f"entries of a tokenizer that is learnt (default: {DEFAULT_VOCAB_SIZE}). Lower it for small "
        "corpora",
    )
    add_trust_flag(group)


def add_mixture_flags(parser: argparse.ArgumentParser, weights: bool) -> None:
    """The corpus, and how it is divided; `weights` asks for --weights and --rename too."""
    group = parser.add_argument_group("mixture" if weights else "text")
    group.add_argument(
        "--dataset",
        type=nonempty,
        default=DEFAULT_DATASET,
        metavar="NAME",
        help=f"corpus, as for the weights command (default: {DEFAULT_DATASET}). Change it for your own text",
    )
    add_domains_flag(group)
    if weights:
        _add_weights_flags(group)
    group.add_argument(
        "--heldout_share",
        type=fraction,
        default=DEFAULT_HELDOUT_SHARE,
        metavar="SHARE",
        help="share of documents that no training sees, chosen by their hash (default: "
        f"{DEFAULT_HELDOUT_SHARE}). Raise it for small corpora, in all runs alike",
    )
    add_packed_dir_flag(group)


def _add_weights_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--weights",
        type=nonempty,
        default="uniform",
        metavar="W",
        help="uniform, natural (shares of the corpus's tokens), a weights file, or a schedule of them "
        "over the run (default: uniform, as the proxy wants it). Change it to a weights file to train "
        "with what was found",
    )
    group.add_argument(
        "--rename",
        type=mapping,
        metavar="THEIRS=OURS,...",
        help="domains that the weights file calls by other names (default: none). Give it where the two "
        "differ",
    )


def add_step_flags(parser: argparse.ArgumentParser) -> None:
    """How long and how fast a model learns."""
    group = parser.add_argument_group("steps")
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--max_steps",
        type=positive_int,
        metavar="N",
        help=f"optimizer steps (default: {DEFAULT_MAX_STEPS}, about what the published proxies had). Raise "
        "it for a better model",
    )
    length.add_argument(
        "--max_tokens",
        type=positive_int,
        metavar="N",
        help="tokens to train on, instead of steps. Give it to compare runs of unlike batches",
    )
    group.add_argument(
        "--sample_length",
        type=positive_int,
        default=DEFAULT_SAMPLE_LENGTH,
        metavar="TOKENS",
        help=f"tokens of a row, and the context of a new model (default: {DEFAULT_SAMPLE_LENGTH}). Raise "
        "it for long documents",
    )
    group.add_argument(
        "--batch_size",
        type=positive_int,
        default=DEFAULT_BATCH_SIZE,
        metavar="N",
        help=f"rows of a step, over all processes (default: {DEFAULT_BATCH_SIZE}). Raise it for larger "
        "models",
    )
    group.add_argument(
        "--gradient_accumulation_steps",
        type=positive_int,
        default=1,
        metavar="N",
        help="forward passes of a step (default: 1). Raise it where memory does not hold the rows of a "
        "step at once; the step stays the same",
    )
    _add_learning_rate_flags(group)
    group.add_argument(
        "--seed",
        type=nonnegative_int,
        default=DEFAULT_SEED,
        metavar="N",
        help=f"first weights and order of rows (default: {DEFAULT_SEED}). Change it to see how far results "
        "hang on it",
    )


def _add_learning_rate_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--learning_rate",
        type=positive_number,
        default=DEFAULT_LEARNING_RATE,
        metavar="X",
        help=f"highest learning rate of AdamW (default: {DEFAULT_LEARNING_RATE}). Lower it for larger "
        "models and to finetune",
    )
    group.add_argument(
        "--lr_schedule",
        choices=("cosine", "linear", "constant"),
        default="cosine",
        help="what follows the warm-up (default: cosine, to --min_learning_rate). Change it to constant "
        "to go on later with more steps",
    )
    group.add_argument(
        "--min_learning_rate",
        type=nonnegative_number,
        metavar="X",
        help=f"where the cosine ends (default: {DEFAULT_MIN_LEARNING_RATE}, or a fifth of a lower "
        "--learning_rate). Change it to 0 for short runs",
    )
    group.add_argument(
        "--warmup_steps",
        type=nonnegative_int,
        metavar="N",
        help=f"steps in which the learning rate rises (default: {DEFAULT_WARMUP_STEPS}, at most a quarter "
        "of the run). Raise it where the loss jumps",
    )
    group.add_argument(
        "--weight_decay",
        type=nonnegative_number,
        default=DEFAULT_WEIGHT_DECAY,
        metavar="X",
        help=f"of AdamW (default: {DEFAULT_WEIGHT_DECAY}). Raise it to 0.1 for long runs",
    )


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """Where and how a model is trained."""
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="where to train (default: auto, a GPU where there is one). Change it to cpu to leave the GPU "
        "to others",
    )
    add_dtype_flag(group, "products are computed, of weights in float32,")
    group.add_argument(
        "--compile",
        action="store_true",
        help="compile the model (default: no). Give it for long runs on a GPU",
    )
    group.add_argument(
        "--activation_checkpointing",
        action="store_true",
        help="compute activations again in the backward pass (default: no). Give it where memory runs out "
        "even with one row a pass",
    )
    group.add_argument(
        "--save_steps",
        type=positive_int,
        default=500,
        metavar="N",
        help="steps between checkpoints, of which the last two are kept (default: 500). Lower it where "
        "runs are cut short",
    )
    group.add_argument(
        "--logging_steps",
        type=positive_int,
        default=10,
        metavar="N",
        help="steps between lines of loss.csv (default: 10). Raise it for long runs",
    )
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="log to TensorBoard too (default: no; needs the extra tensorboard). Give it to watch from afar",
    )
