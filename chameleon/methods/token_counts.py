"""What weights of a rival stand on, and the weights value with all that it must say.

Shapes: k domains.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import chameleon
from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.files import absolute_path, digest_of_json
from chameleon.export.budget import Limits, apply_limits, epoch_caps
from chameleon.export.parse import parse_number, read_token_counts
from chameleon.methods.options import MethodOptions
from chameleon.training.inputs import TrainingInputs
from chameleon.weights.domain_weights import DomainWeights


@dataclass(frozen=True)
class TokenCounts:
    """Domains and their tokens, and where those are from.

    Attributes:
        counts: Tokens of each domain to train on; None where they are not known.
        settings, provenance: As of `DomainWeights`.
    """

    counts: Mapping[str, int] | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def packed_counts(options: MethodOptions, ground: TrainingInputs) -> TokenCounts:
    """Of packed domains."""
    training = options.training
    return TokenCounts(
        {domain.name: domain.tokens for domain in ground.packed},
        {
            "dataset": absolute_path(training.dataset),
            "heldout_share": training.heldout_share,
            **{name: value for name, value in training.reading().items() if value not in (None, False)},
        },
        {
            "dataset": {
                "name": training.dataset,
                "fingerprint": digest_of_json([domain.digest for domain in ground.packed]),
            },
            "proxy": {"tokenizer_digest": ground.tokenizer.digest},
        },
    )


def estimated_counts(path: Path) -> TokenCounts:
    """Of a file of token counts.

    Raises:
        InputError: It is none.
    """
    content, digest = read_token_counts(path)
    counts = {
        name: round(parse_number(value, f"--token_counts: that of {name}", 1))
        for name, value in content.items()
    }
    if not counts:
        raise InputError(f"{path} (--token_counts) names no domain; give the tokens of each")
    provenance = {} if digest is None else {"proxy": {"tokenizer_digest": digest}}
    return TokenCounts(counts, {"token_counts": absolute_path(str(path))}, provenance)


def natural_shares(basis: TokenCounts, names: tuple[str, ...]) -> Array | None:
    """(k,) shares of the tokens at hand, in the order of names; None where they are not known.

    Raises:
        InputError: The counts are of other domains.
    """
    if basis.counts is None:
        return None
    if set(basis.counts) != set(names):
        raise InputError(
            f"the runs are of the domains {', '.join(names)[:300]}, the token counts of "
            f"{', '.join(basis.counts)[:300]}; both must be of the same"
        )
    counts = np.array([basis.counts[name] for name in names], dtype=np.float64)
    return np.asarray(counts / counts.sum())


def _limits(options: MethodOptions, basis: TokenCounts) -> Limits | None:
    if not (options.budget or options.max_epochs):
        return None
    return Limits(budget=options.budget, counts=basis.counts, max_epochs=options.max_epochs)


def caps_on(names: tuple[str, ...], options: MethodOptions, basis: TokenCounts) -> Array | None:
    """(k,) the largest share of each domain by --max_epochs; None where it is not given.

    Raises:
        InputError: They leave no mixture, or what they need is not known.
    """
    limits = _limits(options, basis)
    return None if limits is None or not limits.max_epochs else epoch_caps(names, limits)


def method_weights(
    method: str,
    names: tuple[str, ...],
    weights: Array,
    options: MethodOptions,
    basis: TokenCounts,
    settings: Mapping[str, Any],
    diagnostics: Mapping[str, Any],
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    notices: tuple[str, ...] = (),
) -> DomainWeights:
    """Weights with what they are from, within --max_epochs where it is given.

    Args:
        method: Its name.
        names: (k,) domains that have a weight.
        weights: (k,) theirs.
        options: What was asked for.
        basis: What they stand on.
        settings, diagnostics, notices: As of `DomainWeights`.
        facts: Of domains, besides their tokens.

    Raises:
        InputError: No weights keep to the limits.
    """
    about: dict[str, dict[str, Any]] = {name: dict((facts or {}).get(name, {})) for name in names}
    if basis.counts is not None:
        total = sum(basis.counts[name] for name in names)
        for name in names:
            count = basis.counts[name]
            about[name] |= {"corpus_tokens": count, "natural_share": count / total}
    versions = {
        "chameleon": chameleon.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    found = DomainWeights(
        names,
        weights / weights.sum(),
        method,
        domains=about,
        diagnostics=diagnostics,
        settings={**basis.settings, **settings},
        provenance={**basis.provenance, "versions": versions},
        notices=notices,
    )
    limits = _limits(options, basis)
    return found if limits is None else apply_limits(found, limits)
