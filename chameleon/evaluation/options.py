"""What an evaluation is asked for."""

from dataclasses import dataclass
from pathlib import Path

from chameleon.options import DEFAULT_DATASET

DEFAULT_OUTPUT = "chameleon_evaluation.json"
DEFAULT_MAX_TOKENS = 1 << 18


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation is asked for, by the names of the flags; None is left to the program.

    `python -m chameleon.evaluation --help` says what each does.
    """

    checkpoints: tuple[str, ...]
    dataset: str = DEFAULT_DATASET
    packed_dir: Path = Path("./packed/")
    heldout_share: float | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    sample_length: int | None = None
    batch_size: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    domains: tuple[str, ...] | None = None
    text_column: str | None = None
    domain_column: str | None = None
    domain_names: dict[str, str] | None = None
    subset: str | None = None
    split: str | None = None
    revision: str | None = None
    download: bool = False
    tokenizer: str | None = None
    token_dtype: str | None = None
    skip_bad_lines: bool = False
    trust_remote_code: bool = False
