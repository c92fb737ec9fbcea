"""All that can be asked of an evaluation: its options, their defaults and their flags."""

from dataclasses import dataclass
from pathlib import Path

from chameleon.common.command_line import fraction
from chameleon.common.flags import flag
from chameleon.proxy.options import dtype_flag
from chameleon.text.options import DEFAULT_DATASET, DEFAULT_SAMPLE_LENGTH, READING_FLAGS, ReadingOptions
from chameleon.training.options import DEFAULT_HELDOUT_SHARE, packed_dir_flag

DEFAULT_EVALUATION_FILE = "chameleon_evaluation.json"

EVALUATION_FLAGS = {
    "held-out documents": "dataset domains heldout_share max_tokens sample_length packed_dir",
    "machine": "batch_size device dtype trust_remote_code",
    **READING_FLAGS,
}


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(ReadingOptions):
    """Options of an evaluation, named after the flags; None means chosen by the program.

    `python -m chameleon evaluate --help` says what each does.
    """

    checkpoints: tuple[str, ...]
    dataset: str = flag(
        DEFAULT_DATASET, f"corpus, as in training or another one (default: {DEFAULT_DATASET})"
    )
    packed_dir: Path = packed_dir_flag()
    heldout_share: float | None = flag(
        None,
        "share of documents that are held out (default: as recorded by the checkpoints' training, otherwise "
        f"{DEFAULT_HELDOUT_SHARE}). Use 1 for a corpus that is for testing only",
        type=fraction,
        metavar="SHARE",
    )
    max_tokens: int = flag(
        1 << 18,
        "tokens to evaluate per domain, in whole documents (default: %(default)s). Raise it "
        "for smaller standard errors",
    )
    sample_length: int | None = flag(
        None,
        f"tokens per row (default: {DEFAULT_SAMPLE_LENGTH}, but at most the shortest context of the "
        "checkpoints). Use the length of training",
        metavar="TOKENS",
    )
    batch_size: int | None = flag(
        None, "rows per forward pass (default: chosen for the device). Lower it if memory runs out"
    )
    device: str = flag(
        "auto", "where to compute: auto, cpu, cuda, cuda:1, mps (default: auto, a GPU if there is one)"
    )
    dtype: str = dtype_flag("products")
