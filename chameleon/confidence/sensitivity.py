"""How weights move with lambda, sigma and temperature.

Shapes: k domains, f factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.many_domains.subsets import is_many
from chameleon.weights.sample import Sample, means_of, noise_of

# Factors for the numbers in a weights file, and for the paths that the report draws.
HALVED_AND_DOUBLED = (0.5, 2.0)
PATH = tuple(2.0 ** (step / 2) for step in range(-8, 9))


@dataclass(frozen=True, eq=False)
class WeightPath:
    """Weights along one setting.

    Attributes:
        setting: Name of the setting in the weights file: lambda_reg, rbf_sigma or temperature.
        values: (f,) values of the setting.
        weights: (f, k) weights with each.
    """

    setting: str
    values: Array
    weights: Array


def weight_paths(
    samples: list[Sample], formula: Formula, solution: Solution, factors: Sequence[float]
) -> list[WeightPath]:
    """Weights with each setting multiplied by each factor, the other settings unchanged.

    For many domains only along the temperature: the other settings take a solve for each factor.

    Args:
        samples: k samples, one for each domain.
        formula: Formula with the settings in force.
        solution: Its solution.
        factors: Factors; those without a solution, such as a lambda below rounding, are left out.
    """
    paths = []
    if not is_many(len(samples)):
        means, noise = means_of(samples), noise_of(samples)
        for setting, value in (("lambda_reg", formula.lambda_reg), ("rbf_sigma", solution.sigma)):
            if value is not None:
                values = [factor * value for factor in factors]
                paths.append(_solved(setting, values, formula, means, noise))
    return [*paths, along_temperature(formula, solution, factors)]


def along_temperature(formula: Formula, solution: Solution, factors: Sequence[float]) -> WeightPath:
    """Weights with the temperature multiplied by each factor. Arguments as of `weight_paths`."""
    values = formula.temperature * np.asarray(factors)
    weights = [replace(formula, temperature=float(each)).weights(solution.scores) for each in values]
    return WeightPath("temperature", values, np.array(weights))


def largest_move(weights: Array, others: Array) -> tuple[int, float]:
    """The domain whose weight moves most, and by how much.

    Args:
        weights: (k,) weights.
        others: (f, k) weights with other settings; without any, nothing moves.
    """
    if not len(others):
        return 0, 0.0
    moves = np.abs(others - weights)
    i = int(np.argmax(moves.max(axis=0)))
    return i, float(moves[:, i].max())


def _solved(
    setting: str, values: Sequence[float], formula: Formula, means: Array, noise: Array
) -> WeightPath:
    """Weights with each value of the setting that has a solution."""
    solved, weights = [], []
    for value in values:
        given: dict[str, Any] = {setting: value}
        changed = replace(formula, **given)
        try:
            solution = changed.solve(means, changed.usable(means, noise))
        except InputError:
            continue
        solved.append(value)
        weights.append(solution.weights)
    return WeightPath(setting, np.array(solved), np.array(weights).reshape(len(solved), len(means)))
