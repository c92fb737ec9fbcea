"""What a run has come to, and what its record says.

Shapes: k domains.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Trained:
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


def outcome_of(trained: Trained) -> dict[str, Any]:
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
