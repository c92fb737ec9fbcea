"""Everything that can be asked of the methods: the options, their defaults and their flags.

A new method gets an entry in `METHODS`, at the end, and a field of `MethodOptions` for each of its flags.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from chameleon.common.command_line import (
    Parser,
    fraction,
    name_list,
    nonempty,
    nonempty_path,
    positive_int,
    positive_number,
)
from chameleon.common.errors import InputError
from chameleon.embeddings.options import Engine, add_worker_flags, require_workers
from chameleon.export.options import epochs_by_domain, token_count
from chameleon.text.options import add_reading_flags
from chameleon.training.options import (
    TrainingOptions,
    add_machine_flags,
    add_mixture_flags,
    add_model_flags,
    add_step_flags,
    add_tokenizer_flags,
)

DEFAULT_OUTPUT_DIR = "./methods/"
REGRESSORS = ("gp", "loglinear", "lightgbm")


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """What is asked of a method, named as the flags; each method uses its own. None where the user gave none.

    `python -m chameleon methods METHOD --help` says what each does.
    """

    training: TrainingOptions
    token_counts: Path | None = None
    budget: float | None = None
    max_epochs: dict[str, float] | None = None
    temperature: float = 2.0
    target_domains: tuple[str, ...] | None = None
    # RegMix
    runs: Path | None = None
    losses: Path | None = None
    num_runs: int | None = None
    run_steps: int | None = None
    regressor: str | None = None
    num_simulated: int = 100_000
    num_best: int = 128
    max_heldout_tokens: int = 1 << 16
    engine: Engine = "serial"
    num_workers: int | None = None
    ray_address: str | None = None
    num_gpus_per_worker: float | None = None
    # DoReMi and DoGE
    num_seeds: int = 2
    reference_weights: str = "uniform"
    step_size: float = 1.0
    smoothing: float = 1e-3
    mu: float = 0.01
    out_of_domain: bool = False


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
    workers = ("num_workers", "ray_address", "num_gpus_per_worker")
    require_workers(options.engine, {name: getattr(options, name) for name in workers})
    return options


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
    group.add_argument(
        "--budget",
        type=token_count,
        metavar="TOKENS",
        help="tokens of the training run that the weights are for, such as 300B; adds epochs to the table "
        "(default: unknown)",
    )
    group.add_argument(
        "--max_epochs",
        type=epochs_by_domain,
        metavar="E[,NAME=E...]",
        help="how often text may repeat within --budget, for all domains or by name, such as 4,book=2 "
        "(default: no limit)",
    )


def _add_token_counts_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--token_counts",
        type=nonempty_path,
        metavar="FILE",
        help="JSON file with the tokens of each domain (default: count them in the corpus)",
    )


def _add_temperature_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("temperature").add_argument(
        "--temperature",
        type=positive_number,
        default=MethodOptions.temperature,
        metavar="T",
        help="1 gives natural shares; the larger, the closer to uniform (default: "
        f"{MethodOptions.temperature:g})",
    )


def _add_small_model_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("small models")
    group.add_argument(
        "--num_runs",
        type=positive_int,
        metavar="N",
        help="small models to train, each on its own mixture (default: 3 (k + 1) for k domains). Raise it "
        "for better predictions",
    )
    group.add_argument(
        "--run_steps",
        type=positive_int,
        metavar="N",
        help="optimizer steps of each small model (default: --max_steps; with `all`, as many as make all "
        "runs together take the steps of DoReMi)",
    )
    group.add_argument(
        "--max_heldout_tokens",
        type=positive_int,
        default=MethodOptions.max_heldout_tokens,
        metavar="N",
        help="held-out tokens of each domain on which a small model is evaluated (default: "
        f"{MethodOptions.max_heldout_tokens})",
    )
    group.add_argument(
        "--runs",
        type=nonempty_path,
        metavar="CSV",
        help="mixtures of runs of your own: a line for each run, with its name and the share of each domain "
        "(default: train the runs). Needs --losses",
    )
    group.add_argument(
        "--losses",
        type=nonempty_path,
        metavar="CSV",
        help="losses of the runs in --runs: a line for each run, with its name and its loss on each domain "
        "(default: none)",
    )
    add_worker_flags(parser, "training of the small models")


def _add_regmix_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("RegMix")
    group.add_argument(
        "--regressor",
        choices=REGRESSORS,
        help="predicts a loss from a mixture: a Gaussian process, c + exp(a . p), or trees of LightGBM "
        "(default: the one with the smallest error in cross-validation)",
    )
    group.add_argument(
        "--num_simulated",
        type=positive_int,
        default=MethodOptions.num_simulated,
        metavar="N",
        help="random mixtures among which the best are searched (default: "
        f"{MethodOptions.num_simulated:,}). Raise it for many domains",
    )
    group.add_argument(
        "--num_best",
        type=positive_int,
        default=MethodOptions.num_best,
        metavar="N",
        help=f"mixtures with the lowest predicted loss that are averaged (default: {MethodOptions.num_best})",
    )


def _add_doremi_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("DoReMi")
    group.add_argument(
        "--reference_weights",
        type=nonempty,
        default="uniform",
        metavar="W",
        help="mixture of the reference model: uniform, natural or a weights file (default: uniform)",
    )
    group.add_argument(
        "--step_size",
        type=positive_number,
        default=MethodOptions.step_size,
        metavar="ETA",
        help="change of a weight's logarithm in a step, for each nat of excess loss (default: "
        f"{MethodOptions.step_size:g}). Lower it where seeds disagree",
    )
    group.add_argument(
        "--smoothing",
        type=fraction,
        default=MethodOptions.smoothing,
        metavar="E",
        help="share of uniform weights mixed in at each step (default: "
        f"{MethodOptions.smoothing:g}). Raise it where a weight goes to 0",
    )


def _add_doge_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("DoGE")
    group.add_argument(
        "--mu",
        type=positive_number,
        default=MethodOptions.mu,
        help=f"the smaller, the faster the weights move (default: {MethodOptions.mu:g})",
    )
    group.add_argument(
        "--out_of_domain",
        action="store_true",
        help="measure gradients on --target_domains, but do not train on them (default: train on all)",
    )


def _add_target_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("targets").add_argument(
        "--target_domains",
        type=name_list,
        metavar="A,B,...",
        help="comma-separated domains whose loss is to be lowered (default: all)",
    )


def _add_seeds_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("seeds").add_argument(
        "--num_seeds",
        type=positive_int,
        default=MethodOptions.num_seeds,
        metavar="N",
        help="proxies to train, with seeds from --seed on, whose weights are averaged (default: "
        f"{MethodOptions.num_seeds}, which shows whether they agree)",
    )


def _add_training_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of models and of their training."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--output_dir",
        type=nonempty_path,
        default=Path(DEFAULT_OUTPUT_DIR),
        metavar="DIR",
        help=f"directory of models and runs; those in it are resumed (default: {DEFAULT_OUTPUT_DIR})",
    )
    add_model_flags(group)
    add_mixture_flags(parser, weights=False)
    add_step_flags(parser)
    add_machine_flags(parser)


class MethodCommand(NamedTuple):
    """What the command line knows of a method.

    Attributes:
        about: What it does, for the help.
        flags: What add its own flags.
        trains_models: Whether it trains models; a method that does not needs only token counts.
        picture: What its picture shows; None where there is none.
    """

    about: str
    flags: tuple[Callable[[argparse.ArgumentParser], None], ...] = ()
    trains_models: bool = True
    picture: str | None = None


# A new method is named here; its function goes into `FUNCTIONS` in run.py.
METHODS: Mapping[str, MethodCommand] = {
    "uniform": MethodCommand("the same weight for each domain", (_add_token_counts_flag,), False),
    "natural": MethodCommand("shares of the available tokens", (_add_token_counts_flag,), False),
    "temperature": MethodCommand(
        "shares of tokens^(1/T), between natural and uniform",
        (_add_temperature_flag, _add_token_counts_flag),
        False,
    ),
    "regmix": MethodCommand(
        "small models on random mixtures, and a regression of their losses",
        (_add_small_model_flags, _add_regmix_flags, _add_target_flag, _add_token_counts_flag),
        picture="predicted and measured losses",
    ),
    "doremi": MethodCommand(
        "a proxy trained most on domains where it lags behind a reference model",
        (_add_doremi_flags, _add_seeds_flag),
        picture="the weights over the steps",
    ),
    "doge": MethodCommand(
        "a proxy trained most on domains whose gradients help the others",
        (_add_doge_flags, _add_target_flag, _add_seeds_flag),
        picture="the weights over the steps",
    ),
}


def build_parser() -> argparse.ArgumentParser:
    """The command line: a command for each method, and one for all."""
    parser = Parser(
        prog="python -m chameleon methods",
        description="Compute weights by other methods, on the same corpus, tokenizer and held-out documents.",
        allow_abbrev=False,
    )
    flags = dict.fromkeys(flag for method in METHODS.values() for flag in method.flags)
    del flags[_add_token_counts_flag]
    every = MethodCommand("all methods, in one table and picture", tuple(flags), picture="all weights")
    commands = parser.add_subparsers(dest="method", required=True, metavar="METHOD")
    for name, method in {**METHODS, "all": every}.items():
        about = method.about
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        _add_result_flags(command, name, method.picture)
        for add_flags in method.flags:
            add_flags(command)
        if method.trains_models:
            _add_training_flags(command)
        else:
            add_tokenizer_flags(command.add_argument_group("model"))
            add_mixture_flags(command, weights=False)
        add_reading_flags(command, tokenizer=False)
    return parser
