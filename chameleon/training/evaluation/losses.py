"""Losses of a model on held-out documents, with standard errors.

Documents are laid end to end and read in rows as in training. Each token but the first is predicted
once, from those before it in its row: rows overlap by one token. Documents are what is sampled, so
standard errors are over documents, however many rows one fills.

Shapes: m documents, n tokens, b rows of a batch, t tokens of a row.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from chameleon.training.packed_domain import HeldOut

_LARGEST = 700.0


@dataclass(frozen=True, eq=False)
class DocumentLosses:
    """What a model makes of documents.

    Attributes:
        losses: (m,) float64, summed over each document's tokens, in nats.
        tokens: (m,) int64, how many were predicted.
        sizes: (m,) int64, bytes of UTF-8; 0 where not known.
    """

    losses: npt.NDArray[np.float64]
    tokens: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    @property
    def loss(self) -> float:
        """Nats a token."""
        return float(self.losses.sum() / self.tokens.sum())

    @property
    def standard_error(self) -> float | None:
        """Of the loss, as a ratio of sums over documents; None for fewer than two."""
        return ratio_error(self.losses - self.loss * self.tokens, int(self.tokens.sum()))

    @property
    def bits_per_byte(self) -> float | None:
        """Does not depend on the tokenizer; None where bytes are not known."""
        if not (self.sizes > 0).all():
            return None
        return float(self.losses.sum() / self.sizes.sum() / math.log(2))


def perplexity(loss: float) -> float:
    """exp of a loss in nats; infinity where that is beyond all numbers."""
    return math.exp(loss) if loss < _LARGEST else math.inf


def ratio_error(deviations: npt.NDArray[np.float64], total: int) -> float | None:
    """Standard error of a ratio sum(y) / sum(x) over documents; None for fewer than two.

    Args:
        deviations: (m,) y - ratio x.
        total: sum(x).
    """
    m = len(deviations)
    if m < 2:
        return None
    return float(np.sqrt(m / (m - 1) * (deviations**2).sum()) / total)


def first_documents(heldout: HeldOut, most: int) -> HeldOut:
    """The first documents that have up to `most` tokens in all; one at least."""
    kept = max(int(np.searchsorted(heldout.ends, most, side="right")), min(1, len(heldout.ends)))
    first = np.arange(len(heldout.ends)) < kept
    return replace(heldout.subset(first), documents=heldout.documents)


def document_losses(
    model: nn.Module, heldout: HeldOut, length: int, batch_size: int, dtype: torch.dtype
) -> DocumentLosses:
    """The losses of documents, of which there is at least one and two tokens in all.

    Args:
        model: A causal LM, on its device and ready to be evaluated.
        heldout: The documents.
        length: t.
        batch_size: b.
        dtype: What products are computed in.
    """
    device = next(model.parameters()).device
    tokens = torch.from_numpy(heldout.tokens.astype(np.int64))
    starts = range(0, len(tokens) - 1, length - 1)
    found: list[torch.Tensor] = []
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for first in range(0, len(starts), batch_size):
            rows = [tokens[start : start + length] for start in starts[first : first + batch_size]]
            found.append(_row_losses(model, rows, device))
    losses = torch.cat(found).numpy()
    # Token i + 1 is predicted i-th.
    documents = np.searchsorted(heldout.ends, np.arange(1, len(tokens)), side="right")
    m = len(heldout.ends)
    summed: npt.NDArray[np.float64] = np.bincount(documents, weights=losses, minlength=m).astype(np.float64)
    return DocumentLosses(
        summed,
        np.bincount(documents, minlength=m),
        heldout.sizes,
    )


def _row_losses(model: Any, rows: list[torch.Tensor], device: torch.device) -> torch.Tensor:  # noqa: ANN401
    """Losses of the tokens of each row but its first, one row after the other, in float64 on the CPU."""
    # A causal model does not see the padding on the right.
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    losses = nn.functional.cross_entropy(logits.transpose(1, 2).float(), ids[:, 1:], reduction="none")
    kept = torch.arange(ids.shape[1] - 1, device=device) < torch.tensor(
        [len(row) - 1 for row in rows], device=device
    ).unsqueeze(1)
    return losses[kept].double().cpu()
