"""Weights within limits: a budget of tokens, caps on epochs, a floor, and a pull to the natural shares.

Shapes: k domains.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.weights.domain_weights import DomainWeights

# What limits write about a domain in the weights file.
_FACTS = ("raw_weight", "tokens_at_hand", "epochs")

# Rounding of sums: a budget missed by less is met.
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What weights must keep to.

    Attributes:
        budget: Tokens to train on.
        counts: Available tokens of each domain, above 0.
        max_epochs: The most epochs of each domain, "" for all that are not named.
        min_weight: The least share of a domain.
        prior_strength: How far weights are pulled to the shares of the available tokens, from 0 (not at all)
            to 1.
    """

    budget: float | None = None
    counts: Mapping[str, float] | None = None
    max_epochs: Mapping[str, float] | None = None
    min_weight: float = 0.0
    prior_strength: float = 0.0


def apply_limits(weights: DomainWeights, limits: Limits) -> DomainWeights:
    """The nearest weights within limits, with the facts `raw_weight`, `tokens_at_hand` and `epochs`.

    The prior is mixed in first; then all weights are scaled by one factor, except those that stay at their
    cap or floor (water-filling). Of all weights within the limits these have the least Kullback-Leibler
    divergence from the requested ones. Facts and settings of earlier limits are dropped.

    Raises:
        InputError: Counts are needed and unknown, or no weights are within the limits (says by how much).
    """
    counts = _counts(weights.names, limits)
    wanted = weights.weights
    if limits.prior_strength:
        if counts is None:
            raise InputError("--prior_strength needs the tokens of each domain; give --token_counts")
        wanted = (1 - limits.prior_strength) * wanted + limits.prior_strength * counts / counts.sum()
    least, most = _bounds(weights.names, limits, counts)
    shares = project_shares(wanted, least, most)
    facts = {name: _without(weights.domains.get(name, {}), _FACTS) for name in weights.names}
    for i, name in enumerate(weights.names):
        if shares[i] != weights.weights[i]:
            facts[name] = _without(facts[name], ("standard_error", "interval"))
            facts[name]["raw_weight"] = float(weights.weights[i])
        if limits.budget is not None and counts is not None:
            facts[name]["tokens_at_hand"] = float(counts[i])
            facts[name]["epochs"] = float(shares[i] * limits.budget / counts[i])
    settings = {
        "budget": limits.budget,
        "max_epochs": dict(limits.max_epochs) if limits.max_epochs else None,
        "min_weight": limits.min_weight or None,
        "prior_strength": limits.prior_strength or None,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    settings = {**_without(weights.settings, settings), **given}
    return replace(weights, weights=shares, domains=facts, settings=settings)


def epoch_caps(names: tuple[str, ...], limits: Limits) -> Array:
    """(k,) the largest share of each domain by `max_epochs`.

    Raises:
        InputError: See `apply_limits`.
    """
    _, most = _bounds(names, replace(limits, min_weight=0.0), _counts(names, limits))
    return most


def share_bounds(names: tuple[str, ...], limits: Limits) -> tuple[Array, Array]:
    """(k,) floors and (k,) caps of shares within limits, apart from the prior.

    Raises:
        InputError: See `apply_limits`.
    """
    return _bounds(names, limits, _counts(names, limits))


def project_shares(wanted: Array, least: Array, most: Array) -> Array:
    """(k,) the nearest shares to those wanted, by Kullback-Leibler divergence, between floors and caps.

    They are clip(t wanted, least, most) for the one t with which they sum to 1. A share wanted at 0 stays at
    its floor unless the others cannot take everything.

    Args:
        wanted: (k,) not negative.
        least, most: (k,) with least <= most, sum(least) <= 1 <= sum(most).
    """
    if ((least <= wanted) & (wanted <= most)).all():
        return wanted / wanted.sum() if abs(wanted.sum() - 1) > _TINY else wanted
    positive = wanted > 0
    with np.errstate(over="ignore"):
        # Between the t at which a share leaves its floor or meets its cap, the sum is linear in t.
        breaks = np.concatenate([bound[positive] / wanted[positive] for bound in (least, most)])
    breaks = np.unique(np.append(breaks[np.isfinite(breaks)], 0.0))
    low, high = 0, len(breaks) - 1
    while low < high:  # the last t at which the sum is at most 1
        middle = (low + high + 1) // 2
        if np.clip(breaks[middle] * wanted, least, most).sum() <= 1:
            low = middle
        else:
            high = middle - 1
    scaled = breaks[low] * wanted
    shares = np.clip(scaled, least, most)
    missing = 1 - float(shares.sum())
    if missing <= _TINY:
        return np.asarray(shares / shares.sum())
    # Rounding must not free a share that meets its cap, or hold one that leaves its floor, at this very t.
    free = positive & (scaled >= least * (1 - _TINY)) & (scaled < most * (1 - _TINY))
    if free.any():
        shares[free] += missing * wanted[free] / wanted[free].sum()
        return np.asarray(shares)
    # Everything wanted is at its cap: shares wanted at 0 take the rest in equal parts.
    rest = 1 - float(shares[positive].sum())
    zero = ~positive
    shares[zero] = rest * project_shares(np.ones(int(zero.sum())), least[zero] / rest, most[zero] / rest)
    return np.asarray(shares)


def format_tokens(tokens: float) -> str:
    """A number of tokens for people: 12.3B."""
    tokens = float(f"{tokens:.4g}")
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:.4g}{letter}"
    return f"{tokens:.4g}"


