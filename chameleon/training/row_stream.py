"""The stream of training rows: row i is a function of the seed and i alone.

A row is a window of one domain's packed tokens. All rows have one length, so shares of rows are shares of
tokens. Any part of the stream is computed without the rest: a resumed run, or one on more processes, takes
the same rows. Three steps lead from i to a domain and a place among its rows, here for the weights a 0.5,
b 0.3, c 0.2 and a block of 10 ticks:

    1. share     By tick t, a domain of weight w has given round(t w) rows, counted in integers. So after
                 each block, every domain is within a row of its share.

                     ticks 0 to 9     a0 a1 a2 a3 a4 b0 b1 b2 c0 c1     (b1: row number 1 of b)

    2. shuffle   The rows of a block are sorted by random words, which are named by the seed.

                     i = 0 to 9       a3 b1 c0 a0 a4 b0 a2 c1 b2 a1

    3. look up   Row number j of a domain with n rows is in its epoch j // n. The seed, the domain's name and
                 the epoch name a permutation, which takes j % n to a place among the n rows.

                     a, n = 4         a0 a1 a2 a3 | a4 ...   ->   places 2 0 3 1 | 3 ...

Rounding makes a block a few rows longer or shorter than `BLOCK` ticks, so the block of row i is searched for.

Shapes: k domains, n rows, p phases.
"""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.common.permutation import permuted, ranks

BLOCK = 16
MAX_ROWS = 1 << 32

# A weight of one as an integer: counts of up to 2^32 rows then fit in 63 bits.
_ONE = 1 << 30


class Phase(NamedTuple):
    """From row `first` on, the domains have these (k,) weights."""

    first: int
    weights: npt.NDArray[np.float64]


