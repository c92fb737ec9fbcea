"""Training by another loss than the model's own: the one seam for methods that weigh domains as they train.

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
    """Owns the loss of a step, its gradient, and what else a step moves, such as weights of domains."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What makes it, by names that a user knows: a run is not resumed with another."""

    def step(self, model: nn.Module, ids: torch.Tensor, domains: torch.Tensor, rate: float) -> torch.Tensor:
        """The loss of a step, whose gradient is left in the parameters.

        Args:
            model: A causal LM, to be trained.
            ids: (b, t) int64 all rows of the step.
            domains: (b,) int64 of which domain each is.
            rate: The step's learning rate.
        """

    def state(self) -> dict[str, Any]:
        """What it must have to go on, of JSON types."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


class ObjectiveTrainer(StreamTrainer):
    """Trains by an objective, which is kept in checkpoints.

    Args:
        objective: It.
        arguments: As of `StreamTrainer`.
    """

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


def restore(objective: Objective, checkpoint: Path) -> None:
    """Bring an objective to where it was at a checkpoint.

    Raises:
        InputError: The checkpoint has none, or a damaged one.
    """
    try:
        objective.restore(json.loads((checkpoint / _STATE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{checkpoint} does not say where the weights of domains were ({error}); delete it to go on from "
            "the one before"
        ) from None
