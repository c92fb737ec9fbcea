"""The training stream: which row of which domain comes at place i, as a pure function of seed and i.

A row is a window of a domain's packed tokens, all rows have the same length, so shares of rows are
shares of tokens. The stream is cut into blocks of `BLOCK` moments. By moment t a domain of weight w
has given round(t w) rows, in integer arithmetic, so that after any block each domain is within a row
of its share; the rows of a block are then put in random order. Within a domain, rows come in a fresh
permutation for each of its epochs.

Shapes: k domains, n rows.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.common.permutation import permuted, ranks

BLOCK = 16


# A weight is a whole number of these parts of one; counts of rows up to 2^32 then fit 63 bits.
_PARTS = 1 << 30


MOST_ROWS = 1 << 32


class Phase(NamedTuple):
    """From row `first` on the domains have these (k,) weights."""

    first: int
    weights: npt.NDArray[np.float64]


class Rows(NamedTuple):
    """Rows of the stream: (n,) int64 domain, epoch of it, and place among its rows."""

    domains: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowStream:
    """The stream of rows of a mixture of domains, without end.

    Attributes:
        names: (k,) the domains.
        sizes: (k,) rows that each has; a domain without any has weight 0 throughout.
        phases: The weights, from row 0 on, by rising first row.
        seed: Names the order.
    """

    names: tuple[str, ...]
    sizes: npt.NDArray[np.int64]
    phases: tuple[Phase, ...]
    seed: int
    _parts: npt.NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.phases or self.phases[0].first != 0:
            raise ValueError("the first phase begins at row 0")
        if any(later.first <= one.first for one, later in zip(self.phases, self.phases[1:], strict=False)):
            raise ValueError("phases begin one after the other")
        parts = np.stack([in_parts(phase.weights) for phase in self.phases])
        if (parts[:, self.sizes == 0] > 0).any():
            raise ValueError("a domain without rows has a weight")
        object.__setattr__(self, "_parts", parts)

    def rows(self, first: int, last: int) -> Rows:
        """Rows `first` to `last` - 1 of the stream."""
        found, at = [], first
        together = max(64, 4 * len(self.names))  # blocks whose rows are found at once, some of each domain
        stretch = self._block_of(first) // together
        while at < last:
            begin = self._given_by(stretch * together)
            rows = _rows_of_blocks(self, stretch * together, together)
            end = min(last, begin + len(rows.domains))
            if end > at:
                found.append(Rows(*(column[at - begin : end - begin] for column in rows)))
                at = end
            stretch += 1
        if not found:
            return Rows(*(np.empty(0, dtype=np.int64) for _ in range(3)))
        return Rows(*(np.concatenate(columns) for columns in zip(*found, strict=True)))

    def counts(self, rows: int) -> npt.NDArray[np.int64]:
        """(k,) rows of each domain among the first `rows` of the stream."""
        block = self._block_of(rows)
        whole = self._counts_at(self._moment(block))
        begun = self.rows(int(whole.sum()), rows).domains
        return whole + np.bincount(begun, minlength=len(self.names))

    def expected(self, rows: int) -> npt.NDArray[np.float64]:
        """(k,) the weights' mean over the first `rows` rows, at least one."""
        ends = [*(phase.first for phase in self.phases[1:]), rows]
        lengths = np.clip(np.minimum(ends, rows) - np.array([phase.first for phase in self.phases]), 0, None)
        mean: npt.NDArray[np.float64] = lengths @ np.stack([phase.weights for phase in self.phases]) / rows
        return mean

    @cached_property
    def _first_blocks(self) -> list[int]:
        """The number of the first block of each phase: phases begin with a block of their own."""
        numbers = [0]
        for one, later in zip(self.phases, self.phases[1:], strict=False):
            numbers.append(numbers[-1] + -(-(later.first - one.first) // BLOCK))
        return numbers

    @cached_property
    def _at_phases(self) -> npt.NDArray[np.int64]:
        """(p, k) parts of a row due to each domain by the beginning of each phase."""
        lengths = np.diff([phase.first for phase in self.phases])
        # The first row of a domain is due when half of it is; domains of equal weight take turns.
        k = len(self.names)
        due = [(2 * np.arange(k, dtype=np.int64) + 1) * (_PARTS // (2 * k))]
        for parts, length in zip(self._parts, lengths, strict=False):
            due.append(due[-1] + parts * int(length))
        return np.stack(due)

    def _phase_of(self, block: int) -> int:
        return bisect_right(self._first_blocks, block) - 1

    def _moment(self, block: int) -> int:
        """The moment at which a block begins."""
        phase = self._phase_of(block)
        return self.phases[phase].first + (block - self._first_blocks[phase]) * BLOCK

    def _counts_at(self, moment: int) -> npt.NDArray[np.int64]:
        """(k,) rows that each domain has given before a moment."""
        phase = bisect_right([each.first for each in self.phases], moment) - 1
        due = self._at_phases[phase] + self._parts[phase] * (moment - self.phases[phase].first)
        counts: npt.NDArray[np.int64] = due // _PARTS
        return counts

    def _given_by(self, block: int) -> int:
        """Rows before a block."""
        return int(self._counts_at(self._moment(block)).sum())

    def _block_of(self, row: int) -> int:
        """The block of a row: the last with no more rows before it."""
        if row >= MOST_ROWS:
            raise ValueError(f"a stream has at most {MOST_ROWS} rows")
        # By moment t there are t rows, give or take half a row a domain; a phase may end within a block.
        slack = len(self.names) // BLOCK + len(self.phases) + 1
        low, high = max(0, row // BLOCK - slack), row // BLOCK + slack
        return low + bisect_right(range(low, high + 1), row, key=self._given_by) - 1


# A few stretches: a loader goes forward, and so may what looks back at the rows of a step.
@lru_cache(maxsize=8)
def _rows_of_blocks(mixture: RowStream, first: int, number_of_blocks: int) -> Rows:
    """The rows of some blocks."""
    k = len(mixture.names)
    given = np.stack([mixture._counts_at(mixture._moment(first + i)) for i in range(number_of_blocks + 1)])
    counts = np.diff(given, axis=0)
    total = int(counts.sum())
    # (n,) as the blocks follow each other, in each the domains in order, of each its rows in order.
    domains = np.repeat(np.tile(np.arange(k), number_of_blocks), counts.ravel())
    blocks = np.repeat(np.arange(number_of_blocks), counts.sum(axis=1))
    begins = np.repeat(np.cumsum(counts.ravel()) - counts.ravel(), counts.ravel())
    number = np.arange(total) - begins + np.repeat(given[:-1].ravel(), counts.ravel())
    chances = ranks(int(given[0].sum()) + np.arange(total, dtype=np.uint64), _key(mixture.seed, "order", 0))
    order = np.lexsort((chances, blocks))
    domains, number = domains[order], number[order]
    epochs, places = np.divmod(number, mixture.sizes[domains])
    for domain in np.unique(domains).tolist():
        mine = np.flatnonzero(domains == domain)
        size = int(mixture.sizes[domain])
        for epoch in np.unique(epochs[mine]).tolist():
            these = mine[epochs[mine] == epoch]
            places[these] = permuted(places[these], size, _key(mixture.seed, mixture.names[domain], epoch))
    return Rows(domains, epochs, places)


def in_parts(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """(k,) weights that sum to 1 as whole numbers of parts, none above 0 lost; by largest remainders."""
    exact = weights / weights.sum() * _PARTS
    parts: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    missing = _PARTS - int(parts.sum())
    parts[np.argsort(parts - exact, kind="stable")[:missing]] += 1
    lost = (parts == 0) & (weights > 0)
    parts[lost] = 1
    parts[np.argmax(parts)] -= int(lost.sum())
    return parts


def weights_at(points: Sequence[tuple[int, int, npt.NDArray[np.float64]]], rows_a_step: int) -> list[Phase]:
    """The phases of a schedule.

    Args:
        points: (step, steps over which the weights before go over into these, weights), by rising step;
            the first has step 0 and goes over from nothing.
        rows_a_step: Rows of an optimizer step.
    """
    phases: list[Phase] = []
    for step, over, weights in points:
        # A row each phase at most; a hundred are as good as a slope.
        pieces = min(over, 100)
        before = phases[-1].weights if phases else weights
        for piece in range(pieces):
            share = (piece + 0.5) / pieces
            first = (step + piece * over // pieces) * rows_a_step
            phases.append(Phase(first, (1 - share) * before + share * weights))
        phases.append(Phase((step + over) * rows_a_step, weights))
    return phases


def _key(seed: int, what: str, number: int) -> int:
    digest = hashlib.sha256(f"{seed} {number} {what}".encode()).digest()
    return int.from_bytes(digest[:16], "little")
