"""The content of a run's weights file: all that it says is put together here.

Shapes: k domains.
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from chameleon.common.arrays import Array
from chameleon.confidence.sensitivity import largest_move
from chameleon.confidence.verdict import order_facts
from chameleon.embeddings.store import EmbeddingRecord
from chameleon.pipeline.nested import NestedScores, sources_in
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import Scored
from chameleon.pipeline.variants import Variants
from chameleon.weights.domain_weights import Diagnostics, DomainFacts, DomainWeights


def describe(
    scores: Scored | NestedScores,
    options: Options,
    record: EmbeddingRecord,
    amounts: Mapping[str, Mapping[str, Any]],
    variants: Variants = (),
) -> DomainWeights:
    """The weights of a run, with everything that the weights file says of them.

    Args:
        scores: Of the k domains.
        options: Of the run.
        record: Of the embeddings.
        amounts: Windows, tokens and shares of each domain; see `amounts_of`.
        variants: Weights with other blocks and seeds, if any.
    """
    if isinstance(scores, NestedScores):
        across, domains = scores.across, _facts_of_nested(scores)
    else:
        across, domains = scores, _facts_of(scores)
    return DomainWeights(
        names=scores.names,
        weights=scores.weights,
        method=across.by_formula.method,
        mode=across.by_formula.mode,
        domains={name: {**facts, **amounts.get(name, {})} for name, facts in domains.items()},
        diagnostics=_diagnostics(scores, across, options.target, variants),
        settings={
            **across.by_formula.settings,
            **record.settings,
            "num_samples": options.num_samples or record.num_samples,
            "target_se": options.target,
            **_changes(options),
        },
        provenance=record.provenance,
        notices=(*record.notices, *scores.notices),
    )


def _facts_of(scored: Scored) -> dict[str, DomainFacts]:
    """Scores and errors of each domain."""
    domains = {}
    for i, name in enumerate(scored.names):
        facts = domains[name] = DomainFacts(score=float(scored.solution.scores[i]))
        if scored.ratios is not None:
            facts["weight_of_its_own"] = float(scored.solution.weights[i])
        if scored.confidence is not None:
            of_weight, of_score = scored.confidence.weights, scored.confidence.scores
            facts["standard_error"] = float(of_weight.errors[i])
            facts["interval"] = of_weight.intervals[i].tolist()
            facts["score_standard_error"] = float(of_score.errors[i])
            facts["score_interval"] = of_score.intervals[i].tolist()
    return domains


def _facts_of_nested(nested: NestedScores) -> dict[str, DomainFacts]:
    """Scores within sources, of which a source's only topic has none; factors and errors of each weight."""
    scores = {name: facts for scored in nested.within.values() for name, facts in _facts_of(scored).items()}
    domains = {}
    for i, name in enumerate(nested.names):
        facts = domains[name] = scores.get(name, DomainFacts())
        facts.pop("standard_error", None)  # of the share within the source
        facts.pop("interval", None)
        facts["source_weight"] = float(nested.source_weights[i])
        facts["share_within_source"] = float(nested.shares[i])
        if np.isfinite(nested.errors[i]):
            facts["standard_error"] = float(nested.errors[i])
            facts["interval"] = nested.intervals[i].tolist()
    return domains


def _diagnostics(
    scores: Scored | NestedScores, across: Scored, target: float, variants: Variants
) -> Diagnostics:
    """What the file says of all domains together."""
    diagnostics = cast(Diagnostics, dict(across.by_formula.diagnostics))
    confidence = across.confidence
    if isinstance(scores, Scored) and confidence is not None:
        diagnostics["largest_standard_error"] = float(confidence.weights.errors.max())
        diagnostics["enough_windows"] = not confidence.needed
        diagnostics["order"] = order_facts(scores.names, scores.weights, confidence)
    if confidence is not None and confidence.how is not None:
        diagnostics["errors"] = confidence.how
    if isinstance(scores, Scored) and confidence is not None and confidence.needed:
        diagnostics["windows_needed"] = dict(confidence.needed)
    diagnostics["sensitivity"] = _sensitivity(across, variants)
    if isinstance(scores, NestedScores) and scores.largest_error is not None:
        diagnostics["largest_standard_error"] = scores.largest_error
        diagnostics["enough_windows"] = scores.largest_error <= target
    if sources := source_facts(scores.names, scores.weights):
        diagnostics["sources"] = sources
    return diagnostics


def _sensitivity(scored: Scored, variants: Variants) -> dict[str, dict[str, Any]]:
    """The largest move of a weight with each setting halved or doubled, and with other blocks and seeds."""
    facts = {path.setting: _move(scored, scored.solution.weights, path.weights) for path in scored.paths}
    for kind in ("block", "seed"):
        others = [other.weights for label, other in variants if label.startswith(kind)]
        if others:
            facts[kind] = _move(scored, scored.weights, np.array(others))
    return facts


def _move(scored: Scored, weights: Array, others: Array) -> dict[str, Any]:
    at, by = largest_move(weights, others)
    return {"largest_move": by, "domain": scored.names[at]}


def source_facts(names: tuple[str, ...], weights: Array) -> dict[str, dict[str, Any]]:
    """Weight and domains of each source; none unless there are several sources, one of several domains."""
    sources = sources_in(names)
    if len(sources) < 2 or len(sources) == len(names):
        return {}
    by_name = dict(zip(names, weights.tolist(), strict=True))
    return {
        source: {"weight": float(sum(by_name[name] for name in topics)), "domains": len(topics)}
        for source, topics in sources.items()
    }


def _changes(options: Options) -> dict[str, Any]:
    """Settings of a changed set of domains, those in use."""
    changes = {
        "remove_domains": list(options.remove_domains),
        "split_domains": options.split_domains,
        "merge_domains": {new: list(parts) for new, parts in (options.merge_domains or {}).items()},
        "keep_ratios": options.keep_ratios,
        "hierarchy": None if options.hierarchy == "flat" else options.hierarchy,
    }
    return {name: value for name, value in changes.items() if value}
