"""RegMix's way from runs to weights (arXiv 2407.01492).

Shapes: n runs, k domains, m losses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.export.budget import project_shares
from chameleon.methods.options import BEST, SIMULATED
from chameleon.methods.regmix.runs import Array, Runs
from chameleon.methods.regmix.selection import (
    FittedRegressor,
    correlation_interval,
    fit,
    mean_of,
    rank_correlation,
    validated_regressors,
    wanted_runs,
)

# Concentrations of the Dirichlet distributions, as published: few domains at a time, or many.
_LEAST_STRENGTH, _MOST_STRENGTH = 0.1, 5.0


# Natural shares to this power are the mean, so that small domains are seen as well.
_FLATTENED = 0.5


# Shares below are none: a small model would hardly see a row of it.
_NOTHING = 1e-3


_AT_ONCE = 10_000


def draw_mixtures(natural: Array, number: int, seed: int, most: Array | None = None) -> Array:
    """Random mixtures about natural shares.

    Mixture j is a function of seed and j: a longer list begins with the shorter.

    Args:
        natural: (k,) shares, not negative; a domain of 0 stays out.
        number: n.
        seed: Names them.
        most: (k,) caps; what is over them goes to the others in proportion.

    Returns:
        (n, k) shares, rows summing to 1.
    """
    mean = natural**_FLATTENED
    mean /= mean.sum()
    found = np.empty((number, len(mean)))
    for begin in range(0, number, _AT_ONCE):
        size = min(_AT_ONCE, number - begin)
        # All of a stretch are drawn, however many are wanted of it.
        drawn = _stretch(mean, np.random.default_rng([seed, begin]))
        found[begin : begin + size] = drawn[:size]
    if most is not None:
        for row in np.flatnonzero((found > most).any(axis=1)):
            found[row] = project_shares(found[row], np.zeros(len(mean)), most)
    return found


def _stretch(mean: Array, chance: np.random.Generator) -> Array:
    low, high = np.log([_LEAST_STRENGTH, _MOST_STRENGTH]).tolist()
    strengths = np.exp(chance.uniform(low, high, size=_AT_ONCE))
    gammas = chance.standard_gamma(strengths[:, None] * mean)
    # Of a tiny concentration all may be 0: then one domain has all, as in the limit.
    lost = gammas.sum(axis=1) <= 0
    gammas[lost] = chance.multinomial(1, mean, size=int(lost.sum()))
    shares = gammas / gammas.sum(axis=1, keepdims=True)
    shares[shares < _NOTHING] = 0.0
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The outcome of a search.

    Attributes:
        weights: (k,) the mean of the best mixtures.
        predicted: What is predicted for it.
        predicted_natural: And for natural shares.
        spread: (k,) standard deviation of the shares among the best.
    """

    weights: Array
    predicted: float
    predicted_natural: float
    spread: npt.NDArray[np.float64]


def search(
    predict: Callable[[Array], Array],
    natural: Array,
    seed: int,
    most: Array | None = None,
    simulated: int = SIMULATED,
    best: int = BEST,
) -> SearchResult:
    """The mean of the best of many random mixtures.

    Args:
        predict: From (n, k) mixtures to (n,) what is to be small.
        natural, seed, most: As of `draw_mixtures`.
        simulated: How many are drawn.
        best: How many of them count.
    """
    drawn = draw_mixtures(natural, simulated, seed, most)
    predicted = predict(drawn)
    chosen = drawn[np.argsort(predicted, kind="stable")[:best]]
    weights = chosen.mean(axis=0)
    weights /= weights.sum()
    shares = natural / natural.sum()
    values = predict(np.stack([weights, shares]))
    return SearchResult(weights, float(values[0]), float(values[1]), chosen.std(axis=0))


# A regression that ranks mixtures worse than this is hardly one.
_HARDLY = 0.5


@dataclass(frozen=True)
class RegMixSettings:
    """Of the method.

    Attributes:
        regressor: loglinear or lightgbm; the one that predicts best by default.
        targets: Domains whose losses' mean is to be small; all by default.
        simulated, best: As of `search`.
        seed: Names folds and simulated mixtures.
    """

    regressor: str | None = None
    targets: tuple[str, ...] | None = None
    simulated: int = SIMULATED
    best: int = BEST
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Regressed:
    """What comes of runs.

    Attributes:
        runs: They, with the losses of the targets alone.
        judged: The regressions, the one in use first.
        found: The outcome of the search.
        correlation: Spearman's, of the mean loss of runs and what is predicted for them by the others.
        interval: Its 95 % interval.
        notices: What the user must know.
    """

    runs: Runs
    judged: Sequence[FittedRegressor]
    found: SearchResult
    correlation: float
    interval: tuple[float, float]
    notices: tuple[str, ...]

    def correlations(self) -> dict[str, float]:
        """Of each loss."""
        pairs = zip(self.judged[0].predicted.T, self.runs.losses.T, strict=True)
        return dict(zip(self.runs.losses_of, (rank_correlation(*pair) for pair in pairs), strict=True))

    def diagnostics(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "regressor": self.judged[0].regressor,
            "relative_errors": {each.regressor: each.error for each in self.judged},
            "rank_correlation": self.correlation,
            "rank_correlation_interval": list(self.interval),
            "rank_correlations": self.correlations(),
            "predicted_loss": self.found.predicted,
            "predicted_loss_of_natural": self.found.predicted_natural,
            "runs": len(self.runs),
            "runs_diverged": list(self.runs.diverged),
        }


def regress(runs: Runs, natural: Array, most: Array | None, settings: RegMixSettings) -> Regressed:
    """The mixture of the least loss by a regression on runs.

    Args:
        runs: They.
        natural: (k,) shares about which mixtures are looked for.
        most: (k,) caps on shares, if there are any.
        settings: Of the method.

    Raises:
        InputError: A target has no losses, or the runs are too few for the regression.
    """
    runs = _of_targets(runs, settings.targets)
    judged = validated_regressors(runs, settings.regressor, settings.seed)
    best, n, k = judged[0], len(runs), len(runs.names)
    correlation = rank_correlation(best.predicted.mean(axis=1), runs.losses.mean(axis=1))
    interval = correlation_interval(correlation, n)
    predict = mean_of(fit(best.regressor, runs, settings.seed))
    found = search(predict, natural, settings.seed, most, settings.simulated, settings.best)
    notices = []
    if n < wanted_runs(k):
        notices.append(
            f"{n} runs are few for {k} domains: below {wanted_runs(k)}, 3 for each coefficient, what is "
            "predicted hangs on chance"
        )
    if interval[0] < _HARDLY:
        notices.append(
            f"the regression hardly ranks runs that it has not seen (rank correlation {correlation:.2f}, "
            f"95 % interval {interval[0]:.2f} to {interval[1]:.2f}): train more of them, or longer"
        )
    if found.predicted >= found.predicted_natural:
        notices.append(
            f"no mixture is predicted to be better than natural shares ({found.predicted:.4g} and "
            f"{found.predicted_natural:.4g} nats)"
        )
    return Regressed(runs, judged, found, correlation, interval, tuple(notices))


def _of_targets(runs: Runs, targets: Sequence[str] | None) -> Runs:
    if targets is None:
        return runs
    if missing := [each for each in targets if each not in runs.losses_of]:
        raise InputError(
            f"there are no losses on {missing[0]} (--target_domains); there are on "
            f"{', '.join(runs.losses_of)[:400]}"
        )
    columns = [runs.losses_of.index(each) for each in targets]
    return Runs(runs.names, runs.mixtures, tuple(targets), runs.losses[:, columns], runs.ids, runs.diverged)
