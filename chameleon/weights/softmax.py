"""Leverage scores to domain weights, and the named recipes of doing so.

Shapes: k domains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array, real_array
from chameleon.common.errors import InputError

Mode = Literal["pretrain", "finetune"]


Kernel = Literal["rbf", "linear"]


# Temperatures are stated for the seven domains that the method was published on.
REFERENCE_DOMAINS = 7


@dataclass(frozen=True)
class WeightRecipe:
    """Named defaults of the weight computation.

    `ridge` (k lambda) or `lambda_reg` is given, the other None. With `scale_temperature` the
    temperatures hold for 7 domains and are adapted to k (see `scaled_temperature`). With `takes_noise_off`
    RBF distances are freed of what sampling adds to them (see `chameleon.weights.affinity.rbf_affinity`).
    """

    kernel: Kernel
    ridge: float | None
    lambda_reg: float | None
    scale_temperature: bool
    takes_noise_off: bool
    pretrain_temperature: float = 5.0
    finetune_temperature: float = 0.2


RECIPES: Mapping[str, WeightRecipe] = {
    # A ridge of half of a domain's affinity with itself, whatever k.
    "default": WeightRecipe(
        kernel="rbf", ridge=0.5, lambda_reg=None, scale_temperature=True, takes_noise_off=True
    ),
    # The method's published code.
    "released": WeightRecipe(
        kernel="linear", ridge=None, lambda_reg=10.0, scale_temperature=False, takes_noise_off=False
    ),
}


def pretrain_weights(scores: npt.ArrayLike, temperature: float = 5.0) -> Array:
    """softmax((1/p) / T) of the normalised scores p = S / sum(S): common ground up.

    A score of zero, or too small for 1/p to be a float64 number, is the limit of ever smaller ones:
    such domains share all the weight.

    Args:
        scores: (..., k) leverage scores, not negative, in any scale.
        temperature: T > 0, as it stands; higher is flatter.

    Returns:
        (..., k) float64 weights summing to 1.

    Raises:
        InputError: A score is negative or not finite, or the temperature is not positive.
    """
    p = _normalised(scores)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = 1.0 / p
    vanishing = np.isinf(inverse)
    if vanishing.any():
        inverse = np.where(vanishing, 0.0, np.where(vanishing.any(axis=-1, keepdims=True), -np.inf, inverse))
    return _softmax(inverse, temperature)


def finetune_weights(scores: npt.ArrayLike, temperature: float = 0.2) -> Array:
    """softmax(p / T) of the normalised scores p = S / sum(S): what is special up.

    Arguments, result and errors as for `pretrain_weights`.
    """
    return _softmax(_normalised(scores), temperature)


def scaled_temperature(mode: Mode, temperature: float, k: int) -> float:
    """The temperature for k domains of one that is stated for 7.

    Normalised scores p are of the size 1/k. So 1/p grows with k and its temperature becomes T k/7,
    p shrinks and its temperature becomes T 7/k. This keeps the usual size of the exponents; a domain whose
    score lies far below all others can still take most of the pretrain weight.
    """
    ratio = k / REFERENCE_DOMAINS
    return temperature * ratio if mode == "pretrain" else temperature / ratio


def _normalised(scores: npt.ArrayLike) -> Array:
    s = real_array(scores, "scores")
    if s.ndim < 1 or not s.size or not np.isfinite(s).all() or (s < 0).any():
        raise InputError(f"scores must be a vector of finite numbers, none negative, got {s}")
    largest = s.max(axis=-1, keepdims=True)
    # All domains at one point: none stands out, each has the same share.
    relative = np.where(largest == 0, 1.0, s / np.where(largest == 0, 1.0, largest))
    return np.asarray(relative / relative.sum(axis=-1, keepdims=True))


def _softmax(exponents: Array, temperature: float) -> Array:
    """softmax(exponents / T), without overflow for any T."""
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"the temperature must be a positive number, got {temperature}")
    with np.errstate(over="ignore"):
        powers = np.exp((exponents - exponents.max(axis=-1, keepdims=True)) / temperature)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
