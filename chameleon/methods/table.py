"""The weights of a method and its diagnostics, as text for the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chameleon.common.tables import (
    Column,
    describe_hidden_rows,
    display_name,
    format_share,
    heaviest_first,
    rows_to_show,
    share_decimals,
    table_lines,
)
from chameleon.export.budget import format_tokens
from chameleon.weights.domain_weights import DomainWeights

# Facts about a domain that have a column, and its title.
_TITLES = {
    "natural_share": "natural", "raw_weight": "raw", "law_weight": "law's", "law_standard_error": "+- s.e.",
    "standard_error": "+- s.e.", "epochs": "epochs",
}  # fmt: skip


def render_method(weights: DomainWeights, written_to: str, picture: Path | None = None) -> str:
    """Domains with their weights and natural shares, heaviest first, and diagnostics of the method."""
    order = heaviest_first(weights.names, weights.weights)
    rows, decimals = rows_to_show(order), share_decimals(len(weights.names))
    shown = [i for i in rows if i is not None]
    names = [weights.names[i] for i in shown]
    facts = [weights.domains.get(name, {}) for name in names]
    columns = [
        Column("domain", [display_name(name) for name in names], is_text=True),
        Column("weight", [format_share(float(weights.weights[i]), decimals) for i in shown]),
    ]
    for key, title in _TITLES.items():
        if any(key in each for each in facts):
            columns.append(Column(title, [_cell(each.get(key), key, decimals) for each in facts]))
    lines = table_lines(columns)
    if None in rows:
        lines.insert(1 + rows.index(None), describe_hidden_rows(order, weights.weights))
    about = [*_diagnostics(weights.diagnostics), ("weights file", written_to)]
    if picture is not None:
        about.append(("picture", str(picture)))
    title = f"Share of tokens of each domain, by {weights.method}"
    return "\n".join([title, "", *lines, "", *(f"{name:<19}  {value}" for name, value in about)])


def cost_text(cost: Mapping[str, Any]) -> str:
    """A cost by its JSON keys: FLOPs, tokens and seconds."""
    return f"{cost['flops']:.3g} FLOPs, {cost['tokens']:,} tokens trained on, {cost['seconds']:,.0f} s"


def _cell(value: float | None, key: str, decimals: int) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if key == "epochs" else format_share(float(value), decimals)


def _diagnostics(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    lines = []
    if "rank_correlation" in facts:
        low, high = facts["rank_correlation_interval"]
        errors = ", ".join(f"{name} {error:.3f}" for name, error in facts["relative_errors"].items())
        diverged = f", {len(facts['runs_diverged'])} more diverged" if facts["runs_diverged"] else ""
        losses = f"{facts['predicted_loss']:.4f} nats per token"
        lines += [
            ("runs", f"{facts['runs']}{diverged}"),
            ("regression", f"{facts['regressor']}; squared error / variance: {errors}"),
            (
                "rank correlation",
                f"{facts['rank_correlation']:.3f} on held-out runs (95 % interval {low:.3f} to {high:.3f})",
            ),
            ("predicted loss", f"{losses}; natural shares {facts['predicted_loss_of_natural']:.4f}"),
        ]
    if "verdict" in facts:
        lines += _of_law(facts)
    if "seeds_apart" in facts:
        lines.append(("seeds", f"{len(facts['seeds'])}; they differ by {facts['seeds_apart']:.3f} of tokens"))
    if "cost" in facts:
        lines.append(("cost", cost_text(facts["cost"])))
    return lines


def _of_law(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    low, high = facts["gain_interval"]
    interval = f"a run would show {low:.4f} to {high:.4f} (95 % interval)"
    lines = [
        ("runs", str(facts["runs"])),
        ("gain over uniform", f"{facts['gain']:.4f} +- {facts['gain_standard_error']:.4f} nats; {interval}"),
    ]
    if "own_run" in facts:
        own = facts["own_run"]
        low, high = own["interval"]
        lines.append(
            (
                "run on its answer",
                f"gain {own['measured_gain']:.4f} nats; predicted {own['predicted_gain']:.4f} ({low:.4f} to "
                f"{high:.4f})",
            )
        )
    for each in facts.get("lengths", []):
        gain = f"{each['gain']:.4f} +- {each['gain_standard_error']:.4f} nats"
        lines.append((f"at {format_tokens(each['tokens'])} tokens", f"gain {gain}"))
    return [*lines, ("verdict", facts["verdict"])]
