"""Flags that `export`, `check` and the main command share: where domains are, tokens at hand, and limits."""

import argparse
import math
from typing import Any

from chameleon.common.command_line import fraction, nonempty_path, nonnegative_int, positive_number

_SIZES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def add_source_flags(group: Any) -> None:  # noqa: ANN401
    """--sources and --tokens_per_row."""
    group.add_argument(
        "--sources",
        type=nonempty_path,
        metavar="FILE",
        help="JSON file: by domain a path, a list of paths, or an object with paths, tokens, tokens_per_row "
        "(default: each domain's own name). Give it where the trainer finds a domain by another name",
    )
    group.add_argument(
        "--tokens_per_row",
        metavar="N|FILE",
        help="mean tokens of a row: a number where all rows are of one length, or a JSON file of numbers by "
        "domain (default: as --sources says). Give it for trainers that count rows",
    )


def add_budget_flags(group: Any) -> None:  # noqa: ANN401
    """--budget and --token_counts."""
    group.add_argument(
        "--budget",
        type=token_count,
        metavar="TOKENS",
        help="tokens to train on, such as 300B (default: not known). Give it to see epochs and to cap them",
    )
    group.add_argument(
        "--token_counts",
        type=nonempty_path,
        metavar="FILE",
        help="JSON file of the tokens of each domain (default: as the weights file says). Give it where they "
        "were counted with the trainer's tokenizer",
    )


def add_limit_flags(group: Any) -> None:  # noqa: ANN401
    """--max_epochs, --min_weight, --prior and --prior_strength."""
    group.add_argument(
        "--max_epochs",
        type=epochs_by_domain,
        metavar="E[,NAME=E...]",
        help="how often text may be seen, everywhere or by domain, such as 4,book=2 (default: no cap). Give "
        "it where small domains would be repeated; weights before and after stand side by side",
    )
    group.add_argument(
        "--min_weight",
        type=fraction,
        default=0.0,
        help="least share of a domain (default: 0). Raise it where no domain may be forgotten",
    )
    group.add_argument(
        "--prior",
        choices=("natural",),
        default="natural",
        help="what --prior_strength pulls to: natural, the shares of the tokens at hand (default: natural). "
        "Change it when there are others",
    )
    group.add_argument(
        "--prior_strength",
        type=fraction,
        default=0.0,
        help="how far weights are pulled to the prior, from 0 to 1 (default: 0). Raise it to repeat less",
    )


def add_stage_flags(group: Any) -> None:  # noqa: ANN401
    """--then and --at."""
    group.add_argument(
        "--then",
        type=nonempty_path,
        metavar="FILE",
        help="weights file to go over to, such as that of --mode finetune (default: none). Give it for "
        "trainers that take a schedule",
    )
    group.add_argument(
        "--at",
        type=nonnegative_int,
        metavar="STEP",
        help="training step at which that is (default: none). Give it with --then",
    )


def token_count(text: str) -> float:
    """A number of tokens, such as 300B."""
    size = _SIZES.get(text[-1:].upper(), 1.0)
    try:
        number = float(text[:-1] if text[-1:].upper() in _SIZES else text) * size
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 1):
        raise argparse.ArgumentTypeError(f"expected a number of tokens such as 300B, got {text!r}")
    return number


def epochs_by_domain(text: str) -> dict[str, float]:
    """Numbers of epochs by domain, "" for all others: E,NAME=E,..."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.rpartition("=")
        if name.strip() in found:
            raise argparse.ArgumentTypeError(f"two numbers for {name.strip() or 'all domains'} in {text!r}")
        found[name.strip()] = positive_number(number)
    return found
