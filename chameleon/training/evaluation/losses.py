"""Losses of a model on held-out documents, with standard errors.

Documents are laid end to end and read in rows as in training. Each token but the first is predicted once,
from the tokens before it in its row: rows overlap by one token. Documents are what is sampled, so standard
errors are over documents, however many rows a document fills.

Shapes: m documents, n tokens, b rows of a batch, t tokens of a row.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from chameleon.training.packed_domain import HeldOutDocuments

_MAX_EXPONENT = 700.0


@dataclass(frozen=True, eq=False)
class DocumentLosses:
    """The losses of a model on documents.

    Attributes:
        losses: (m,) float64 loss of each document, summed over its tokens, in nats.
        tokens: (m,) int64 predicted tokens of each.
        sizes: (m,) int64 UTF-8 bytes of each; 0 if unknown.
    """

    losses: npt.NDArray[np.float64]
    tokens: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    @property
    def loss(self) -> float:
        """Loss in nats per token."""
        return float(self.losses.sum() / self.tokens.sum())

    @property
    def standard_error(self) -> float | None:
        """Standard error of the loss, as a ratio of sums over documents; None for fewer than two."""
        return ratio_standard_error(self.losses - self.loss * self.tokens, int(self.tokens.sum()))

    @property
    def bits_per_byte(self) -> float | None:
        """Loss in bits per UTF-8 byte, which tokenizers do not affect; None if bytes are unknown."""
        if not (self.sizes > 0).all():
            return None
        return float(self.losses.sum() / self.sizes.sum() / math.log(2))


def perplexity(loss: float) -> float:
    """exp of a loss in nats; infinity if that overflows."""
    return math.exp(loss) if loss < _MAX_EXPONENT else math.inf


def ratio_standard_error(deviations: npt.NDArray[np.float64], total: int) -> float | None:
    """Standard error of a ratio sum(y) / sum(x) over documents; None for fewer than two.

    Args:
        deviations: (m,) y - ratio * x.
        total: sum(x).
    """
    m = len(deviations)
    if m < 2:
        return None
    return float(np.sqrt(m / (m - 1) * (deviations**2).sum()) / total)


def first_documents(heldout: HeldOutDocuments, max_tokens: int) -> HeldOutDocuments:
    """The first documents, up to `max_tokens` tokens in all, but at least one."""
    m = len(heldout.ends)
    count = max(int(np.searchsorted(heldout.ends, max_tokens, side="right")), min(1, m))
    return replace(heldout.subset(np.arange(m) < count), documents=heldout.documents)


def document_losses(
    model: nn.Module, heldout: HeldOutDocuments, length: int, batch_size: int, dtype: torch.dtype
) -> DocumentLosses:
    """The losses of a model on documents.

    Args:
        model: A causal LM on its device, in evaluation mode.
        heldout: At least one document, and at least two tokens in all.
        length: t.
        batch_size: b.
        dtype: Precision of products.
    """
    device = next(model.parameters()).device
    tokens = torch.from_numpy(heldout.tokens.astype(np.int64))
    starts = range(0, len(tokens) - 1, length - 1)
    batches: list[torch.Tensor] = []
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for first in range(0, len(starts), batch_size):
            rows = [tokens[start : start + length] for start in starts[first : first + batch_size]]
            batches.append(_row_losses(model, rows, device))
    losses = torch.cat(batches).numpy()
    # Token i + 1 is the i-th predicted one.
    documents = np.searchsorted(heldout.ends, np.arange(1, len(tokens)), side="right")
    m = len(heldout.ends)
    sums = np.bincount(documents, weights=losses, minlength=m).astype(np.float64)
    return DocumentLosses(sums, np.bincount(documents, minlength=m), heldout.sizes)


def _row_losses(model: Any, rows: list[torch.Tensor], device: torch.device) -> torch.Tensor:  # noqa: ANN401
    """Losses of the tokens of each row but its first, row by row, in float64 on the CPU."""
    # A causal model does not see the padding on the right.
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    losses = nn.functional.cross_entropy(logits.transpose(1, 2).float(), ids[:, 1:], reduction="none")
    lengths = torch.tensor([len(row) - 1 for row in rows], device=device)
    is_real = torch.arange(ids.shape[1] - 1, device=device) < lengths.unsqueeze(1)
    return losses[is_real].double().cpu()
