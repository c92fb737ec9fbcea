"""The windows of a domain as a sample of it: its mean, and how far off that may be.

Shapes: n windows, u units (documents, or groups of them) that they are of, d width of an embedding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array, real_array
from chameleon.common.errors import InputError

Rows = npt.NDArray[np.floating]


# With fewer documents than this their spread says little, and windows are taken as independent.
LEAST_UNITS = 8


# More units than this are put together at random: it is their sums that count, and so many say enough.
_MOST_UNITS = 256


@dataclass(frozen=True, eq=False)
class Sample:
    """Embeddings of some windows of a domain.

    Attributes:
        name: The domain's.
        source: Its rows, or what reads them each time that they are looked at.
        units: (n,) int64, for each window a number from 0 to u - 1 of the unit that it is of. Units are
            independent of each other; windows of one unit may be alike. There are at most 256.
        num_documents: Documents that the windows begin in; None where that is not known.
        fraction: Part of the domain's windows that these are, up to 1. The mean of all of them is known.
        is_exact: Whether the only row is the domain's own mean, without error.
        parts: Of a domain that is several put together: the share of each, and its sample.
    """

    name: str
    source: Rows | Callable[[], Rows]
    units: npt.NDArray[np.int64]
    num_documents: int | None
    fraction: float
    is_exact: bool = False
    parts: tuple[tuple[float, "Sample"], ...] = ()

    @classmethod
    def merged(cls, name: str, parts: Mapping["Sample", float]) -> Self:
        """Several domains as one, each with the share that it has in what they make together."""
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
        """A sample of windows, checked.

        Args:
            name: The domain's.
            embeddings: (n, d) of windows, or (d,) the domain's mean.
            documents: (n,) names of the documents that the windows begin in, which are then the units
                if there are at least 8; else each window is one.
            available: Windows that the domain has in all; endlessly many by default.

        Raises:
            InputError: The embeddings have another shape, or are not finite (names domain and window).
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
        units, found = np.arange(len(rows)), None
        if documents is not None:
            _, first, numbers = np.unique(documents, return_index=True, return_inverse=True)
            found = len(first)
            if found >= LEAST_UNITS:  # numbered as they come up, which is at random
                units = np.argsort(np.argsort(first, kind="stable"), kind="stable")[numbers]
        units %= _MOST_UNITS
        fraction = 0.0 if available is None else min(1.0, len(rows) / max(available, 1))
        return cls(name, rows, units, found, fraction, is_exact)

    @property
    def rows(self) -> Rows:
        """(n, d) embeddings, float32 or float64, all finite."""
        return self.source() if callable(self.source) else self.source

    def read_by(self, read: Callable[[], Rows]) -> Self:
        """The same sample without its rows in memory: of them its mean and noise are known, others are read.

        Args:
            read: Gives the rows.
        """
        other = replace(self, source=read)
        for name in ("mean", "noise"):
            vars(other)[name] = getattr(self, name)
        return other

    def __len__(self) -> int:
        return len(self.units)

    @property
    def width(self) -> int:
        """d."""
        return len(self.mean)

    @cached_property
    def num_units(self) -> int:
        """u."""
        return int(self.units.max()) + 1

    @property
    def says_spread(self) -> bool:
        """Whether it says how far off its mean may be: from two windows on, or where it cannot be."""
        if self.parts:
            return all(sample.says_spread for _, sample in self.parts)
        return self.is_exact or self.fraction == 1 or len(self) > 1

    @cached_property
    def mean(self) -> Array:
        """(d,) float64 mean of the rows."""
        if self.parts:
            return np.asarray(sum(share * sample.mean for share, sample in self.parts))
        with np.errstate(over="ignore", invalid="ignore"):  # an infinite mean is refused by the kernel
            return np.asarray(self.rows.mean(axis=0, dtype=np.float64))

    @cached_property
    def noise(self) -> float:
        """Expected squared distance of `mean` from the mean of all of the domain's windows.

        trace(C) / n with the windows' covariance C, times the part of the domain that was not looked at.
        """
        if self.parts:
            return sum(share**2 * sample.noise for share, sample in self.parts)
        if len(self) < 2:
            return 0.0
        deviations = self._deviations().ravel()
        squares = float(np.vdot(deviations, deviations))
        return (1 - self.fraction) * squares / (len(self) - 1) / len(self)

    def influences(self) -> npt.NDArray[np.float32]:
        """(u, d) what each unit moves the mean by, so scaled that the covariance of the mean is the sum
        of their outer products: with u / (u - 1) for the mean's own degree of freedom, and the part of the
        domain that was not looked at. None (u = 0) where the mean is exact, or one window says nothing.
        """
        if self.parts:
            moves = [np.float32(share) * sample.influences() for share, sample in self.parts]
            return np.concatenate(moves)
        # Kept where they are few beside the rows, so that what is kept does not double the memory.
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
        if (
            self.units == np.arange(len(self)) % u
        ).all():  # in turn: what the sort below would take longer for
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

    Raises:
        InputError: They are fewer, or do not fit each other, or are not finite.
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
    """(k,) float64 noise."""
    return np.array([sample.noise for sample in samples])
