"""The whole numerical way in one call: embeddings to weights.

Shapes: k domains, n windows of a domain, d width of an embedding.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.leverage import effective_dimension
from chameleon.weights.many_domains.blocks import is_many
from chameleon.weights.many_domains.solve import is_exact, solve_many
from chameleon.weights.sample import Sample, means_of, noise_of, samples_of
from chameleon.weights.softmax import Kernel, Mode

_TWO_DOMAINS = (
    "two domains always weigh the same, since each stands to the other as the other to it: "
    "split them or add domains for weights that say something"
)


def compute_weights(
    embeddings: Mapping[str, npt.ArrayLike | Sample],
    mode: Mode = "pretrain",
    *,
    recipe: str = "default",
    kernel: Kernel | None = None,
    rbf_sigma: float | None = None,
    lambda_reg: float | None = None,
    temperature: float | None = None,
    exact_up_to: int | None = None,
    num_features: int | None = None,
) -> DomainWeights:
    """Weights of domains from their embeddings: affinity, leverage scores, softmax.

    Args:
        embeddings: For each domain its name and either the (n, d) embeddings of its windows, their
            (d,) mean, taken to be the domain's own, or a `Sample`. Windows are averaged in float64.
        mode: "pretrain" or "finetune".
        recipe: "default" (RBF, ridge k lambda = 1/2, temperatures adapted to k, distances between means
            freed of what sampling adds to them) or "released" (the published code: centred linear
            kernel, lambda 10, temperatures as they stand).
        kernel, rbf_sigma, lambda_reg, temperature: Each overrides the recipe's value. The
            temperature is adapted to k where the recipe does so.
        exact_up_to: RBF scores of more domains than this, and than a thousand, are approximate (30,000 by
            default).
        num_features: Random features of approximate scores; by default as many as they take.

    Returns:
        The weights with scores per domain, the settings used and the effective dimension. Notices say
        where two domains always weigh the same, and where there are too few windows to free distances of
        all that sampling adds, and how far scores are off where they are approximate.

    Raises:
        InputError: Fewer than two domains, shapes that do not fit each other, numbers that are not
            finite (names the domain and window), or a setting out of range.
    """
    samples = samples_of(embeddings)
    formula = Formula.of(
        len(samples),
        mode,
        recipe=recipe,
        kernel=kernel,
        rbf_sigma=rbf_sigma,
        lambda_reg=lambda_reg,
        temperature=temperature,
        exact_up_to=exact_up_to,
        num_features=num_features,
    )
    return weights_of(samples, formula, solve(samples, formula))


def solve(samples: list[Sample], formula: Formula, with_gradients: bool = False) -> Solution:
    """Affinity, scores and weights of samples. Errors as of `compute_weights`.

    Args:
        samples: Of the k domains.
        formula: From means to weights.
        with_gradients: Whether standard errors of many domains will be asked for.
    """
    if not is_many(len(samples)):
        means = means_of(samples)
        return formula.solve(means, formula.usable(means, noise_of(samples)))
    # What is approximate anyway is held in half of the memory.
    dtype = np.float64 if is_exact(len(samples), formula) else np.float32
    means = np.empty((len(samples), samples[0].width), dtype=dtype)
    for i, sample in enumerate(samples):
        means[i] = sample.mean
    noise = noise_of(samples) if formula.takes_noise_off else None
    return solve_many(means, noise, formula, with_gradients)


def weights_of(samples: list[Sample], formula: Formula, solution: Solution) -> DomainWeights:
    """What the formula gave for samples, as domain weights."""
    names = tuple(sample.name for sample in samples)
    noise = noise_of(samples) if formula.takes_noise_off else np.zeros(len(samples))
    many = solution.many
    usable = formula.usable(means_of(samples), noise) if many is None else many.noise
    diagnostics: dict[str, Any] = {"effective_dimension": effective_dimension(solution.scores)}
    if many is not None:
        diagnostics["way"] = many.way
        if many.approximation is not None:
            diagnostics["approximation"] = dict(many.approximation)
    scores = zip(names, solution.scores, strict=True)
    return DomainWeights(
        names=names,
        weights=solution.weights,
        method="chameleon",
        mode=formula.mode,
        domains={name: {"score": float(score)} for name, score in scores},
        diagnostics=diagnostics,
        settings=formula.to_dict(len(names), solution.sigma, None if many is None else many.sigma_from),
        notices=(
            *_noise_left(names, noise, usable, formula),
            *((_TWO_DOMAINS,) if len(names) == 2 else ()),
            *(() if many is None else many.notices),
        ),
    )


def _noise_left(
    names: tuple[str, ...], noise: npt.NDArray[np.float64], usable: npt.NDArray[np.float64], formula: Formula
) -> tuple[str, ...]:
    """Words on the noise that stays in, if any does."""
    noisy = [name for name, there, taken in zip(names, noise, usable, strict=True) if there > 1.001 * taken]
    if not formula.takes_noise_off or not noisy:
        return ()
    few = ", ".join(noisy[:5]) + (f" and {len(noisy) - 5} more" if len(noisy) > 5 else "")
    return (
        f"so few windows were looked at that chance moves {few} nearly as far as domains lie apart: "
        "raise --num_samples",
    )
