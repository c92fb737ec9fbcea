"""What a fitted law says: weights, how certain they are, the gain to expect, and whether to use them.

Shapes: n runs, m losses, k domains, d draws.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chameleon.common.arrays import Array
from chameleon.methods.law.fit import Draws, Posterior, fit_law
from chameleon.methods.law.optimum import best_mixture
from chameleon.methods.law.request import Bounds
from chameleon.methods.law.runs import LawRuns, MeasuredLength

# Draws from a posterior, of which the first give weights of their own.
DRAWS, _OPTIMA = 1000, 200
_TOLERANCE_OF_DRAWS = 1e-4

# Parts of its importance that a domain may keep as its share. That one counts whose mixture has the largest
# gain less its standard error: far from the runs a law is less sure.
_KEPT = (0.1, 0.25, 0.5, 0.75)

# A gain over uniform is certain enough beyond this many standard errors.
ENOUGH_ERRORS = 2.0


@dataclass(frozen=True, eq=False)
class Answer:
    """What a law says.

    Attributes:
        weights: (k,) the mixture with the lowest expected loss.
        baseline: (k,) uniform weights, as far as the bounds allow.
        standard_errors: (k,) of the weights.
        gain: Expected gain over the baseline in the mean loss, in nats.
        gain_error: Its standard error.
        interval: In which the gain that two runs show lies with a probability of 95 %.
        is_refuted: Whether a run on the law's own mixture was no better than one on uniform weights.
    """

    weights: Array
    baseline: Array
    standard_errors: Array
    gain: float
    gain_error: float
    interval: tuple[float, float]
    is_refuted: bool = False

    @property
    def is_certain(self) -> bool:
        """Whether the gain is beyond the errors, and no run speaks against it."""
        return self.gain > ENOUGH_ERRORS * self.gain_error and not self.is_refuted

    @property
    def advice(self) -> Array:
        """(k,) the weights to use: the law's own where their gain is certain, else the baseline."""
        return self.weights if self.is_certain else self.baseline


@dataclass(frozen=True, eq=False)
class Fitted:
    """A law fitted to runs of one length, with draws of its posterior and what it says."""

    length: MeasuredLength
    law: Posterior
    draws: Draws
    answer: Answer


def fit_runs(runs: LawRuns, length: MeasuredLength, importance: Array, bounds: Bounds, seed: int) -> Fitted:
    """Fit a law to the runs of one length.

    Args:
        runs, length: The runs, and which of their lengths.
        importance: (m,) how much each loss counts, summing to 1.
        bounds: Of the weights.
        seed: Seed of the draws.
    """
    law = fit_law(runs.data(length))
    draws = law.draw(DRAWS, np.random.default_rng(seed), length.replicates(seed))
    return Fitted(length, law, draws, answer_of(law, draws, importance, bounds, seed))


def answer_of(law: Posterior, draws: Draws, importance: Array, bounds: Bounds, seed: int) -> Answer:
    """The best mixture by a law.

    Args:
        law: A law fitted to runs.
        draws: From its posterior.
        importance: (m,) how much each loss counts, summing to 1.
        bounds: Of the weights.
        seed: Seed of the deviations of runs.
    """
    return _answer(*law.terms, draws, importance, bounds, seed)


def carried_answer(draws: Draws, importance: Array, bounds: Bounds, seed: int) -> Answer:
    """The best mixture by draws of another scale than that of the runs (see `scale`)."""
    slopes, matrices = draws.slopes[:_OPTIMA], draws.matrices[draws.transfer[:_OPTIMA]]
    return _answer(slopes, matrices, draws, importance, bounds, seed)


class _Candidate(NamedTuple):
    """A mixture within (k,) floors, and its (d,) gains: expected ones, and those of two runs."""

    floors: Array
    weights: Array
    gains: Array
    seen: Array


def _answer(
    slopes: Array, matrices: Array, draws: Draws, importance: Array, bounds: Bounds, seed: int
) -> Answer:
    """The best mixture by (h, m) slopes and their (h, m, k) matrices together."""
    candidates = []
    for floors in map(bounds.floors, _KEPT):
        weights = _best(slopes, matrices, importance, floors, bounds.most)
        gains = draws.gains(weights, bounds.baseline, importance, np.random.default_rng(seed))
        candidates.append(_Candidate(floors, weights, *gains))
    chosen = max(candidates, key=lambda each: each.gains.mean() - each.gains.std())
    optima = [
        _best(drawn, draws.matrices[at], importance, chosen.floors, bounds.most, _TOLERANCE_OF_DRAWS)
        for drawn, at in zip(draws.slopes[:_OPTIMA], draws.transfer[:_OPTIMA], strict=True)
    ]
    low, high = np.quantile(chosen.seen, [0.025, 0.975]).tolist()
    return Answer(
        chosen.weights,
        bounds.baseline,
        np.sqrt(np.mean(np.square(np.array(optima) - chosen.weights), axis=0)),
        float(chosen.gains.mean()),
        float(chosen.gains.std()),
        (low, high),
    )


def _best(
    slopes: Array, matrices: Array, importance: Array, floors: Array, most: Array, tolerance: float = 1e-7
) -> Array:
    """(k,) the best shares by (h, m) slopes and their (h, m, k) matrices together."""
    coefficients = (slopes * importance).ravel()
    return best_mixture(coefficients, matrices.reshape(len(coefficients), -1), floors, most, tolerance)
