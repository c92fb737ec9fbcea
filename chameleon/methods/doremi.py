"""DoReMi: group distributionally robust optimisation over domains (arXiv 2305.10429, algorithm 1).

A reference model is trained first. Then a proxy of its shape is trained on as many rows of each domain. In
each step the excess loss of a domain is the mean over its tokens of max(proxy's loss - reference's loss, 0),
and

    log w_i += eta * excess_i,  w <- (1 - e) softmax(log w) + e / k,

before the proxy takes a step down sum_i w_i * (mean loss of domain i). The result is the mean of w over the
steps. A domain without a row in a step keeps its last excess.

Shapes: b rows, t tokens, k domains.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from chameleon.common.arrays import Array
from chameleon.methods.moving_weights import MovingWeights, token_losses
from chameleon.methods.options import MethodOptions


class DoReMi:
    """The proxy's objective (`chameleon.training.objective.Objective`)."""

    def __init__(
        self,
        k: int,
        reference: nn.Module,
        reference_digest: str,
        dtype: torch.dtype,
        step_size: float = MethodOptions.step_size,
        smoothing: float = MethodOptions.smoothing,
    ) -> None:
        """Begin with uniform weights.

        Args:
            k: Number of domains.
            reference: The trained reference model, on the device of the proxy.
            reference_digest: Digest of its files.
            dtype: Precision of the reference model's forward pass.
            step_size, smoothing: eta and e.
        """
        self._reference = reference.eval().requires_grad_(False)
        self._digest, self._dtype = reference_digest, dtype
        self._step_size, self._smoothing = step_size, smoothing
        self._excess = np.zeros(k)
        self.moving = MovingWeights(k, smoothing)

    def weighted(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of (k,) domains that have a weight: all."""
        return names

    @property
    def passes(self) -> Array:
        """(k,) forward passes for a row: a backward pass counts as two, and the reference model adds one."""
        return np.full(len(self._excess), 4.0)

    @property
    def identity(self) -> Mapping[str, Any]:
        """See `Objective`."""
        return {
            "objective": "doremi",
            "step_size": self._step_size,
            "smoothing": self._smoothing,
            "reference": self._digest,
        }

    def step(self, model: nn.Module, ids: torch.Tensor, domains: torch.Tensor, rate: float) -> torch.Tensor:
        """See `Objective`."""
        k = len(self._excess)
        with (
            torch.no_grad(),
            torch.autocast(ids.device.type, self._dtype, enabled=self._dtype != torch.float32),
        ):
            reference = token_losses(self._reference, ids)
        losses = token_losses(model, ids)
        excess = (losses.detach() - reference).clamp(min=0).mean(dim=1)
        # All rows have one length, so a domain's mean over tokens is its mean over rows.
        rows = torch.bincount(domains, minlength=k)
        sums = torch.zeros(k, dtype=torch.float64, device=ids.device).index_add_(0, domains, excess.double())
        present = (rows > 0).cpu().numpy()
        self._excess[present] = (sums / rows.clamp(min=1)).cpu().numpy()[present]
        weights = self.moving.move(self._step_size * self._excess)
        row_weights = torch.from_numpy(weights).to(ids.device)[domains] / rows[domains]
        loss = (losses.mean(dim=1) * row_weights.to(losses.dtype)).sum()
        torch.autograd.backward(loss)
        return loss

    def state(self) -> dict[str, Any]:
        """See `Objective`."""
        return {"excess": self._excess.tolist(), "moving": self.moving.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Objective`."""
        self._excess = np.array(state["excess"], dtype=np.float64)
        self.moving.restore(state["moving"])
