"""Everything that can be asked of the methods: the options, their defaults and their flags.

A new method gets an entry in `METHODS`, at the end, and a field of `MethodOptions` for each of its flags.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from chameleon.common.command_line import (
    Parser,
    fraction,
    nonempty,
    nonempty_path,
    nonnegative_number,
    numbers_by_name,
    token_count,
)
from chameleon.common.errors import InputError
from chameleon.common.flags import add_flags, flag
from chameleon.embeddings.options import WORKER_FLAGS, Engine, WorkerOptions, engine_flag
from chameleon.export.options import epochs_by_domain
from chameleon.text.options import READING_FLAGS_BUT_TOKENIZER
from chameleon.training.options import MODEL_FLAGS, STEP_FLAGS, TrainingOptions

DEFAULT_OUTPUT_DIR = "./methods/"
REGRESSORS = ("gp", "loglinear", "lightgbm")


def importance_by_domain(text: str) -> dict[str, float]:
    """Numbers by domain, at least 0 and not all 0, "" for all others: X,NAME=X,..."""
    numbers = numbers_by_name(text, nonnegative_number)
    if not any(numbers.values()):
        raise argparse.ArgumentTypeError(f"expected a number above 0 for some domain, got {text!r}")
    return numbers


def shares_of_length(text: str) -> tuple[float, ...]:
    """Shares above 0 and at most 1, by rising size, 1 among them."""
    shares = [fraction(part) for part in text.split(",")]
    if not all(shares):
        raise argparse.ArgumentTypeError(f"expected shares above 0, got {text!r}")
    return tuple(sorted({*shares, 1.0}))


@dataclass(frozen=True, kw_only=True)
class MethodOptions(WorkerOptions):
    """What is asked of a method, named as the flags; each method uses its own. None where the user gave none.

    `python -m chameleon methods METHOD --help` says what each does.
    """

    training: TrainingOptions
    token_counts: Path | None = flag(
        None, "JSON file with the tokens of each domain (default: count them in the corpus)"
    )
    budget: float | None = flag(
        None,
        "tokens of the training run that the weights are for, such as 300B; adds epochs to the table "
        "(default: unknown)",
        type=token_count,
        metavar="TOKENS",
    )
    max_epochs: dict[str, float] | None = flag(
        None,
        "how often text may repeat within --budget, for all domains or by name, such as 4,book=2 (default: "
        "no limit)",
        type=epochs_by_domain,
        metavar="E[,NAME=E...]",
    )
    temperature: float = flag(
        2.0, "1 gives natural shares; the larger, the closer to uniform (default: %(default)s)", metavar="T"
    )
    target_domains: tuple[str, ...] | None = flag(
        None, "comma-separated domains whose loss is to be lowered (default: all)"
    )
    importance: dict[str, float] | None = flag(
        None,
        "how much the loss on each domain counts, such as code=2,law=1; a number without a name is for all "
        "others, which else count 0 (default: all count the same)",
        type=importance_by_domain,
        metavar="X[,NAME=X...]",
    )
    target: Path | None = flag(
        None,
        "file of held-out text of your own, such as target.jsonl; the loss on it counts instead of those on "
        "the domains (default: none)",
    )
    lengths: tuple[float, ...] = flag(
        (1.0,),
        "lengths of the runs, as shares of --max_steps, such as 0.25,1; with two, weights are carried to "
        "--budget (default: 1)",
        type=shares_of_length,
        metavar="SHARE[,SHARE...]",
    )
    no_own_run: bool = flag(
        False,
        "do not train a run on the law's own answer, which tests and improves it (default: train it)",
    )
    proxy: str | None = flag(
        None,
        "checkpoint that embeds the domains of --dataset (default: the run on uniform weights; for --runs "
        "none, and each domain counts for itself alone)",
        metavar="PATH",
    )
    min_weight: float = flag(0.0, "least share of a domain (default: 0)", type=fraction)
    prior_strength: float = flag(
        0.0,
        "how far to pull the weights to natural shares, from 0 to 1 (default: 0)",
        type=fraction,
    )
    runs: Path | None = flag(
        None,
        "mixtures of runs of your own: a line for each run, with its name and the share of each domain "
        "(default: train the runs). Needs --losses",
        metavar="CSV",
    )
    losses: Path | None = flag(
        None,
        "losses of the runs in --runs: a line for each run, with its name and its loss on each domain "
        "(default: none)",
        metavar="CSV",
    )
    num_runs: int | None = flag(
        None,
        "small models to train, each on its own mixture (default: 3 (k + 1) for k domains; for the law 4 and "
        "one on its answer). Raise it for better predictions",
    )
    run_steps: int | None = flag(
        None,
        "optimizer steps of each small model (default: --max_steps; with `all`, as many as make all runs "
        "together take the steps of DoReMi)",
    )
    regressor: str | None = flag(
        None,
        "predicts a loss from a mixture: a Gaussian process, c + exp(a . p), or trees of LightGBM (default: "
        "the one with the smallest error in cross-validation)",
        choices=REGRESSORS,
    )
    num_simulated: int = flag(
        100_000,
        "random mixtures among which the best are searched (default: 100,000). Raise it for many domains",
    )
    num_best: int = flag(
        128, "mixtures with the lowest predicted loss that are averaged (default: %(default)s)"
    )
    max_heldout_tokens: int = flag(
        1 << 16, "held-out tokens of each domain on which a small model is evaluated (default: %(default)s)"
    )
    engine: Engine = engine_flag("training of the small models")
    num_seeds: int = flag(
        2,
        "proxies to train, with seeds from --seed on, whose weights are averaged (default: "
        "%(default)s, which shows whether they agree)",
    )
    reference_weights: str = flag(
        "uniform",
        "mixture of the reference model: uniform, natural or a weights file (default: uniform)",
        metavar="W",
    )
    step_size: float = flag(
        1.0,
        "change of a weight's logarithm in a step, for each nat of excess loss (default: "
        "%(default)s). Lower it where seeds disagree",
        metavar="ETA",
    )
    smoothing: float = flag(
        1e-3,
        "share of uniform weights mixed in at each step (default: %(default)s). Raise it "
        "where a weight goes to 0",
        type=fraction,
        metavar="E",
    )
    mu: float = flag(0.01, "the smaller, the faster the weights move (default: %(default)s)")
    out_of_domain: bool = flag(
        False, "measure gradients on --target_domains, but do not train on them (default: train on all)"
    )


def options_from(flags: Mapping[str, Any]) -> MethodOptions:
    """Options from the values of flags by name; each method has some of them.

    Raises:
        InputError: One of --runs and --losses is missing, or a flag of workers does not go with the engine.
    """
    training, own = (
        {each.name: flags[each.name] for each in fields(options) if each.name in flags}
        for options in (TrainingOptions, MethodOptions)
    )
    training.setdefault("output_dir", Path(DEFAULT_OUTPUT_DIR))
    options = MethodOptions(training=TrainingOptions(**training), **own)
    if (options.runs is None) != (options.losses is None):
        raise InputError("--runs and --losses go together: give the mixtures of runs and their losses")
    options.require_used()
    return options


class MethodCommand(NamedTuple):
    """What the command line knows of a method.

    Attributes:
        about: What it does, for the help.
        flags: Its own flags by group, for `add_flags`.
        trains_models: Whether it trains models; a method that does not needs only token counts.
        picture: What its picture shows; None where there is none.
    """

    about: str
    flags: Mapping[str, str] = {}
    trains_models: bool = True
    picture: str | None = None


_TARGETS = {"targets": "target_domains"}
_SEEDS = {"seeds": "num_seeds"}
_COUNTS = {"options": "token_counts"}
_SMALL_MODELS = {
    "small models": "num_runs run_steps max_heldout_tokens runs losses",
    "machines": WORKER_FLAGS,
}

# A new method is named here; its function goes into `FUNCTIONS` in run.py.
METHODS: Mapping[str, MethodCommand] = {
    "uniform": MethodCommand("the same weight for each domain", _COUNTS, False),
    "natural": MethodCommand("shares of the available tokens", _COUNTS, False),
    "temperature": MethodCommand(
        "shares of tokens^(1/T), between natural and uniform",
        {"temperature": "temperature", **_COUNTS},
        False,
    ),
    "regmix": MethodCommand(
        "small models on random mixtures, and a regression of their losses",
        {**_SMALL_MODELS, "RegMix": "regressor num_simulated num_best", **_TARGETS, **_COUNTS},
        picture="predicted and measured losses",
    ),
    "doremi": MethodCommand(
        "a proxy trained most on domains where it lags behind a reference model",
        {"DoReMi": "reference_weights step_size smoothing", **_SEEDS},
        picture="the weights over the steps",
    ),
    "doge": MethodCommand(
        "a proxy trained most on domains whose gradients help the others",
        {"DoGE": "mu out_of_domain", **_TARGETS, **_SEEDS},
        picture="the weights over the steps",
    ),
    "law": MethodCommand(
        "a few small models, and a law of what domains learn from their own and other text",
        {
            "law": "importance target lengths no_own_run proxy",
            **_SMALL_MODELS,
            "limits": "min_weight prior_strength",
            **_COUNTS,
        },
        picture="predicted and measured losses, and the weights",
    ),
}
_ALL = MethodCommand(
    "all methods, in one table and picture",
    {title: flags for each in METHODS.values() for title, flags in each.flags.items() if title != "options"},
    picture="all weights",
)


def build_parser() -> argparse.ArgumentParser:
    """The command line: a command for each method, and one for all."""
    parser = Parser(
        prog="python -m chameleon methods",
        description="Compute weights by other methods, on the same corpus, tokenizer and held-out documents.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="method", required=True, metavar="METHOD")
    for name, method in {**METHODS, "all": _ALL}.items():
        description = f"{method.about[0].upper()}{method.about[1:]}."
        command = commands.add_parser(name, help=method.about, description=description)
        _add_result_flags(command, name, method.picture)
        add_flags(command, MethodOptions, {"result": "budget max_epochs", **method.flags})
        text = {"text": "dataset domains heldout_share packed_dir"}
        if method.trains_models:
            command.add_argument_group("model").add_argument(
                "--output_dir",
                type=nonempty_path,
                default=Path(DEFAULT_OUTPUT_DIR),
                metavar="DIR",
                help=f"directory of models and runs; those in it are resumed (default: {DEFAULT_OUTPUT_DIR})",
            )
            add_flags(command, TrainingOptions, {"model": MODEL_FLAGS, **text, **STEP_FLAGS})
        else:
            model = {"model": MODEL_FLAGS.removeprefix("model ")}
            add_flags(command, TrainingOptions, {**model, **text, **READING_FLAGS_BUT_TOKENIZER})
    return parser


def _add_result_flags(parser: argparse.ArgumentParser, method: str, picture: str | None) -> None:
    group = parser.add_argument_group("result")
    if method == "all":
        group.add_argument(
            "--beside",
            type=Path,
            nargs="+",
            default=[],
            metavar="FILE",
            help="weights files to show in the same table, such as that of the main command (default: none)",
        )
    else:
        group.add_argument(
            "--output",
            type=nonempty,
            metavar="FILE",
            help=f"weights file (default: weights_{method}.json); - writes it to stdout and the table to "
            "stderr",
        )
    if picture is not None:
        group.add_argument(
            "--picture",
            type=nonempty_path,
            metavar="FILE",
            help=f"picture of {picture}: .png, .svg or .pdf (default: next to the weights, as .png)",
        )
