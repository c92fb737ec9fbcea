"""Each method from what is asked for to its weights.

Shapes: k domains.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.methods.cost import Cost
from chameleon.methods.doge import DoGESettings
from chameleon.methods.doremi import DoReMiSettings
from chameleon.methods.options import METHODS, MethodOptions
from chameleon.methods.output import cost_in_words, draw_predictions, draw_trajectory
from chameleon.methods.proxy_runs import SeedRun, by_doge, by_doremi, seed_distance
from chameleon.methods.regmix.method import RegMixSettings, draw_mixtures, regress
from chameleon.methods.regmix.runs import Runs, read_runs, write_tables
from chameleon.methods.regmix.selection import wanted_runs
from chameleon.methods.regmix.small_models import jobs_for, results_of
from chameleon.methods.token_counts import (
    TokenCounts,
    caps_on,
    estimated_counts,
    method_weights,
    natural_shares,
    packed_counts,
)
from chameleon.report.compare import aligned, draw, render
from chameleon.training.inputs import TrainingInputs, prepare_inputs
from chameleon.training.trainer_settings import check_options, count_processes, count_steps
from chameleon.weights.domain_weights import DomainWeights


def temperature_shares(counts: Array, temperature: float) -> Array:
    """Shares in proportion to counts^(1 / temperature).

    At 1 they are natural, towards infinity uniform. Multilingual models are trained so (mBERT, XLM-R, mT5).

    Args:
        counts: (k,) tokens, not negative, one at least above 0.
        temperature: Above 0, or infinity.
    """
    with np.errstate(divide="ignore"):
        logits = np.log(counts / counts.max()) / temperature if np.isfinite(temperature) else 0.0 * counts
    shares = np.exp(logits)
    return np.asarray(shares / shares.sum())


# Two seeds that come to weights further apart than this, in shares of tokens, are said to disagree.
_APART = 0.1


_TRAINING = ("model", "max_steps", "max_tokens", "sample_length", "batch_size", "learning_rate", "seed")


@dataclass(frozen=True, eq=False)
class MethodOutcome:
    """Weights, and how to draw how they came about, where there is something to draw."""

    weights: DomainWeights
    draw: Callable[[Path], None] | None = None


def run(method: str, options: MethodOptions, notify: Notify) -> MethodOutcome:
    """Weights by a method.

    Args:
        method: One of `chameleon.methods.options.METHODS`.
        options: What is asked for.
        notify: Told, in a sentence each, what the user should know.

    Raises:
        InputError: Something asked for cannot be had or used, or a training diverged.
    """
    if (options.runs is None) != (options.losses is None):
        raise InputError("--runs and --losses go together: the mixtures of runs, and the losses they came to")
    if method == "regmix" and options.runs is None and options.token_counts is not None:
        raise InputError(
            "--token_counts goes with --runs; small models are trained on a corpus, which is counted"
        )
    if method == "regmix" and options.runs is not None and options.losses is not None:
        return _by_tables(read_runs(options.runs, options.losses), options, notify)
    if method in ("uniform", "natural", "temperature"):
        return MethodOutcome(_by_rule(method, options, notify))
    training = options.training
    if method != "regmix":
        require_one_process(training.gradient_accumulation_steps)
    check_options(training, 1)
    ground = prepare_inputs(replace(training, weights="uniform"), notify)
    require_possible(method, options, tuple(domain.name for domain in ground.packed))
    options = replace(options, training=replace(training, tokenizer=str(ground.tokenizer_path)))
    if method == "regmix":
        return _by_small_models(options, ground, notify)
    return _by_proxies(method, options, ground, notify)


def _by_rule(method: str, options: MethodOptions, notify: Notify) -> DomainWeights:
    begin = perf_counter()
    if options.token_counts is not None:
        basis = estimated_counts(options.token_counts)
    else:
        basis = packed_counts(options, prepare_inputs(replace(options.training, weights="uniform"), notify))
    assert basis.counts is not None
    temperature = {"uniform": np.inf, "natural": 1.0}.get(method, options.temperature)
    weights = temperature_shares(np.array(list(basis.counts.values()), dtype=np.float64), temperature)
    settings = {"temperature": temperature} if method == "temperature" else {}
    cost = Cost(seconds=perf_counter() - begin)
    diagnostics = {"cost": cost.to_dict()}
    return method_weights(method, tuple(basis.counts), weights, options, basis, settings, diagnostics)


def require_one_process(accumulation: int) -> None:
    """Raise InputError for what doremi and doge cannot be trained with."""
    if count_processes(os.environ) > 1:
        raise InputError("doremi and doge train in one process; start them without torchrun")
    if accumulation > 1:
        raise InputError(
            "--gradient_accumulation_steps does not go with doremi and doge, which weigh all rows of a step; "
            "lower --batch_size instead"
        )


def _by_proxies(method: str, options: MethodOptions, ground: TrainingInputs, notify: Notify) -> MethodOutcome:
    training = options.training
    training = replace(training, output_dir=training.output_dir / method)
    settings: dict[str, Any] = {name: getattr(training, name) for name in _TRAINING}
    if method == "doremi":
        reference = options.reference_weights
        settings |= {"step_size": options.step_size, "smoothing": options.smoothing}
        settings["reference_weights"] = reference
        of_method = DoReMiSettings(options.step_size, options.smoothing)
        found, cost = by_doremi(training, of_method, reference, options.num_seeds, notify)
    else:
        targets = options.target_domains
        settings |= {"mu": options.mu, "target_domains": None if targets is None else list(targets)}
        settings["out_of_domain"] = options.out_of_domain
        settings_for = partial(_doge_settings, options=options)
        found, cost = by_doge(training, settings_for, options.num_seeds, notify)
    diagnostics: dict[str, Any] = {
        "cost": cost.to_dict(),
        "seeds": {str(each.seed): each.by_name() for each in found},
    }
    notices: tuple[str, ...] = ()
    if len(found) > 1:
        diagnostics["seeds_apart"] = seed_distance(found)
        notices = _notices_of_seeds(method, diagnostics["seeds_apart"])
    for notice in notices:
        notify(notice)
    basis, weights = packed_counts(options, ground), np.mean([each.weights for each in found], axis=0)
    weights = method_weights(
        method, found[0].names, weights, options, basis, settings, diagnostics, _errors(found), notices
    )
    return MethodOutcome(weights, partial(draw_trajectory, method, found))


def require_possible(method: str, options: MethodOptions, names: tuple[str, ...]) -> None:
    """Raise InputError for what a method cannot do with domains of these names, before long work."""
    _require_targets(options.target_domains or (), names)
    if method == "doge":
        _doge_settings(names, options)
    rows = options.training.batch_size
    if method != "regmix" and rows < len(names):
        raise InputError(
            f"a step of {rows} rows cannot hold one of each of {len(names)} domains; raise --batch_size"
        )


def _doge_settings(names: tuple[str, ...], options: MethodOptions) -> DoGESettings:
    targets = options.target_domains
    if targets is None:
        if options.out_of_domain:
            raise InputError(
                "--out_of_domain leaves targets out of the training; name them by --target_domains"
            )
        return DoGESettings(tuple(range(len(names))), (), options.mu)
    numbers = tuple(names.index(each) for each in targets)
    if options.out_of_domain and len(numbers) == len(names):
        raise InputError("--out_of_domain leaves no domain to train on; name fewer --target_domains")
    return DoGESettings(numbers, numbers if options.out_of_domain else (), options.mu)


def _require_targets(targets: Sequence[str], names: Sequence[str]) -> None:
    for each in targets:
        if each not in names:
            raise InputError(
                f"there is no domain {each} (--target_domains); the corpus has {', '.join(names)[:400]}"
            )


def _notices_of_seeds(method: str, distance: float) -> tuple[str, ...]:
    if distance <= _APART:
        return ()
    return (
        f"{method} is unstable here: weights of two seeds are {distance:.2f} of all tokens apart (more than "
        f"{_APART:g}); train the proxies longer, or look at each seed's weights rather than at their mean",
    )


def _errors(found: Sequence[SeedRun]) -> dict[str, dict[str, float]]:
    """The standard errors of means over seeds, where there are two or more."""
    if len(found) < 2:
        return {}
    errors = np.std([each.weights for each in found], axis=0, ddof=1) / np.sqrt(len(found))
    return {name: {"standard_error": float(e)} for name, e in zip(found[0].names, errors, strict=True)}


def _by_small_models(options: MethodOptions, ground: TrainingInputs, notify: Notify) -> MethodOutcome:
    training, basis = options.training, packed_counts(options, ground)
    names = tuple(basis.counts or ())
    caps_on(names, options, basis)  # refuses what cannot be, before long work
    natural = natural_shares(basis, names)
    assert natural is not None
    directory = training.output_dir / "regmix"
    small = replace(training, output_dir=directory)
    if options.run_steps is not None:
        small = replace(small, max_steps=options.run_steps, max_tokens=None)
    digest = digest_of_json([ground.tokenizer.digest, [domain.digest for domain in ground.packed]])
    mixtures = draw_mixtures(natural, options.num_runs or wanted_runs(len(names)), training.seed)
    jobs = jobs_for(small, digest, names, mixtures, options.max_heldout_tokens)
    runs, cost = results_of(jobs, options.engine, notify)
    write_tables(runs, directory / "mixtures.csv", directory / "losses.csv")
    settings = {name: getattr(small, name) for name in _TRAINING}
    return _by_runs(runs, options, basis, settings, cost, notify)


def _by_tables(runs: Runs, options: MethodOptions, notify: Notify) -> MethodOutcome:
    """RegMix from a user's own runs."""
    if runs.diverged:
        notify(
            f"{len(runs.diverged)} of {len(runs) + len(runs.diverged)} runs have a loss that is not finite, "
            f"and are left out: {', '.join(runs.diverged[:10])}"
        )
    basis = TokenCounts(None) if options.token_counts is None else estimated_counts(options.token_counts)
    settings = {"runs": str(options.runs), "losses": str(options.losses)}
    return _by_runs(runs, options, basis, settings, Cost(), notify)


