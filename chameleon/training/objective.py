"""Training by another loss than the model's own, for methods that change domain weights as they train.

Shapes: b rows of a batch, t tokens of a row.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from chameleon.common.errors import InputError
from chameleon.common.files import write_atomically
from chameleon.training.trainer import StreamTrainer

_STATE = "objective.json"


class Objective(Protocol):
    """Computes the loss of a step and its gradient, and updates its own state, such as domain weights."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Settings that determine it, by names that a user knows: a run is not resumed with others."""

    def step(self, model: nn.Module, ids: torch.Tensor, domains: torch.Tensor, rate: float) -> torch.Tensor:
        """The loss of a step; its gradient is left in the parameters.

        Args:
            model: The causal LM in training.
            ids: (b, t) int64 all rows of the step.
            domains: (b,) int64 domain of each row.
            rate: Learning rate of the step.
        """

    def state(self) -> dict[str, Any]:
        """State to resume from, in JSON types."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state."""


class ObjectiveTrainer(StreamTrainer):
    """A `StreamTrainer` that trains by an objective, and saves its state in checkpoints."""

    def __init__(self, objective: Objective, **arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**arguments)
        self._objective = objective

    def _loss(self, model: nn.Module, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:  # noqa: ANN401
        model.train()
        batch = self._prepare_inputs(inputs)
        rate = float(self._get_learning_rate())
        return self._objective.step(model, batch["input_ids"], batch["domains"], rate).detach()

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        write_atomically(Path(output_dir) / _STATE, json.dumps(self._objective.state()).encode())


def restore_objective(objective: Objective, checkpoint: Path) -> None:
    """Bring an objective to its state at a checkpoint.

    Raises:
        InputError: The checkpoint has no such state, or a damaged one.
    """
    try:
        objective.restore(json.loads((checkpoint / _STATE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{checkpoint} has no valid state of the domain weights ({error}); delete it to resume from the "
            "one before"
        ) from None
