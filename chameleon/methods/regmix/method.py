"""RegMix from its options to weights: runs read from tables or trained here, then regression and search."""

from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.methods.cost import Cost
from chameleon.methods.inputs import check_and_pack
from chameleon.methods.options import MethodOptions
from chameleon.methods.outcome import MethodOutcome, method_weights, training_settings
from chameleon.methods.pictures import draw_predictions
from chameleon.methods.regmix.search import find_best_mixture
from chameleon.methods.runs import Runs, read_runs
from chameleon.methods.small_models import train_small_models
from chameleon.methods.token_counts import (
    TokenCounts,
    counts_in_file,
    natural_shares,
    packed_counts,
    share_caps,
)


def weights_by_regmix(options: MethodOptions, notify: Notify) -> MethodOutcome:
    """Weights by RegMix, from the tables of --runs and --losses or from small models trained here.

    Raises:
        InputError: See `check_and_pack`, `read_runs` and `find_best_mixture`.
    """
    if options.runs is None or options.losses is None:
        options, tokens, runs, settings, cost = _train_runs(options, notify)
    else:
        runs, cost = read_runs(options.runs, options.losses), Cost()
        if runs.diverged:
            notify(
                f"{len(runs.diverged)} of {len(runs) + len(runs.diverged)} runs have a loss that is not "
                f"finite and are left out: {listed(runs.diverged, 10)}"
            )
        path = options.token_counts
        tokens = TokenCounts(None) if path is None else counts_in_file(path)
        settings = {"runs": str(options.runs), "losses": str(options.losses)}
    begin = perf_counter()
    natural = natural_shares(tokens, runs.names)
    if natural is None:
        natural = runs.mixtures.mean(axis=0)  # mixtures are drawn around natural shares
    result = find_best_mixture(runs, natural, share_caps(runs.names, options, tokens), options)
    for notice in result.notices:
        notify(notice)
    cost += Cost(seconds=perf_counter() - begin)
    targets = options.target_domains
    settings |= {
        "regressor": result.validations[0].regressor,
        "target_domains": None if targets is None else list(targets),
        "num_simulated": options.num_simulated,
        "num_best": options.num_best,
    }
    diagnostics = {**result.diagnostics(), "cost": cost.to_dict()}
    spread = zip(runs.names, result.best.spread.tolist(), strict=True)
    facts = {name: {"spread_of_best": each} for name, each in spread}
    weights = method_weights(
        "regmix", runs.names, result.best.weights, options, tokens, settings, diagnostics, facts,
        result.notices,
    )  # fmt: skip
    return MethodOutcome(weights, partial(draw_predictions, result))


def _train_runs(
    options: MethodOptions, notify: Notify
) -> tuple[MethodOptions, TokenCounts, Runs, dict[str, Any], Cost]:
    """Train small models; returns options with a tokenizer, tokens, runs, settings to record, and cost."""
    if options.token_counts is not None:
        raise InputError("--token_counts needs --runs; without them the tokens of the corpus are counted")
    options, inputs = check_and_pack(("regmix",), options, notify)
    tokens = packed_counts(options, inputs)
    names = tuple(domain.name for domain in inputs.packed)
    share_caps(names, options, tokens)  # fail before training
    natural = natural_shares(tokens, names)
    assert natural is not None
    training = replace(options.training, output_dir=options.training.output_dir / "regmix")
    if options.run_steps is not None:
        training = replace(training, max_steps=options.run_steps, max_tokens=None)
    runs, cost = train_small_models(training, options, inputs, natural, notify)
    return options, tokens, runs, training_settings(training), cost
