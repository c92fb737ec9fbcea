"""What a training run is asked for."""

from dataclasses import dataclass
from pathlib import Path

from chameleon.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_DATASET,
    DEFAULT_PACKED_DIR,
    DEFAULT_SAMPLE_LENGTH,
    DEFAULT_SEED,
    ReadingOptions,
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

    `python -m chameleon.training --help` says what each does.
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