class StreamRows(NamedTuple):
    """Rows of the stream: (n,) int64 domain, epoch of that domain, and place among its rows."""

    domains: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowStream:
    """The endless stream of rows of a mixture of domains.

    Attributes:
        names: (k,) domain names.
        sizes: (k,) rows of each domain; one without rows must have weight 0 throughout.
        phases: (p,) weights from row 0 on, by rising first row.
        seed: Names the order.
    """

    names: tuple[str, ...]
    sizes: npt.NDArray[np.int64]
    phases: tuple[Phase, ...]
    seed: int
    _weights: npt.NDArray[np.int64] = field(init=False, repr=False)  # (p, k), see `integer_weights`

    def __post_init__(self) -> None:
        if not self.phases or self.phases[0].first != 0:
            raise ValueError("the first phase begins at row 0")
        if (np.diff([phase.first for phase in self.phases]) <= 0).any():
            raise ValueError("phases begin one after the other")
        weights = np.stack([integer_weights(phase.weights) for phase in self.phases])
        if (weights[:, self.sizes == 0] > 0).any():
            raise ValueError("a domain without rows has a weight")
        object.__setattr__(self, "_weights", weights)

    def rows(self, first: int, last: int) -> StreamRows:
        """Rows `first` to `last` - 1 of the stream."""
        size = max(64, 4 * len(self.names))  # blocks per chunk, enough for some rows of each domain
        chunks = range(self._block_of(first) // size, self._block_of(max(first, last - 1)) // size + 1)
        before = self._rows_before(chunks.start * size)
        parts = [_rows_of_blocks(self, chunk * size, size) for chunk in chunks]
        columns = (
            np.concatenate(column)[first - before : last - before] for column in zip(*parts, strict=True)
        )
        return StreamRows(*columns)

    def counts(self, rows: int) -> npt.NDArray[np.int64]:
        """(k,) rows of each domain among the first `rows` of the stream."""
        whole_blocks = self._counts_at(self._tick(self._block_of(rows)))
        rest = self.rows(int(whole_blocks.sum()), rows).domains
        return whole_blocks + np.bincount(rest, minlength=len(self.names))

    def mean_weights(self, rows: int) -> npt.NDArray[np.float64]:
        """(k,) mean of the weights over the first `rows` rows, at least one."""
        firsts = np.array([phase.first for phase in self.phases])
        lengths = np.diff(np.minimum([*firsts, rows], rows))
        return np.asarray(lengths @ np.stack([phase.weights for phase in self.phases]) / rows)

    @cached_property
    def _first_blocks(self) -> list[int]:
        """(p,) number of the first block of each phase: a phase begins with a new block."""
        lengths = np.diff([phase.first for phase in self.phases])
        return [0, *np.cumsum(-(-lengths // BLOCK)).tolist()]

    @cached_property
    def _due_at_phases(self) -> npt.NDArray[np.int64]:
        """(p, k) rows due to each domain by the beginning of each phase, in units of 1 / `_ONE`."""
        lengths = np.diff([phase.first for phase in self.phases])
        # A domain's first row comes when half of it is due; domains of equal weight take turns.
        k = len(self.names)
        start = (2 * np.arange(k, dtype=np.int64) + 1) * (_ONE // (2 * k))
        return np.cumsum([start, *(self._weights[:-1] * lengths[:, None])], axis=0)

    def _tick(self, block: int) -> int:
        """The tick at which a block begins."""
        phase = bisect_right(self._first_blocks, block) - 1
        return self.phases[phase].first + (block - self._first_blocks[phase]) * BLOCK

    def _counts_at(self, tick: int) -> npt.NDArray[np.int64]:
        """(k,) rows that each domain has given before a tick."""
        phase = bisect_right(self.phases, tick, key=lambda phase: phase.first) - 1
        due = self._due_at_phases[phase] + self._weights[phase] * (tick - self.phases[phase].first)
        return np.asarray(due // _ONE)

    def _rows_before(self, block: int) -> int:
        return int(self._counts_at(self._tick(block)).sum())

    def _block_of(self, row: int) -> int:
        """The block of a row: the last one with at most `row` rows before it."""
        if row >= MAX_ROWS:
            raise ValueError(f"a stream has at most {MAX_ROWS} rows")
        # Tick t has t rows before it, within half a row per domain; a phase may end within a block.
        slack = len(self.names) // BLOCK + len(self.phases) + 1
        low, high = max(0, row // BLOCK - slack), row // BLOCK + slack
        return low + bisect_right(range(low, high + 1), row, key=self._rows_before) - 1


# A few chunks: a loader reads forward, and so does what reports the rows of a step.
@lru_cache(maxsize=8)
def _rows_of_blocks(stream: RowStream, first: int, number_of_blocks: int) -> StreamRows:
    """The rows of blocks `first` to `first` + `number_of_blocks` - 1, by the three steps above."""
    k = len(stream.names)
    given = np.stack([stream._counts_at(stream._tick(first + i)) for i in range(number_of_blocks + 1)])
    counts = np.diff(given, axis=0)
    total = int(counts.sum())
    # (n,) sorted by block, then domain, then row number.
    domains = np.repeat(np.tile(np.arange(k), number_of_blocks), counts.ravel())
    blocks = np.repeat(np.arange(number_of_blocks), counts.sum(axis=1))
    begins = np.repeat(np.cumsum(counts.ravel()) - counts.ravel(), counts.ravel())
    numbers = np.arange(total) - begins + np.repeat(given[:-1].ravel(), counts.ravel())
    words = ranks(int(given[0].sum()) + np.arange(total, dtype=np.uint64), _key(stream.seed, "order", 0))
    shuffled = np.lexsort((words, blocks))
    domains, numbers = domains[shuffled], numbers[shuffled]
    epochs, places = np.divmod(numbers, stream.sizes[domains])
    for domain in np.unique(domains).tolist():
        of_domain = np.flatnonzero(domains == domain)
        size = int(stream.sizes[domain])
        for epoch in np.unique(epochs[of_domain]).tolist():
            of_epoch = of_domain[epochs[of_domain] == epoch]
            key = _key(stream.seed, stream.names[domain], epoch)
            places[of_epoch] = permuted(places[of_epoch], size, key)
    return StreamRows(domains, epochs, places)


def integer_weights(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """(k,) weights as integers that sum to 2^30, by largest remainders; none above 0 becomes 0."""
    exact = weights / weights.sum() * _ONE
    integers: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    missing = _ONE - int(integers.sum())
    integers[np.argsort(integers - exact, kind="stable")[:missing]] += 1
    lost = (integers == 0) & (weights > 0)
    integers[lost] = 1
    integers[np.argmax(integers)] -= int(lost.sum())
    return integers


def _key(seed: int, what: str, number: int) -> int:
    digest = hashlib.sha256(f"{seed} {number} {what}".encode()).digest()
    return int.from_bytes(digest[:16], "little")
