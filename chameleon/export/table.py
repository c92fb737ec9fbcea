"""Weights before and after limits, side by side, with epochs and missing tokens."""

import numpy as np

from chameleon.budget import shown_tokens
from chameleon.domain_weights import DomainWeights
from chameleon.export.mixture import number_in
from chameleon.long_tables import decimals_of, most_different, share_text, shown_name, width_of


def render_limits(weights: DomainWeights) -> str:
    """A table of what limits changed and how often each domain is seen; "" where there is nothing to say.

    Of very many domains it has those whose weights moved most or, where none did, that are seen most often.
    """
    facts = {name: weights.domains.get(name, {}) for name in weights.names}
    budget = number_in(weights.settings, "budget", "settings")
    moved = any("raw_weight" in each for each in facts.values())
    if not moved and budget is None:
        return ""
    of = [(number_in(facts[n], "raw_weight", f"domain {n}"), _epochs(weights, n)) for n in weights.names]
    shares = weights.weights.tolist()
    raw = [share if each is None else each for share, (each, _) in zip(shares, of, strict=True)]
    far = np.abs(np.array(raw) - weights.weights) if moved else np.array([epochs or 0.0 for _, epochs in of])
    shown, decimals = most_different(far), decimals_of(len(weights.names))
    width = width_of(shown_name(weights.names[i]) for i in shown)
    head = f"{'domain':<{width}}  {'raw':>{decimals + 2}}  {'weight':>{decimals + 2}}"
    lines = [head + ("      tokens  at hand  epochs   missing" if budget is not None else "")]
    for i in shown:
        name, weight, epochs = weights.names[i], shares[i], of[i][1]
        sides = "  ".join(f"{share_text(each, decimals):>{decimals + 2}}" for each in (raw[i], weight))
        line = f"{shown_name(name):<{width}}  {sides}"
        if budget is not None:
            at_hand = number_in(facts[name], "tokens_at_hand", f"domain {name}")
            # What a cap cuts off is missing; what a floor or a prior gives to others is not.
            is_missing = raw[i] > weight and _at_cap(weights, name, epochs)
            line += (
                f"  {shown_tokens(weight * budget):>10}"
                f"  {'?' if at_hand is None else shown_tokens(at_hand):>7}"
                f"  {'?' if epochs is None else f'{epochs:.2f}':>6}"
                f"  {shown_tokens((raw[i] - weight) * budget) if is_missing else '':>8}"
            )
        lines.append(line.rstrip())
    if len(shown) < len(shares):
        lines.append(
            f"... {len(shares) - len(shown):,} more that {'moved less' if moved else 'are seen less often'}"
        )
    return "\n".join(lines)


def _epochs(weights: DomainWeights, name: str) -> float | None:
    return number_in(weights.domains.get(name, {}), "epochs", f"domain {name}")


def _at_cap(weights: DomainWeights, name: str, epochs: float | None) -> bool:
    caps = weights.settings.get("max_epochs") or {}
    cap = caps.get(name, caps.get(""))
    return cap is not None and epochs is not None and epochs >= cap * (1 - 1e-9)
