"""Leverage scores to domain weights, and the whole numerical way in one call.

Shapes: k domains, n windows of a domain, d width of an embedding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from chameleon.affinity import Array, linear_affinity, median_sigma, rbf_affinity, real_array
from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError
from chameleon.leverage import effective_dimension, leverage_scores

Mode = Literal["pretrain", "finetune"]
Kernel = Literal["rbf", "linear"]

# Temperatures are stated for the seven domains that the method was published on.
REFERENCE_DOMAINS = 7


_TWO_DOMAINS = (
    "two domains always weigh the same, since each stands to the other as the other to it: "
    "split them or add domains for weights that say something"
)


@dataclass(frozen=True)
class Recipe:
    """Named defaults of the weight computation.

    `ridge` (k lambda) or `lambda_reg` is given, the other None. With `scale_temperature` the
    temperatures hold for 7 domains and are adapted to k (see `scaled_temperature`).
    """

    kernel: Kernel
    ridge: float | None
    lambda_reg: float | None
    scale_temperature: bool
    pretrain_temperature: float = 5.0
    finetune_temperature: float = 0.2


RECIPES: Mapping[str, Recipe] = {
    # A ridge of half of a domain's affinity with itself, whatever k.
    "default": Recipe(kernel="rbf", ridge=0.5, lambda_reg=None, scale_temperature=True),
    # The method's published code.
    "released": Recipe(kernel="linear", ridge=None, lambda_reg=10.0, scale_temperature=False),
}


def pretrain_weights(scores: npt.ArrayLike, temperature: float = 5.0) -> Array:
    """softmax((1/p) / T) of the normalised scores p = S / sum(S): common ground up.

    A score of zero, or too small for 1/p to be a float64 number, is the limit of ever smaller ones:
    such domains share all the weight.

    Args:
        scores: (k,) leverage scores, not negative, in any scale.
        temperature: T > 0, as it stands; higher is flatter.

    Returns:
        (k,) float64 weights summing to 1.

    Raises:
        InputError: A score is negative or not finite, or the temperature is not positive.
    """
    p = _normalised(scores)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = 1.0 / p
    vanishing = np.isinf(inverse)
    if vanishing.any():
        _require_temperature(temperature)
        return np.asarray(vanishing / np.count_nonzero(vanishing), dtype=np.float64)
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


def compute_weights(
    embeddings: Mapping[str, npt.ArrayLike],
    mode: Mode = "pretrain",
    *,
    recipe: str = "default",
    kernel: Kernel | None = None,
    rbf_sigma: float | None = None,
    lambda_reg: float | None = None,
    temperature: float | None = None,
) -> DomainWeights:
    """Weights of domains from their embeddings: affinity, leverage scores, softmax.

    Args:
        embeddings: For each domain its name and either the (n, d) embeddings of its windows or
            their (d,) mean. Windows are averaged in float64.
        mode: "pretrain" or "finetune".
        recipe: "default" (RBF, ridge k lambda = 1/2, temperatures adapted to k) or "released" (the
            published code: centred linear kernel, lambda 10, temperatures as they stand).
        kernel, rbf_sigma, lambda_reg, temperature: Each overrides the recipe's value. The
            temperature is adapted to k where the recipe does so.

    Returns:
        The weights with scores per domain, the settings used and the effective dimension. For two
        domains a notice says that they always weigh the same.

    Raises:
        InputError: Fewer than two domains, shapes that do not fit each other, numbers that are not
            finite (names the domain and window), or a setting out of range.
    """
    if mode not in get_args(Mode):
        raise InputError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    names, means = tuple(embeddings), domain_means(embeddings)
    settings = _settings(mode, recipe, kernel, rbf_sigma, lambda_reg, temperature, means)
    sigma, used = settings["rbf_sigma"], settings["temperature_used"]
    affinity = linear_affinity(means) if sigma is None else rbf_affinity(means, sigma)
    scores = leverage_scores(affinity, settings["lambda_reg"])
    weights = pretrain_weights(scores, used) if mode == "pretrain" else finetune_weights(scores, used)
    return DomainWeights(
        names=names,
        weights=weights,
        method="chameleon",
        mode=mode,
        domains={name: {"score": float(score)} for name, score in zip(names, scores, strict=True)},
        diagnostics={"effective_dimension": effective_dimension(scores)},
        settings=settings,
        notices=(_TWO_DOMAINS,) if len(names) == 2 else (),
    )


def _settings(
    mode: Mode,
    recipe: str,
    kernel: Kernel | None,
    rbf_sigma: float | None,
    lambda_reg: float | None,
    temperature: float | None,
    means: Array,
) -> dict[str, Any]:
    """What `compute_weights` goes by: its arguments, and the recipe's where they are None."""
    if recipe not in RECIPES:
        raise InputError(f"recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
    chosen, k = RECIPES[recipe], len(means)
    kernel = chosen.kernel if kernel is None else kernel
    if kernel not in get_args(Kernel):
        raise InputError(f"kernel must be one of {', '.join(get_args(Kernel))}, got {kernel!r}")
    if rbf_sigma is not None and kernel != "rbf":
        raise InputError(f"a sigma of {rbf_sigma:g} was given, but the {kernel} kernel has none")
    sigma, sigma_from = rbf_sigma, None
    if kernel == "rbf":
        sigma = median_sigma(means) if rbf_sigma is None else rbf_sigma
        sigma_from = "median distance" if rbf_sigma is None else "given"
    if lambda_reg is None:
        lambda_reg = chosen.lambda_reg if chosen.ridge is None else chosen.ridge / k
    assert lambda_reg is not None
    if temperature is None:
        temperature = chosen.pretrain_temperature if mode == "pretrain" else chosen.finetune_temperature
    return {
        "recipe": recipe,
        "kernel": kernel,
        "rbf_sigma": sigma,
        "rbf_sigma_from": sigma_from,
        "lambda_reg": lambda_reg,
        "ridge": k * lambda_reg,
        "temperature": temperature,
        "temperature_used": scaled_temperature(mode, temperature, k)
        if chosen.scale_temperature
        else temperature,
    }


def domain_means(embeddings: Mapping[str, npt.ArrayLike]) -> Array:
    """(k, d) float64 means over windows of the embeddings that `compute_weights` takes."""
    if len(embeddings) < 2:
        raise InputError(f"weights need at least 2 domains, got {len(embeddings)}: {', '.join(embeddings)}")
    means = [_domain_mean(name, rows) for name, rows in embeddings.items()]
    widths = {name: len(mean) for name, mean in zip(embeddings, means, strict=True)}
    if len(set(widths.values())) > 1:
        raise InputError(f"embeddings of all domains must have one width, got {widths}")
    return np.stack(means)


def _domain_mean(name: str, embeddings: npt.ArrayLike) -> Array:
    rows = real_array(embeddings, f"domain {name}: its embeddings")
    shape = rows.shape
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or 0 in rows.shape:
        raise InputError(f"domain {name}: expected (n, d) or (d,) embeddings, got shape {shape}")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise InputError(
            f"domain {name}: the embedding of window {int(np.argmin(finite))} is not finite "
            f"({np.count_nonzero(~finite)} of {len(rows)} windows); embed it again with --dtype float32"
        )
    with np.errstate(over="ignore"):  # an infinite mean is refused by the kernel
        return np.asarray(rows.mean(axis=0))


def _normalised(scores: npt.ArrayLike) -> Array:
    s = real_array(scores, "scores")
    if s.ndim != 1 or not len(s) or not np.isfinite(s).all() or (s < 0).any():
        raise InputError(f"scores must be a vector of finite numbers, none negative, got {s}")
    largest = s.max()
    if largest == 0:  # all domains at one point: none stands out, each has the same share
        return np.full(len(s), 1.0 / len(s))
    return np.asarray(s / largest / (s / largest).sum())


def _softmax(exponents: Array, temperature: float) -> Array:
    """softmax(exponents / T), without overflow for any T."""
    _require_temperature(temperature)
    with np.errstate(over="ignore"):
        powers = np.exp((exponents - exponents.max()) / temperature)
    return np.asarray(powers / powers.sum())


def _require_temperature(temperature: float) -> None:
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"the temperature must be a positive number, got {temperature}")
