"""Domain weights that move in each step of a training run, and their mean over the steps.

Shapes: b rows, t tokens, k domains.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from chameleon.common.arrays import Array

# Points of a trajectory that are stored; at twice as many, every other one is dropped.
_POINTS = 200


class MovingWeights:
    """Weights that move by exponentiated steps, starting from uniform."""

    def __init__(self, k: int, smoothing: float = 0.0) -> None:
        """Begin with uniform weights of k domains, of which each step mixes in a share `smoothing`."""
        self.weights: Array = np.full(k, 1 / k)
        self._smoothing = smoothing
        self._sum, self._steps = np.zeros(k), 0
        self._every = 1
        # Steps, and the (k,) weights after each.
        self.trajectory: list[tuple[int, list[float]]] = []

    def move(self, steps: Array) -> Array:
        """w <- (1 - e) softmax(log w + steps) + e / k, (k,) for (k,) steps of the logarithms."""
        with np.errstate(divide="ignore"):  # a weight may have become 0
            logits = np.log(self.weights) + steps
        moved = np.exp(logits - logits.max())
        e = self._smoothing
        self.weights = (1 - e) * moved / moved.sum() + e / len(moved)
        self._sum += self.weights
        self._steps += 1
        if self._steps % self._every == 0:
            self.trajectory.append((self._steps, self.weights.tolist()))
        if len(self.trajectory) >= 2 * _POINTS:
            self._every *= 2
            self.trajectory = [point for point in self.trajectory if point[0] % self._every == 0]
        return self.weights

    @property
    def mean(self) -> Array:
        """(k,) the mean over all steps so far; the weights themselves before the first."""
        if not self._steps:
            return self.weights
        mean = self._sum / self._steps
        return np.asarray(mean / mean.sum())

    def state(self) -> dict[str, Any]:
        """The state in JSON types, exactly."""
        return {
            "weights": self.weights.tolist(),
            "sum": self._sum.tolist(),
            "steps": self._steps,
            "every": self._every,
            "points": self.trajectory,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self.weights, self._sum = np.array(state["weights"]), np.array(state["sum"])
        self._steps, self._every = int(state["steps"]), int(state["every"])
        self.trajectory = [(int(step), list(map(float, weights))) for step, weights in state["points"]]


def token_losses(model: Any, ids: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """(b, t - 1) cross-entropies of (b, t) tokens but the first of each row, in nats, float32 or float64."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
