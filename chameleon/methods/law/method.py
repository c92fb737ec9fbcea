"""The affinity law from its options to weights: runs, a fit, a run on its own answer, and a verdict.

Shapes: n runs, m losses, k domains.
"""

from dataclasses import replace
from functools import partial
from time import perf_counter

from chameleon.common.arrays import Array
from chameleon.common.command_line import Notify
from chameleon.common.files import digest_of_json
from chameleon.methods.cost import Cost
from chameleon.methods.law.answer import Answer, Fitted, carried_answer, fit_runs
from chameleon.methods.law.design import rounded
from chameleon.methods.law.picture import draw_law
from chameleon.methods.law.request import Bounds, bounds_of, importance_of, require_consistent
from chameleon.methods.law.runs import UNIFORM, LawRuns, law_runs
from chameleon.methods.law.scale import carry
from chameleon.methods.law.verdict import OwnRun, describe
from chameleon.methods.options import MethodOptions
from chameleon.methods.outcome import MethodOutcome, method_weights


def weights_by_law(options: MethodOptions, notify: Notify) -> MethodOutcome:
    """Weights by the affinity law.

    Raises:
        InputError: See `require_consistent` and `law_runs`.
    """
    if options.run_steps is not None:
        training = replace(options.training, max_steps=options.run_steps, max_tokens=None)
        options = replace(options, training=training)
    require_consistent(options)
    runs = law_runs(options, notify)
    begin, seed = perf_counter(), options.training.seed
    loss_names = runs.lengths[-1].runs.loss_names
    importance = importance_of(loss_names, options)
    bounds = bounds_of(runs.names, options, runs.tokens, runs.natural)
    bounds = bounds.for_importance(runs.names, loss_names, importance)
    fitted = fit_runs(runs, runs.lengths[-1], importance, bounds, seed)
    own = None
    if runs.trainer is not None and not options.no_own_run:
        runs, own = _run_answer(runs, fitted.answer, importance, notify)
        fitted = fit_runs(runs, runs.lengths[-1], importance, bounds, seed)
        if own is not None and own.measured <= 0:
            fitted = replace(fitted, answer=replace(fitted.answer, is_refuted=True))
    shorter = [fit_runs(runs, each, importance, bounds, seed) for each in runs.lengths[:-1]]
    carried = None
    if options.budget is not None and shorter:
        carried = _carried(shorter[-1], fitted, importance, bounds, options.budget, seed)
    description = describe(runs, fitted, shorter, carried, own, options.budget)
    for notice in description.notices:
        notify(notice)
    answer = carried or fitted.answer
    cost = runs.cost + Cost(seconds=perf_counter() - begin)
    settings = {
        **runs.settings,
        "importance": dict(zip(loss_names, importance.tolist(), strict=True)),
        "target": None if options.target is None else str(options.target),
    }
    weights = method_weights(
        "law", runs.names, answer.advice, options, runs.tokens, settings,
        {**description.diagnostics, "cost": cost.to_dict()}, description.facts, description.notices,
    )  # fmt: skip
    # Of the limits these are the ones that `method_weights` does not know of.
    limits = {name: getattr(options, name) for name in ("min_weight", "prior_strength")}
    given = {name: value for name, value in limits.items() if value}
    weights = replace(weights, settings={**weights.settings, **given})
    return MethodOutcome(weights, partial(draw_law, runs, fitted, answer, importance))


def _run_answer(
    runs: LawRuns, answer: Answer, importance: Array, notify: Notify
) -> tuple[LawRuns, OwnRun | None]:
    """Train on a law's own answer; returns all runs, and what the law had predicted of the new one."""
    assert runs.trainer is not None
    weights = rounded(answer.weights)
    name = f"answer-{digest_of_json(weights.tolist())[:8]}"
    lengths, cost = runs.trainer.train({**runs.mixtures, name: weights})
    runs, after = replace(runs, lengths=lengths, cost=cost), lengths[-1].runs
    if name in after.diverged:
        notify("the run on the law's answer diverged: the law is not tested")
        return runs, None
    uniform, own = (after.losses[after.ids.index(run)] @ importance for run in (UNIFORM, name))
    return runs, OwnRun(answer.gain, answer.interval, float(uniform - own))


def _carried(
    short: Fitted, long: Fitted, importance: Array, bounds: Bounds, budget: float, seed: int
) -> Answer:
    assert short.length.tokens is not None
    assert long.length.tokens is not None
    lengths = short.length.tokens, long.length.tokens
    draws = carry(short.draws, long.draws, lengths, budget, seed)
    return carried_answer(draws, importance, bounds, seed)