def _by_runs(
    runs: Runs,
    options: MethodOptions,
    basis: TokenCounts,
    settings: Mapping[str, Any],
    cost: Cost,
    notify: Notify,
) -> MethodOutcome:
    begin = perf_counter()
    natural = natural_shares(basis, runs.names)
    if natural is None:
        natural = runs.mixtures.mean(axis=0)  # mixtures are drawn about natural shares
    of_method = RegMixSettings(
        options.regressor, options.target_domains, options.num_simulated, options.num_best,
        options.training.seed,
    )  # fmt: skip
    found = regress(runs, natural, caps_on(runs.names, options, basis), of_method)
    for notice in found.notices:
        notify(notice)
    cost += Cost(seconds=perf_counter() - begin)
    targets = options.target_domains
    settings = {
        **settings,
        "regressor": found.judged[0].regressor,
        "target_domains": None if targets is None else list(targets),
        "num_simulated": options.num_simulated,
        "num_best": options.num_best,
    }
    diagnostics = {**found.diagnostics(), "cost": cost.to_dict()}
    spread = zip(runs.names, found.found.spread.tolist(), strict=True)
    facts = {name: {"spread_of_best": each} for name, each in spread}
    weights = method_weights(
        "regmix", runs.names, found.found.weights, options, basis, settings, diagnostics, facts, found.notices
    )
    return MethodOutcome(weights, partial(draw_predictions, found))


