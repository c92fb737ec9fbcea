"""The affinity law on losses whose answer is known: is its gain within the interval, and how much is found?

- Synthetic laws: losses drawn from the law with random slopes and constants, and from a wrong law, a power of
  the effective share instead of its logarithm. The law is fitted to few runs with noise; its gain is compared
  with the true one, and its mixture with the best. The baseline is the best mixture.
- RegMix's published runs: the law is fitted to a few of them, without affinities, and predicts the difference
  of other runs.
- Runs on real text (results/comparison/): each in turn is left out, and its gain over uniform weights is
  predicted from the others.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.machine import ROOT, Figure, Report, command_line, positive_int, publish
from chameleon.common.arrays import Array
from chameleon.methods.law.answer import DRAWS, answer_of
from chameleon.methods.law.design import add_runs
from chameleon.methods.law.fit import LawData, fit_law
from chameleon.methods.law.optimum import best_mixture
from chameleon.methods.law.request import Bounds
from chameleon.methods.law.transfer import Transfer
from chameleon.methods.runs import read_runs

# Noise of a loss and of what the losses of a run have in common, in nats, as in docs/comparison.md.
_NOISE, _COMMON_NOISE = 0.01, 0.004
_K = 9


class _Case(NamedTuple):
    """Losses whose answer is known."""

    affinities: Array
    matrix: Array
    losses: Callable[[Array], Array]
    best: Array


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, compare and report."""
    parser = command_line(__doc__)
    parser.add_argument("--cases", type=positive_int, default=60, help="synthetic laws (default: 60)")
    parser.add_argument("--runs_of", type=Path, help="directory of RegMix's published tables (default: none)")
    arguments = parser.parse_args(argv)
    figures = [*_synthetic(arguments.cases), *_designs(arguments.cases)]
    if arguments.runs_of is not None:
        figures += _published(arguments.runs_of)
    figures += _left_out(ROOT / "benchmarks" / "results" / "comparison")
    conditions = {"cases": arguments.cases, "domains": _K, "noise": _NOISE, "common noise": _COMMON_NOISE}
    return publish(Report("law", "the best mixture", conditions, tuple(figures)), arguments.output)


def _case(random: np.random.Generator, is_wrong: bool) -> _Case:
    points = random.standard_normal((_K, 3)) * 1.2
    squared = np.square(points[:, None] - points[None]).sum(axis=2)
    affinities = 0.5 * np.exp(-2 * squared / np.median(squared[np.triu_indices(_K, 1)]))
    transfer = Transfer(float(random.choice([0.3, 0.6, 1.0])), float(random.choice([0.5, 1, 2])), 0.003)
    matrix = transfer.matrix(affinities, np.eye(_K, dtype=bool))
    slopes = np.clip(random.normal(0.3, 0.12, _K), 0.03, None)
    if not is_wrong:
        best = best_mixture(slopes, matrix, np.zeros(_K), np.ones(_K))
        return _Case(affinities, matrix, lambda w: -slopes * np.log(w @ matrix.T), best)
    power = float(random.uniform(0.2, 0.5))

    def losses(mixtures: Array) -> Array:
        return np.asarray(slopes / power * (_K * mixtures @ matrix.T) ** -power)

    # The gradient of the wrong law gives the same update with other factors.
    best = np.full(_K, 1 / _K)
    for _ in range(3000):
        factors = slopes * (_K * matrix @ best) ** -power
        best = best * ((factors / (matrix @ best)) @ matrix) / factors.sum()
    return _Case(affinities, matrix, losses, best)


def _answer(case: _Case, mixtures: Array, random: np.random.Generator) -> tuple[float, float, bool]:
    """True gain of the law's mixture, that of the best one, and whether a run's gain is in the interval."""
    uniform, importance = np.full(_K, 1 / _K), np.full(_K, 1 / _K)
    noise = random.standard_normal

    def measured(w: Array) -> Array:
        return np.asarray(case.losses(w) + _NOISE * noise((len(w), _K)) + _COMMON_NOISE * noise((len(w), 1)))

    data = LawData(mixtures, measured(mixtures), np.eye(_K, dtype=bool), case.affinities)
    law = fit_law(data)
    names = tuple(map(str, range(_K)))
    bounds = Bounds(np.zeros(_K), np.ones(_K)).for_importance(names, names, importance)
    answer = answer_of(law, law.draw(DRAWS, random), importance, bounds, int(random.integers(1 << 30)))
    base, own, best = case.losses(np.stack([uniform, answer.weights, case.best])).mean(axis=1)
    seen = measured(np.stack([uniform, answer.weights])).mean(axis=1)
    low, high = answer.interval
    return float(base - own), float(base - best), low <= seen[0] - seen[1] <= high


