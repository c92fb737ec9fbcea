"""All that can be asked of an evaluation: its options, their defaults and their flags."""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chameleon.common.command_line import fraction, nonempty, nonempty_path, positive_int
from chameleon.proxy.options import add_dtype_flag, add_trust_flag
from chameleon.text.options import DEFAULT_DATASET, DEFAULT_SAMPLE_LENGTH, ReadingOptions, add_domains_flag
from chameleon.training.options import (
    DEFAULT_HELDOUT_SHARE,
    DEFAULT_PACKED_DIR,
    add_flag,
    add_packed_dir_flag,
)

DEFAULT_EVALUATION_FILE = "chameleon_evaluation.json"
DEFAULT_EVALUATED_TOKENS = 1 << 18


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(ReadingOptions):
    """Options of an evaluation, named after the flags; None means chosen by the program.

    `python -m chameleon evaluate --help` says what each does.
    """

    checkpoints: tuple[str, ...]
    dataset: str = DEFAULT_DATASET
    packed_dir: Path = Path(DEFAULT_PACKED_DIR)
    heldout_share: float | None = None
    max_tokens: int = DEFAULT_EVALUATED_TOKENS
    sample_length: int | None = None
    batch_size: int | None = None
    device: str = "auto"
    dtype: str = "auto"


def add_result_flags(parser: argparse.ArgumentParser) -> None:
    """Add the checkpoints, and the files to write."""
    parser.add_argument(
        "checkpoints", nargs="+", type=nonempty, metavar="CHECKPOINT", help="directories or hub ids"
    )
    group = parser.add_argument_group("result")
    group.add_argument(
        "--output",
        type=nonempty,
        default=DEFAULT_EVALUATION_FILE,
        metavar="FILE",
        help=f"JSON file of the figures (default: {DEFAULT_EVALUATION_FILE}); - writes them to stdout and "
        "the table to stderr",
    )
    group.add_argument(
        "--picture",
        type=nonempty_path,
        metavar="FILE",
        help="picture file: .png, .svg or .pdf (default: beside --output, as .png)",
    )


def add_text_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the documents to evaluate on."""
    group = parser.add_argument_group("held-out documents")
    add = partial(add_flag, group, options=EvaluationOptions)
    add("--dataset NAME", nonempty, f"corpus, as in training or another one (default: {DEFAULT_DATASET})")
    add_domains_flag(group)
    add(
        "--heldout_share SHARE",
        fraction,
        "share of documents that are held out (default: as recorded by the checkpoints' training, "
        f"otherwise {DEFAULT_HELDOUT_SHARE}). Use 1 for a corpus that is for testing only",
    )
    add(
        "--max_tokens N",
        positive_int,
        f"tokens to evaluate per domain, in whole documents (default: {DEFAULT_EVALUATED_TOKENS}). "
        "Raise it for smaller standard errors",
    )
    add(
        "--sample_length TOKENS",
        positive_int,
        f"tokens per row (default: {DEFAULT_SAMPLE_LENGTH}, but at most the shortest context of the "
        "checkpoints). Use the length of training",
    )
    add_packed_dir_flag(group)


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of batch size, device and precision."""
    group = parser.add_argument_group("machine")
    add_flag(
        group,
        "--batch_size N",
        positive_int,
        "rows per forward pass (default: chosen for the device). Lower it if memory runs out",
        EvaluationOptions,
    )
    group.add_argument(
        "--device",
        default="auto",
        help="where to compute: auto, cpu, cuda, cuda:1, mps (default: auto, a GPU if there is one)",
    )
    add_dtype_flag(group, "products")
    add_trust_flag(group)