def run_all(
    options: MethodOptions,
    beside: Sequence[tuple[str, DomainWeights]],
    directory: Path,
    picture: Path,
    notify: Notify,
) -> str:
    """Weights by each method, in files of their own, and a table of them.

    Args:
        options: What is asked for. RegMix's runs together take as many steps as DoReMi's models, unless it
            says how many each takes.
        beside: Other weights to show, with what they are called.
        directory: Where the weights files go.
        picture: Where the picture of all goes.
        notify: Told, in a sentence each, what the user should know.

    Raises:
        InputError: As of `run`; what was found before is written.
    """
    require_one_process(options.training.gradient_accumulation_steps)
    ground = prepare_inputs(replace(options.training, weights="uniform"), notify)
    options = replace(options, training=replace(options.training, tokenizer=str(ground.tokenizer_path)))
    if options.run_steps is None:
        number = options.num_runs or wanted_runs(len(ground.packed))
        steps = (1 + options.num_seeds) * count_steps(options.training)
        options = replace(options, run_steps=max(1, steps // number))
    for method in ("regmix", "doremi", "doge"):
        require_possible(method, options, tuple(domain.name for domain in ground.packed))
    found = list(beside)
    for method in METHODS:
        outcome = run(method, options, partial(_say, notify, method))
        outcome.weights.write(directory / f"weights_{method}.json")
        if outcome.draw is not None:
            outcome.draw(directory / f"weights_{method}.png")
        found.append((method, outcome.weights))
    labels, table = [label for label, _ in found], aligned([weights for _, weights in found])
    draw(labels, table, picture)
    width = max(len(label) for label in labels)
    costs = [
        f"{label:<{width}}  {cost_in_words(weights.diagnostics['cost'])}"
        for label, weights in found
        if "cost" in weights.diagnostics
    ]
    lines = [render(labels, table), "", "cost", *costs, "", f"weights files  {directory}/weights_*.json"]
    return "\n".join([*lines, f"picture        {picture}"])


def _say(notify: Notify, method: str, text: str) -> None:
    notify(f"{method}: {text}")
