"""The numerical way from domain means to weights, with every setting in force; for one set of means or many.

Shapes: k domains, d width of an embedding, b sets of means at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.weights.affinity import linear_affinity, median_sigma, rbf_affinity, usable_noise
from chameleon.weights.leverage import least_score, leverage_scores
from chameleon.weights.softmax import (
    RECIPES,
    Kernel,
    Mode,
    finetune_weights,
    pretrain_weights,
    scaled_temperature,
)

# RBF scores of up to so many domains are exact by default: 7.2 GB, 3 minutes on two cores.
EXACT_UP_TO = 30_000


Means = npt.NDArray[np.floating]


Gradients = Callable[[slice], Array]


@dataclass(frozen=True, eq=False)
class LargeSolution:
    """What is found of many domains beside their scores.

    Attributes:
        way: How the scores were computed, in words.
        sigma_from: Where the width is from, in words; None for a kernel without one.
        noise: (k,) what was taken off squared distances for each domain.
        shown: The m domains that pictures show, in order.
        gradients: The (r, d) derivatives of the scores of r = some rows by their own means; None where they
            were not asked for.
        approximation: What is known of how far scores are off, for the weights file; None where they are
            exact.
        notices: What a reader must know of it, in words.
    """

    way: str
    sigma_from: str | None
    noise: Array
    shown: list[int]
    gradients: Gradients | None
    approximation: Mapping[str, Any] | None
    notices: tuple[str, ...]


# Up to so many domains all sets of means are inverted together, above one by one.
_TOGETHER = 64


@dataclass(frozen=True, kw_only=True)
class Formula:
    """All that decides weights beside the means.

    Attributes:
        recipe: Name of the recipe that the settings not given came from.
        mode: "pretrain" or "finetune".
        kernel: "rbf" or "linear".
        rbf_sigma: Width of the RBF kernel; None for the median distance of whatever means come.
        lambda_reg: Regularisation; the ridge is k times it.
        temperature: As stated.
        temperature_used: As fitted to the number of domains.
        takes_noise_off: Whether squared distances are freed of what sampling adds to them.
        exact_up_to: RBF scores of more domains than this are approximate.
        num_features: Random features of approximate scores; None for as many as they take.
        device: Where exact RBF scores of thousands of domains are computed: cpu, a CUDA device, or auto.
    """

    recipe: str
    mode: Mode
    kernel: Kernel
    rbf_sigma: float | None
    lambda_reg: float
    temperature: float
    temperature_used: float
    takes_noise_off: bool
    exact_up_to: int = EXACT_UP_TO
    num_features: int | None = None
    device: str = "cpu"

    @classmethod
    def of(
        cls,
        k: int,
        mode: Mode = "pretrain",
        *,
        recipe: str = "default",
        kernel: Kernel | None = None,
        rbf_sigma: float | None = None,
        lambda_reg: float | None = None,
        temperature: float | None = None,
        exact_up_to: int | None = None,
        num_features: int | None = None,
        device: str = "cpu",
    ) -> "Formula":
        """The formula for k domains: what is given, and the recipe's settings where that is None.

        Raises:
            InputError: A setting is none of those there are, or does not go with another.
        """
        if mode not in get_args(Mode):
            raise InputError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
        if recipe not in RECIPES:
            raise InputError(f"recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
        chosen = RECIPES[recipe]
        kernel = chosen.kernel if kernel is None else kernel
        if kernel not in get_args(Kernel):
            raise InputError(f"kernel must be one of {', '.join(get_args(Kernel))}, got {kernel!r}")
        if rbf_sigma is not None and kernel != "rbf":
            raise InputError(f"a sigma of {rbf_sigma:g} was given, but the {kernel} kernel has none")
        for name, number in (("exact_up_to", exact_up_to), ("num_features", num_features)):
            if number is not None and number < 1:
                raise InputError(f"{name} must be at least 1, got {number}")
        if lambda_reg is None:
            lambda_reg = chosen.lambda_reg if chosen.ridge is None else chosen.ridge / k
        assert lambda_reg is not None
        if temperature is None:
            temperature = chosen.pretrain_temperature if mode == "pretrain" else chosen.finetune_temperature
        return cls(
            recipe=recipe,
            mode=mode,
            kernel=kernel,
            rbf_sigma=rbf_sigma,
            lambda_reg=lambda_reg,
            temperature=temperature,
            temperature_used=scaled_temperature(mode, temperature, k)
            if chosen.scale_temperature
            else temperature,
            takes_noise_off=chosen.takes_noise_off and kernel == "rbf",
            exact_up_to=EXACT_UP_TO if exact_up_to is None else exact_up_to,
            num_features=num_features,
            device=device,
        )

    def to_dict(self, k: int, sigma: float | None, sigma_from: str | None = None) -> dict[str, Any]:
        """The settings as a weights file has them, with the width that was used and where it is from."""
        if sigma_from is None:
            sigma_from = "median distance" if self.rbf_sigma is None else "given"
        return {
            "recipe": self.recipe,
            "kernel": self.kernel,
            "rbf_sigma": sigma,
            "rbf_sigma_from": None if sigma is None else sigma_from,
            "lambda_reg": self.lambda_reg,
            "ridge": k * self.lambda_reg,
            "temperature": self.temperature,
            "temperature_used": self.temperature_used,
            "noise_taken_off": self.takes_noise_off,
        }

    def usable(self, means: Array, noise: Array) -> Array:
        """(k,) the noise to take off these means' squared distances: all of it where that can be done."""
        if not self.takes_noise_off or not noise.any():
            return np.zeros(len(means))
        sigma = median_sigma(means) if self.rbf_sigma is None else self.rbf_sigma
        return usable_noise(noise, sigma, len(means) * self.lambda_reg, self.rbf_sigma is None)

    def solve(self, means: Array, noise: Array | None = None) -> "Solution":
        """Affinity, scores and weights of (k, d) means with (k,) noise (see `usable`).

        Raises:
            InputError: As of `rbf_affinity`, `linear_affinity`, `leverage_scores` and the weights.
        """
        taken = noise if noise is not None and noise.any() else None
        if self.kernel == "linear":
            sigma, affinity = None, linear_affinity(means)
        else:
            sigma = median_sigma(means, taken) if self.rbf_sigma is None else self.rbf_sigma
            affinity = rbf_affinity(means, sigma, taken)
        k = len(means)
        least = None if taken is None else least_score(k, k * self.lambda_reg)
        scores = leverage_scores(affinity, self.lambda_reg, least)
        return Solution(sigma, affinity, scores, self.weights(scores))

    def weights(self, scores: npt.ArrayLike) -> Array:
        """(..., k) weights of (..., k) scores."""
        turned = pretrain_weights if self.mode == "pretrain" else finetune_weights
        return turned(scores, self.temperature_used)

    def scores_of_many(self, means: npt.NDArray[np.floating], noise: Array) -> Array:
        """(b, k) scores of (b, k, d) means that all have the same (k,) noise: as of `solve`, but quicker.

        Affinities are computed in the dtype of the means, and scores as 1 - mu [(K + mu I)^-1]_ii, which
        loses more digits of small scores than `solve` does.
        """
        k = means.shape[1]
        ridge = k * self.lambda_reg
        centred = means - means.mean(axis=1, keepdims=True)
        grams = centred @ centred.transpose(0, 2, 1)
        if self.kernel == "rbf":
            grams = self._rbf_of_grams(grams, noise.astype(grams.dtype))
        affinities = grams.astype(np.float64)
        diagonal = np.arange(k)
        affinities[:, diagonal, diagonal] += ridge
        scores = 1 - ridge * _diagonals_of_inverses(affinities)
        least = least_score(k, ridge) if self.kernel == "rbf" else 0.0
        return np.asarray(np.clip(scores, least, np.nextafter(1.0, 0.0)))

    def affinities_to(
        self, moved: npt.NDArray[np.floating], places: npt.NDArray[np.floating], less: Array, means: Array
    ) -> npt.NDArray[np.floating]:
        """(b, k, k) affinities of (b, k, r) moved means to the (k, r) places of the means themselves.

        Args:
            moved: Replicates of the means, about their centroid.
            places: Of the means themselves.
            less: (k, k) what to take off the squared distances of replicates (rows) to means.
            means: (k, d) themselves, for the width of the kernel where none is given.
        """
        products = moved @ places.T
        if self.kernel == "linear":
            return np.asarray(products)
        sigma = median_sigma(means) if self.rbf_sigma is None else self.rbf_sigma
        squared = np.square(moved).sum(axis=2, keepdims=True) + np.square(places).sum(axis=1) - 2 * products
        return np.asarray(np.exp((less - squared) / (2 * sigma * sigma)))

    def _rbf_of_grams(
        self, grams: npt.NDArray[np.floating], noise: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.floating]:
        """(b, k, k) RBF affinities from inner products of centred means."""
        k = grams.shape[1]
        sizes = np.einsum("bii->bi", grams) - noise
        squared = sizes[:, :, None] + sizes[:, None, :] - 2 * grams
        if self.rbf_sigma is None:
            rows, columns = np.triu_indices(k, 1)
            pairs = squared.reshape(len(squared), -1)[:, rows * k + columns]
            widths = np.maximum(np.median(pairs, axis=1), np.finfo(grams.dtype).tiny)
        else:
            widths = np.full(len(squared), self.rbf_sigma**2, dtype=grams.dtype)
        squared /= -2 * widths[:, None, None]
        np.exp(squared, out=squared)
        diagonal = np.arange(k)
        squared[:, diagonal, diagonal] = 1.0
        return np.asarray(squared)


