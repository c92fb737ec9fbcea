"""From how many domains on they are many, and what is found of these beside scores and weights.

Shapes: k domains, d width of an embedding, m domains that pictures show.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.weights.formula import Means

# Up to so many domains there are matrices of all pairs, a bootstrap of all, and every path of a setting.
FEW = 1000


# Pictures of many domains show the heaviest, and as many others at random.
HEAVIEST_SHOWN = 250


# Numbers of a block of rows: 16 MiB of float64.
_AT_ONCE = 1 << 21


def is_many(k: int) -> bool:
    """Whether k domains are too many for matrices of all pairs at will."""
    return k > FEW


def blocks_of_rows(k: int, width: int, at_once: int = _AT_ONCE) -> Iterator[slice]:
    """All of k rows in order, up to `at_once` numbers at a time where a row has `width` of them."""
    size = max(1, at_once // max(width, 1))
    for begin in range(0, k, size):
        yield slice(begin, min(begin + size, k))


def checked_rows(means: Means, rows: slice) -> Array:
    """(r, d) float64 some rows of (k, d) means, which may be on disk.

    Raises:
        InputError: They hold a number that is not finite.
    """
    some = np.asarray(means[rows], dtype=np.float64)
    if not np.isfinite(some).all():
        bad = np.flatnonzero(~np.isfinite(some).all(axis=1)) + (rows.start or 0)
        listed = ", ".join(map(str, bad[:5].tolist()))
        raise InputError(
            f"domain embeddings must be finite numbers, those in rows {listed} are not "
            f"({len(bad)} of {len(some)} looked at)"
        )
    return some


def some_of(k: int, count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Up to `count` of k domains at random, in order."""
    if k <= count:
        return np.arange(k)
    return np.sort(np.random.default_rng(seed).choice(k, count, replace=False))


def displayed_domains(weights: Array, heaviest: int = HEAVIEST_SHOWN) -> list[int]:
    """The domains that pictures show: the heaviest, and as many others at random, in order.

    Args:
        weights: (k,) of all.
        heaviest: How many of either.
    """
    order = np.argsort(-weights, kind="stable")
    others = order[heaviest:]
    chosen = [*order[:heaviest], *others[some_of(len(others), heaviest)]]
    return sorted(int(each) for each in chosen)
