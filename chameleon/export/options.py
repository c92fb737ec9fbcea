"""What can be asked of an export: the request, its defaults and its flags.

`export` and `check` take all of them, the main command some (`--export` and `add_source_flags`).
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chameleon.common.command_line import fraction, nonempty_path, nonnegative_int, positive_number

_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """A trainer's file to write or to check.

    Attributes:
        format: A key of `formats.FORMATS`.
        sources: JSON file of where the trainer finds each domain; None for the domains' own names.
        tokens_per_row: Mean tokens of a row: one number for all rows, or a JSON file of numbers by domain.
        budget: Tokens to train on.
        token_counts: JSON file of the tokens of each domain; None for the counts of the weights file.
        max_epochs: The most epochs of each domain, "" for all that are not named.
        min_weight: The least share of a domain.
        prior_strength: How far weights are pulled to the shares of the available tokens, from 0 to 1.
        then: Weights file of a second stage.
        at: Training step at which the second stage begins.
        seed: Seed of the trainer's draws.
    """

    format: str
    sources: Path | None = None
    tokens_per_row: float | Path | None = None
    budget: float | None = None
    token_counts: Path | None = None
    max_epochs: Mapping[str, float] | None = None
    min_weight: float = 0.0
    prior_strength: float = 0.0
    then: Path | None = None
    at: int | None = None
    seed: int = 0

    @property
    def input_files(self) -> list[Path]:
        """The files that the request names, none of which may be overwritten."""
        files = (self.sources, self.tokens_per_row, self.token_counts, self.then)
        return [file for file in files if isinstance(file, Path)]


def add_request_flags(parser: argparse.ArgumentParser) -> None:
    """The weights file and every flag of a request."""
    parser.add_argument("weights", type=Path, help="weights file")
    group = parser.add_argument_group("trainer")
    group.add_argument(
        "--format",
        required=True,
        metavar="F",
        help="format of the trainer's file; python -m chameleon export --help lists them",
    )
    add_source_flags(group)
    group.add_argument(
        "--seed", type=nonnegative_int, default=0, help="seed of the trainer's draws (default: 0)"
    )
    group = parser.add_argument_group("two stages in one file")
    group.add_argument(
        "--then",
        type=nonempty_path,
        metavar="FILE",
        help="weights file of a second stage, for trainers that take a schedule (default: none)",
    )
    group.add_argument(
        "--at",
        type=nonnegative_int,
        metavar="STEP",
        help="training step at which the second stage begins (required with --then)",
    )
    group = parser.add_argument_group("epochs and limits")
    group.add_argument(
        "--budget",
        type=token_count,
        metavar="TOKENS",
        help="tokens to train on, such as 300B; shows and caps epochs (default: unknown)",
    )
    group.add_argument(
        "--token_counts",
        type=nonempty_path,
        metavar="FILE",
        help="JSON file of the tokens of each domain, counted with the trainer's tokenizer "
        "(default: the proxy's counts in the weights file)",
    )
    group.add_argument(
        "--max_epochs",
        type=epochs_by_domain,
        metavar="E[,NAME=E...]",
        help="most epochs of a domain, for all or by name, such as 4,book=2 (default: no cap)",
    )
    group.add_argument(
        "--min_weight", type=fraction, default=0.0, help="least share of a domain (default: 0)"
    )
    group.add_argument(
        "--prior_strength",
        type=fraction,
        default=0.0,
        help="how far to pull the weights to the shares of the available tokens, from 0 to 1 (default: 0)",
    )


def add_source_flags(group: Any) -> None:  # noqa: ANN401
    """--sources and --tokens_per_row: where the trainer finds the domains, and how long their rows are."""
    group.add_argument(
        "--sources",
        type=nonempty_path,
        metavar="FILE",
        help="JSON file of where the trainer finds each domain: a path, a list of paths, or an object of "
        "paths, tokens and tokens_per_row (default: the domain's name)",
    )
    group.add_argument(
        "--tokens_per_row",
        type=_number_or_path,
        metavar="N|FILE",
        help="mean tokens of a row, for trainers that count rows: a number, or a JSON file of numbers by "
        "domain (default: from --sources)",
    )


def token_count(text: str) -> float:
    """A number of tokens, such as 300B."""
    unit = _UNITS.get(text[-1:].upper())
    try:
        number = float(text if unit is None else text[:-1]) * (unit or 1.0)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 1):
        raise argparse.ArgumentTypeError(f"expected a number of tokens such as 300B, got {text!r}")
    return number


def epochs_by_domain(text: str) -> dict[str, float]:
    """Numbers of epochs by domain, "" for all others: E,NAME=E,..."""
    epochs: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.rpartition("=")
        if name.strip() in epochs:
            raise argparse.ArgumentTypeError(f"two numbers for {name.strip() or 'all domains'} in {text!r}")
        epochs[name.strip()] = positive_number(number)
    return epochs


def _number_or_path(text: str) -> float | Path:
    try:
        return float(text)
    except ValueError:
        return nonempty_path(text)
