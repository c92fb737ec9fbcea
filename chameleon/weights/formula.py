"""From domain means to weights with every setting in force: affinity K, leverage scores S, weights w.

    K_ij = exp(-|x_i - x_j|^2 / (2 sigma^2))          chameleon.weights.affinity
    S_i  = [K (K + k lambda I)^-1]_ii                 chameleon.weights.leverage
    w    = softmax(1 / (p T)) or softmax(p / T)       chameleon.weights.softmax, with p = S / sum(S)

`Formula.solve` does this for one set of means, `Formula.scores_of_many` for many sets at once (the
bootstrap). Above a thousand domains `chameleon.weights.many_domains` takes the place of `solve`.

Shapes: k domains, d width of an embedding, b sets of means at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from chameleon.common.arrays import Array, Floats
from chameleon.common.errors import InputError
from chameleon.weights.affinity import linear_affinity, median_sigma, rbf_affinity, usable_noise
from chameleon.weights.leverage import least_score, leverage_scores
from chameleon.weights.options import EXACT_UP_TO, RECIPES, FormulaSettings, Kernel, Mode
from chameleon.weights.softmax import finetune_weights, pretrain_weights, scaled_temperature

Gradients = Callable[[slice], Array]

# Up to this many domains all sets of means are inverted together, above it one by one.
_INVERTED_TOGETHER = 64


@dataclass(frozen=True, kw_only=True)
class Formula:
    """All that decides the weights of k domains beside their means.

    Attributes:
        k: Number of domains, which temperatures are scaled to.
        recipe: Name of the recipe that settings left out came from.
        mode: "pretrain" or "finetune".
        kernel: "rbf" or "linear".
        rbf_sigma: Width of the RBF kernel; None for the median distance of the means.
        lambda_reg: Regularisation lambda; the ridge is k lambda.
        temperature: T as stated.
        scales_temperature: Whether T is stated for 7 domains and scaled to k.
        takes_noise_off: Whether squared distances are corrected for sampling noise.
        exact_up_to: RBF scores of more domains than this are approximate.
        num_features: Random features of approximate scores; None for as many as they need.
        device: Where exact RBF scores of thousands of domains are computed: cpu, a CUDA device, or auto.
    """

    k: int
    recipe: str
    mode: Mode
    kernel: Kernel
    rbf_sigma: float | None
    lambda_reg: float
    temperature: float
    scales_temperature: bool
    takes_noise_off: bool
    exact_up_to: int
    num_features: int | None
    device: str

    @classmethod
    def of(cls, k: int, settings: FormulaSettings | None = None) -> "Formula":
        """The formula for k domains, with the recipe's values where a setting is None.

        Args:
            k: Number of domains.
            settings: By default `FormulaSettings()`.

        Raises:
            InputError: A setting has an unknown value, or does not go with another.
        """
        asked = settings or FormulaSettings()
        _require_choice("mode", asked.mode, get_args(Mode))
        _require_choice("recipe", asked.recipe, tuple(RECIPES))
        recipe = RECIPES[asked.recipe]
        kernel = recipe.kernel if asked.kernel is None else asked.kernel
        _require_choice("kernel", kernel, get_args(Kernel))
        if asked.rbf_sigma is not None and kernel != "rbf":
            raise InputError(f"a sigma of {asked.rbf_sigma:g} was given, but the {kernel} kernel has none")
        for name in ("exact_up_to", "num_features"):
            number = getattr(asked, name)
            if number is not None and number < 1:
                raise InputError(f"{name} must be at least 1, got {number}")
        lambda_reg = asked.lambda_reg
        if lambda_reg is None:
            lambda_reg = recipe.lambda_reg if recipe.ridge is None else recipe.ridge / k
        assert lambda_reg is not None
        if asked.mode == "pretrain":
            temperature, usual = asked.pt_temperature, recipe.pretrain_temperature
        else:
            temperature, usual = asked.ft_temperature, recipe.finetune_temperature
        return cls(
            k=k,
            recipe=asked.recipe,
            mode=asked.mode,
            kernel=kernel,
            rbf_sigma=asked.rbf_sigma,
            lambda_reg=lambda_reg,
            temperature=usual if temperature is None else temperature,
            scales_temperature=recipe.scale_temperature,
            takes_noise_off=recipe.takes_noise_off and kernel == "rbf",
            exact_up_to=EXACT_UP_TO if asked.exact_up_to is None else asked.exact_up_to,
            num_features=asked.num_features,
            device=asked.device,
        )

    @property
    def temperature_used(self) -> float:
        """T as scaled to the number of domains."""
        if not self.scales_temperature:
            return self.temperature
        return scaled_temperature(self.mode, self.temperature, self.k)

    def to_dict(self, sigma: float | None, sigma_from: str | None = None) -> dict[str, Any]:
        """The settings as the weights file records them.

        Args:
            sigma: Width that was used; None for the linear kernel.
            sigma_from: Where the width is from, in words; by default the median distance, or "given".
        """
        if sigma_from is None:
            sigma_from = "median distance" if self.rbf_sigma is None else "given"
        return {
            "recipe": self.recipe,
            "kernel": self.kernel,
            "rbf_sigma": sigma,
            "rbf_sigma_from": None if sigma is None else sigma_from,
            "lambda_reg": self.lambda_reg,
            "ridge": self.k * self.lambda_reg,
            "temperature": self.temperature,
            "temperature_used": self.temperature_used,
            "noise_taken_off": self.takes_noise_off,
        }

    def usable(self, means: Array, noise: Array) -> Array:
        """(k,) the part of the sampling noise to take off squared distances: all of it where possible.

        Args:
            means: (k, d) domain means.
            noise: (k,) expected squared distance of each mean from its domain's own.
        """
        if not self.takes_noise_off or not noise.any():
            return np.zeros(len(means))
        sigma = median_sigma(means) if self.rbf_sigma is None else self.rbf_sigma
        return usable_noise(noise, sigma, len(means) * self.lambda_reg, self.rbf_sigma is None)

    def solve(self, means: Array, noise: Array | None = None) -> "Solution":
        """Affinity, scores and weights of one set of means.

        Args:
            means: (k, d) domain means.
            noise: (k,) noise to take off squared distances (see `usable`); None for none.

        Raises:
            InputError: See `rbf_affinity`, `linear_affinity`, `leverage_scores` and `pretrain_weights`.
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
        weigh = pretrain_weights if self.mode == "pretrain" else finetune_weights
        return weigh(scores, self.temperature_used)

    def scores_of_many(self, means: Floats, noise: Array) -> Array:
        """(b, k) scores of many sets of means at once: those of `solve`, faster and less exact.

        Affinities are computed in the dtype of the means, and scores as 1 - mu [(K + mu I)^-1]_ii with the
        ridge mu, which loses more digits of small scores than `solve` does.

        Args:
            means: (b, k, d) sets of domain means.
            noise: (k,) noise to take off squared distances, the same for all sets.
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

    def affinities_to(self, moved: Floats, centred: Floats, less: Array, means: Array) -> Floats:
        """(b, k, k) affinities of replicates of the means (rows) to the means themselves (columns).

        Args:
            moved: (b, k, r) replicates, in r coordinates about the centroid of the means.
            centred: (k, r) the means in the same coordinates.
            less: (k, k) noise to take off the squared distances of replicates (rows) to means.
            means: (k, d) the means, for the median distance where no width is given.
        """
        products = moved @ centred.T
        if self.kernel == "linear":
            return np.asarray(products)
        sigma = median_sigma(means) if self.rbf_sigma is None else self.rbf_sigma
        squared = np.square(moved).sum(axis=2, keepdims=True) + np.square(centred).sum(axis=1) - 2 * products
        return np.asarray(np.exp((less - squared) / (2 * sigma * sigma)))

    def _rbf_of_grams(self, grams: Floats, noise: Floats) -> Floats:
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
class LargeSolution:
    """What is known of many domains beside their scores and weights.

    Attributes:
        way: How the scores were computed, in words.
        sigma_from: Where the width is from, in words; None where that follows from the formula.
        noise: (k,) noise that was taken off squared distances.
        displayed: The m domains that pictures show, in order.
        gradients: Derivatives of scores by their own means: a slice of r rows to an (r, d) array; None where
            they were not asked for.
        approximation: Errors of approximate scores, for the weights file; None where scores are exact.
        notices: What a reader of the weights must know of how they were computed.
    """

    way: str
    sigma_from: str | None
    noise: Array
    displayed: list[int]
    gradients: Gradients | None
    approximation: Mapping[str, Any] | None
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Solution:
    """What a formula gives for one set of means.

    Attributes:
        sigma: Width of the RBF kernel; None for the linear one.
        affinity: (k, k) of the domains; of many domains (m, m) of those that pictures show.
        scores: (k,) leverage scores.
        weights: (k,) weights.
        many: For many domains, what is known beside these; else None.
    """

    sigma: float | None
    affinity: Array
    scores: Array
    weights: Array
    many: LargeSolution | None = None

    @property
    def displayed(self) -> list[int]:
        """The domains that pictures show, in order: all, or some of many."""
        return list(range(len(self.scores))) if self.many is None else self.many.displayed


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _diagonals_of_inverses(matrices: Array) -> Array:
    """(b, k) diagonals of the inverses of (b, k, k) positive definite matrices, which are overwritten."""
    if matrices.shape[1] <= _INVERTED_TOGETHER:
        return np.asarray(np.einsum("bii->bi", np.linalg.inv(matrices)))
    diagonals = np.empty(matrices.shape[:2])
    for number, matrix in enumerate(matrices):
        # LAPACK works in column order, in which the transpose is the same symmetric matrix.
        factor, failed = lapack.dpotrf(matrix.T, lower=1, clean=1, overwrite_a=1)
        inverse, singular = lapack.dtrtri(factor, lower=1, overwrite_c=1)
        if failed or singular:
            raise ArithmeticError(f"an affinity matrix with its ridge is not positive definite ({failed})")
        diagonals[number] = np.einsum("ij,ij->j", inverse, inverse)
    return diagonals
