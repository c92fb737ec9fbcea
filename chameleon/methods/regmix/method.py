"""RegMix from its options to weights: runs, a regression of their losses, and a search."""

from functools import partial
from time import perf_counter

from chameleon.common.command_line import Notify
from chameleon.methods.cost import Cost
from chameleon.methods.options import MethodOptions
from chameleon.methods.outcome import MethodOutcome, method_weights
from chameleon.methods.pictures import draw_predictions
from chameleon.methods.regmix.search import find_best_mixture
from chameleon.methods.small_models import measure_runs
from chameleon.methods.token_counts import share_caps


def weights_by_regmix(options: MethodOptions, notify: Notify) -> MethodOutcome:
    """Weights by RegMix, from the tables of --runs and --losses or from small models trained here.

    Raises:
        InputError: See `measure_runs` and `find_best_mixture`.
    """
    measured = measure_runs("regmix", options, notify)
    begin = perf_counter()
    names, tokens = measured.runs.names, measured.tokens
    caps = share_caps(names, options, tokens)
    result = find_best_mixture(measured.runs, measured.natural, caps, options)
    for notice in result.notices:
        notify(notice)
    targets = options.target_domains
    settings = {
        **measured.settings,
        "regressor": result.validations[0].regressor,
        "target_domains": None if targets is None else list(targets),
        "num_simulated": options.num_simulated,
        "num_best": options.num_best,
    }
    cost = measured.cost + Cost(seconds=perf_counter() - begin)
    diagnostics = {**result.diagnostics(), "cost": cost.to_dict()}
    spread = zip(names, result.best.spread.tolist(), strict=True)
    facts = {name: {"spread_of_best": each} for name, each in spread}
    weights = method_weights(
        "regmix", names, result.best.weights, options, tokens, settings, diagnostics, facts, result.notices
    )
    return MethodOutcome(weights, partial(draw_predictions, result))
