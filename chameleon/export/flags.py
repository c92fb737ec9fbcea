"""What the flags of export and check say: weights within limits, those that follow, and where domains are."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chameleon.budget import Limits, within
from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError
from chameleon.export.mixture import Later, Source, number_in, sources_of
from chameleon.export.reading import json_object_in, number_from, token_counts_in

_PROXYS_TOKENS = "tokens at hand are counted with the proxy's tokenizer; another's differ"
_OTHERS_TOKENS = (
    "the token counts are of another tokenizer than the proxy's: epochs are in its tokens, and weights were "
    "found with the proxy's"
)


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked for.

    Attributes:
        weights: Within the limits.
        later: Those that follow, within them too.
        notices: What to know of it, in words.
    """

    weights: DomainWeights
    later: tuple[Later, ...]
    notices: tuple[str, ...]


def asked_for(arguments: argparse.Namespace, weights: DomainWeights) -> Asked:
    """Weights and those of --then within the limits that are asked for.

    Raises:
        InputError: As of `within`, or --then and --at do not fit each other or the weights.
    """
    first, notices = limited(arguments, weights)
    if (arguments.then is None) != (arguments.at is None):
        raise InputError("--then and --at belong together: the weights to go over to, and the step")
    if arguments.then is None:
        return Asked(first, (), notices)
    if arguments.at < 1:
        raise InputError("--at 0 leaves nothing of the first stage; give a step of at least 1")
    later, further = limited(arguments, DomainWeights.read(arguments.then))
    if set(later.names) != set(weights.names):
        raise InputError(
            f"{arguments.then} has weights for {', '.join(later.names)[:300]}, {arguments.weights} for "
            f"{', '.join(weights.names)[:300]}; both must be of the same domains"
        )
    return Asked(first, (Later(arguments.at, later),), tuple(dict.fromkeys((*notices, *further))))


def places(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Source]:
    """The source of each domain.

    Raises:
        InputError: As of `sources_of`, or --tokens_per_row is neither a number above 0 nor such a file.
    """
    return sources_of(names, arguments.sources, tokens_per_row(arguments))


def tokens_per_row(arguments: argparse.Namespace) -> float | dict[str, Any] | None:
    """What --tokens_per_row says: a number for all rows, or by domain.

    Raises:
        InputError: It is neither a number nor such a file.
    """
    if arguments.tokens_per_row is None:
        return None
    try:
        return float(arguments.tokens_per_row)
    except ValueError:
        return json_object_in(Path(arguments.tokens_per_row), "--tokens_per_row")


def limited(arguments: argparse.Namespace, weights: DomainWeights) -> tuple[DomainWeights, tuple[str, ...]]:
    """Weights within the limits that are asked for, and what to know of that, in words.

    Raises:
        InputError: As of `within`.
    """
    counts, notice = None, None
    if arguments.budget or arguments.max_epochs or arguments.prior_strength:
        counts, notice = _counts(arguments, weights)
    limits = Limits(
        budget=arguments.budget,
        counts=counts,
        max_epochs=arguments.max_epochs,
        min_weight=arguments.min_weight,
        prior_strength=arguments.prior_strength,
    )
    return within(weights, limits), () if notice is None else (notice,)


def _counts(
    arguments: argparse.Namespace, weights: DomainWeights
) -> tuple[dict[str, float] | None, str | None]:
    """Tokens of each domain at hand, None where they are not known, and what to know of them."""
    if arguments.token_counts is None:
        known = {
            name: number_in(weights.domains.get(name, {}), "corpus_tokens", f"domain {name}", 1)
            for name in weights.names
        }
        counts = {name: count for name, count in known.items() if count is not None}
        return (counts, _PROXYS_TOKENS) if len(counts) == len(known) else (None, None)
    content, digest = token_counts_in(arguments.token_counts)
    counts = {}
    for name in weights.names:
        if name in content:
            if isinstance(content[name], str):
                raise InputError(
                    f"--token_counts: that of {name} is {content[name]!r:.40}; expected a number"
                )
            counts[name] = number_from(content[name], f"--token_counts: that of {name}", 1)
    proxy = weights.provenance.get("proxy")
    ours = proxy.get("tokenizer_digest") if isinstance(proxy, Mapping) else None
    return counts, _OTHERS_TOKENS if None not in (digest, ours) and digest != ours else None