@dataclass(frozen=True, eq=False)
class Solution:
    """What a formula gives for one set of means.

    Attributes:
        sigma: Width of the RBF kernel; None for the linear one.
        affinity: (k, k) of the domains; of many domains (m, m) of those that pictures show.
        scores: (k,) leverage scores.
        weights: (k,) weights.
        many: Of many domains, what is found beside these; else None.
    """

    sigma: float | None
    affinity: Array
    scores: Array
    weights: Array
    many: LargeSolution | None = None

    @property
    def shown(self) -> list[int]:
        """The domains that pictures show, in order: all, or of many some."""
        return list(range(len(self.scores))) if self.many is None else self.many.shown


def _diagonals_of_inverses(matrices: Array) -> Array:
    """(b, k) diagonals of the inverses of (b, k, k) positive definite matrices, which are written over."""
    if matrices.shape[1] <= _TOGETHER:
        return np.asarray(np.einsum("bii->bi", np.linalg.inv(matrices)))
    diagonals = np.empty(matrices.shape[:2])
    for number, matrix in enumerate(matrices):
        # Its transpose is the same matrix in the order of columns that LAPACK works in.
        factor, failed = lapack.dpotrf(matrix.T, lower=1, clean=1, overwrite_a=1)
        inverse, singular = lapack.dtrtri(factor, lower=1, overwrite_c=1)
        if failed or singular:
            raise ArithmeticError(f"an affinity matrix with its ridge is not positive definite ({failed})")
        diagonals[number] = np.einsum("ij,ij->j", inverse, inverse)
    return diagonals
