"""Pictures of how a method found its weights: weights over the steps, and predicted and measured losses.

Shapes: s seeds, k domains.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chameleon.common.figures import PALETTE, escape_math, new_axes, new_figure, save_figure
from chameleon.common.tables import display_name

if TYPE_CHECKING:
    from chameleon.methods.proxy_runs import SeedRun
    from chameleon.methods.regmix.search import RegMixResult

_TITLES = {"doremi": "DoReMi", "doge": "DoGE"}

# Line styles of the first seed, the second, ...
_LINES = ("-", "--", ":", "-.")
_MOST_DOMAINS, _MOST_PANELS = 12, 12
_LONGEST_NAME = 24


def draw_trajectory(method: str, seeds: Sequence["SeedRun"], path: Path) -> None:
    """Write a picture of the weights over the steps: a colour for each domain, a line style for each seed.

    Raises:
        InputError: The file cannot be written.
    """
    names = seeds[0].names
    mean = np.mean([each.weights for each in seeds], axis=0)
    heaviest = sorted(np.argsort(-mean, kind="stable")[:_MOST_DOMAINS].tolist())
    figure = new_figure(8, 4.6)
    axes = new_axes(figure)
    for number, seed in enumerate(seeds):
        steps = [step for step, _ in seed.trajectory]
        for place, i in enumerate(heaviest):
            axes.plot(
                steps,
                [weights[i] for _, weights in seed.trajectory],
                _LINES[number % len(_LINES)],
                color=PALETTE[place % len(PALETTE)],
                label=f"{_label(names[i])}  {mean[i]:.3f}" if number == 0 else None,
            )
    axes.set_xlabel("step of the proxy")
    axes.set_ylabel("weight")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    of_seeds = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds, a line style each"
    hidden = len(names) > len(heaviest)
    of_domains = f"; the {len(heaviest)} heaviest of {len(names)} domains" if hidden else ""
    title = f"{_TITLES[method]}: {of_seeds}; means over the steps on the right{of_domains}"
    axes.set_title(title, fontsize=10)
    figure.legend(loc="outside right upper", frameon=False)
    save_figure(figure, path)


def draw_predictions(result: "RegMixResult", path: Path) -> None:
    """Write a picture of measured losses over those predicted in cross-validation.

    The first panel has the mean of the losses, the others one loss each.

    Raises:
        InputError: The file cannot be written.
    """
    runs, validation = result.runs, result.validations[0]
    predicted = validation.predicted
    panels = [("mean", predicted.mean(axis=1), runs.losses.mean(axis=1), result.correlation)]
    for i, (name, correlation) in enumerate(result.correlations().items()):
        panels.append((name, predicted[:, i], runs.losses[:, i], correlation))
    panels = panels[:_MOST_PANELS] if len(panels) > 2 else panels[:1]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(2.6 * columns + 0.6, 2.6 * rows + 0.8)
    for number, (name, x, y, correlation) in enumerate(panels, 1):
        axes = new_axes(figure, rows, columns, number)
        axes.scatter(x, y, s=8, alpha=0.6, color=PALETTE[0], linewidths=0)
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        axes.plot(ends, ends, color="#555555", linewidth=0.8, linestyle="--")
        axes.set_title(f"{_label(name)}: {correlation:.3f}", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    hidden = 1 + len(runs.loss_names) - len(panels)
    more = f"; {hidden} more losses" if hidden > 0 and len(panels) > 1 else ""
    title = f"rank correlations of {len(runs)} held-out runs, {validation.regressor}{more}"
    figure.suptitle(title, fontsize=10)
    figure.supxlabel("predicted loss, nats per token", fontsize=9)
    figure.supylabel("measured", fontsize=9)
    save_figure(figure, path)


def _label(name: str) -> str:
    return escape_math(display_name(name, _LONGEST_NAME))
