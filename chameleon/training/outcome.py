"""What a run has come to, and what its record says.

Shapes: k domains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.common.figures import escape_math
from chameleon.common.tables import display_name
from chameleon.training.options import MANY_EPOCHS


@dataclass(frozen=True)
class TrainingOutcome:
    """What a run has come to.

    Attributes:
        directory: The model's.
        names: (k,) domains.
        weights: (k,) as asked for, on average over the run.
        rows: (k,) that the run took of each.
        sizes: (k,) that each has.
        sample_length: Tokens of a row.
        steps: Steps in all.
        loss: The last that was logged, or None.
        parameters: Of the model.
    """

    directory: Path
    names: tuple[str, ...]
    weights: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    sample_length: int
    steps: int
    loss: float | None
    parameters: int

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """(k,) of the tokens that were trained on."""
        return self.rows / max(int(self.rows.sum()), 1)

    @property
    def epochs(self) -> npt.NDArray[np.float64]:
        """(k,) how often each domain was seen."""
        return self.rows / np.maximum(self.sizes, 1)


def outcome_of(trained: TrainingOutcome) -> dict[str, Any]:
    """What was trained on, and what came of it: JSON types only."""
    length = trained.sample_length
    columns = zip(
        trained.names, trained.rows.tolist(), trained.shares.tolist(), trained.epochs.tolist(), strict=True
    )
    return {
        "steps": trained.steps,
        "tokens": int(trained.rows.sum()) * length,
        "domains": {
            name: {"tokens": rows * length, "share": share, "epochs": epochs}
            for name, rows, share, epochs in columns
        },
        "loss": trained.loss,
        "parameters": trained.parameters,
    }


def draw_curve(curve: Sequence[dict[str, float]], path: Path) -> None:
    """Write a PNG of the lines of a `loss.csv`; nothing where there are none.

    Raises:
        InputError: It cannot be written.
    """
    if not curve:
        return
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    tokens = [row["tokens"] for row in curve]
    axes.plot(tokens, [row["loss"] for row in curve], color="#1f6f8b")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("tokens trained on")
    axes.set_ylabel("training loss, nats a token")
    last = curve[-1]
    axes.set_title(
        f"{escape_math(path.parent.name)}: loss {last['loss']:.3f} after {int(last['step']):,} steps"
    )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def render_trained(trained: TrainingOutcome) -> str:
    """Domains with the shares asked for and achieved, their tokens and epochs, and where the model is."""
    width = max(6, *(len(display_name(name)) for name in trained.names))
    lines = [
        f"{'domain':<{width}}  weight  achieved           tokens  epochs",
    ]
    for i, name in enumerate(trained.names):
        flag = f"  repeated more than {MANY_EPOCHS} times" if trained.epochs[i] > MANY_EPOCHS else ""
        lines.append(
            f"{display_name(name):<{width}}  {trained.weights[i]:6.4f}  {trained.shares[i]:8.4f}  "
            f"{trained.rows[i] * trained.sample_length:15,}  {trained.epochs[i]:6.2f}{flag}"
        )
    tokens = int(trained.rows.sum()) * trained.sample_length
    lines += [
        "",
        f"parameters   {trained.parameters / 1e6:.1f}M",
        f"trained      {trained.steps:,} steps, {tokens:,} tokens",
    ]
    if trained.loss is not None:
        lines.append(f"loss         {trained.loss:.3f} nats a token at the end (loss.csv, loss.png)")
    return "\n".join([*lines, f"model        {trained.directory}"])
