"""How much of each domain's share counts for a loss: the transfer matrix T of the affinity law.

    e_l(w) = sum_j T_lj w_j,    T_lj = t + (1 where domain j is the loss's own, else s A_lj^g)

The effective share e of a loss counts a domain's own text once, that of another domain by what its text is
likely to count (A, from `overlap` or embeddings), and any text at all by the small constant t. s, g and t are
not known; a law is fitted for each combination.

Shapes: m losses, k domains, h combinations.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array

# Values of s, g and t to try. With many losses fewer are tried, for a fit takes time in proportion to m^3.
_Grid = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
_FINE: _Grid = (
    (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5),
    (0.5, 1.0, 2.0),
    (0.001, 0.003, 0.01, 0.03),
)
_COARSE: _Grid = ((0.0, 0.35, 0.75), (1.0,), (0.003,))
_FEW_LOSSES = 60


@dataclass(frozen=True)
class Transfer:
    """Constants of a transfer matrix.

    Attributes:
        discount: s, what another domain's text counts for an affinity of 1.
        power: g, how fast that falls with the affinity.
        common: t, what any text counts for any loss.
    """

    discount: float
    power: float
    common: float

    def matrix(self, affinities: Array | None, is_own: npt.NDArray[np.bool_]) -> Array:
        """(m, k) transfer matrix T.

        Args:
            affinities: (m, k) what each domain's text is likely to count for each loss, A, from 0 to 1; None
                if unknown.
            is_own: (m, k) whether the loss is on the domain's own held-out text.
        """
        others = 0.0 if affinities is None else self.discount * np.clip(affinities, 0.0, 1.0) ** self.power
        return np.asarray(self.common + np.where(is_own, 1.0, others))


# Constants that fit the corpora measured so far (docs/decisions/methods.md).
USUAL = Transfer(0.75, 1.0, 0.003)


def transfers(affinities: Array | None, is_own: npt.NDArray[np.bool_]) -> list[Transfer]:
    """The h combinations of constants to try.

    Args:
        affinities, is_own: See `Transfer.matrix`.
    """
    if affinities is None:
        return [Transfer(0.0, 1.0, common) for common in _FINE[2]]
    few = len(is_own) > _FEW_LOSSES
    discounts, powers, constants = _COARSE if few else _FINE
    # Without a discount the power has no effect, and a loss on no domain's own text would have no share.
    has_own = bool(is_own.any(axis=1).all())
    return [
        Transfer(discount, power, constant)
        for discount, power, constant in product(discounts, powers, constants)
        if discount or (has_own and power == powers[0])
    ]
