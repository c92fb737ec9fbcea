"""Weights from leverage scores: a softmax with a temperature.

With the normalised scores p_i = S_i / sum_j S_j of k domains and the temperature T,

    pretrain   w = softmax(1 / (p T))    domains that share most with the others weigh most
    finetune   w = softmax(p / T)        domains that share least with the others weigh most
"""

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array, real_array
from chameleon.common.errors import InputError
from chameleon.weights.options import Mode

# Temperatures are stated for the seven domains that the method was published on.
REFERENCE_DOMAINS = 7


def pretrain_weights(scores: npt.ArrayLike, temperature: float = 5.0) -> Array:
    """Weights w_i = exp(1 / (p_i T)) / sum_j exp(1 / (p_j T)) with p = S / sum(S): low scores up.

    A score of zero, or too small for 1 / p to be a float64 number, is treated as the limit of ever smaller
    scores: such domains share all the weight.

    Args:
        scores: (..., k) leverage scores S >= 0, in any scale.
        temperature: T > 0, used as it stands; higher is flatter.

    Returns:
        (..., k) float64 weights that sum to 1.

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
    """Weights w_i = exp(p_i / T) / sum_j exp(p_j / T) with p = S / sum(S): high scores up.

    Args:
        scores: (..., k) leverage scores S >= 0, in any scale.
        temperature: T > 0, used as it stands; higher is flatter.

    Returns:
        (..., k) float64 weights that sum to 1.

    Raises:
        InputError: A score is negative or not finite, or the temperature is not positive.
    """
    return _softmax(_normalised(scores), temperature)


def scaled_temperature(mode: Mode, temperature: float, k: int) -> float:
    """The temperature for k domains that corresponds to one stated for 7.

    Normalised scores p are of the order 1 / k. So 1 / p grows with k and its temperature becomes T k / 7,
    while p shrinks and its temperature becomes 7 T / k. This keeps the exponents at their usual size; a
    domain whose score lies far below all others can still take most of the pretrain weight.

    Args:
        mode: "pretrain" or "finetune".
        temperature: T > 0 as stated for 7 domains.
        k: Number of domains.
    """
    ratio = k / REFERENCE_DOMAINS
    return temperature * ratio if mode == "pretrain" else temperature / ratio


def _normalised(scores: npt.ArrayLike) -> Array:
    """(..., k) shares p = S / sum(S), all equal where all scores are 0."""
    s = real_array(scores, "scores")
    if s.ndim < 1 or not s.size or not np.isfinite(s).all() or (s < 0).any():
        raise InputError(f"scores must be a vector of finite numbers, none negative, got {s}")
    largest = s.max(axis=-1, keepdims=True)
    relative = np.where(largest == 0, 1.0, s / np.where(largest == 0, 1.0, largest))
    return np.asarray(relative / relative.sum(axis=-1, keepdims=True))


def _softmax(exponents: Array, temperature: float) -> Array:
    """softmax(exponents / T), without overflow for any T."""
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"the temperature must be a positive number, got {temperature}")
    with np.errstate(over="ignore"):
        powers = np.exp((exponents - exponents.max(axis=-1, keepdims=True)) / temperature)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
