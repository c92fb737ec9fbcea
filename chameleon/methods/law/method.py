"""The affinity law from its options to weights: runs, a fit, a run on its own answer, and a verdict.

Shapes: n runs, m losses, k domains.
"""

from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.common.tables import listed
from chameleon.export.budget import Limits, share_bounds
from chameleon.methods.cost import Cost
from chameleon.methods.law.answer import DRAWS, Answer, Bounds, answer_of, carried_answer
from chameleon.methods.law.design import rounded
from chameleon.methods.law.fit import Draws, Posterior, fit_law
from chameleon.methods.law.picture import draw_law
from chameleon.methods.law.runs import LawRuns, MeasuredLength, law_runs
from chameleon.methods.law.scale import carry
from chameleon.methods.law.verdict import OwnRun, describe
from chameleon.methods.options import MethodOptions
from chameleon.methods.outcome import MethodOutcome, method_weights
from chameleon.methods.token_counts import TokenCounts


@dataclass(frozen=True, eq=False)
class Fitted:
    """A law fitted to runs of one length, with draws of its posterior and what it says."""

    length: MeasuredLength
    law: Posterior
    draws: Draws
    answer: Answer


def weights_by_law(options: MethodOptions, notify: Notify) -> MethodOutcome:
    """Weights by the affinity law.

    Raises:
        InputError: See `law_runs`; or --importance or the limits do not go with the domains.
    """
    if options.run_steps is not None:
        training = replace(options.training, max_steps=options.run_steps, max_tokens=None)
        options = replace(options, training=training)
    runs = law_runs(options, notify)
    begin, seed = perf_counter(), options.training.seed
    bounds = bounds_of(runs.names, options, runs.tokens, runs.natural)
    importance = importance_of(runs.lengths[-1].runs.loss_names, options)
    fitted = fit(runs, runs.lengths[-1], importance, bounds, seed)
    own = None
    if runs.trainer is not None and not options.no_own_run:
        runs, own = _run_answer(runs, fitted.answer, importance, notify)
        fitted = fit(runs, runs.lengths[-1], importance, bounds, seed)
    shorter = [fit(runs, each, importance, bounds, seed) for each in runs.lengths[:-1]]
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
        "importance": dict(zip(runs.lengths[-1].runs.loss_names, importance.tolist(), strict=True)),
        "target": None if options.target is None else str(options.target),
        "min_weight": options.min_weight or None,
        "prior_strength": options.prior_strength or None,
    }
    weights = method_weights(
        "law", runs.names, answer.advice, options, runs.tokens, settings,
        {**description.diagnostics, "cost": cost.to_dict()}, description.facts, description.notices,
    )  # fmt: skip
    return MethodOutcome(weights, partial(draw_law, runs, fitted, answer, importance))


def fit(runs: LawRuns, length: MeasuredLength, importance: Array, bounds: Bounds, seed: int) -> Fitted:
    """Fit the law to the runs of a length."""
    law = fit_law(runs.data(length))
    draws = law.draw(DRAWS, np.random.default_rng(seed), length.replicates(seed))
    return Fitted(length, law, draws, answer_of(law, draws, importance, bounds, seed))


def importance_of(loss_names: tuple[str, ...], options: MethodOptions) -> Array:
    """(m,) how much each loss counts, summing to 1.

    Raises:
        InputError: --importance names a domain without a loss, or all count 0.
    """
    asked = options.importance
    if asked is None:
        return np.full(len(loss_names), 1 / len(loss_names))
    if options.target is not None:
        raise InputError(
            "--importance weighs the losses on domains, and --target counts alone; leave one out"
        )
    for name in asked:
        if name and name not in loss_names:
            raise InputError(f"--importance names {name}, but losses are on {listed(loss_names, 20)}")
    counts = np.array([asked.get(name, asked.get("", 0.0)) for name in loss_names])
    return np.asarray(counts / counts.sum())


def bounds_of(names: tuple[str, ...], options: MethodOptions, tokens: TokenCounts, natural: Array) -> Bounds:
    """Floors and caps by --min_weight, --prior_strength and --max_epochs.

    Raises:
        InputError: No mixture is within them, or what they need is unknown.
    """
    limits = Limits(
        budget=options.budget,
        counts=tokens.counts,
        max_epochs=options.max_epochs,
        min_weight=options.min_weight,
    )
    least, most = share_bounds(names, limits)
    # A pull of strength p mixes in natural shares: (1 - p) w + p natural, which is at least p natural.
    least = np.maximum(least, options.prior_strength * natural)
    if least.sum() > 1 + 1e-9 or (least > most + 1e-9).any():
        raise InputError(
            "no weights are within --min_weight, --prior_strength and --max_epochs together; lower one of "
            "them"
        )
    return Bounds(np.minimum(least, most), most)


def _run_answer(runs: LawRuns, answer: Answer, importance: Array, notify: Notify) -> tuple[LawRuns, OwnRun]:
    """Train on a law's own answer; returns all runs, and what the law had predicted of the new one."""
    assert runs.trainer is not None
    weights = rounded(answer.weights)
    name = f"answer-{digest_of_json(weights.tolist())[:8]}"
    before = runs.lengths[-1].runs
    mixtures = {**dict(zip(before.ids, before.mixtures, strict=True)), name: weights}
    lengths, cost = runs.trainer.train(mixtures)
    after = lengths[-1].runs
    uniform, own = (after.losses[after.ids.index(run)] @ importance for run in ("uniform", name))
    tested = OwnRun(answer.gain, answer.interval, float(uniform - own))
    return replace(runs, lengths=lengths, cost=cost), tested


def _carried(
    short: Fitted, long: Fitted, importance: Array, bounds: Bounds, budget: float, seed: int
) -> Answer:
    assert short.length.tokens is not None
    assert long.length.tokens is not None
    lengths = short.length.tokens, long.length.tokens
    draws = carry(short.draws, long.draws, lengths, budget, seed)
    return carried_answer(draws, importance, bounds, seed)
