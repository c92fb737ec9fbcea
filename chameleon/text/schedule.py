"""In which order the units of a domain are visited: sweep after sweep over all units, or section by section.

Shapes: u units of a domain, v visits of a sweep.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon.common.permutation import ranks

# A unit of twice this many times the mean size is visited twice in a sweep, and so on.
_LARGE = 2

# Windows of a usual run: where units are slow to read, this many come from the first section.
USUAL_WINDOWS = 2048


@dataclass(frozen=True, eq=False)
class VisitSchedule:
    """Visits of units, numbered from 0 until all cells of the domain are taken.

    A unit is named by its rank: its place in the order in which units are first visited.

    Attributes:
        ranks: (v,) int64, the unit of each visit of a sweep. A unit with far more text than others comes
            several times.
        earlier: (v,) int64, how many visits of the same unit come before it in the sweep.
        sweeps: Number of sweeps.
        section: Visits of a section, at most v. A section is repeated before the next one begins, so that
            fewer units are read per window.
    """

    ranks: npt.NDArray[np.int64]
    earlier: npt.NDArray[np.int64]
    sweeps: int
    section: int

    @property
    def num_visits(self) -> int:
        """Visits in all."""
        return len(self.ranks) * self.sweeps

    @property
    def repeats(self) -> int:
        """How often each section is visited before the next; the last time through, perhaps fewer."""
        if self.section == len(self.ranks):
            return 1
        return min(self.sweeps, -(-USUAL_WINDOWS // self.section))

    def slot(self, visit: int) -> tuple[int, int]:
        """The sweep that a visit belongs to, and its place in that sweep."""
        through, visit = divmod(visit, len(self.ranks) * self.repeats)
        repeats = min(self.repeats, self.sweeps - through * self.repeats)
        section, visit = divmod(visit, self.section * repeats)
        repeat, slot = divmod(visit, min(self.section, len(self.ranks) - section * self.section))
        return through * self.repeats + repeat, section * self.section + slot

    def rank(self, visit: int) -> int:
        """The unit of a visit."""
        return int(self.ranks[self.slot(visit)[1]])

    def progress(self, visit: int) -> tuple[int, int]:
        """How many visits of its unit come before a visit, and how many there are in all."""
        sweep, slot = self.slot(visit)
        in_sweep = int((self.ranks == self.ranks[slot]).sum())
        return sweep * in_sweep + int(self.earlier[slot]), in_sweep * self.sweeps

    def first_ranks(self, visits: int) -> npt.NDArray[np.int64]:
        """(at most u,) the units of the first visits, ascending, each once."""
        # A repeat begins where the one before began, so a section's first one reaches furthest.
        sections, rest = divmod(visits, self.section * self.repeats)
        return np.unique(self.ranks[: sections * self.section + min(rest, self.section)])


def random_sweep(
    sizes: npt.NDArray[np.float64], keys: npt.NDArray[np.uint64], key: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A random order of visits in which large units come several times: see `VisitSchedule`.

    Args:
        sizes: (u,) sizes of the units by rank.
        keys: (u,) keys of the units by rank.
        key: Seed of the order.

    Returns:
        (v,) ranks and (v,) earlier visits of the same unit.
    """
    times = np.maximum(1, sizes / max(float(sizes.mean()), 1e-300) // _LARGE).astype(np.int64)
    visited = np.repeat(np.arange(len(sizes), dtype=np.int64), times)
    earlier = np.arange(len(visited), dtype=np.int64) - np.repeat(np.cumsum(times) - times, times)
    # The first visit of each unit is in the units' own order, which domains that share units share too.
    order = np.argsort(ranks(keys[visited] + earlier.astype(np.uint64), key), kind="stable")
    return visited[order], earlier[order]
