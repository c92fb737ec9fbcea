"""What a method has cost: FLOPs, tokens and seconds.

FLOPs are those of products, counted by torch on a row: a multiplication and an addition
each. A backward pass has twice those of the forward pass.

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
    """Of computing weights.

    Attributes:
        flops: Of the products.
        tokens: That models were trained on, all runs together.
        seconds: Of training and evaluation; runs side by side all count.
    """

    flops: float = 0.0
    tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.flops + other.flops, self.tokens + other.tokens, self.seconds + other.seconds)

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self)


def forward_flops(directory: Path, length: int) -> float:
    """FLOPs of one forward pass over a row of `length` tokens by the model in a directory."""
    with quiet_transformers():
        config = AutoConfig.from_pretrained(directory)
        make: Any = AutoModelForCausalLM.from_config
        with torch.device("meta"):
            model = make(config, dtype=torch.float32, attn_implementation="eager")
        model = model.to_empty(device="cpu")  # whatever is there: nobody looks at the numbers
        ids = torch.zeros(1, length, dtype=torch.long)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(input_ids=ids, use_cache=False)
    return float(counter.get_total_flops())


def training_cost(directory: Path, rows: npt.NDArray[np.int64], length: int, passes: float | Array) -> Cost:
    """Of a run in a directory.

    Args:
        directory: Where its model and its loss.csv are.
        rows: (k,) that it took of each domain.
        length: Tokens of a row.
        passes: Forward passes of a row, or (k,) of a row of each domain; a backward pass counts as two.
    """
    curve = read_loss_curve(directory / LOSS_CURVE)
    seconds = curve[-1]["seconds"] if curve else 0.0
    flops = forward_flops(directory, length) * float((rows * passes).sum())
    return Cost(flops, int(rows.sum()) * length, seconds)
