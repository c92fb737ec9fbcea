"""What the flags of export say: where domains are, tokens at hand, and limits on weights."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from chameleon.budget import Limits, within
from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError
from chameleon.export.mixture import Source, number_in, read_json_object, sources_of


def places(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Source]:
    """The source of each domain.

    Raises:
        InputError: As of `sources_of`, or --tokens_per_row is neither a number above 0 nor such a file.
    """
    return sources_of(names, arguments.sources, tokens_per_row(arguments))


def tokens_per_row(arguments: argparse.Namespace) -> float | dict[str, float] | None:
    """What --tokens_per_row says: a number for all rows, or by domain.

    Raises:
        InputError: It is neither a number nor such a file.
    """
    if arguments.tokens_per_row is None:
        return None
    try:
        return float(arguments.tokens_per_row)
    except ValueError:
        return read_json_object(Path(arguments.tokens_per_row), "--tokens_per_row")


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
                "the token counts are of another tokenizer than the proxy's: epochs are in its tokens, and "
                "weights were found with the proxy's"
            )
        return dict(content), None
    known = {
        name: number_in(facts, "corpus_tokens", f"domain {name}") for name, facts in weights.domains.items()
    }
    if not known or None in known.values() or set(known) != set(weights.names):
        return None, None
    counts = {name: count for name, count in known.items() if count is not None}
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
