"""From how many domains on they are many, and what is found of these beside scores and weights.

Shapes: k domains, d width of an embedding, m domains that pictures show.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon.affinity import Array
from chameleon.errors import InputError

# Up to so many domains there are matrices of all pairs, a bootstrap of all, and every path of a setting.
FEW = 1000
# RBF scores of up to so many domains are exact by default: 7.2 GB, 3 minutes on two cores.
EXACT_UP_TO = 30_000
# Pictures of many domains show the heaviest, and as many others at random.
HEAVIEST_SHOWN = 250
# Numbers of a block of rows: 16 MiB of float64.
_AT_ONCE = 1 << 21

Means = npt.NDArray[np.floating]
Gradients = Callable[[slice], Array]


@dataclass(frozen=True, eq=False)
class Found:
    """What is found of many domains beside their scores.

    Attributes:
        way: How the scores were computed, in words.
        sigma_from: Where the width is from, in words; None for a kernel without one.
        noise: (k,) what was taken off squared distances for each domain.
        shown: The m domains that pictures show, in order.
        gradients: The (r, d) derivatives of the scores of r = some rows by their own means; None where they
            were not asked for.
        approximation: What is known of how far scores are off, for the weights file; None where they are
            exact.
        notices: What a reader must know of it, in words.
    """

    way: str
    sigma_from: str | None
    noise: Array
    shown: list[int]
    gradients: Gradients | None
    approximation: Mapping[str, Any] | None
    notices: tuple[str, ...]


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


def shown_of(weights: Array, heaviest: int = HEAVIEST_SHOWN) -> list[int]:
    """The domains that pictures show: the heaviest, and as many others at random, in order.

    Args:
        weights: (k,) of all.
        heaviest: How many of either.
    """
    order = np.argsort(-weights, kind="stable")
    others = order[heaviest:]
    chosen = [*order[:heaviest], *others[some_of(len(others), heaviest)]]
    return sorted(int(each) for each in chosen)


def listed(names: Sequence[str], most: int = 5) -> str:
    """Some names, and how many more there are."""
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
