"""How trainers draw rows by weights.

Shapes: k domains.
"""

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.export.formats import Draws
from chameleon.export.trainers.yaml_configs import LEVANTER_BLOCK

Counts = npt.NDArray[np.int64]


def draw(numbers: Array, rows: int, how: Draws, seed: int = 0) -> Counts:
    """(k,) rows that a trainer takes of each domain.

    Args:
        numbers: (k,) weights, at least one above 0; they need not sum to 1.
        rows: Rows in all.
        how: See `Draws`.
        seed: Seed of random draws.
    """
    shares = numbers / numbers.sum()
    if how == "random":
        return np.asarray(np.random.default_rng(seed).multinomial(rows, shares))
    if how == "even":
        taken, behind = np.zeros(len(shares)), np.empty(len(shares))
        for row in range(rows):
            np.multiply(shares, max(row, 1.0), out=behind)
            behind -= taken
            taken[behind.argmax()] += 1
        return taken.astype(np.int64)
    if how == "blocks":
        blocks, rest = divmod(rows, LEVANTER_BLOCK)
        block = _rounded_down(shares, LEVANTER_BLOCK)
        block[int(np.argmax(block))] += LEVANTER_BLOCK - int(block.sum())
        return blocks * block + draw(block.astype(np.float64), rest, "quota")
    counts = _rounded_down(shares, rows)
    counts[np.argsort(counts - shares * rows, kind="stable")[: rows - int(counts.sum())]] += 1
    return counts


def is_undrawn(numbers: Array, how: Draws) -> npt.NDArray[np.bool_]:
    """(k,) which domains with a number above 0 are never drawn, however long the run."""
    if how != "blocks":
        return np.zeros(len(numbers), dtype=bool)
    return np.asarray((draw(numbers, LEVANTER_BLOCK, how) == 0) & (numbers > 0))


def _rounded_down(shares: Array, rows: int) -> Counts:
    # Rounding must not take a row from a share that is a whole number of rows.
    return np.floor(shares * rows + 1e-9).astype(np.int64)
