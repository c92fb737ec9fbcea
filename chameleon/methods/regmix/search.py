"""RegMix's search for the mixture with the lowest predicted loss (arXiv 2407.01492).

Shapes: n runs or mixtures, k domains, m losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.methods.mixtures import draw_mixtures
from chameleon.methods.options import MethodOptions
from chameleon.methods.regmix.selection import (
    CrossValidation,
    Predict,
    correlation_interval,
    fit,
    rank_correlation,
    rank_regressors,
)
from chameleon.methods.runs import Runs, recommended_runs

# A regression whose rank correlation may be lower than this is reported as poor.
_POOR = 0.5


@dataclass(frozen=True, eq=False)
class BestMixture:
    """The mean of the best simulated mixtures.

    Attributes:
        weights: (k,) shares.
        predicted: Predicted loss of these.
        predicted_natural: Predicted loss of natural shares.
        spread: (k,) standard deviation of shares among the best mixtures.
    """

    weights: Array
    predicted: float
    predicted_natural: float
    spread: Array


@dataclass(frozen=True, eq=False)
class RegMixResult:
    """A mixture, and how well the regression that found it predicts.

    Attributes:
        runs: The runs, with the losses of the targets only.
        validations: The regressors in cross-validation, the one in use first.
        best: The mixture.
        correlation: Spearman's, of the mean loss of runs and its prediction in cross-validation.
        interval: Its 95 % interval.
        notices: What the user must know.
    """

    runs: Runs
    validations: Sequence[CrossValidation]
    best: BestMixture
    correlation: float
    interval: tuple[float, float]
    notices: tuple[str, ...]

    def correlations(self) -> dict[str, float]:
        """Rank correlation of measured and predicted values of each loss."""
        pairs = zip(self.validations[0].predicted.T, self.runs.losses.T, strict=True)
        return dict(zip(self.runs.loss_names, (rank_correlation(*pair) for pair in pairs), strict=True))

    def diagnostics(self) -> dict[str, Any]:
        """The diagnostics of the weights file."""
        return {
            "regressor": self.validations[0].regressor,
            "relative_errors": {each.regressor: each.error for each in self.validations},
            "rank_correlation": self.correlation,
            "rank_correlation_interval": list(self.interval),
            "rank_correlations": self.correlations(),
            "predicted_loss": self.best.predicted,
            "predicted_loss_of_natural": self.best.predicted_natural,
            "runs": len(self.runs),
            "runs_diverged": list(self.runs.diverged),
        }


def find_best_mixture(runs: Runs, natural: Array, caps: Array | None, options: MethodOptions) -> RegMixResult:
    """Fit a regression to runs, and search for the mixture with the lowest predicted loss.

    Args:
        runs: Mixtures and losses.
        natural: (k,) shares around which mixtures are drawn.
        caps: (k,) largest shares; None for no limits.
        options: Which regressor, for which targets, and how long to search.

    Raises:
        InputError: A target has no losses, or there are too few runs for the regression.
    """
    runs, seed = _with_losses_of(runs, options.target_domains), options.training.seed
    validations = rank_regressors(runs, options.regressor, seed)
    used = validations[0]
    correlation = rank_correlation(used.predicted.mean(axis=1), runs.losses.mean(axis=1))
    interval = correlation_interval(correlation, len(runs))
    predictions = fit(used.regressor, runs, seed)

    def mean_loss(mixtures: Array) -> Array:
        return np.asarray(np.mean([each(mixtures) for each in predictions], axis=0))

    best = search(mean_loss, natural, seed, caps, options.num_simulated, options.num_best)
    notices = _notices(len(runs), len(runs.names), correlation, interval, best)
    return RegMixResult(runs, validations, best, correlation, interval, notices)


def search(
    predict: Predict, natural: Array, seed: int, caps: Array | None, simulated: int, best: int
) -> BestMixture:
    """The mean of the best of many random mixtures.

    Args:
        predict: From (n, k) mixtures to (n,) values to minimise.
        natural, seed, caps: See `draw_mixtures`.
        simulated: How many mixtures are drawn.
        best: How many of them are averaged.
    """
    drawn = draw_mixtures(natural, simulated, seed, caps)
    chosen = drawn[np.argsort(predict(drawn), kind="stable")[:best]]
    weights = chosen.mean(axis=0)
    weights /= weights.sum()
    values = predict(np.stack([weights, natural / natural.sum()]))
    return BestMixture(weights, float(values[0]), float(values[1]), chosen.std(axis=0))


def _notices(
    n: int, k: int, correlation: float, interval: tuple[float, float], best: BestMixture
) -> tuple[str, ...]:
    notices = []
    if n < recommended_runs(k):
        notices.append(
            f"{n} runs are few for {k} domains: with fewer than {recommended_runs(k)}, 3 for each "
            "coefficient, predictions are unreliable"
        )
    if interval[0] < _POOR:
        notices.append(
            f"the regression ranks held-out runs poorly (rank correlation {correlation:.2f}, 95 % interval "
            f"{interval[0]:.2f} to {interval[1]:.2f}): train more runs, or longer ones"
        )
    if best.predicted >= best.predicted_natural:
        notices.append(
            f"no mixture is predicted to be better than natural shares ({best.predicted:.4g} and "
            f"{best.predicted_natural:.4g} nats)"
        )
    return tuple(notices)


def _with_losses_of(runs: Runs, targets: Sequence[str] | None) -> Runs:
    if targets is None:
        return runs
    if missing := [each for each in targets if each not in runs.loss_names]:
        raise InputError(
            f"no losses on {missing[0]} (--target_domains); the runs have losses on "
            f"{listed(runs.loss_names, 20)}"
        )
    columns = [runs.loss_names.index(each) for each in targets]
    return replace(runs, loss_names=tuple(targets), losses=runs.losses[:, columns])
