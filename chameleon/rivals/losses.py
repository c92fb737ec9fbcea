"""Losses of a model on rows of tokens.

Shapes: b rows, t tokens of each.
"""

from typing import Any

import torch
from torch import nn


def token_losses(model: Any, ids: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """(b, t - 1) cross-entropies of each token but a row's first, in nats, at least float32."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
