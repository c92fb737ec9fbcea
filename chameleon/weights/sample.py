"""The embedded windows of a domain as a sample of it: their mean, and its sampling noise.

Shapes: n windows, u independent units (documents, or groups of them) of windows, d width of an embedding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array, Floats, real_array
from chameleon.common.errors import InputError

# The spread of fewer documents than this says little, so windows are then taken as independent.
LEAST_UNITS = 8

# More units than this are grouped at random: only their sums matter, and this many are enough.
_MOST_UNITS = 256


@dataclass(frozen=True, eq=False)
class Sample:
    """Embeddings of some windows of a domain.

    Attributes:
        name: Domain name.
        source: (n, d) embeddings, or a function that reads them each time they are needed.
        units: (n,) int64 unit of each window, from 0 to u - 1 with u <= 256. Units are independent of each
            other; windows of one unit may be similar.
        num_documents: Documents that the windows begin in; None where unknown.
        fraction: Part of the domain's windows that these are, from 0 to 1. At 1 the mean is exact.
        is_exact: Whether the only row is the domain's own mean, without error.
        parts: For a merged domain, the share and sample of each part.
    """

    name: str
    source: Floats | Callable[[], Floats]
    units: npt.NDArray[np.int64]
    num_documents: int | None
    fraction: float
    is_exact: bool = False
    parts: tuple[tuple[float, "Sample"], ...] = ()

    @classmethod
    def merged(cls, name: str, parts: Mapping["Sample", float]) -> Self:
        """Several domains merged into one.

        Args:
            name: Name of the merged domain.
            parts: Sample of each part to its share of the merged domain, in any scale.
        """
        samples, total = list(parts), sum(parts.values())
        begins = np.cumsum([0, *(sample.num_units for sample in samples)])
        units = [sample.units + begin for sample, begin in zip(samples, begins, strict=False)]
        documents = [sample.num_documents for sample in samples]
        return cls(
            name,
            np.concatenate([sample.rows for sample in samples]),
            np.concatenate(units),
            None if None in documents else sum(number or 0 for number in documents),
            sum(share * sample.fraction for sample, share in parts.items()) / total,
            all(sample.is_exact for sample in samples),
            tuple((share / total, sample) for sample, share in parts.items()),
        )

    @classmethod
    def of(
        cls,
        name: str,
        embeddings: npt.ArrayLike,
        documents: npt.NDArray[np.int64] | None = None,
        available: int | None = None,
    ) -> Self:
        """A sample from embeddings, checked.

        Args:
            name: Domain name.
            embeddings: (n, d) embeddings of windows, or (d,) the domain's own mean.
            documents: (n,) number of the document that each window begins in. Documents are the units if
                there are at least 8; else each window is a unit.
            available: Windows that the domain has in all; by default infinitely many.

        Raises:
            InputError: The embeddings have another shape or are not finite (named by domain and window).
        """
        rows = embeddings if isinstance(embeddings, np.ndarray) else np.empty(0)
        if rows.dtype != np.float32:
            rows = real_array(embeddings, f"domain {name}: its embeddings")
        shape = rows.shape
        is_exact = rows.ndim == 1
        rows = rows[None] if is_exact else rows
        if rows.ndim != 2 or 0 in rows.shape:
            raise InputError(f"domain {name}: expected (n, d) or (d,) embeddings, got shape {shape}")
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise InputError(
                f"domain {name}: the embedding of window {int(np.argmin(finite))} is not finite "
                f"({np.count_nonzero(~finite)} of {len(rows)} windows); embed it again with --dtype float32"
            )
        units, num_documents = np.arange(len(rows)), None
        if documents is not None:
            _, first, numbers = np.unique(documents, return_index=True, return_inverse=True)
            num_documents = len(first)
            if num_documents >= LEAST_UNITS:  # numbered in the order of windows, which is random
                units = np.argsort(np.argsort(first, kind="stable"), kind="stable")[numbers]
        units %= _MOST_UNITS
        fraction = 0.0 if available is None else min(1.0, len(rows) / max(available, 1))
        return cls(name, rows, units, num_documents, fraction, is_exact)

    @property
    def rows(self) -> Floats:
        """(n, d) finite embeddings, float32 or float64."""
        return self.source() if callable(self.source) else self.source

    def read_by(self, read: Callable[[], Floats]) -> Self:
        """The same sample with its mean and noise in memory, and its rows read when needed.

        Args:
            read: Returns the (n, d) rows.
        """
        other = replace(self, source=read)
        for name in ("mean", "noise"):
            vars(other)[name] = getattr(self, name)
        return other

    def __len__(self) -> int:
        return len(self.units)

    @property
    def width(self) -> int:
        """Width of an embedding, d."""
        return len(self.mean)

    @cached_property
    def num_units(self) -> int:
        """Number of units, u."""
        return int(self.units.max()) + 1

    @property
    def says_spread(self) -> bool:
        """Whether the error of the mean is known: from two windows on, or where it is zero."""
        if self.parts:
            return all(sample.says_spread for _, sample in self.parts)
        return self.is_exact or self.fraction == 1 or len(self) > 1

    @cached_property
    def mean(self) -> Array:
        """(d,) float64 mean of the rows."""
        if self.parts:
            return np.asarray(sum(share * sample.mean for share, sample in self.parts))
        with np.errstate(over="ignore", invalid="ignore"):  # the kernel refuses an infinite mean
            return np.asarray(self.rows.mean(axis=0, dtype=np.float64))

    @cached_property
    def noise(self) -> float:
        """Expected squared distance of `mean` from the mean of all windows of the domain.

        It is (1 - fraction) trace(C) / n with the covariance C of the windows.
        """
        if self.parts:
            return sum(share**2 * sample.noise for share, sample in self.parts)
        if len(self) < 2:
            return 0.0
        deviations = self._deviations().ravel()
        squares = float(np.vdot(deviations, deviations))
        return (1 - self.fraction) * squares / (len(self) - 1) / len(self)

    def influences(self) -> npt.NDArray[np.float32]:
        """(u, d) influence of each unit on the mean, scaled so that the sum of their outer products is the
        covariance of the mean: by sqrt(u / (u - 1)) for the mean's degree of freedom and sqrt(1 - fraction).
        No rows where the mean is exact, or where there is a single unit.
        """
        if self.parts:
            return np.concatenate([np.float32(share) * sample.influences() for share, sample in self.parts])
        # Cached only where they are few beside the rows, so that the cache does not double the memory.
        is_small = 4 * self.num_units <= len(self) and not callable(self.source)
        return self._few_influences if is_small else self._influences()

    @cached_property
    def _few_influences(self) -> npt.NDArray[np.float32]:
        return self._influences()

    def _influences(self) -> npt.NDArray[np.float32]:
        u = self.num_units
        if self.is_exact or self.fraction == 1 or u < 2:
            return np.zeros((0, self.width), dtype=np.float32)
        deviations = self._deviations().astype(np.float32, copy=False)
        deviations *= np.float32(np.sqrt((1 - self.fraction) * u / (u - 1)) / len(self))
        if u == len(self):
            return deviations
        whole, rest = divmod(len(self), u)
        if (self.units == np.arange(len(self)) % u).all():  # units in turn, which is faster than sorting
            sums = deviations[: whole * u].reshape(whole, u, -1).sum(axis=0)
            sums[:rest] += deviations[whole * u :]
            return np.asarray(sums)
        order = np.argsort(self.units, kind="stable")
        begins = np.searchsorted(self.units[order], np.arange(u))
        return np.asarray(np.add.reduceat(deviations[order], begins, axis=0))

    def _deviations(self) -> npt.NDArray[np.floating]:
        rows = self.rows
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(rows - self.mean.astype(rows.dtype))


def samples_of(embeddings: Mapping[str, "npt.ArrayLike | Sample"]) -> list[Sample]:
    """Samples of at least two domains, all of one width.

    Args:
        embeddings: Domain name to its (n, d) or (d,) embeddings, or a sample.

    Raises:
        InputError: There are fewer domains, their widths differ, or embeddings are not finite.
    """
    if len(embeddings) < 2:
        raise InputError(f"weights need at least 2 domains, got {len(embeddings)}: {', '.join(embeddings)}")
    samples = [
        each if isinstance(each, Sample) else Sample.of(name, each) for name, each in embeddings.items()
    ]
    widths = {sample.name: sample.width for sample in samples}
    if len(set(widths.values())) > 1:
        raise InputError(f"embeddings of all domains must have one width, got {widths}")
    return samples


def means_of(samples: list[Sample]) -> Array:
    """(k, d) float64 means."""
    return np.stack([sample.mean for sample in samples])


def noise_of(samples: list[Sample]) -> Array:
    """(k,) float64 sampling noise."""
    return np.array([sample.noise for sample in samples])
