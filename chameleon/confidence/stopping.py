"""How many windows of each domain are enough: drawn in rounds, more where the error comes from.

Shapes: k domains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.confidence.delta_method import variances_by_domain
from chameleon.confidence.many_domains import analytic_errors, counts_for, errors_with
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula
from chameleon.weights.many_domains.blocks import is_many
from chameleon.weights.sample import Sample

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
    most: int | Counts = MOST_WINDOWS,
) -> dict[str, int]:
    """Windows to have of each domain after the next round; empty where there are enough.

    Domains are doubled, at most once each, until the errors expected then are within the target: always the
    one that adds most to the weight that is furthest off.

    Args:
        samples: What was looked at so far.
        available: Windows that each domain has in all.
        formula: From means to weights.
        target: The largest standard error that a weight may have.
        most: Windows of a domain at most, or (k,) of each.
    """
    if is_many(len(samples)):
        return _next_of_many(samples, available, _errors_of_many(samples, formula), target, most)
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
    if is_many(len(samples)):
        _require_reachable_for_many(samples, available, _errors_of_many(samples, formula), target)
        return
    growth = _Growth.of(samples, available, formula)
    ends = np.maximum(np.minimum(growth.wholes, MOST_WINDOWS), growth.counts)
    errors = np.sqrt(growth.variances(ends).sum(axis=1))
    worst = int(np.argmax(errors))
    if errors[worst] > _FAR * target:
        source = int(np.argmax(growth.variances(ends)[worst]))
        raise _out_of_reach(target, ends[source], samples[source].name, samples[worst].name, errors[worst])


def windows_needed_of_many(
    samples: list[Sample], available: Mapping[str, int], errors: Array, target: float
) -> dict[str, int]:
    """What `windows_needed` gives, of many domains from the (k,) errors of their weights, each by itself."""
    counts, wholes = _counts(samples, available)
    return _by_name(samples, counts_for(target, np.square(errors), counts, wholes, wholes))


def _errors_of_many(samples: list[Sample], formula: Formula) -> Array:
    """(k,) standard errors of weights; of 0 where a single window of a domain says nothing of them."""
    if not all(sample.says_spread for sample in samples):
        return np.zeros(len(samples))
    return analytic_errors(samples, formula, solve(samples, formula, with_gradients=True)).weights.errors


def _next_of_many(
    samples: list[Sample], available: Mapping[str, int], errors: Array, target: float, most: int | Counts
) -> dict[str, int]:
    counts, wholes = _counts(samples, available)
    ends = np.minimum(2 * counts, np.maximum(np.minimum(wholes, most), counts))
    wanted = counts_for(target, np.square(errors), counts, wholes, ends)
    return {} if (wanted == counts).all() else _by_name(samples, wanted)


def _require_reachable_for_many(
    samples: list[Sample], available: Mapping[str, int], errors: Array, target: float
) -> None:
    counts, wholes = _counts(samples, available)
    ends = np.maximum(np.minimum(wholes, MOST_WINDOWS), counts)
    then = errors_with(np.square(errors), counts, wholes, ends)
    worst = int(np.argmax(then))
    if then[worst] > _FAR * target:
        name = samples[worst].name
        raise _out_of_reach(target, ends[worst], name, name, then[worst])


def _out_of_reach(target: float, windows: int, source: str, worst: str, error: float) -> InputError:
    return InputError(
        f"--target_se {target:g} is out of reach: with {windows:,} windows of {source}, the most that a run "
        f"draws by itself, the weight of {worst} would still be off by {error:.2g}; give --target_se "
        f"{1.2 * error:.1g} or more, or --num_samples"
    )


def _counts(samples: list[Sample], available: Mapping[str, int]) -> tuple[Counts, Counts]:
    """(k,) windows looked at, and (k,) that there are."""
    counts = np.array([len(sample) for sample in samples], dtype=np.int64)
    wholes = np.array([max(available[sample.name], len(sample)) for sample in samples], dtype=np.int64)
    return counts, wholes


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
        counts, wholes = _counts(samples, available)
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
