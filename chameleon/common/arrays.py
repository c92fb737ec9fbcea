"""Array types, checks of numbers, and helpers of numerical code that are not tied to a room."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]


def real_array(values: npt.ArrayLike, what: str) -> Array:
    """`values` as a float64 array.

    Args:
        values: Numbers of any shape and real dtype.
        what: Name of the values, for the message of an error.

    Raises:
        InputError: The values are not an array of real numbers.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be an array of real numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} must be real numbers, got {array.dtype.name}")
    return array.astype(np.float64, copy=False)


def is_number(value: object) -> bool:
    """Whether a value read from JSON is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def logit(shares: npt.ArrayLike, least: float = 1e-300) -> Array:
    """log(x / (1 - x)) of shares x.

    Args:
        shares: (...) numbers from 0 to 1.
        least: Shares below it count as it, and shares above 1 - least as that, so that all logits are finite.
    """
    inside = np.clip(shares, least, min(1 - least, np.nextafter(1.0, 0.0)))
    return np.asarray(np.log(inside) - np.log1p(-inside))


def expit(logits: npt.ArrayLike) -> Array:
    """1 / (1 + exp(-x)), the inverse of `logit`: shares from 0 to 1 of (...) logits x."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-np.asarray(logits))))


def blocks_of_rows(k: int, width: int, at_once: int = 1 << 21) -> Iterator[slice]:
    """Slices over all k rows of a matrix in order, of a limited size.

    Args:
        k: Number of rows.
        width: Numbers in a row.
        at_once: Numbers in a slice at most, unless one row has more.
    """
    size = max(1, at_once // max(width, 1))
    for begin in range(0, k, size):
        yield slice(begin, min(begin + size, k))
