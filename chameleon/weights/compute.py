"""Embeddings to weights in one call: `compute_weights`, the public way on arrays.

Shapes: k domains, n windows of a domain, d width of an embedding.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from chameleon.common.tables import listed
from chameleon.weights.domain_weights import Diagnostics, DomainWeights
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.leverage import effective_dimension
from chameleon.weights.many_domains.solve import is_exact, solve_many
from chameleon.weights.many_domains.subsets import is_many
from chameleon.weights.options import FormulaSettings, Kernel, Mode
from chameleon.weights.sample import Sample, means_of, noise_of, samples_of

_TWO_DOMAINS = (
    "two domains always weigh the same, because each is as far from the other as the other from it: "
    "split them or add domains"
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
        embeddings: Name of each domain to the (n, d) embeddings of its windows, their (d,) mean (taken to be
            exact), or a `Sample`. Windows are averaged in float64.
        mode: "pretrain" or "finetune".
        recipe: "default" (RBF kernel, ridge k lambda = 1/2, temperatures scaled to k, distances corrected for
            sampling noise) or "released" (the published code: centred linear kernel, lambda 10, temperatures
            as stated).
        kernel, rbf_sigma, lambda_reg, temperature: Each overrides the recipe's value. The
            temperature is scaled to k where the recipe does so.
        exact_up_to: RBF scores of more domains than this, and than a thousand, are approximate (default:
            30,000).
        num_features: Random features of approximate scores (default: 40 times the effective dimension, from
            512 to 4,096).

    Returns:
        The weights, with scores by domain, the settings used and the effective dimension. Notices say when
        there are only two domains, when there are too few windows to correct distances for all sampling
        noise, and how far off approximate scores are.

    Raises:
        InputError: Fewer than two domains, embeddings of different widths, numbers that are not finite (named
            by domain and window), or a setting out of range.
    """
    samples = samples_of(embeddings)
    settings = FormulaSettings(
        mode=mode,
        recipe=recipe,
        kernel=kernel,
        rbf_sigma=rbf_sigma,
        lambda_reg=lambda_reg,
        pt_temperature=temperature,
        ft_temperature=temperature,
        exact_up_to=exact_up_to,
        num_features=num_features,
    )
    formula = Formula.of(len(samples), settings)
    return weights_of(samples, formula, solve(samples, formula))


def solve(samples: list[Sample], formula: Formula, with_gradients: bool = False) -> Solution:
    """Affinity, scores and weights of samples, exact or approximate as the formula asks for.

    Args:
        samples: k samples, one for each domain.
        formula: From means to weights.
        with_gradients: Whether standard errors of many domains will be computed.

    Raises:
        InputError: See `compute_weights`.
    """
    if not is_many(len(samples)):
        means = means_of(samples)
        return formula.solve(means, formula.usable(means, noise_of(samples)))
    # float32 halves the memory where scores are approximate anyway.
    dtype = np.float64 if is_exact(len(samples), formula) else np.float32
    means = np.stack([sample.mean for sample in samples], dtype=dtype, casting="same_kind")
    noise = noise_of(samples) if formula.takes_noise_off else None
    return solve_many(means, noise, formula, with_gradients)


def weights_of(samples: list[Sample], formula: Formula, solution: Solution) -> DomainWeights:
    """A solution as `DomainWeights`, with scores, settings and notices.

    Args:
        samples: k samples, one for each domain.
        formula: From means to weights.
        solution: The formula's solution for the samples.
    """
    names = tuple(sample.name for sample in samples)
    noise = noise_of(samples) if formula.takes_noise_off else np.zeros(len(samples))
    many = solution.many
    usable = formula.usable(means_of(samples), noise) if many is None else many.noise
    diagnostics: Diagnostics = {"effective_dimension": effective_dimension(solution.scores)}
    if many is not None:
        diagnostics["way"] = many.way
        if many.approximation is not None:
            diagnostics["approximation"] = dict(many.approximation)
    notices = []
    if noisy := [names[i] for i in np.flatnonzero(noise > 1.001 * usable)]:
        notices.append(
            f"too few windows: sampling noise of {listed(noisy)} is nearly as large as the distances between "
            "domains; raise --num_samples"
        )
    notices += [_TWO_DOMAINS] if len(names) == 2 else []
    return DomainWeights(
        names=names,
        weights=solution.weights,
        method="chameleon",
        mode=formula.mode,
        domains={name: {"score": score} for name, score in zip(names, solution.scores.tolist(), strict=True)},
        diagnostics=diagnostics,
        settings=formula.to_dict(solution.sigma, None if many is None else many.sigma_from),
        notices=(*notices, *(() if many is None else many.notices)),
    )
