"""What a method gives: weights with the record of how they were made, and how to draw them.

Shapes: k domains.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from chameleon.common.arrays import Array
from chameleon.common.libraries import versions
from chameleon.export.budget import apply_limits
from chameleon.methods.options import MethodOptions
from chameleon.methods.token_counts import TokenCounts, limits_of
from chameleon.training.options import TrainingOptions
from chameleon.weights.domain_weights import DomainWeights

# Options of training that are recorded with the weights.
_RECORDED = ("model", "max_steps", "max_tokens", "sample_length", "batch_size", "learning_rate", "seed")


class MethodOutcome(NamedTuple):
    """Weights, and what writes a picture of how they were found to a file, where there is one."""

    weights: DomainWeights
    draw: Callable[[Path], None] | None = None


def method_weights(
    method: str,
    names: tuple[str, ...],
    weights: Array,
    options: MethodOptions,
    tokens: TokenCounts,
    settings: Mapping[str, Any],
    diagnostics: Mapping[str, Any],
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    notices: tuple[str, ...] = (),
) -> DomainWeights:
    """Weights with the record of how they were made, within --max_epochs where it is given.

    Args:
        method: Its name.
        names: (k,) domains with a weight.
        weights: (k,) not negative; scaled to sum to 1.
        options: What was asked for.
        tokens: Tokens of the domains, and of which corpus.
        settings: The method's own settings.
        diagnostics, notices: See `DomainWeights`.
        facts: Facts about domains by name, besides their tokens.

    Raises:
        InputError: No weights are within the limits.
    """
    domains: dict[str, dict[str, Any]] = {name: dict((facts or {}).get(name, {})) for name in names}
    if tokens.counts is not None:
        total = sum(tokens.counts[name] for name in names)
        for name in names:
            count = tokens.counts[name]
            domains[name] |= {"corpus_tokens": count, "natural_share": count / total}
    unlimited = DomainWeights(
        names,
        weights / weights.sum(),
        method,
        domains=domains,
        diagnostics=diagnostics,
        settings={**tokens.settings, **settings},
        provenance={**tokens.provenance, "versions": versions()},
        notices=notices,
    )
    limits = limits_of(options, tokens)
    return unlimited if limits is None else apply_limits(unlimited, limits)


def training_settings(options: TrainingOptions) -> dict[str, Any]:
    """The options of training that are recorded with the weights."""
    return {name: getattr(options, name) for name in _RECORDED}
