"""How many windows of each of many domains are enough: each domain by itself, by its own weight's variance.

Shapes: k domains.
"""

import numpy as np
import numpy.typing as npt

from chameleon.affinity import Array

Counts = npt.NDArray[np.int64]


def errors_with(variances: Array, counts: Counts, wholes: Counts, then: Counts) -> Array:
    """(k,) standard errors of weights with other numbers of windows.

    Args:
        variances: (k,) of the weights now.
        counts: (k,) windows looked at now.
        wholes: (k,) windows that there are.
        then: (k,) windows that would be looked at.
    """
    now = np.maximum(1 / counts - 1 / wholes, 1e-300)
    return np.sqrt(variances * np.maximum(1 / then - 1 / wholes, 0.0) / now)


def counts_for(target: float, variances: Array, counts: Counts, wholes: Counts, ends: Counts) -> Counts:
    """(k,) windows, doubled until each weight's error is within a target or the domain at its end.

    Args:
        target: The largest standard error that is enough.
        variances, counts, wholes: As of `errors_with`.
        ends: (k,) windows at most.
    """
    wanted = counts.copy()
    while True:
        more = (errors_with(variances, counts, wholes, wanted) > target) & (wanted < ends)
        if not more.any():
            return wanted
        wanted = np.where(more, np.minimum(2 * wanted, ends), wanted)
