"""What an evaluation is asked for."""

from dataclasses import dataclass
from pathlib import Path

from chameleon.options import DEFAULT_DATASET, DEFAULT_PACKED_DIR, ReadingOptions

DEFAULT_OUTPUT = "chameleon_evaluation.json"
DEFAULT_MAX_TOKENS = 1 << 18


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(ReadingOptions):
    """What an evaluation is asked for, by the names of the flags; None is left to the program.

    `python -m chameleon.evaluation --help` says what each does.
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
