"""How weights move with lambda, sigma and temperature.

Shapes: k domains, f factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.many_domains.blocks import is_many

# What each setting is multiplied by: for the numbers in a weights file, and for a path to look at.
HALVED_AND_DOUBLED = (0.5, 2.0)


PATH = tuple(2.0 ** (step / 2) for step in range(-8, 9))


@dataclass(frozen=True, eq=False)
class WeightPath:
    """Weights along one setting.

    Attributes:
        setting: Its name in the weights file: lambda_reg, rbf_sigma or temperature.
        values: (f,) what it is set to, where it can be computed.
        weights: (f, k).
    """

    setting: str
    values: Array
    weights: Array


def weight_paths(
    means: Array, noise: Array, formula: Formula, solution: Solution, factors: Sequence[float]
) -> list[WeightPath]:
    """Weights with each setting multiplied by each factor, the others as they are.

    Of many domains only along the temperature: the others would take a solve for each factor.

    Args:
        means: (k, d) of the domains.
        noise: (k,) their noise.
        formula: What is in force.
        solution: What it gave.
        factors: What to multiply by. One with which there is no answer (a lambda below rounding) is left out.
    """
    found = []
    if not is_many(len(means)):
        found.append(_along("lambda_reg", formula.lambda_reg, means, noise, formula, factors))
        if solution.sigma is not None:
            fixed = replace(formula, rbf_sigma=solution.sigma)
            found.append(_along("rbf_sigma", solution.sigma, means, noise, fixed, factors))
    return [*found, along_temperature(formula, solution, factors)]


def along_temperature(formula: Formula, solution: Solution, factors: Sequence[float]) -> WeightPath:
    """Weights with the temperature multiplied by each factor."""
    values = formula.temperature * np.asarray(factors)
    weights = [replace(formula, temperature=float(each)).weights(solution.scores) for each in values]
    return WeightPath("temperature", values, np.array(weights))


def _along(
    setting: str, value: float, means: Array, noise: Array, formula: Formula, factors: Sequence[float]
) -> WeightPath:
    values, weights = [], []
    for factor in factors:
        if setting == "lambda_reg":
            changed = replace(formula, lambda_reg=factor * value)
        else:
            changed = replace(formula, rbf_sigma=factor * value)
        try:
            solution = changed.solve(means, changed.usable(means, noise))
        except InputError:
            continue
        values.append(factor * value)
        weights.append(solution.weights)
    return WeightPath(setting, np.array(values), np.array(weights).reshape(len(values), len(means)))


def largest_move(weights: Array, others: Array) -> tuple[int, float]:
    """Which weight moves furthest in (f, k) other weights, and by how much (0 where there are none)."""
    if not len(others):
        return 0, 0.0
    moves = np.abs(others - weights)
    at = int(np.argmax(moves.max(axis=0)))
    return at, float(moves[:, at].max())
