"""Weights before and after limits, side by side, with epochs and missing tokens."""

from chameleon.budget import shown_tokens
from chameleon.domain_weights import DomainWeights
from chameleon.export.mixture import number_in
from chameleon.table import shown_name


def render_limits(weights: DomainWeights) -> str:
    """A table of what limits changed and how often each domain is seen; "" where there is nothing to say."""
    facts = {name: weights.domains.get(name, {}) for name in weights.names}
    budget = number_in(weights.settings, "budget", "settings")
    moved = any("raw_weight" in each for each in facts.values())
    if not moved and budget is None:
        return ""
    width = max(6, *(len(shown_name(name)) for name in weights.names))
    head = f"{'domain':<{width}}     raw  weight"
    lines = [head + ("      tokens  at hand  epochs   missing" if budget is not None else "")]
    for name, weight in weights.by_name().items():
        before = number_in(facts[name], "raw_weight", f"domain {name}")
        raw = weight if before is None else before
        line = f"{shown_name(name):<{width}}  {raw:6.4f}  {weight:6.4f}"
        if budget is not None:
            epochs = number_in(facts[name], "epochs", f"domain {name}")
            at_hand = number_in(facts[name], "tokens_at_hand", f"domain {name}")
            # What a cap cuts off is missing; what a floor or a prior gives to others is not.
            missing = (
                shown_tokens((raw - weight) * budget)
                if raw > weight and _at_cap(weights, name, epochs)
                else ""
            )
            line += (
                f"  {shown_tokens(weight * budget):>10}"
                f"  {'?' if at_hand is None else shown_tokens(at_hand):>7}"
                f"  {'?' if epochs is None else f'{epochs:.2f}':>6}  {missing:>8}"
            )
        lines.append(line.rstrip())
    return "\n".join(lines)


def _at_cap(weights: DomainWeights, name: str, epochs: float | None) -> bool:
    caps = weights.settings.get("max_epochs") or {}
    cap = caps.get(name, caps.get(""))
    return cap is not None and epochs is not None and epochs >= cap * (1 - 1e-9)
