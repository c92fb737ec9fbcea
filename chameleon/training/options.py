"""All that can be asked of a training run: its options, their defaults and their flags."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chameleon.common.command_line import fraction, nonnegative_int, nonnegative_number, whole_tokens
from chameleon.common.flags import flag
from chameleon.proxy.checkpoints import DEFAULT_CHECKPOINT
from chameleon.proxy.options import dtype_flag
from chameleon.text.options import (
    DEFAULT_DATASET,
    DEFAULT_SAMPLE_LENGTH,
    DEFAULT_SEED,
    READING_FLAGS_BUT_TOKENIZER,
    ReadingOptions,
)

DEFAULT_PACKED_DIR = "./packed/"
DEFAULT_HELDOUT_SHARE = 0.01
DEFAULT_VOCAB_SIZE = 50257
DEFAULT_MAX_STEPS = 2000
DEFAULT_MIN_LEARNING_RATE = 1e-4
DEFAULT_WARMUP_STEPS = 500

# Groups of flags, for `add_flags`.
MODEL_FLAGS = "model tokenizer vocab_size trust_remote_code"
STEP_FLAGS = {
    "steps": "max_steps|max_tokens sample_length batch_size gradient_accumulation_steps learning_rate "
    "lr_schedule min_learning_rate warmup_steps weight_decay seed",
    "machine": "device dtype compile activation_checkpointing save_steps logging_steps tensorboard",
    **READING_FLAGS_BUT_TOKENIZER,
}
TRAINING_FLAGS = {
    "model": f"output_dir resume {MODEL_FLAGS}",
    "mixture": "dataset domains weights rename heldout_share packed_dir",
    **STEP_FLAGS,
}

# Domains repeated more often than this are flagged.
MANY_EPOCHS = 4


def packed_dir_flag() -> Any:  # noqa: ANN401
    """The field `packed_dir` of an options class."""
    return flag(
        Path(DEFAULT_PACKED_DIR),
        "directory of packed tokens, 2 or 4 bytes each, shared by training and evaluation (default: "
        f"{DEFAULT_PACKED_DIR})",
        metavar="DIR",
    )


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(ReadingOptions):
    """Options of a training run, named after the flags; None means chosen by the program.

    `python -m chameleon train --help` says what each does.
    """

    dataset: str = flag(DEFAULT_DATASET, f"corpus, as for the weights command (default: {DEFAULT_DATASET})")
    output_dir: Path = flag(
        Path(DEFAULT_CHECKPOINT),
        f"directory of the model (default: {DEFAULT_CHECKPOINT}, where the weights command looks for its "
        "proxy)",
        metavar="DIR",
    )
    packed_dir: Path = packed_dir_flag()
    weights: str = flag(
        "uniform",
        "uniform, natural (shares of the corpus's tokens), a weights file, or a schedule file (default: "
        "uniform, as for the proxy)",
        metavar="W",
    )
    rename: dict[str, str] | None = flag(
        None,
        "domains that have other names in the weights file than in the corpus (default: none)",
        metavar="THEIRS=OURS,...",
    )
    model: str = flag(
        "82M",
        "82M, 124M or 684M (GPT-2 shapes of the method's papers), 2M (a Llama that learns from few tokens, "
        "for --vocab_size 4096), a config.json, or a checkpoint or hub id to finetune (default: 82M, the "
        "proxy)",
    )
    tokenizer: str | None = flag(
        None,
        "directory or hub id of the tokenizer (default: the checkpoint's; for a new model, one trained on "
        "the corpus). If the corpus has token arrays, name the tokenizer that made them",
        metavar="PATH",
    )
    vocab_size: int | None = flag(
        None,
        f"entries of a newly trained tokenizer (default: {DEFAULT_VOCAB_SIZE}). Lower it for small corpora",
    )
    heldout_share: float = flag(
        DEFAULT_HELDOUT_SHARE,
        "share of documents that are never trained on, chosen by their hash (default: "
        f"{DEFAULT_HELDOUT_SHARE}). Use the same share in all runs; raise it for small corpora",
        type=fraction,
        metavar="SHARE",
    )
    max_steps: int | None = flag(
        None, f"optimizer steps (default: {DEFAULT_MAX_STEPS}, about as many as the published proxies)"
    )
    max_tokens: int | None = flag(
        None, "tokens to train on, such as 20M, instead of --max_steps", type=whole_tokens, metavar="TOKENS"
    )
    sample_length: int = flag(
        DEFAULT_SAMPLE_LENGTH,
        f"tokens per row, and the context of a new model (default: {DEFAULT_SAMPLE_LENGTH})",
        metavar="TOKENS",
    )
    batch_size: int = flag(32, "rows per step, over all processes (default: %(default)s)")
    gradient_accumulation_steps: int = flag(
        1,
        "forward passes per step (default: 1). Raise it if the rows of a step do not fit in memory; the "
        "step stays the same",
    )
    learning_rate: float = flag(
        5e-4,
        "peak learning rate of AdamW (default: %(default)s). Lower it for larger models and for finetuning",
        metavar="X",
    )
    min_learning_rate: float | None = flag(
        None,
        f"learning rate at the end of the cosine (default: {DEFAULT_MIN_LEARNING_RATE}, but at most a fifth "
        "of --learning_rate)",
        type=nonnegative_number,
        metavar="X",
    )
    lr_schedule: str = flag(
        "cosine",
        "learning rate after the warm-up (default: cosine, down to --min_learning_rate). Use constant if "
        "you may add steps later",
        choices=("cosine", "linear", "constant"),
    )
    warmup_steps: int | None = flag(
        None,
        f"steps in which the learning rate rises (default: {DEFAULT_WARMUP_STEPS}, but at most a quarter of "
        "the run)",
        type=nonnegative_int,
    )
    weight_decay: float = flag(
        0.01,
        "weight decay of AdamW (default: %(default)s). Raise it to 0.1 for long runs",
        type=nonnegative_number,
        metavar="X",
    )
    seed: int = flag(
        DEFAULT_SEED,
        f"seed of the initial weights and of the order of rows (default: {DEFAULT_SEED})",
        type=nonnegative_int,
    )
    device: str = flag(
        "auto",
        "where to train (default: auto, a GPU if there is one)",
        choices=("auto", "cpu", "cuda", "mps"),
    )
    dtype: str = dtype_flag("products, of weights in float32")
    compile: bool = flag(False, "compile the model, which pays in long runs on a GPU (default: no)")
    activation_checkpointing: bool = flag(
        False, "recompute activations in the backward pass, to save memory (default: no)"
    )
    save_steps: int = flag(
        500, "steps between checkpoints, of which the last two are kept (default: %(default)s)"
    )
    logging_steps: int = flag(10, "steps between lines of loss.csv (default: %(default)s)")
    tensorboard: bool = flag(False, "also log to TensorBoard (default: no). Needs the extra tensorboard")
    resume: bool = flag(
        False,
        "continue from the last checkpoint in --output_dir, with the same flags as before (default: start a "
        "new run)",
    )
