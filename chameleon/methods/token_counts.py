"""How many tokens each domain has, and the shares and limits that follow.

Shapes: k domains.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.files import absolute_path, digest_of_json
from chameleon.common.tables import listed
from chameleon.export.budget import Limits, epoch_caps
from chameleon.export.parse import parse_number, read_token_counts
from chameleon.methods.options import MethodOptions
from chameleon.training.inputs import TrainingInputs


@dataclass(frozen=True)
class TokenCounts:
    """Tokens of domains, and where the numbers are from.

    Attributes:
        counts: Training tokens by domain; None where they are unknown.
        settings, provenance: The corpus, as `DomainWeights` records it.
    """

    counts: Mapping[str, int] | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def packed_counts(options: MethodOptions, inputs: TrainingInputs) -> TokenCounts:
    """Tokens of packed domains."""
    training = options.training
    return TokenCounts(
        {domain.name: domain.tokens for domain in inputs.packed},
        {
            "dataset": absolute_path(training.dataset),
            "heldout_share": training.heldout_share,
            **{name: value for name, value in training.reading().items() if value not in (None, False)},
        },
        {
            "dataset": {
                "name": training.dataset,
                "fingerprint": digest_of_json([domain.digest for domain in inputs.packed]),
            },
            "proxy": {"tokenizer_digest": inputs.tokenizer.digest},
        },
    )


def counts_in_file(path: Path) -> TokenCounts:
    """Tokens by a file of --token_counts.

    Raises:
        InputError: It cannot be read, or has no token counts.
    """
    content, digest = read_token_counts(path)
    if not content:
        raise InputError(f"{path} (--token_counts) names no domain; give the tokens of each")
    provenance = {} if digest is None else {"proxy": {"tokenizer_digest": digest}}
    place = "--token_counts: that of"
    counts = {name: round(parse_number(each, f"{place} {name}", 1)) for name, each in content.items()}
    return TokenCounts(counts, {"token_counts": absolute_path(str(path))}, provenance)


def natural_shares(tokens: TokenCounts, names: tuple[str, ...]) -> Array | None:
    """(k,) shares of the available tokens, in the order of names; None where counts are unknown.

    Raises:
        InputError: The counts are of other domains.
    """
    if tokens.counts is None:
        return None
    if set(tokens.counts) != set(names):
        raise InputError(
            f"--runs has the domains {listed(names, 20)}, but --token_counts has "
            f"{listed(tuple(tokens.counts), 20)}; give both the same domains"
        )
    counts = np.array([tokens.counts[name] for name in names], dtype=np.float64)
    return np.asarray(counts / counts.sum())


def limits_of(options: MethodOptions, tokens: TokenCounts) -> Limits | None:
    """The limits by --budget and --max_epochs; None where neither is given."""
    if not (options.budget or options.max_epochs):
        return None
    return Limits(budget=options.budget, counts=tokens.counts, max_epochs=options.max_epochs)


def share_caps(names: tuple[str, ...], options: MethodOptions, tokens: TokenCounts) -> Array | None:
    """(k,) the largest share of each domain by --max_epochs; None where it is not given.

    Raises:
        InputError: No mixture is within the caps, or --budget or the token counts are missing.
    """
    limits = limits_of(options, tokens)
    return None if limits is None or not limits.max_epochs else epoch_caps(names, limits)
