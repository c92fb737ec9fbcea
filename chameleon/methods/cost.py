"""What computing weights costs: FLOPs, tokens and seconds.

FLOPs are those of matrix products, counted by torch for one row: a multiplication and an addition each. A
backward pass has twice those of a forward pass.

Shapes: k domains.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from chameleon.common.arrays import Array
from chameleon.common.libraries import quiet_transformers
from chameleon.training.loss_curve import LOSS_CURVE, read_loss_curve


@dataclass(frozen=True)
class Cost:
    """FLOPs of matrix products, tokens trained on, and seconds of training and evaluation, of all runs."""

    flops: float = 0.0
    tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.flops + other.flops, self.tokens + other.tokens, self.seconds + other.seconds)

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self)


def forward_flops(directory: Path, length: int) -> float:
    """FLOPs of one forward pass of the model in a directory over a row of `length` tokens."""
    with quiet_transformers():
        config = AutoConfig.from_pretrained(directory)
        make: Any = AutoModelForCausalLM.from_config
        with torch.device("meta"):
            model = make(config, dtype=torch.float32, attn_implementation="eager")
        model = model.to_empty(device="cpu")  # uninitialised: only products are counted
        ids = torch.zeros(1, length, dtype=torch.long)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(input_ids=ids, use_cache=False)
    return float(counter.get_total_flops())


def training_cost(directory: Path, rows: npt.NDArray[np.int64], length: int, passes: float | Array) -> Cost:
    """The cost of a training run.

    Args:
        directory: Where the model and its loss.csv are.
        rows: (k,) rows of each domain in the run.
        length: Tokens of a row.
        passes: Forward passes for a row, or (k,) for a row of each domain; a backward pass counts as two.
    """
    curve = read_loss_curve(directory / LOSS_CURVE)
    seconds = curve[-1]["seconds"] if curve else 0.0
    flops = forward_flops(directory, length) * float((rows * passes).sum())
    return Cost(flops, int(rows.sum()) * length, seconds)
