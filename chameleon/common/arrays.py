"""How alike domains are: kernels between domain embeddings.

Shapes: k domains, d width of an embedding. All arithmetic is float64.
"""

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError

Array = npt.NDArray[np.float64]


def real_array(values: npt.ArrayLike, what: str) -> Array:
    """`values` as a float64 array.

    Raises:
        InputError: They are no array of real numbers; `what` names them.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be an array of real numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} must be real numbers, got {array.dtype.name}")
    return array.astype(np.float64, copy=False)
