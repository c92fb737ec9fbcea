"""Weights of a rival as a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chameleon.common.errors import InputError
from chameleon.common.figures import escape_math
from chameleon.common.tables import (
    column_width,
    describe_hidden_rows,
    display_name,
    format_share,
    heaviest_first,
    rows_to_show,
    share_decimals,
)
from chameleon.methods.proxy_runs import SeedRun
from chameleon.weights.domain_weights import DomainWeights

if TYPE_CHECKING:
    from chameleon.methods.regmix.method import Regressed

_COLOURS = ("#1f6f8b", "#d98028", "#5c8f5c", "#8a4f7d", "#b8443c", "#6b6b6b", "#d4b106", "#3b4cc0")


_TITLES = {"doremi": "DoReMi", "doge": "DoGE"}


_LINES = ("-", "--", ":", "-.")


_MOST_DOMAINS, _MOST_PANELS = 12, 12


_NAME = 24


def draw_trajectory(method: str, seeds: Sequence[SeedRun], path: Path) -> None:
    """Write a picture of the weights over the steps: a colour a domain, a kind of line a seed.

    Raises:
        InputError: It cannot be written.
    """
    from matplotlib.figure import Figure

    names = seeds[0].names
    mean = np.mean([each.weights for each in seeds], axis=0)
    shown = sorted(np.argsort(-mean, kind="stable")[:_MOST_DOMAINS].tolist())
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for number, seed in enumerate(seeds):
        steps = [step for step, _ in seed.trajectory]
        for place, i in enumerate(shown):
            axes.plot(
                steps,
                [weights[i] for _, weights in seed.trajectory],
                _LINES[number % len(_LINES)],
                color=_COLOURS[place % len(_COLOURS)],
                label=f"{escape_math(display_name(names[i], _NAME))}  {mean[i]:.3f}" if number == 0 else None,
            )
    axes.set_xlabel("step of the proxy")
    axes.set_ylabel("weight")
    axes.set_ylim(bottom=0)
    of_seeds = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds, a kind of line each"
    of = "" if len(shown) == len(names) else f"; the {len(shown)} heaviest of {len(names)} domains"
    title = _TITLES.get(method, method)
    axes.set_title(f"{title}: {of_seeds}; means over the steps on the right{of}", fontsize=10)
    _finish(axes)
    figure.legend(loc="outside right upper", frameon=False)
    _save(figure, path)


def draw_predictions(regressed: "Regressed", path: Path) -> None:
    """Write a picture of measured losses over those predicted by a regression that has not seen them.

    The mean of the losses first, then each.

    Raises:
        InputError: It cannot be written.
    """
    from matplotlib.figure import Figure

    runs, judged = regressed.runs, regressed.judged[0]
    panels = [("mean", judged.predicted.mean(axis=1), runs.losses.mean(axis=1), regressed.correlation)]
    for i, (name, correlation) in enumerate(regressed.correlations().items()):
        panels.append((name, judged.predicted[:, i], runs.losses[:, i], correlation))
    panels = panels[:_MOST_PANELS] if len(panels) > 2 else panels[:1]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.6 * rows + 0.8), layout="constrained")
    for number, (name, predicted, measured, correlation) in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, number)
        axes.scatter(predicted, measured, s=8, alpha=0.6, color=_COLOURS[0], linewidths=0)
        ends = [min(predicted.min(), measured.min()), max(predicted.max(), measured.max())]
        axes.plot(ends, ends, color="#555555", linewidth=0.8, linestyle="--")
        axes.set_title(f"{escape_math(display_name(name, _NAME))}: {correlation:.3f}", fontsize=9)
        axes.tick_params(labelsize=8)
        _finish(axes)
    describe_hidden_rows = 1 + len(runs.losses_of) - len(panels)
    more = f"; {describe_hidden_rows} more losses" if describe_hidden_rows > 0 and len(panels) > 1 else ""
    figure.suptitle(f"rank correlations of {len(runs)} runs left out, {judged.regressor}{more}", fontsize=10)
    figure.supxlabel("predicted loss, nats a token", fontsize=9)
    figure.supylabel("measured", fontsize=9)
    _save(figure, path)


def _finish(axes: Any) -> None:  # noqa: ANN401
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"cannot write the picture {path} (--picture): {reason}") from None


_TABLE_TITLES = {
    "natural_share": "natural",
    "raw_weight": "raw",
    "standard_error": "+- s.e.",
    "epochs": "epochs",
}


def render_method(weights: DomainWeights, written_to: str, picture: str | None = None) -> str:
    """Domains with natural shares and weights, heaviest first, and what the method says of itself."""
    k = len(weights.names)
    order = heaviest_first(weights.names, weights.weights)
    rows, decimals = rows_to_show(order), share_decimals(k)
    shown = [i for i in rows if i is not None]
    width, size = column_width(display_name(weights.names[i]) for i in shown), decimals + 3
    facts = [weights.domains.get(name, {}) for name in weights.names]
    beside = [key for key in _TABLE_TITLES if any(key in each for each in facts)]
    head = f"{'domain':<{width}}  {'weight':>{size}}" + "".join(
        f"  {_TABLE_TITLES[key]:>{size}}" for key in beside
    )
    lines = [f"Share of tokens of each domain, by {weights.method}", "", head]
    for i in rows:
        if i is None:
            lines.append(describe_hidden_rows(order, weights.weights))
            continue
        cells = "".join(f"  {_cell(facts[i].get(key), key, decimals):>{size}}" for key in beside)
        weight = format_share(float(weights.weights[i]), decimals)
        lines.append(f"{display_name(weights.names[i]):<{width}}  {weight:>{size}}{cells}")
    return "\n".join([*lines, "", *_about(weights), f"weights file         {written_to}", *_picture(picture)])


def _cell(value: Any, key: str, decimals: int) -> str:  # noqa: ANN401
    if value is None:
        return "-"
    return f"{float(value):.2f}" if key == "epochs" else format_share(float(value), decimals)


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
