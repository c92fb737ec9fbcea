"""Weights of a rival as a table."""

from typing import Any

from chameleon.domain_weights import DomainWeights
from chameleon.long_tables import (
    decimals_of,
    ends_of,
    heaviest_first,
    left_out,
    share_text,
    shown_name,
    width_of,
)

_TITLES = {"natural_share": "natural", "raw_weight": "raw", "standard_error": "+- s.e.", "epochs": "epochs"}


def render_rival(weights: DomainWeights, written_to: str, picture: str | None = None) -> str:
    """Domains with natural shares and weights, heaviest first, and what the method says of itself."""
    k = len(weights.names)
    order = heaviest_first(weights.names, weights.weights)
    rows, decimals = ends_of(order), decimals_of(k)
    shown = [i for i in rows if i is not None]
    width, size = width_of(shown_name(weights.names[i]) for i in shown), decimals + 3
    facts = [weights.domains.get(name, {}) for name in weights.names]
    beside = [key for key in _TITLES if any(key in each for each in facts)]
    head = f"{'domain':<{width}}  {'weight':>{size}}" + "".join(f"  {_TITLES[key]:>{size}}" for key in beside)
    lines = [f"Share of tokens of each domain, by {weights.method}", "", head]
    for i in rows:
        if i is None:
            lines.append(left_out(order, weights.weights))
            continue
        cells = "".join(f"  {_cell(facts[i].get(key), key, decimals):>{size}}" for key in beside)
        weight = share_text(float(weights.weights[i]), decimals)
        lines.append(f"{shown_name(weights.names[i]):<{width}}  {weight:>{size}}{cells}")
    return "\n".join([*lines, "", *_about(weights), f"weights file         {written_to}", *_picture(picture)])


def _cell(value: Any, key: str, decimals: int) -> str:  # noqa: ANN401
    if value is None:
        return "-"
    return f"{float(value):.2f}" if key == "epochs" else share_text(float(value), decimals)


def _picture(picture: str | None) -> list[str]:
    return [] if picture is None else [f"picture              {picture}"]


def _about(weights: DomainWeights) -> list[str]:
    facts = weights.diagnostics
    lines = []
    if "rank_correlation" in facts:
        low, high = facts["rank_correlation_interval"]
        others = ", ".join(f"{name} {error:.3f}" for name, error in facts["relative_errors"].items())
        lines += [
            f"runs                 {facts['runs']}"
            + (f", {len(facts['runs_diverged'])} more diverged" if facts["runs_diverged"] else ""),
            f"regression           {facts['regressor']}; squared error over variance: {others}",
            f"rank correlation     {facts['rank_correlation']:.3f} for runs left out (95 % interval "
            f"{low:.3f} to {high:.3f})",
            f"predicted loss       {facts['predicted_loss']:.4f} nats a token; natural shares "
            f"{facts['predicted_loss_of_natural']:.4f}",
        ]
    if "seeds_apart" in facts:
        lines.append(
            f"seeds                {len(facts['seeds'])}, {facts['seeds_apart']:.3f} of tokens apart"
        )
    cost = facts.get("cost")
    if cost:
        lines.append(f"cost                 {cost_in_words(cost)}")
    return lines


def cost_in_words(cost: dict[str, Any]) -> str:
    """FLOPs, tokens and seconds."""
    return f"{cost['flops']:.3g} FLOPs, {cost['tokens']:,} tokens trained on, {cost['seconds']:,.0f} s"
