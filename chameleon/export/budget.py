"""Tokens at hand and tokens to train on: epochs of each domain, caps on them, floors, and a pull to a prior.

Shapes: k domains.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.tables import (
    column_width,
    display_name,
    format_share,
    most_changed_rows,
    share_decimals,
)
from chameleon.export.mixture import fact_number
from chameleon.weights.domain_weights import DomainWeights

# What limits say of a domain.
_FACTS = ("raw_weight", "tokens_at_hand", "epochs")


# What sums may be off by: a budget that misses by less is met.
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What weights must keep to.

    Attributes:
        budget: Tokens to train on.
        counts: Tokens of each domain at hand, by name, above 0.
        max_epochs: How often a domain may be seen: by name, "" for all that are not named.
        min_weight: The least share of a domain.
        prior_strength: How far weights are pulled towards natural shares: 0 not at all, 1 all the way.
    """

    budget: float | None = None
    counts: Mapping[str, float] | None = None
    max_epochs: Mapping[str, float] | None = None
    min_weight: float = 0.0
    prior_strength: float = 0.0


def apply_limits(weights: DomainWeights, limits: Limits) -> DomainWeights:
    """Weights that keep to limits. Facts have `raw_weight`, what they were before, tokens at hand and epochs.

    What earlier limits left among facts and settings is of no use for others, and is left out.

    The prior is mixed in first; then weights are scaled alike, those that would break a cap or a floor
    staying at it (water-filling): of all that keep to them these have the least Kullback-Leibler
    divergence from what was asked.

    Raises:
        InputError: Counts are needed and not known, or no weights keep to the limits (says by how much).
    """
    _require_names(weights.names, limits)
    counts = None
    if limits.counts is not None:
        counts = np.array([limits.counts[name] for name in weights.names], dtype=np.float64)
    wanted = weights.weights
    if limits.prior_strength:
        if counts is None:
            raise InputError("--prior natural needs the tokens of each domain; give --token_counts")
        wanted = (1 - limits.prior_strength) * wanted + limits.prior_strength * counts / counts.sum()
    least = np.full(len(wanted), limits.min_weight)
    most = _caps(weights.names, limits, counts)
    _require_feasible(weights.names, least, most, limits)
    found = project_shares(wanted, least, most)
    facts = {name: _without(weights.domains.get(name, {}), _FACTS) for name in weights.names}
    for i, name in enumerate(weights.names):
        if found[i] != weights.weights[i]:
            facts[name]["raw_weight"] = float(weights.weights[i])
            for of_it in ("standard_error", "interval"):
                facts[name].pop(of_it, None)
        if limits.budget is not None and counts is not None:
            facts[name]["tokens_at_hand"] = float(counts[i])
            facts[name]["epochs"] = float(found[i] * limits.budget / counts[i])
    settings = {
        "budget": limits.budget,
        "max_epochs": dict(limits.max_epochs) if limits.max_epochs else None,
        "min_weight": limits.min_weight or None,
        "prior_strength": limits.prior_strength or None,
    }
    kept = {key: value for key, value in settings.items() if value is not None}
    settings = {**_without(weights.settings, settings), **kept}
    return replace(weights, weights=found, domains=facts, settings=settings)


def _without(facts: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key not in keys}


def project_shares(wanted: Array, least: Array, most: Array) -> Array:
    """(k,) shares nearest to those wanted, by Kullback-Leibler divergence, between floors and caps.

    They are clip(t wanted, least, most) for the one t with which they sum to 1. What is wanted at 0 stays at
    its floor unless the others cannot take all.

    Args:
        wanted: (k,) not negative.
        least, most: (k,) with least <= most, sum(least) <= 1 <= sum(most).
    """
    if ((least <= wanted) & (wanted <= most)).all():
        return wanted / wanted.sum() if abs(wanted.sum() - 1) > _TINY else wanted
    positive = wanted > 0
    with np.errstate(over="ignore"):
        # Between the places where a share leaves its floor or meets its cap, sums rise along straight lines.
        places = np.concatenate([bound[positive] / wanted[positive] for bound in (least, most)])
    places = np.unique(np.append(places[np.isfinite(places)], 0.0))
    low, high = 0, len(places) - 1
    while low < high:  # the last place at which the sum is at most 1
        middle = (low + high + 1) // 2
        if np.clip(places[middle] * wanted, least, most).sum() <= 1:
            low = middle
        else:
            high = middle - 1
    at = places[low] * wanted
    shares = np.clip(at, least, most)
    left = 1 - float(shares.sum())
    # What meets a bound at this very place is not held below it by rounding.
    free = positive & (at >= least * (1 - _TINY)) & (at < most * (1 - _TINY))
    if left <= _TINY:
        return np.asarray(shares / shares.sum())
    if free.any():
        shares[free] += left * wanted[free] / wanted[free].sum()
        return np.asarray(shares)
    # All that is wanted is at its cap: what is wanted at 0 takes the rest alike.
    rest = 1 - float(shares[positive].sum())
    zero = ~positive
    shares[zero] = rest * project_shares(np.ones(int(zero.sum())), least[zero] / rest, most[zero] / rest)
    return np.asarray(shares)


def epoch_caps(names: tuple[str, ...], limits: Limits) -> Array:
    """(k,) the largest share of each domain by `max_epochs`.

    Raises:
        InputError: As of `apply_limits`.
    """
    _require_names(names, limits)
    counts = None
    if limits.counts is not None:
        counts = np.array([limits.counts[name] for name in names], dtype=np.float64)
    most = _caps(names, limits, counts)
    _require_feasible(names, np.zeros(len(names)), most, limits)
    return most


