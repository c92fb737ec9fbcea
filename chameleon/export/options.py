"""What can be asked of an export: the request, its defaults and its flags.

`export` and `check` take all of them, the main command those of `SOURCE_FLAGS` and --budget.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path

from chameleon.common.command_line import (
    fraction,
    nonempty_path,
    nonnegative_int,
    numbers_by_name,
    positive_number,
    token_count,
)
from chameleon.common.flags import flag

# Groups of flags, for `add_flags`.
SOURCE_FLAGS = "sources tokens_per_row"
REQUEST_FLAGS = {
    "trainer": f"format {SOURCE_FLAGS} seed",
    "two stages in one file": "then at",
    "epochs and limits": "budget token_counts max_epochs min_weight prior_strength",
}


def epochs_by_domain(text: str) -> dict[str, float]:
    """Numbers of epochs by domain, "" for all others: E,NAME=E,..."""
    return numbers_by_name(text, positive_number)


def _number_or_path(text: str) -> float | Path:
    try:
        return float(text)
    except ValueError:
        return nonempty_path(text)


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """A trainer's file to write or to check.

    Each flag's help says what it is for. `max_epochs` has the key "" for all domains that are not named.
    """

    format: str = flag(
        MISSING, "format of the trainer's file; python -m chameleon export --help lists them", metavar="F"
    )
    sources: Path | None = flag(
        None,
        "JSON file of where the trainer finds each domain: a path, a list of paths, or an object of paths, "
        "tokens and tokens_per_row (default: the domain's name)",
    )
    tokens_per_row: float | Path | None = flag(
        None,
        "mean tokens of a row, for trainers that count rows: a number, or a JSON file of numbers by domain "
        "(default: from --sources)",
        type=_number_or_path,
        metavar="N|FILE",
    )
    budget: float | None = flag(
        None,
        "tokens to train on, such as 300B; shows and caps epochs (default: unknown)",
        type=token_count,
        metavar="TOKENS",
    )
    token_counts: Path | None = flag(
        None,
        "JSON file of the tokens of each domain, counted with the trainer's tokenizer (default: the proxy's "
        "counts in the weights file)",
    )
    max_epochs: Mapping[str, float] | None = flag(
        None,
        "most epochs of a domain, for all or by name, such as 4,book=2 (default: no cap)",
        type=epochs_by_domain,
        metavar="E[,NAME=E...]",
    )
    min_weight: float = flag(0.0, "least share of a domain (default: 0)", type=fraction)
    prior_strength: float = flag(
        0.0,
        "how far to pull the weights to the shares of the available tokens, from 0 to 1 (default: 0)",
        type=fraction,
    )
    then: Path | None = flag(
        None, "weights file of a second stage, for trainers that take a schedule (default: none)"
    )
    at: int | None = flag(
        None,
        "training step at which the second stage begins (required with --then)",
        type=nonnegative_int,
        metavar="STEP",
    )
    seed: int = flag(0, "seed of the trainer's draws (default: 0)", type=nonnegative_int)

    @property
    def input_files(self) -> list[Path]:
        """The files that the request names, none of which may be overwritten."""
        files = (self.sources, self.tokens_per_row, self.token_counts, self.then)
        return [file for file in files if isinstance(file, Path)]
