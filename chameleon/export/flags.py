"""Flags that `export`, `check` and the main command share: where domains are, tokens at hand, and limits."""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chameleon.argument_types import directory, positive, share
from chameleon.budget import Limits, within
from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError
from chameleon.export.mixture import Source, read_json_object, sources_of

_SIZES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def add_place_flags(group: Any) -> None:  # noqa: ANN401
    """--sources and --tokens_per_row."""
    group.add_argument(
        "--sources",
        type=directory,
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


def add_count_flags(group: Any) -> None:  # noqa: ANN401
    """--budget and --token_counts."""
    group.add_argument(
        "--budget",
        type=tokens,
        metavar="TOKENS",
        help="tokens to train on, such as 300B (default: not known). Give it to see epochs and to cap them",
    )
    group.add_argument(
        "--token_counts",
        type=directory,
        metavar="FILE",
        help="JSON file of the tokens of each domain (default: as the weights file says). Give it where they "
        "were counted with the trainer's tokenizer",
    )


def add_limit_flags(group: Any) -> None:  # noqa: ANN401
    """--max_epochs, --min_weight, --prior and --prior_strength."""
    group.add_argument(
        "--max_epochs",
        type=epochs,
        metavar="E[,NAME=E...]",
        help="how often text may be seen, everywhere or by domain, such as 4,book=2 (default: no cap). Give "
        "it where small domains would be repeated; weights before and after stand side by side",
    )
    group.add_argument(
        "--min_weight",
        type=share,
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
        type=share,
        default=0.0,
        help="how far weights are pulled to the prior, from 0 to 1 (default: 0). Raise it to repeat less",
    )


def tokens(text: str) -> float:
    """A number of tokens, such as 300B."""
    size = _SIZES.get(text[-1:].upper(), 1.0)
    try:
        number = float(text[:-1] if text[-1:].upper() in _SIZES else text) * size
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 1):
        raise argparse.ArgumentTypeError(f"expected a number of tokens such as 300B, got {text!r}")
    return number


def epochs(text: str) -> dict[str, float]:
    """Numbers of epochs by domain, "" for all others: E,NAME=E,..."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.rpartition("=")
        if name.strip() in found:
            raise argparse.ArgumentTypeError(f"two numbers for {name.strip() or 'all domains'} in {text!r}")
        found[name.strip()] = positive(number)
    return found


def places(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Source]:
    """The source of each domain.

    Raises:
        InputError: As of `sources_of`, or --tokens_per_row is neither a number above 0 nor such a file.
    """
    given = arguments.tokens_per_row
    per_row: float | Mapping[str, float] | None = None
    if given is not None:
        try:
            per_row = float(given)
        except ValueError:
            per_row = read_json_object(Path(given), "--tokens_per_row")
    return sources_of(names, arguments.sources, per_row)


def counts_of(
    arguments: argparse.Namespace, weights: DomainWeights
) -> tuple[dict[str, float] | None, str | None]:
    """Tokens of each domain at hand, None where they are not known, and what to know of them, in words.

    Raises:
        InputError: The file cannot be read, or holds something else.
    """
    recorded = weights.provenance.get("proxy")
    digest = recorded.get("tokenizer_digest") if isinstance(recorded, Mapping) else None
    if arguments.token_counts is not None:
        content = read_json_object(arguments.token_counts, "--token_counts")
        other = content.pop("tokenizer_digest", None)
        content = content.get("tokens", content) if isinstance(content.get("tokens"), dict) else content
        for name, count in content.items():
            if isinstance(count, bool) or not isinstance(count, int | float):
                raise InputError(f"--token_counts: {name} has {count!r:.40} tokens; expected a number")
        if other is not None and digest is not None and other != digest:
            return dict(content), (
                "the token counts are of another tokenizer than the proxy's: epochs are in its tokens, "
                "and weights "
                "were found with the proxy's"
            )
        return dict(content), None
    known = {name: facts.get("corpus_tokens") for name, facts in weights.domains.items()}
    if not known or None in known.values() or set(known) != set(weights.names):
        return None, None
    counts = {name: float(count) for name, count in known.items() if count is not None}
    return counts, "tokens at hand are counted with the proxy's tokenizer; another's differ"


def limited(arguments: argparse.Namespace, weights: DomainWeights) -> tuple[DomainWeights, list[str]]:
    """Weights within the limits that are asked for, and what to know of that, in words.

    Raises:
        InputError: As of `within`.
    """
    counts, notice = counts_of(arguments, weights)
    wants = arguments.budget or arguments.max_epochs or arguments.prior_strength
    limits = Limits(
        budget=arguments.budget,
        counts=counts if wants else None,
        max_epochs=arguments.max_epochs,
        min_weight=arguments.min_weight,
        prior_strength=arguments.prior_strength,
    )
    return within(weights, limits), [notice] if notice and wants and counts else []
