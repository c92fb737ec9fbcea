"""Runs of small models: on which mixtures they were trained, and what losses they came to.

Shapes: n runs, k domains, m losses.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Runs:
    """Mixtures and the losses of what was trained on them.

    Attributes:
        names: The k domains.
        mixtures: (n, k) shares of each run, rows summing to 1.
        losses_of: The m domains on whose held-out text the losses are.
        losses: (n, m) in nats a token.
        ids: (n,) what the runs are called.
        diverged: Runs that are left out, since their loss is not finite.
    """

    names: tuple[str, ...]
    mixtures: Array
    losses_of: tuple[str, ...]
    losses: Array
    ids: tuple[str, ...]
    diverged: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)
