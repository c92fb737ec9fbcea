"""How many windows of each domain are enough: drawn in rounds, more where the error comes from.

Shapes: k domains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from chameleon.affinity import Array
from chameleon.compute import solve
from chameleon.confidence.influence import variances_by_domain
from chameleon.errors import InputError
from chameleon.formula import Formula
from chameleon.sample import Sample

# Windows of each domain in the first round, and the most of a run that decides itself.
FIRST_WINDOWS = 64
MOST_WINDOWS = 2048
# A target that is missed by this factor is out of reach, with room for the error of the estimate.
_FAR = 3.0

Counts = npt.NDArray[np.int64]


def next_windows(
    samples: list[Sample],
    available: Mapping[str, int],
    formula: Formula,
    target: float,
    most: int = MOST_WINDOWS,
) -> dict[str, int]:
    """Windows to have of each domain after the next round; empty where there are enough.

    Domains are doubled, at most once each, until the errors expected then are within the target: always the
    one that adds most to the weight that is furthest off.

    Args:
        samples: What was looked at so far.
        available: Windows that each domain has in all.
        formula: From means to weights.
        target: The largest standard error that a weight may have.
        most: Windows of a domain at most.
    """
    growth = _Growth.of(samples, available, formula)
    ends = np.minimum(2 * growth.counts, np.maximum(np.minimum(growth.wholes, most), growth.counts))
    wanted = growth.until(target, ends)
    return {} if (wanted == growth.counts).all() else _by_name(samples, wanted)


def estimated_error(samples: list[Sample], available: Mapping[str, int], formula: Formula) -> float:
    """The largest standard error of a weight by the estimate that rounds go by."""
    growth = _Growth.of(samples, available, formula)
    return float(np.sqrt(growth.variances(growth.counts).sum(axis=1).max()))


def windows_needed(
    samples: list[Sample], available: Mapping[str, int], formula: Formula, target: float
) -> dict[str, int]:
    """Windows of each domain with which the largest standard error would be about within the target.

    A domain has as many as it has; with all of them its mean is known.
    """
    growth = _Growth.of(samples, available, formula)
    return _by_name(samples, growth.until(target, growth.wholes))


def require_reachable(
    samples: list[Sample], available: Mapping[str, int], formula: Formula, target: float
) -> None:
    """Raise InputError for a target that is far from what as many windows as a run may draw would give."""
    growth = _Growth.of(samples, available, formula)
    ends = np.maximum(np.minimum(growth.wholes, MOST_WINDOWS), growth.counts)
    errors = np.sqrt(growth.variances(ends).sum(axis=1))
    worst = int(np.argmax(errors))
    if errors[worst] > _FAR * target:
        source = int(np.argmax(growth.variances(ends)[worst]))
        raise InputError(
            f"--target_se {target:g} is out of reach: with {ends[source]:,} windows of "
            f"{samples[source].name}, the most that a run draws by itself, the weight of "
            f"{samples[worst].name} would still be off by {errors[worst]:.2g}; give --target_se "
            f"{1.2 * errors[worst]:.1g} or more, or --num_samples"
        )


@dataclass(frozen=True, eq=False)
class _Growth:
    """How the variances of k weights fall as domains have more windows.

    Attributes:
        counts: (k,) windows looked at.
        wholes: (k,) windows that there are.
        per_rest: (k, k) the part of each weight's variance (row) that comes from each domain (column), for
            one unit of what `_rest` says of it.
    """

    counts: Counts
    wholes: Counts
    per_rest: Array

    @classmethod
    def of(cls, samples: list[Sample], available: Mapping[str, int], formula: Formula) -> Self:
        counts = np.array([len(sample) for sample in samples], dtype=np.int64)
        wholes = np.array([max(available[sample.name], len(sample)) for sample in samples], dtype=np.int64)
        variances = variances_by_domain(samples, formula, solve(samples, formula))
        return cls(counts, wholes, variances / np.maximum(_rest(counts, wholes), 1e-300))

    def variances(self, counts: Counts) -> Array:
        """(k, k) the parts with other numbers of windows."""
        return self.per_rest * _rest(counts, self.wholes)

    def until(self, target: float, ends: Counts) -> Counts:
        """(k,) windows, doubled one domain at a time, until all errors are within a target or at the ends."""
        wanted, rest = self.counts.copy(), _rest(self.counts, self.wholes)
        totals = self.per_rest @ rest
        while True:
            worst = int(np.argmax(totals))
            if totals[worst] <= target**2:
                return wanted
            added = np.where(wanted < ends, self.per_rest[worst] * rest, 0.0)
            most_added = int(np.argmax(added))
            if added[most_added] <= 0:
                return wanted
            wanted[most_added] = min(2 * wanted[most_added], ends[most_added])
            left = _rest(wanted[most_added], self.wholes[most_added])
            totals += self.per_rest[:, most_added] * (left - rest[most_added])
            rest[most_added] = left


def _by_name(samples: list[Sample], counts: Counts) -> dict[str, int]:
    return {sample.name: int(count) for sample, count in zip(samples, counts, strict=True)}


def _rest(counts: npt.ArrayLike, wholes: npt.ArrayLike) -> Array:
    """(k,) what variances of means are proportional to: 1 / n, less what is known when all was looked at."""
    return np.maximum(1 / np.asarray(counts) - 1 / np.asarray(wholes), 0.0)
