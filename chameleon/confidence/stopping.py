"""How many windows of each domain are enough: rounds of windows, more where the error comes from.

Shapes: k domains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.confidence.analytic_errors import analytic_errors
from chameleon.confidence.delta_method import variances_by_domain
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula
from chameleon.weights.many_domains.subsets import is_many
from chameleon.weights.sample import Sample

# Windows of each domain in the first round, and at most in a run that decides by itself.
FIRST_WINDOWS = 64
MOST_WINDOWS = 2048

# A target missed by this factor is out of reach, with room for the error of the estimate.
_OUT_OF_REACH = 3.0
Counts = npt.NDArray[np.int64]


def next_windows(
    samples: list[Sample],
    available: Mapping[str, int],
    formula: Formula,
    target: float,
    most: int | Counts = MOST_WINDOWS,
) -> dict[str, int]:
    """Windows of each domain after the next round, by name; empty where the windows so far are enough.

    Domains are doubled, at most once each, until the errors expected then are within the target: always the
    domain that adds most to the least certain weight.

    Args:
        samples: k samples so far.
        available: Windows that each domain has in all, by name.
        formula: From means to weights.
        target: Largest standard error that a weight may have.
        most: Windows of a domain at most, or (k,) of each.
    """
    growth = _Growth.of(samples, available, formula)
    ends = np.minimum(2 * growth.counts, np.maximum(np.minimum(growth.wholes, most), growth.counts))
    wanted = growth.until(target, ends)
    return {} if (wanted == growth.counts).all() else _by_name(samples, wanted)


def estimated_error(samples: list[Sample], available: Mapping[str, int], formula: Formula) -> float:
    """Largest standard error of a weight by the estimate that rounds use. Arguments as of `next_windows`."""
    growth = _Growth.of(samples, available, formula)
    return float(growth.errors(growth.counts).max())


def windows_needed(
    samples: list[Sample],
    available: Mapping[str, int],
    formula: Formula,
    target: float,
    errors: Array | None = None,
) -> dict[str, int]:
    """Windows of each domain, by name, with which the largest standard error would be about the target.

    No domain needs more than it has: with all of them its mean is known.

    Args:
        samples, available, formula, target: See `next_windows`.
        errors: (k,) standard errors of the weights, if known, which saves computing them for many domains.
    """
    growth = _Growth.of(samples, available, formula, errors)
    return _by_name(samples, growth.until(target, growth.wholes))


def require_reachable(
    samples: list[Sample], available: Mapping[str, int], formula: Formula, target: float
) -> None:
    """Raise InputError for a target far below what as many windows as a run may draw would give.

    Arguments as of `next_windows`.
    """
    growth = _Growth.of(samples, available, formula)
    ends = np.maximum(np.minimum(growth.wholes, MOST_WINDOWS), growth.counts)
    errors = growth.errors(ends)
    worst = int(np.argmax(errors))
    if errors[worst] > _OUT_OF_REACH * target:
        source = growth.largest_source(worst, ends)
        raise InputError(
            f"--target_se {target:g} is out of reach: with {ends[source]:,} windows of "
            f"{samples[source].name}, the most that a run draws by itself, the standard error of "
            f"{samples[worst].name} would still be {errors[worst]:.2g}; give --target_se "
            f"{1.2 * errors[worst]:.1g} or more, or --num_samples"
        )


@dataclass(frozen=True, eq=False)
class _Growth:
    """How the variances of k weights fall as domains have more windows.

    A variance is a sum over domains of a part per domain times 1/n - 1/N, for n of its N windows. Of many
    domains only the part that comes from a weight's own domain is known, the diagonal.

    Attributes:
        counts: (k,) windows so far, n.
        wholes: (k,) windows that there are, N.
        parts: (k, k) part of each weight's variance (row) from each domain (column), over 1/n - 1/N; or (k,)
            its diagonal.
    """

    counts: Counts
    wholes: Counts
    parts: Array

    @classmethod
    def of(
        cls,
        samples: list[Sample],
        available: Mapping[str, int],
        formula: Formula,
        errors: Array | None = None,
    ) -> Self:
        counts = np.array([len(sample) for sample in samples], dtype=np.int64)
        wholes = np.array([max(available[sample.name], len(sample)) for sample in samples], dtype=np.int64)
        if is_many(len(samples)):
            if errors is None and all(sample.says_spread for sample in samples):
                solution = solve(samples, formula, with_gradients=True)
                errors = analytic_errors(samples, formula, solution)[0].errors
            variances = np.square(np.zeros(len(samples)) if errors is None else errors)
        else:
            variances = variances_by_domain(samples, formula, solve(samples, formula))
        return cls(counts, wholes, variances / np.maximum(_remaining(counts, wholes), 1e-300))

    @property
    def is_diagonal(self) -> bool:
        return self.parts.ndim == 1

    def errors(self, counts: Counts) -> Array:
        """(k,) standard errors of the weights with (k,) numbers of windows."""
        remaining = _remaining(counts, self.wholes)
        return np.sqrt(self.parts * remaining if self.is_diagonal else self.parts @ remaining)

    def largest_source(self, i: int, counts: Counts) -> int:
        """The domain that adds most to the variance of weight i, with (k,) numbers of windows."""
        return i if self.is_diagonal else int(np.argmax(self.parts[i] * _remaining(counts, self.wholes)))

    def until(self, target: float, ends: Counts) -> Counts:
        """(k,) windows, doubled domain by domain until all errors are within a target or at the ends."""
        if self.is_diagonal:
            wanted = self.counts
            while (is_short := (self.errors(wanted) > target) & (wanted < ends)).any():
                wanted = np.where(is_short, np.minimum(2 * wanted, ends), wanted)
            return wanted
        wanted, remaining = self.counts.copy(), _remaining(self.counts, self.wholes)
        variances = self.parts @ remaining
        while True:
            worst = int(np.argmax(variances))
            if variances[worst] <= target**2:
                return wanted
            added = np.where(wanted < ends, self.parts[worst] * remaining, 0.0)
            i = int(np.argmax(added))
            if added[i] <= 0:
                return wanted
            wanted[i] = min(2 * wanted[i], ends[i])
            after = _remaining(wanted[i], self.wholes[i])
            variances += self.parts[:, i] * (after - remaining[i])
            remaining[i] = after


def _by_name(samples: list[Sample], counts: Counts) -> dict[str, int]:
    return {sample.name: int(count) for sample, count in zip(samples, counts, strict=True)}


def _remaining(counts: npt.ArrayLike, wholes: npt.ArrayLike) -> Array:
    """(k,) 1/n - 1/N, which variances of means are proportional to: 0 where all windows are known."""
    return np.maximum(1 / np.asarray(counts) - 1 / np.asarray(wholes), 0.0)
