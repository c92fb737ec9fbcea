"""Weights in which domains that were there before keep their relative shares, and new ones take theirs.

Shapes: k domains, b replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.weights.domain_weights import DomainWeights


@dataclass(frozen=True, eq=False)
class KeptRatios:
    """The shares to keep.

    Attributes:
        is_old: (k,) which domains were there before.
        shares: (k,) what they had; 0 for the new ones.
        replicated: (b, k) the same in the bootstrap, by the draws that are used now; None where the
            shares are taken as they stand.
    """

    is_old: npt.NDArray[np.bool_]
    shares: Array
    replicated: Array | None

    @classmethod
    def of(cls, names: Sequence[str], before: DomainWeights, replicated: Array | None) -> "KeptRatios":
        """The shares of the domains in use.

        Args:
            names: They.
            before: Weights before, of some of them and perhaps of others.
            replicated: (b, k') what the bootstrap gave for those; None or of no rows where there was none.

        Raises:
            InputError: None of the domains was there before, or all weighed nothing.
        """
        column = {name: i for i, name in enumerate(before.names)}
        is_old = np.array([name in column for name in names])
        at = [column.get(name, 0) for name in names]
        shares = np.where(is_old, before.weights[at], 0.0)
        if shares.sum() <= 0:
            raise InputError(
                "--keep_ratios keeps the shares that domains had before, but none of "
                f"{', '.join(names)[:200]} had any"
            )
        if replicated is None or not len(replicated):
            return cls(is_old, shares, None)
        return cls(is_old, shares, np.where(is_old, replicated[:, at], 0.0))

    def mixed(self, weights: Array) -> Array:
        """(k,) weights with the shares kept."""
        return self._mix(weights, self.shares)

    def mixed_replicates(self, weights: Array) -> Array:
        """(b, k) replicates of the same."""
        return self._mix(weights, self.shares if self.replicated is None else self.replicated)

    def _mix(self, now: Array, before: Array) -> Array:
        rest = np.where(self.is_old, now, 0.0).sum(axis=-1, keepdims=True)
        kept = rest * before / before.sum(axis=-1, keepdims=True)
        return np.asarray(np.where(self.is_old, kept, now))
