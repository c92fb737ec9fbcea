"""DoGE: domain weights by how a domain's gradient helps the others (arXiv 2310.15393).

With g_i the gradient of domain i's mean loss, in each step

    score_i = clip(rate * sum_{j in targets, j != i} <g_i, g_j> / mean_i |g_i|, 0, 5 rate),
    log w_i += score_i / mu,  w <- softmax(log w),

and the proxy takes a step down sum_i w_i g_i. Targets are all domains (universal), or some, which may be left
out of the training themselves (out of domain). The result is the mean of w over the steps.

Memory holds at most three gradients. A first pass over the domains, one after the other, gives the sum G of
the targets' gradients and the norm of each. A second pass computes each gradient again, and

    sum_{j in targets, j != i} <g_i, g_j> = <g_i, G> - [i in targets] |g_i|^2,

so that its weight is known up to a common factor when it is added up; the factor is known at the end.

Shapes: b rows, t tokens, k domains.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.methods.moving_weights import MovingWeights, token_losses
from chameleon.methods.options import MethodOptions

# Largest score, in units of the learning rate, as published.
_CLIP = 5.0


@dataclass(frozen=True)
class DoGESettings:
    """Indices of the domains whose loss is to be lowered, and of those among them not trained on; and mu."""

    targets: tuple[int, ...]
    untrained: tuple[int, ...] = ()
    mu: float = MethodOptions.mu

    @classmethod
    def of(cls, options: MethodOptions, names: tuple[str, ...]) -> Self:
        """The settings for (k,) domains, which include all --target_domains.

        Raises:
            InputError: --out_of_domain leaves no domain to train on, or has no targets.
        """
        if options.target_domains is None:
            if options.out_of_domain:
                raise InputError("--out_of_domain needs targets to leave out; name them by --target_domains")
            return cls(tuple(range(len(names))), (), options.mu)
        targets = tuple(names.index(each) for each in options.target_domains)
        if options.out_of_domain and len(targets) == len(names):
            raise InputError("--out_of_domain leaves no domain to train on; name fewer --target_domains")
        return cls(targets, targets if options.out_of_domain else (), options.mu)


class DoGE:
    """The proxy's objective (`chameleon.training.objective.Objective`)."""

    def __init__(self, k: int, settings: DoGESettings) -> None:
        """Begin with uniform weights of k domains."""
        self._k, self._settings = k, settings
        self._trained = np.array([i not in settings.untrained for i in range(k)])
        self.moving = MovingWeights(int(self._trained.sum()))

    def weighted(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of (k,) domains that have a weight: all that are trained on."""
        return tuple(name for name, trained in zip(names, self._trained, strict=True) if trained)

    @property
    def passes(self) -> Array:
        """(k,) forward passes for a row: a backward pass counts as two, and trained rows have two of each."""
        return np.where(self._trained, 6.0, 3.0)

    @property
    def identity(self) -> Mapping[str, Any]:
        """See `Objective`."""
        return {
            "objective": "doge",
            "mu": self._settings.mu,
            "targets": list(self._settings.targets),
            "untrained": list(self._settings.untrained),
        }

    def step(self, model: nn.Module, ids: torch.Tensor, domains: torch.Tensor, rate: float) -> torch.Tensor:
        """See `Objective`."""
        parameters = [each for each in model.parameters() if each.requires_grad]
        rows = {i: ids[domains == i] for i in sorted(set(domains.tolist()))}
        targets, norms = set(self._settings.targets), {}
        target_sum: list[torch.Tensor] | None = None
        for i, ids_of_domain in rows.items():
            _, gradient = _gradient(model, parameters, ids_of_domain)
            norms[i] = math.sqrt(_dot(gradient, gradient))
            if i in targets:
                target_sum = _add(target_sum, gradient, 1.0)
            del gradient
        trained = [i for i in rows if self._trained[i]]
        mean_norm = sum(norms[i] for i in trained) / max(len(trained), 1)
        steps, losses = np.zeros(self._k), {}
        before = np.zeros(self._k)
        before[self._trained] = self.moving.weights
        total: list[torch.Tensor] | None = None
        for i in trained:
            losses[i], gradient = _gradient(model, parameters, rows[i])
            if target_sum is not None and mean_norm > 0:
                aligned = _dot(gradient, target_sum) - (norms[i] ** 2 if i in targets else 0.0)
                score = min(max(rate * aligned / mean_norm, 0.0), _CLIP * rate)
                steps[i] = score / self._settings.mu
            total = _add(total, gradient, float(before[i] * math.exp(steps[i])))
            del gradient
        # The common factor of the weights, in which domains without a row in this step count too.
        factor = 1 / float((before * np.exp(steps)).sum())
        after = np.zeros(self._k)
        after[self._trained] = self.moving.move(steps[self._trained])
        for parameter, part in zip(parameters, total or [], strict=bool(total)):
            parameter.grad = part.mul_(factor)
        return torch.tensor(sum(after[i] * loss for i, loss in losses.items()), device=ids.device)

    def state(self) -> dict[str, Any]:
        """See `Objective`."""
        return {"moving": self.moving.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Objective`."""
        self.moving.restore(state["moving"])


def _gradient(
    model: nn.Module, parameters: Sequence[nn.Parameter], ids: torch.Tensor
) -> tuple[float, list[torch.Tensor]]:
    """The mean loss of rows, and its gradient by parameter."""
    loss = token_losses(model, ids).mean()
    gradient = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return float(loss.detach()), list(gradient)


def _dot(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    """The inner product of two gradients, summed over parameters in float64."""
    products = [torch.dot(a.flatten(), b.flatten()).double() for a, b in zip(one, other, strict=True)]
    return float(torch.stack(products).sum())


def _add(total: list[torch.Tensor] | None, gradient: list[torch.Tensor], factor: float) -> list[torch.Tensor]:
    """Add a gradient times a factor to a sum, in place; the first gradient becomes the sum."""
    if total is None:
        torch._foreach_mul_(gradient, factor)
        return gradient
    torch._foreach_add_(total, gradient, alpha=factor)
    return total