def _counts(names: tuple[str, ...], limits: Limits) -> Array | None:
    """(k,) available tokens, None where they are unknown."""
    unknown = [name for name in limits.max_epochs or () if name and name not in names]
    if unknown:
        raise InputError(f"--max_epochs names {unknown[0]}; the weights are of {listed(names)}")
    if limits.counts is None:
        return None
    missing = [name for name in names if name not in limits.counts]
    if missing:
        raise InputError(f"--token_counts lacks {listed(missing)}; give the tokens of every domain")
    for name, count in limits.counts.items():
        if not count > 0:
            raise InputError(f"{name} has {count:g} available tokens; expected a number above 0")
    return np.array([limits.counts[name] for name in names], dtype=np.float64)


def _bounds(names: tuple[str, ...], limits: Limits, counts: Array | None) -> tuple[Array, Array]:
    """(k,) floors and (k,) caps between which shares can sum to 1."""
    least, most = np.full(len(names), limits.min_weight), np.ones(len(names))
    budget = limits.budget or 0.0
    if limits.max_epochs:
        if limits.budget is None or counts is None:
            flag = "--budget" if limits.budget is None else "--token_counts"
            raise InputError(f"--max_epochs needs {flag}: epochs are tokens trained on / available tokens")
        default = limits.max_epochs.get("", np.inf)
        epochs = np.array([limits.max_epochs.get(name, default) for name in names])
        most = np.minimum(epochs * counts / budget, 1.0)
    if least.sum() > 1 + _TINY:
        raise InputError(
            f"--min_weight {limits.min_weight:g} for {len(names)} domains sums to {least.sum():.4g}; give at "
            f"most {1 / len(names):.4g}"
        )
    for name, low, high in zip(names, least, most, strict=True):
        if low > high + _TINY:
            missing = format_tokens((low - high) * budget)
            raise InputError(
                f"the least share of {name} ({low:.4g}, --min_weight) is over what --max_epochs leaves of it "
                f"({high:.4g}): {missing} tokens are missing; lower one or raise the other"
            )
    if most.sum() < 1 - _TINY:
        available, missing = (format_tokens(share * budget) for share in (most.sum(), 1 - most.sum()))
        raise InputError(
            f"the budget of {format_tokens(budget)} tokens is over what the domains give within "
            f"--max_epochs: {available}; {missing} are missing. Raise --max_epochs, lower --budget or add "
            "text"
        )
    return least, most


def _without(facts: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key not in keys}
