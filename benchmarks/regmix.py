"""RegMix's regressions on its published runs: how well losses of mixtures that they have not seen are ranked.

512 runs of a 1M model on mixtures of 17 domains, with 13 losses; 256 others, and 256 of a 60M model, are for
testing alone. Regressions are fitted to the first 54, 128, 256 and 512 runs; which one is in use is chosen by
runs left out. The baseline is LightGBM with the published settings, fitted to the same runs.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import ROOT, Figure, Report, command_line, publish
from chameleon.common.errors import InputError
from chameleon.methods.options import REGRESSORS
from chameleon.methods.regmix.method import RegMixSettings, regress
from chameleon.methods.regmix.runs import Runs, read_runs
from chameleon.methods.regmix.selection import fit, rank_correlation, validated_regressors

_DATA = ROOT.parent / "shared" / "data" / "regmix"
_SIZES = (54, 128, 256, 512)
# As the method's repository has it for models of 1B (mixture_config/config_1b/regmix.yaml), from 0.002 on.
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
    parser.add_argument("--picture", type=Path, help="where a picture goes (default: none)")
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
    figures, found = [], {}
    for n in _SIZES:
        some = _first(runs, n)
        judged = validated_regressors(some, None, 0)
        for regressor in REGRESSORS:
            if n < 50 and regressor == "lightgbm":
                continue
            found[regressor, n] = {name: _ranked(regressor, some, test) for name, test in tests.items()}
            for name, value in found[regressor, n].items():
                is_chosen = regressor == judged[0].regressor
                at_least = _TARGETS[name] if n == max(_SIZES) and is_chosen else None
                chosen = ", chosen" if is_chosen else ""
                label = f"{n} runs, {regressor}{chosen}: mean rank correlation, {name} test"
                figures.append(Figure(label, value, at_least=at_least))
    best = regress(runs, runs.mixtures.mean(axis=0), None, RegMixSettings(targets=(_TARGET,)))
    shares = dict(zip(best.runs.names, best.found.weights.tolist(), strict=True))
    for name, share in _PUBLISHED.items():
        figures.append(
            Figure(f"best for Pile-CC, {name.removeprefix('the_pile_')} (published {share})", shares[name])
        )
    if arguments.picture is not None:
        _draw(found, arguments.picture)
    conditions = {
        "domains": len(runs.names),
        "losses": len(runs.losses_of),
        "regressor for Pile-CC": best.judged[0].regressor,
    }
    return publish(
        Report("regmix", "LightGBM with the published settings", conditions, tuple(figures)), arguments.output
    )


def _first(runs: Runs, n: int) -> Runs:
    return Runs(runs.names, runs.mixtures[:n], runs.losses_of, runs.losses[:n], runs.ids[:n])


def _ranked(regressor: str, runs: Runs, test: Runs) -> float:
    """Spearman's correlation on a test set, mean over losses."""
    assert (runs.names, runs.losses_of) == (test.names, test.losses_of)
    predictions = fit(regressor, runs, 0)
    return float(
        np.mean(
            [rank_correlation(each(test.mixtures), test.losses[:, i]) for i, each in enumerate(predictions)]
        )
    )


def _draw(found: dict[tuple[str, int], dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure as Canvas

    titles = {"gp": "Gaussian process", "loglinear": "log-linear law", "lightgbm": "LightGBM"}
    canvas = Canvas(figsize=(8, 3.8), layout="constrained")
    axes: Any = canvas.subplots(1, 2, sharey=True)
    for axis, name in zip(axes, _TARGETS, strict=True):
        for regressor, colour in zip(REGRESSORS, ("#1f6f8b", "#d1495b", "#edae49"), strict=True):
            sizes = [n for n in _SIZES if (regressor, n) in found]
            values = [found[regressor, n][name] for n in sizes]
            axis.plot(sizes, values, "o-", color=colour, label=titles[regressor])
        axis.axhline(_TARGETS[name], color="#555555", linewidth=0.8, linestyle="--", label="target with 512")
        axis.set_xscale("log", base=2)
        axis.set_xticks(_SIZES, [str(n) for n in _SIZES])
        axis.minorticks_off()
        axis.set_xlabel("runs that it is fitted to")
        axis.set_title(f"tested on {name} models")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("rank correlation, mean of 13 losses")
    axes[0].legend(frameon=False, loc="lower right")
    canvas.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
