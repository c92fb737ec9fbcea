"""What rivals are asked for."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from chameleon.common.command_line import (
    Parser,
    fraction,
    name_list,
    nonempty,
    nonempty_path,
    positive_int,
    positive_number,
)
from chameleon.embeddings.options import add_worker_flags
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

SIMULATED, BEST = 100_000, 128


@dataclass(frozen=True)
class Engine:
    """Who trains.

    Attributes:
        name: serial, processes or ray.
        workers: How many runs there are at a time; as many as there is room for by default.
        ray_address: Of a running cluster.
        gpus: Of each Ray worker.
    """

    name: str = "serial"
    workers: int | None = None
    ray_address: str | None = None
    gpus: float | None = None


METHODS = ("uniform", "natural", "temperature", "regmix", "doremi", "doge")


DEFAULT_OUTPUT_DIR = "./methods/"


DEFAULT_TEMPERATURE = 2.0


DEFAULT_SEEDS = 2


DEFAULT_MAX_TOKENS = 1 << 16


DEFAULT_STEP_SIZE, DEFAULT_SMOOTHING, DEFAULT_MU = 1.0, 1e-3, 0.01


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """By the names of the flags; None is left to the program. Each method looks at its own.

    `python -m chameleon methods METHOD --help` says what each does.
    """

    training: TrainingOptions
    token_counts: Path | None = None
    budget: float | None = None
    max_epochs: dict[str, float] | None = None
    temperature: float = DEFAULT_TEMPERATURE
    num_seeds: int = DEFAULT_SEEDS
    reference_weights: str = "uniform"
    step_size: float = DEFAULT_STEP_SIZE
    smoothing: float = DEFAULT_SMOOTHING
    mu: float = DEFAULT_MU
    target_domains: tuple[str, ...] | None = None
    out_of_domain: bool = False
    runs: Path | None = None
    losses: Path | None = None
    num_runs: int | None = None
    run_steps: int | None = None
    regressor: str | None = None
    num_simulated: int = SIMULATED
    num_best: int = BEST
    max_heldout_tokens: int = DEFAULT_MAX_TOKENS
    engine: Engine = field(default_factory=Engine)


def options_from(given: Mapping[str, Any]) -> MethodOptions:
    """From flags by their names, of which each method has some."""
    training = {each.name: given[each.name] for each in fields(TrainingOptions) if each.name in given}
    training.setdefault("output_dir", Path(DEFAULT_OUTPUT_DIR))
    if training.get("domains") is None:
        training.pop("domains", None)
    mine = {
        each.name: given[each.name]
        for each in fields(MethodOptions)
        if each.name in given and each.name not in ("training", "engine")
    }
    engine = Engine()
    if "engine" in given:
        gpus = given["num_gpus_per_worker"]
        engine = Engine(given["engine"], given["num_workers"], given["ray_address"], gpus)
    return MethodOptions(training=TrainingOptions(**training), engine=engine, **mine)


REGRESSORS = ("gp", "loglinear", "lightgbm")


_ABOUT = {
    "uniform": "the same weight for each domain",
    "natural": "shares of the tokens at hand",
    "temperature": "shares of tokens^(1/T), between natural and uniform",
    "regmix": "small models on random mixtures, and a regression of their losses",
    "doremi": "a reference model, and a proxy that is held to it where it lags most",
    "doge": "a proxy that learns most from domains whose gradients help the others",
    "all": "all of these, in one table and picture",
}


def build_parser() -> argparse.ArgumentParser:
    """The command line: a command for each method, and one for all."""
    parser = Parser(
        prog="python -m chameleon methods",
        description="Weights by other methods, on the same corpus, tokenizer and held-out documents.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="method", required=True, metavar="METHOD")
    for method in (*METHODS, "all"):
        about = _ABOUT[method]
        command = commands.add_parser(method, help=about, description=about[0].upper() + about[1:] + ".")
        _add_result_flags(command, method)
        if method in ("temperature", "all"):
            _add_temperature_flag(command)
        if method in ("regmix", "all"):
            _add_regmix_flags(command)
        if method in ("doremi", "all"):
            _add_doremi_flags(command)
        if method in ("doge", "all"):
            _add_doge_flags(command)
        if method in ("regmix", "doge", "all"):
            _add_target_flag(command)
        if method in ("doremi", "doge", "all"):
            _add_seeds_flag(command)
        _add_training_flags(command, method)
    return parser


def _add_result_flags(parser: argparse.ArgumentParser, method: str) -> None:
    group = parser.add_argument_group("result")
    if method == "all":
        group.add_argument(
            "--beside",
            type=Path,
            nargs="+",
            default=[],
            metavar="FILE",
            help="weights files to show beside them (default: none). Give it those of "
            "compute_chameleon_weights.py",
        )
    else:
        group.add_argument(
            "--output",
            type=nonempty,
            metavar="FILE",
            help=f"where the weights go (default: weights_{method}.json). Change it to keep several; - "
            "writes them to stdout and the table to stderr",
        )
    if method not in ("uniform", "natural", "temperature"):
        what = {"regmix": "losses predicted and measured", "all": "all weights"}
        group.add_argument(
            "--picture",
            type=nonempty_path,
            metavar="FILE",
            help=f"where a picture goes of {what.get(method, 'the weights over the steps')}: .png, .svg or "
            ".pdf (default: beside the weights, as .png). Change it for another kind",
        )
    group.add_argument(
        "--budget",
        type=token_count,
        metavar="TOKENS",
        help="tokens of the training that the weights are for, such as 300B (default: not known). Give it to "
        "see epochs and to cap them",
    )
    group.add_argument(
        "--max_epochs",
        type=epochs_by_domain,
        metavar="E[,NAME=E...]",
        help="how often text may be seen in it, everywhere or by domain, such as 4,book=2 (default: no cap). "
        "Give it with --budget where small domains would be repeated",
    )


def _add_temperature_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("temperature").add_argument(
        "--temperature",
        type=positive_number,
        default=DEFAULT_TEMPERATURE,
        metavar="T",
        help=f"1 is natural, towards infinity uniform (default: {DEFAULT_TEMPERATURE:g}). Raise it for more "
        "of small domains",
    )


def _add_regmix_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("RegMix")
    group.add_argument(
        "--num_runs",
        type=positive_int,
        metavar="N",
        help="small models to train, each on a mixture of its own (default: 3 (k + 1) for k domains). Raise "
        "it to predict better",
    )
    group.add_argument(
        "--run_steps",
        type=positive_int,
        metavar="N",
        help="optimizer steps of each of them (default: --max_steps; of all, so many that all runs together "
        "take the steps of DoReMi). Lower it to train more models",
    )
    group.add_argument(
        "--regressor",
        choices=REGRESSORS,
        help="from mixture to loss: a Gaussian process, c + exp(a . p), or trees of LightGBM (default: the "
        "one that predicts runs left out best). Change it to compare them",
    )
    group.add_argument(
        "--num_simulated",
        type=positive_int,
        default=SIMULATED,
        metavar="N",
        help=f"random mixtures to look for the best in (default: {SIMULATED:,}). Raise it for many domains",
    )
    group.add_argument(
        "--num_best",
        type=positive_int,
        default=BEST,
        metavar="N",
        help=f"of them so many are averaged (default: {BEST}). Lower it to trust the regression more",
    )
    group.add_argument(
        "--max_heldout_tokens",
        type=positive_int,
        default=DEFAULT_MAX_TOKENS,
        metavar="N",
        help=f"held-out tokens of each domain to measure a model on (default: {DEFAULT_MAX_TOKENS}). Raise "
        "it for smaller errors of losses",
    )
    group.add_argument(
        "--runs",
        type=nonempty_path,
        metavar="CSV",
        help="mixtures of runs that are there already: a line a run, its name and the share of each domain "
        "(default: none; they are trained). Give it with --losses for models of your own",
    )
    group.add_argument(
        "--losses",
        type=nonempty_path,
        metavar="CSV",
        help="what they came to: a line a run, its name and its loss on each domain (default: none). Give it "
        "with --runs",
    )
    add_worker_flags(parser, "trains the small models")


def _add_doremi_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("DoReMi")
    group.add_argument(
        "--reference_weights",
        type=nonempty,
        default="uniform",
        metavar="W",
        help="what the reference model is trained on: uniform, natural or a weights file (default: uniform). "
        "Change it to natural where that is what you would train on",
    )
    group.add_argument(
        "--step_size",
        type=positive_number,
        default=DEFAULT_STEP_SIZE,
        metavar="ETA",
        help=f"of the weights' logarithms, for a nat of excess (default: {DEFAULT_STEP_SIZE:g}). Lower it "
        "where seeds disagree",
    )
    group.add_argument(
        "--smoothing",
        type=fraction,
        default=DEFAULT_SMOOTHING,
        metavar="E",
        help=f"share of uniform weights mixed in at each step (default: {DEFAULT_SMOOTHING:g}). Raise it "
        "where a domain dies out",
    )


def _add_doge_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("DoGE")
    group.add_argument(
        "--mu",
        type=positive_number,
        default=DEFAULT_MU,
        help=f"how hard weights are to move (default: {DEFAULT_MU:g}). Lower it where they hardly do",
    )
    group.add_argument(
        "--out_of_domain",
        action="store_true",
        help="do not train on the target domains (default: on all). Give it where they only show "
        "what the model is to be good at",
    )


def _add_target_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("targets").add_argument(
        "--target_domains",
        type=name_list,
        metavar="A,B,...",
        help="domains whose loss is to fall (default: all). Give it for a model with a purpose",
    )


def _add_seeds_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("seeds").add_argument(
        "--num_seeds",
        type=positive_int,
        default=DEFAULT_SEEDS,
        metavar="N",
        help=f"proxies to train, from --seed on; weights are their mean (default: {DEFAULT_SEEDS}, to see "
        "whether they agree). Lower it to 1 to save half the time",
    )


def _add_training_flags(parser: argparse.ArgumentParser, method: str) -> None:
    is_plain = method in ("uniform", "natural", "temperature")
    group: Any = parser.add_argument_group("model")
    if not is_plain:
        group.add_argument(
            "--output_dir",
            type=nonempty_path,
            default=Path(DEFAULT_OUTPUT_DIR),
            metavar="DIR",
            help=f"where models and runs go; what is there is gone on with (default: {DEFAULT_OUTPUT_DIR}). "
            "Change it for another corpus or other settings",
        )
        add_model_flags(group)
    else:
        add_tokenizer_flags(group)
    add_mixture_flags(parser, weights=False)
    if method != "all" and (is_plain or method == "regmix"):
        parser.add_argument(
            "--token_counts",
            type=nonempty_path,
            metavar="FILE",
            help="JSON file of the tokens of each domain (default: counted in the corpus). Give it where "
            "they are known, or with --runs",
        )
    if not is_plain:
        add_step_flags(parser)
        add_machine_flags(parser)
    add_reading_flags(parser, tokenizer=False)