def _caps(names: tuple[str, ...], limits: Limits, counts: Array | None) -> Array:
    most = np.ones(len(names))
    if not limits.max_epochs:
        return most
    if limits.budget is None or counts is None:
        missing = "--budget" if limits.budget is None else "--token_counts"
        raise InputError(f"--max_epochs needs {missing}: epochs are tokens trained on over tokens at hand")
    everywhere = limits.max_epochs.get("", np.inf)
    epochs = np.array([limits.max_epochs.get(name, everywhere) for name in names])
    return np.minimum(epochs * counts / limits.budget, 1.0)


def _require_names(names: tuple[str, ...], limits: Limits) -> None:
    unknown = [name for name in limits.max_epochs or () if name and name not in names]
    if unknown:
        raise InputError(f"--max_epochs names {unknown[0]}; the weights are of {', '.join(names)[:400]}")
    missing = [name for name in names if limits.counts is not None and name not in limits.counts]
    if missing:
        raise InputError(f"--token_counts lacks {', '.join(missing)[:400]}; give the tokens of every domain")
    for name, count in (limits.counts or {}).items():
        if not count > 0:
            raise InputError(f"{name} has {count:g} tokens at hand; expected a number above 0")


def _require_feasible(names: tuple[str, ...], least: Array, most: Array, limits: Limits) -> None:
    if least.sum() > 1 + _TINY:
        raise InputError(
            f"--min_weight {limits.min_weight:g} for {len(names)} domains sums to {least.sum():.4g}; give at "
            f"most {1 / len(names):.4g}"
        )
    for name, low, high in zip(names, least, most, strict=True):
        if low > high + _TINY:
            tokens = (low - high) * (limits.budget or 0)
            raise InputError(
                f"the least share of {name} ({low:.4g}, --min_weight) is over what --max_epochs leaves of it "
                f"({high:.4g}): {tokens_text(tokens)} tokens are missing; lower one, or raise the other"
            )
    if most.sum() < 1 - _TINY:
        budget = limits.budget or 0.0
        raise InputError(
            f"the budget of {tokens_text(budget)} tokens is over what the domains give within "
            f"--max_epochs: {tokens_text(most.sum() * budget)}; {tokens_text((1 - most.sum()) * budget)} "
            "are missing. Raise --max_epochs, lower --budget, or add text"
        )


def tokens_text(tokens: float) -> str:
    """A number of tokens as people write it: 12.3B."""
    tokens = float(f"{tokens:.4g}")
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:.4g}{letter}"
    return f"{tokens:.4g}"


def render_limits(weights: DomainWeights) -> str:
    """A table of what limits changed and how often each domain is seen; "" where there is nothing to say.

    Of very many domains it has those whose weights moved most or, where none did, that are seen most often.
    """
    facts = {name: weights.domains.get(name, {}) for name in weights.names}
    budget = fact_number(weights.settings, "budget", "settings")
    moved = any("raw_weight" in each for each in facts.values())
    if not moved and budget is None:
        return ""
    of = [(fact_number(facts[n], "raw_weight", f"domain {n}"), _epochs(weights, n)) for n in weights.names]
    shares = weights.weights.tolist()
    raw = [share if each is None else each for share, (each, _) in zip(shares, of, strict=True)]
    far = np.abs(np.array(raw) - weights.weights) if moved else np.array([epochs or 0.0 for _, epochs in of])
    shown, decimals = most_changed_rows(far), share_decimals(len(weights.names))
    width = column_width(display_name(weights.names[i]) for i in shown)
    head = f"{'domain':<{width}}  {'raw':>{decimals + 2}}  {'weight':>{decimals + 2}}"
    lines = [head + ("      tokens  at hand  epochs   missing" if budget is not None else "")]
    for i in shown:
        name, weight, epochs = weights.names[i], shares[i], of[i][1]
        sides = "  ".join(f"{format_share(each, decimals):>{decimals + 2}}" for each in (raw[i], weight))
        line = f"{display_name(name):<{width}}  {sides}"
        if budget is not None:
            at_hand = fact_number(facts[name], "tokens_at_hand", f"domain {name}")
            # What a cap cuts off is missing; what a floor or a prior gives to others is not.
            is_missing = raw[i] > weight and _at_cap(weights, name, epochs)
            line += (
                f"  {tokens_text(weight * budget):>10}"
                f"  {'?' if at_hand is None else tokens_text(at_hand):>7}"
                f"  {'?' if epochs is None else f'{epochs:.2f}':>6}"
                f"  {tokens_text((raw[i] - weight) * budget) if is_missing else '':>8}"
            )
        lines.append(line.rstrip())
    if len(shown) < len(shares):
        lines.append(
            f"... {len(shares) - len(shown):,} more that {'moved less' if moved else 'are seen less often'}"
        )
    return "\n".join(lines)


def _epochs(weights: DomainWeights, name: str) -> float | None:
    return fact_number(weights.domains.get(name, {}), "epochs", f"domain {name}")


def _at_cap(weights: DomainWeights, name: str, epochs: float | None) -> bool:
    epoch_caps = weights.settings.get("max_epochs") or {}
    cap = epoch_caps.get(name, epoch_caps.get(""))
    return cap is not None and epochs is not None and epochs >= cap * (1 - 1e-9)
