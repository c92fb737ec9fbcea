"""RegMix's regressors on its published runs: how well they rank mixtures they were not fitted to.

512 runs of a 1M model on mixtures of 17 domains, with 13 losses; 256 other runs, and 256 of a 60M model, are
used for testing only. Regressors are fitted to the first 54, 128, 256 and 512 runs; cross-validation chooses
the one in use. The baseline is LightGBM with the published settings, fitted to the same runs.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.machine import ROOT, Figure, Report, command_line, publish
from chameleon.common.errors import InputError
from chameleon.common.figures import PALETTE, new_axes, new_figure, save_figure
from chameleon.methods.options import REGRESSORS, MethodOptions
from chameleon.methods.regmix.search import find_best_mixture
from chameleon.methods.regmix.selection import fit, rank_correlation, rank_regressors
from chameleon.methods.runs import Runs, read_runs
from chameleon.training.options import TrainingOptions

_DATA = ROOT.parent / "shared" / "data" / "regmix"
_SIZES = (54, 128, 256, 512)
# Weights in the method's repository for models of 1B (mixture_config/config_1b/regmix.yaml), at least 0.002.
_TARGET = "the_pile_pile_cc"
_PUBLISHED = {
    "the_pile_pile_cc": 0.870,
    "the_pile_ubuntu_irc": 0.064,
    "the_pile_pubmed_abstracts": 0.024,
    "the_pile_wikipedia_en": 0.016,
    "the_pile_hackernews": 0.012,
    "the_pile_pubmed_central": 0.003,
    "the_pile_uspto_backgrounds": 0.002,
}
_TARGETS = {"1M": 0.989, "60M": 0.984}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--runs", type=Path, default=_DATA, help=f"directory of the tables (default: {_DATA.name})"
    )
    parser.add_argument("--picture", type=Path, help="file of a picture, .png, .svg or .pdf (default: none)")
    arguments = parser.parse_args(argv)
    try:
        runs = read_runs(arguments.runs / "train_mixture_1m.csv", arguments.runs / "train_pile_loss_1m.csv")
        tests = {
            name: read_runs(
                arguments.runs / f"test_mixture_{name.lower()}.csv",
                arguments.runs / f"test_pile_loss_{name.lower()}.csv",
            )
            for name in _TARGETS
        }
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    figures, correlations = [], {}
    for n in _SIZES:
        some = _first(runs, n)
        chosen = rank_regressors(some, None, 0)[0].regressor
        for regressor in REGRESSORS:
            if n < 50 and regressor == "lightgbm":
                continue
            by_test = {name: _mean_correlation(regressor, some, test) for name, test in tests.items()}
            correlations[regressor, n] = by_test
            for name, value in by_test.items():
                is_chosen = regressor == chosen
                at_least = _TARGETS[name] if n == max(_SIZES) and is_chosen else None
                mark = ", chosen" if is_chosen else ""
                label = f"{n} runs, {regressor}{mark}: mean rank correlation, {name} test"
                figures.append(Figure(label, value, at_least=at_least))
    options = MethodOptions(training=TrainingOptions(), target_domains=(_TARGET,))
    result = find_best_mixture(runs, runs.mixtures.mean(axis=0), None, options)
    shares = dict(zip(runs.names, result.best.weights.tolist(), strict=True))
    for name, share in _PUBLISHED.items():
        figures.append(
            Figure(f"best for Pile-CC, {name.removeprefix('the_pile_')} (published {share})", shares[name])
        )
    if arguments.picture is not None:
        _draw(correlations, arguments.picture)
    conditions = {
        "domains": len(runs.names),
        "losses": len(runs.loss_names),
        "regressor for Pile-CC": result.validations[0].regressor,
    }
    return publish(
        Report("regmix", "LightGBM with the published settings", conditions, tuple(figures)), arguments.output
    )


def _first(runs: Runs, n: int) -> Runs:
    return replace(runs, mixtures=runs.mixtures[:n], losses=runs.losses[:n], ids=runs.ids[:n])


def _mean_correlation(regressor: str, runs: Runs, test: Runs) -> float:
    """Spearman's correlation on a test set, mean over losses."""
    assert (runs.names, runs.loss_names) == (test.names, test.loss_names)
    predictions = fit(regressor, runs, 0)
    return float(
        np.mean(
            [rank_correlation(each(test.mixtures), test.losses[:, i]) for i, each in enumerate(predictions)]
        )
    )


def _draw(correlations: dict[tuple[str, int], dict[str, float]], path: Path) -> None:
    titles = {"gp": "Gaussian process", "loglinear": "log-linear law", "lightgbm": "LightGBM"}
    figure = new_figure(8, 3.8)
    for number, (test, target) in enumerate(_TARGETS.items(), 1):
        axes = new_axes(figure, 1, 2, number)
        axes.sharey(figure.axes[0])
        for regressor, colour in zip(REGRESSORS, PALETTE, strict=False):
            sizes = [n for n in _SIZES if (regressor, n) in correlations]
            values = [correlations[regressor, n][test] for n in sizes]
            axes.plot(sizes, values, "o-", color=colour, label=titles[regressor])
        axes.axhline(target, color="#555555", linewidth=0.8, linestyle="--", label="target with 512")
        axes.set_xscale("log", base=2)
        axes.set_xticks(_SIZES, [str(n) for n in _SIZES])
        axes.minorticks_off()
        axes.set_xlabel("runs fitted to")
        axes.set_title(f"tested on {test} models")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("rank correlation, mean of 13 losses")
    figure.axes[0].legend(frameon=False, loc="lower right")
    save_figure(figure, path)


if __name__ == "__main__":
    sys.exit(main())
