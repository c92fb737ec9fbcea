"""From how many domains on they are many, and subsets of their rows: checked, random, displayed.

Shapes: k domains, d width of an embedding, r rows.
"""

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array, Floats
from chameleon.common.errors import InputError

# Up to this many domains all pairs are held in memory at will, every round is bootstrapped, and every setting
# is varied.
FEW = 1000

# Pictures of many domains show this many of the heaviest, and as many others at random.
HEAVIEST_DISPLAYED = 250


def is_many(k: int) -> bool:
    """Whether k domains are too many for matrices of all pairs at will."""
    return k > FEW


def checked_rows(means: Floats, rows: slice) -> Array:
    """(r, d) float64 rows of (k, d) means, which may be mapped from disk.

    Raises:
        InputError: The rows hold a number that is not finite.
    """
    some = np.asarray(means[rows], dtype=np.float64)
    if not np.isfinite(some).all():
        bad = np.flatnonzero(~np.isfinite(some).all(axis=1)) + (rows.start or 0)
        raise InputError(
            "domain embeddings must be finite numbers, those in rows "
            f"{', '.join(map(str, bad[:5].tolist()))} are not ({len(bad)} of {len(some)} checked)"
        )
    return some


def some_of(k: int, count: int) -> npt.NDArray[np.int64]:
    """Up to `count` of k domains at random, in order."""
    if k <= count:
        return np.arange(k)
    return np.sort(np.random.default_rng(0).choice(k, count, replace=False))


def displayed_domains(weights: Array) -> list[int]:
    """The domains of (k,) weights that pictures show: the heaviest and as many others at random, in order."""
    order = np.argsort(-weights, kind="stable")
    heaviest, others = np.split(order, [HEAVIEST_DISPLAYED])
    chosen = [*heaviest, *others[some_of(len(others), HEAVIEST_DISPLAYED)]]
    return sorted(int(each) for each in chosen)
