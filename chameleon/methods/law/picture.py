"""The picture of a law: predicted and measured losses of runs, and weights beside uniform and natural shares.

Shapes: n runs, m losses, k domains.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.figures import PALETTE, escape_math, new_axes, new_figure, save_figure
from chameleon.common.tables import display_name, heaviest_first
from chameleon.methods.law.answer import Answer, Fitted
from chameleon.methods.law.fit import LawData, fit_law, is_determined
from chameleon.methods.law.runs import LawRuns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_DOMAINS, _MOST_NAMED = 25, 12

# With more runs than this, the losses of a run are predicted by a law that was fitted to it too.
_MOST_LEFT_OUT = 24


def draw_law(runs: LawRuns, fitted: Fitted, answer: Answer, importance: Array, path: Path) -> None:
    """Write the picture.

    Raises:
        InputError: The file cannot be written.
    """
    names = runs.names
    heaviest = heaviest_first(names, answer.weights)[:_MOST_DOMAINS]
    figure = new_figure(9.5, max(4.2, 1.4 + 0.3 * len(heaviest)))
    _draw_predictions(new_axes(figure, 1, 2, 1), fitted, importance)
    axes = new_axes(figure, 1, 2, 2)
    rows = np.arange(len(heaviest))
    by_law, errors = answer.weights, answer.standard_errors
    axes.barh(rows, by_law[heaviest], xerr=1.96 * errors[heaviest], color=PALETTE[0], alpha=0.7, label="law")
    if runs.tokens.counts is not None:
        axes.plot(runs.natural[heaviest], rows, "D", color=PALETTE[1], label="natural")
    axes.axvline(1 / len(names), color="#555555", linestyle="--", linewidth=1, label="uniform")
    axes.set_yticks(rows, [escape_math(display_name(names[i], 24)) for i in heaviest])
    axes.invert_yaxis()
    axes.set_xlabel("weight (bars: 95 % intervals)")
    axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    save_figure(figure, path)


def _draw_predictions(axes: "Axes", fitted: Fitted, importance: Array) -> None:
    """The gain of each run over uniform, as predicted without it and as measured."""
    runs = fitted.length.runs
    predicted, measured = predictions(fitted.law.data, importance)
    axes.plot(predicted, measured, "o", color=PALETTE[0])
    for run, x, y in zip(runs.ids[:_MOST_NAMED], predicted.tolist(), measured.tolist(), strict=False):
        axes.annotate(
            escape_math(display_name(Path(run).name, 20)),
            (x, y),
            textcoords="offset points",
            xytext=(5, 4),
            fontsize=8,
        )
    ends = [float(min(predicted.min(), measured.min())), float(max(predicted.max(), measured.max()))]
    axes.plot(ends, ends, color="#555555", linewidth=0.8, linestyle="--")
    axes.locator_params(nbins=5)
    axes.set_xlabel("predicted from the other runs")
    axes.set_ylabel("measured")
    axes.set_title("loss less the mean of the other runs, nats", fontsize=10)
    axes.grid(alpha=0.3)


def predictions(data: LawData, importance: Array) -> tuple[Array, Array]:
    """(n,) losses of runs less the mean of the others, predicted from the others and measured.

    Args:
        data: At least two runs.
        importance: (m,) how much each loss counts, summing to 1.
    """
    n, losses = len(data.losses), data.losses @ importance
    predicted, measured = np.empty(n), np.empty(n)
    whole = fit_law(data)
    for run in range(n):
        others = np.arange(n) != run
        law = whole
        if n <= _MOST_LEFT_OUT and is_determined(data.mixtures[others], data.is_own):
            law = fit_law(replace(data, mixtures=data.mixtures[others], losses=data.losses[others]))
        predicted[run] = (law.gains(data.mixtures[others], data.mixtures[run]) @ importance).mean()
        measured[run] = losses[run] - losses[others].mean()
    return predicted, measured
