"""RegMix's way from runs to weights (arXiv 2407.01492).

Shapes: n runs, k domains, m losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chameleon.errors import InputError
from chameleon.rivals.regmix.regression import (
    Judged,
    correlation_interval,
    fit,
    judged_regressors,
    mean_of,
    rank_correlation,
    wanted_runs,
)
from chameleon.rivals.regmix.runs import Array, Runs
from chameleon.rivals.regmix.search import BEST, SIMULATED, Found, search

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
    judged: Sequence[Judged]
    found: Found
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
    judged = judged_regressors(runs, settings.regressor, settings.seed)
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
