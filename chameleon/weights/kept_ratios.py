"""Weights in which existing domains keep their relative shares, and only new domains take from them.

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
    """Shares of earlier weights whose ratios are kept.

    Attributes:
        is_old: (k,) which domains have an earlier weight.
        shares: (k,) earlier weights; 0 for new domains.
        replicated: (b, k) earlier weights in the bootstrap, with the draws used now; None to take the shares
            as exact.
    """

    is_old: npt.NDArray[np.bool_]
    shares: Array
    replicated: Array | None

    @classmethod
    def of(cls, names: Sequence[str], before: DomainWeights, replicated: Array | None) -> "KeptRatios":
        """The shares that domains have in earlier weights.

        Args:
            names: (k,) domain names.
            before: Earlier weights of some of these domains and perhaps of k' - k others.
            replicated: (b, k') bootstrap replicates of them; None or no rows without a bootstrap.

        Raises:
            InputError: No domain has an earlier weight above 0.
        """
        column = {name: i for i, name in enumerate(before.names)}
        is_old = np.array([name in column for name in names])
        at = [column.get(name, 0) for name in names]
        shares = np.where(is_old, before.weights[at], 0.0)
        if shares.sum() <= 0:
            raise InputError(
                f"--keep_ratios needs domains with an earlier weight, but none of {', '.join(names)[:200]} "
                "has one; leave it out"
            )
        if replicated is None or not len(replicated):
            return cls(is_old, shares, None)
        return cls(is_old, shares, np.where(is_old, replicated[:, at], 0.0))

    def mixed(self, weights: Array) -> Array:
        """(k,) weights with the ratios kept."""
        return self._mix(weights, self.shares)

    def mixed_replicates(self, weights: Array) -> Array:
        """(b, k) replicates of the weights with the ratios kept."""
        return self._mix(weights, self.shares if self.replicated is None else self.replicated)

    def _mix(self, now: Array, before: Array) -> Array:
        share_of_old = np.where(self.is_old, now, 0.0).sum(axis=-1, keepdims=True)
        scaled = share_of_old * before / before.sum(axis=-1, keepdims=True)
        return np.asarray(np.where(self.is_old, scaled, now))
