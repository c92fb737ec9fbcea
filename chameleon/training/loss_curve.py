"""The training loss over a run: written to loss.csv as it is logged, read back, and drawn as loss.png."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from transformers import TrainerCallback

from chameleon.common.figures import PALETTE, escape_math, new_axes, new_figure, save_figure
from chameleon.common.files import write_atomically

LOSS_CURVE = "loss.csv"
_COLUMNS = ("step", "tokens", "loss", "learning_rate", "grad_norm", "seconds")


class LossCurve(TrainerCallback):
    """Writes a line of loss.csv whenever the loss is logged; a resumed run drops later lines."""

    def __init__(self, directory: Path, tokens_per_step: int) -> None:
        self._path = directory / LOSS_CURVE
        self._tokens_per_step = tokens_per_step

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, D102
        self._writes = state.is_world_process_zero
        before = [row for row in read_loss_curve(self._path) if row["step"] <= state.global_step]
        self._begin = perf_counter() - (before[-1]["seconds"] if before else 0.0)
        if self._writes:
            file = io.StringIO(newline="")
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows(before)
            write_atomically(self._path, file.getvalue().encode())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, D102
        if state.global_step >= state.max_steps:
            control.should_log = True  # so that even a run shorter than --logging_steps has a line

    def on_log(self, args: Any, state: Any, control: Any, **facts: Any) -> None:  # noqa: ANN401, D102
        logs = facts["logs"]
        if "loss" not in logs or not self._writes:
            return
        row = {
            "step": state.global_step,
            "tokens": state.global_step * self._tokens_per_step,
            **{name: float(logs[name]) for name in ("loss", "learning_rate", "grad_norm") if name in logs},
            "seconds": round(perf_counter() - self._begin, 3),
        }
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, _COLUMNS, restval="nan").writerow(row)


def read_loss_curve(path: Path) -> list[dict[str, float]]:
    """The lines of a loss.csv up to the first damaged one; none if the file is missing."""
    if not path.exists():
        return []
    rows = []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            try:
                values = {name: float(row[name]) for name in _COLUMNS}
                values |= {name: int(values[name]) for name in ("step", "tokens")}
            except (TypeError, ValueError, KeyError, OverflowError):
                break
            rows.append(values)
    return rows


def draw_loss_curve(curve: Sequence[dict[str, float]], path: Path) -> None:
    """Draw the lines of a loss.csv as a PNG; no file if there are none.

    Raises:
        InputError: The file cannot be written.
    """
    if not curve:
        return
    from matplotlib.ticker import EngFormatter

    figure = new_figure(7, 4)
    axes = new_axes(figure)
    axes.plot([row["tokens"] for row in curve], [row["loss"] for row in curve], color=PALETTE[0])
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("tokens trained on")
    axes.set_ylabel("training loss, nats per token")
    loss, step = curve[-1]["loss"], int(curve[-1]["step"])
    axes.set_title(f"{escape_math(path.parent.name)}: loss {loss:.3f} after {step:,} steps")
    axes.grid(alpha=0.3)
    save_figure(figure, path, flag=None)
