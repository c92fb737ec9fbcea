"""The table of what limits changed and how often each domain is seen."""

from typing import Any

import numpy as np

from chameleon.common.tables import (
    Column,
    display_name,
    format_share,
    most_changed_rows,
    share_decimals,
    table_lines,
)
from chameleon.export.budget import format_tokens
from chameleon.export.parse import fact_number
from chameleon.weights.domain_weights import DomainWeights


def render_limits(weights: DomainWeights) -> str:
    """The table of weights within limits; "" where there is nothing to report.

    Of very many domains it shows those whose weights moved most or, where none moved, those seen most often.
    """
    budget = fact_number(weights.settings, "budget", "settings")
    raw, at_hand, epochs = (_facts(weights, key) for key in ("raw_weight", "tokens_at_hand", "epochs"))
    is_moved = any(each is not None for each in raw)
    if not is_moved and budget is None:
        return ""
    shares = weights.weights
    before = np.array([share if each is None else each for share, each in zip(shares, raw, strict=True)])
    differences = np.abs(before - shares) if is_moved else np.array([each or 0.0 for each in epochs])
    rows, decimals = most_changed_rows(differences), share_decimals(len(shares))
    columns = [
        Column("domain", [display_name(weights.names[i]) for i in rows], is_text=True),
        Column("raw", [format_share(before[i], decimals) for i in rows]),
        Column("weight", [format_share(shares[i], decimals) for i in rows]),
    ]
    if budget is not None:
        caps = weights.settings.get("max_epochs") or {}

        def missing(i: int) -> str:
            # What a cap cuts off is missing; what a floor or a prior gives to others is not.
            cap, times = caps.get(weights.names[i], caps.get("")), epochs[i]
            is_capped = cap is not None and times is not None and times >= cap * (1 - 1e-9)
            is_missing = is_capped and before[i] > shares[i]
            return format_tokens((before[i] - shares[i]) * budget) if is_missing else ""

        columns += [
            Column("tokens", [format_tokens(shares[i] * budget) for i in rows]),
            Column("at hand", ["?" if at_hand[i] is None else format_tokens(at_hand[i]) for i in rows]),
            Column("epochs", ["?" if epochs[i] is None else f"{epochs[i]:.2f}" for i in rows]),
            Column("missing", [missing(i) for i in rows]),
        ]
    lines = table_lines(columns)
    if len(rows) < len(shares):
        what = "moved less" if is_moved else "are seen less often"
        lines.append(f"... {len(shares) - len(rows):,} more that {what}")
    return "\n".join(lines)


def _facts(weights: DomainWeights, key: str) -> list[Any]:
    """A fact of each domain, None where the weights file has none."""
    return [fact_number(weights.domains.get(name, {}), key, f"domain {name}") for name in weights.names]
