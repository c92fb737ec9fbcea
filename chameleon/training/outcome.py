"""The outcome of a training run: what it was trained on, and how far it got.

Shapes: k domains.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon.common.tables import Column, display_name, table_lines
from chameleon.training.options import MANY_EPOCHS


@dataclass(frozen=True)
class TrainingOutcome:
    """The outcome of a run.

    Attributes:
        directory: Directory of the model.
        names: (k,) domain names.
        weights: (k,) requested weights, averaged over the run.
        rows: (k,) rows of each domain that the run took.
        sizes: (k,) rows that each domain has.
        sample_length: Tokens of a row.
        steps: Optimizer steps in all.
        loss: The last logged loss in nats per token, or None.
        parameters: Parameters of the model.
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
    def tokens(self) -> npt.NDArray[np.int64]:
        """(k,) tokens of each domain that were trained on."""
        return self.rows * self.sample_length

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """(k,) shares of the tokens that were trained on."""
        return self.rows / max(int(self.rows.sum()), 1)

    @property
    def epochs(self) -> npt.NDArray[np.float64]:
        """(k,) number of times that each domain was seen."""
        return self.rows / np.maximum(self.sizes, 1)

    def to_dict(self) -> dict[str, Any]:
        """What the run's record says of it; JSON types only."""
        columns = (self.tokens.tolist(), self.shares.tolist(), self.epochs.tolist())
        return {
            "steps": self.steps,
            "tokens": int(self.tokens.sum()),
            "domains": {
                name: {"tokens": tokens, "share": share, "epochs": epochs}
                for name, tokens, share, epochs in zip(self.names, *columns, strict=True)
            },
            "loss": self.loss,
            "parameters": self.parameters,
        }


def render_outcome(outcome: TrainingOutcome) -> str:
    """The table: requested and achieved shares, tokens and epochs of each domain; then the model."""
    flag = f"repeated more than {MANY_EPOCHS} times"
    columns = [
        Column("domain", [display_name(name) for name in outcome.names], is_text=True),
        Column("weight", [f"{each:.4f}" for each in outcome.weights]),
        Column("achieved", [f"{each:.4f}" for each in outcome.shares]),
        Column("tokens", [f"{each:,}" for each in outcome.tokens]),
        Column("epochs", [f"{each:.2f}" for each in outcome.epochs]),
        Column("", [flag if each > MANY_EPOCHS else "" for each in outcome.epochs], is_text=True),
    ]
    lines = [
        *table_lines(columns),
        "",
        f"parameters   {outcome.parameters / 1e6:.1f}M",
        f"trained      {outcome.steps:,} steps, {int(outcome.tokens.sum()):,} tokens",
    ]
    if outcome.loss is not None:
        lines.append(f"loss         {outcome.loss:.3f} nats per token at the end (loss.csv, loss.png)")
    return "\n".join([*lines, f"model        {outcome.directory}"])