def _synthetic(cases: int) -> Iterator[Figure]:
    for is_wrong in (False, True):
        name = "wrong law" if is_wrong else "law"
        for number in (3, 4, 8):
            random = np.random.default_rng(number)
            rows = []
            for _ in range(cases):
                case = _case(random, is_wrong)
                runs = add_runs({"uniform": np.full(_K, 1 / _K)}, case.affinities, number, 0)
                rows.append(_answer(case, np.stack(list(runs.values())), random))
            gains, best, within = (np.array(column) for column in zip(*rows, strict=True))
            yield Figure(f"{name}, {number} runs: gain within the interval", within.mean(), at_least=0.9)
            target = 0.8 if number == 4 else None
            yield Figure(
                f"{name}, {number} runs: part of the best gain", gains.sum() / best.sum(), at_least=target
            )


def _designs(cases: int) -> Iterator[Figure]:
    """Runs that say most, beside runs on random mixtures."""
    uniform = np.full(_K, 1 / _K)
    for name in ("chosen", "random contrasts of 9 : 1", "random mixtures"):
        random, rows = np.random.default_rng(5), []
        for seed in range(cases):
            case = _case(random, False)
            if name == "chosen":
                mixtures = np.stack(list(add_runs({"uniform": uniform}, case.affinities, 4, 0).values()))
            elif name.startswith("random contrasts"):
                draws = np.random.default_rng(seed)
                shares = np.where([draws.permutation(_K) < _K // 2 for _ in range(3)], 9.0, 1.0)
                mixtures = np.vstack([uniform, shares / shares.sum(axis=1, keepdims=True)])
            else:
                mixtures = np.vstack([uniform, np.random.default_rng(seed).dirichlet(np.ones(_K), size=3)])
            rows.append(_answer(case, mixtures, random)[:2])
        gains, best = (np.array(column) for column in zip(*rows, strict=True))
        yield Figure(f"4 runs, {name}: part of the best gain", gains.sum() / best.sum())


def _published(directory: Path) -> Iterator[Figure]:
    """Differences of the mean loss of pairs of published runs, predicted from a few others."""
    runs = read_runs(directory / "train_mixture_1m.csv", directory / "train_pile_loss_1m.csv")
    is_own = np.array([[loss == name for name in runs.names] for loss in runs.loss_names])
    m = len(runs.loss_names)
    importance = np.full(m, 1 / m)
    for number in (4, 8, 16, 54):
        random, within = np.random.default_rng(0), []
        for _ in range(20):
            order = random.permutation(len(runs))
            law = fit_law(LawData(runs.mixtures[order[:number]], runs.losses[order[:number]], is_own))
            draws = law.draw(400, random)
            for one, other in order[number : number + 40].reshape(-1, 2).tolist():
                _, seen = draws.gains(runs.mixtures[one], runs.mixtures[other], importance, random)
                low, high = np.quantile(seen, [0.025, 0.975])
                within.append(low <= float((runs.losses[other] - runs.losses[one]).mean()) <= high)
        yield Figure(
            f"RegMix's runs, {number} of them: within the interval", float(np.mean(within)), at_least=0.9
        )


def _left_out(directory: Path) -> Iterator[Figure]:
    """Gains of runs on real text over uniform weights, each predicted from the other runs of its corpus."""
    within, squares = [], []
    for path in sorted(directory.glob("*_overlaps.csv")):
        corpus = path.name.removesuffix("_overlaps.csv")
        runs = read_runs(*(directory / f"{corpus}_{table}.csv" for table in ("mixtures", "losses")))
        worth = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, len(runs.names) + 1))
        uniform, m = runs.ids.index("uniform"), len(runs.names)
        importance, is_own = np.full(m, 1 / m), np.eye(m, dtype=bool)
        for index in range(len(runs)):
            if index == uniform:
                continue
            others = np.arange(len(runs)) != index
            law = fit_law(LawData(runs.mixtures[others], runs.losses[others], is_own, worth))
            random = np.random.default_rng(index)
            mixtures = runs.mixtures[index], runs.mixtures[uniform]
            gains, seen = law.draw(DRAWS, random).gains(*mixtures, importance, random)
            measured = float((runs.losses[uniform] - runs.losses[index]) @ importance)
            low, high = np.quantile(seen, [0.025, 0.975])
            within.append(low <= measured <= high)
            squares.append((gains.mean() - measured) ** 2)
    yield Figure("real runs left out: number", len(within))
    yield Figure("real runs left out: within the interval", float(np.mean(within)), at_least=0.9)
    yield Figure("real runs left out: error of the gain", float(np.mean(squares)) ** 0.5, "nats")


if __name__ == "__main__":
    sys.exit(main())
