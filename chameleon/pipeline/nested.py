"""Domains that are named source/topic: what each source has in all, and weights across sources times within.

Shapes: k domains.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.confidence.stopping import MOST_WINDOWS, next_windows
from chameleon.embeddings.store import EmbeddedCorpus
from chameleon.pipeline.domains import merge, require_mergeable, sizes_of
from chameleon.pipeline.judge import (
    ASSESSED_EVERY_ROUND,
    Scored,
    score_samples,
    target_of,
)
from chameleon.pipeline.options import Options
from chameleon.weights.compute import solve, weights_of
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula
from chameleon.weights.sample import Sample

Sources = Mapping[str, Sequence[str]]


Facts = dict[str, dict[str, Any]]


_MOST_NOTICES = 5


# What is said of sources, and not of the domains.
_OF_SOURCES = ("order", "windows_needed", "largest_standard_error", "enough_windows")


# Ends of intervals are kept off 0 and 1, whose logits are not finite.
_EDGE = 1e-12


def sources_in(names: Sequence[str]) -> dict[str, list[str]]:
    """The domains of each source, which a name says before its first slash; none where a name has none."""
    sources: dict[str, list[str]] = {}
    for name in names:
        source, _, topic = name.partition("/")
        if not source or not topic:
            return {}
        sources.setdefault(source, []).append(name)
    return sources


def with_sources(weights: DomainWeights) -> DomainWeights:
    """Weights with what each source has in all, where names tell sources with several domains apart."""
    sources = sources_in(weights.names)
    if len(sources) < 2 or len(sources) == len(weights.names):
        return weights
    by_name = weights.by_name()
    facts = {
        source: {"weight": float(sum(by_name[name] for name in names)), "domains": len(names)}
        for source, names in sources.items()
    }
    return replace(weights, diagnostics={**weights.diagnostics, "sources": facts})


def require_fitting(options: Options) -> None:
    """Raise InputError where something is asked for that goes with flat weights alone."""
    if options.hierarchy != "nested":
        return
    for flag in ("keep_ratios", "sensitivity"):
        if getattr(options, flag):
            raise InputError(
                f"--{flag} is of weights over all domains at once, not of --hierarchy nested; leave one out"
            )


@dataclass(frozen=True, eq=False)
class Levels:
    """Domains that are named source/topic, as two levels.

    Attributes:
        names: Of the domains, in order.
        available: Windows that each of them has in all.
        sources: The domains of each source.
        put_together: Of each source a sample, that of its topics by their sizes, and named as the source.
        in_all: Windows that each source has in all.
        several: Samples of the topics of each source that has more than one.
    """

    names: tuple[str, ...]
    available: Mapping[str, int]
    sources: Sources
    put_together: list[Sample]
    in_all: dict[str, int]
    several: dict[str, list[Sample]]

    @classmethod
    def of(
        cls,
        samples: Mapping[str, Sample],
        available: Mapping[str, int],
        embedded: EmbeddedCorpus,
        merges: Mapping[str, Sequence[str]],
    ) -> Self:
        """The levels of domains.

        Args:
            samples: Of the k domains, put together where that is asked for.
            available: Windows that each has in all.
            embedded: What they are from.
            merges: The parts of those of them that were put together.

        Raises:
            InputError: Names do not tell sources apart, or sizes are not known.
        """
        sources = _required_sources(list(samples))
        several = {source: names for source, names in sources.items() if len(names) > 1}
        renamed = {names[0]: source for source, names in sources.items() if len(names) == 1}
        as_parts = {name: merges.get(name, (name,)) for names in several.values() for name in names}
        sizes_of_parts = sizes_of(embedded, as_parts, "--hierarchy nested")
        sizes = {name: sum(sizes_of_parts[part] for part in parts) for name, parts in as_parts.items()}
        put_together = [
            replace(sample, name=renamed.get(name, name))
            for name, sample in merge(samples, sizes, several).items()
        ]
        in_all = {source: sum(available[name] for name in names) for source, names in sources.items()}
        topics = {source: [samples[name] for name in names] for source, names in several.items()}
        return cls(tuple(samples), available, sources, put_together, in_all, topics)


def target_within(target: float, share: float) -> float:
    """The standard error of shares within a source that a target for weights allows."""
    return target / max(share, _EDGE)


def score_nested(levels: Levels, options: Options) -> Scored:
    """Weights across sources, each one domain by the sizes of its topics, times those of topics within.

    Relative variances of the two factors add up to that of their product, as if the factors were
    independent; intervals are of logits. Scores are those within a source, of which a lone topic has none.

    Args:
        levels: The domains.
        options: What is asked for.

    Returns:
        What was found for the sources, with the weights of the domains.

    Raises:
        InputError: As of `score_samples`.
    """
    across = score_samples(levels.put_together, levels.in_all, options)
    shares = across.weights.by_name()
    within: dict[str, DomainWeights] = {}
    for source, topics in levels.several.items():
        target = target_within(target_of(options), shares[source])
        try:
            judged = score_samples(topics, levels.available, replace(options, report=None, target_se=target))
        except InputError as error:
            raise InputError(f"within {source} (--hierarchy nested): {error}") from None
        within[source] = judged.weights
    combined = _combined(levels.names, levels.sources, across.weights, within, options)
    return replace(across, weights=combined)


def _required_sources(names: Sequence[str]) -> dict[str, list[str]]:
    """The sources.

    Raises:
        InputError: There are fewer than two, or names without one.
    """
    without = [name for name in names if not all(name.partition("/"))]
    if without:
        rest = f" and {len(without) - 5:,} more" if len(without) > 5 else ""
        raise InputError(
            "--hierarchy nested needs domains that are named source/topic, unlike "
            f"{', '.join(without[:5])}{rest}; rename them (--domain_names), or leave it out"
        )
    sources = sources_in(names)
    if len(sources) < 2:
        raise InputError(
            f"--hierarchy nested needs at least 2 sources, but all domains are of {next(iter(sources))}; "
            "leave it out"
        )
    return sources


def _combined(
    names: Sequence[str],
    sources: Sources,
    across: DomainWeights,
    within: Mapping[str, DomainWeights],
    options: Options,
) -> DomainWeights:
    """(k,) weights of the domains, with facts of both levels."""
    facts: Facts = {}
    source_weights = across.by_name()
    for source, topics in sources.items():
        of_source = {"weight": source_weights[source], **across.domains[source]}
        shares = within[source].by_name() if source in within else {topics[0]: 1.0}
        for topic in topics:
            known = {} if source not in within else within[source].domains[topic]
            facts[topic] = _facts_of_both(of_source, {"weight": shares[topic], **known})
    weights = np.array([facts[name].pop("weight") for name in names])
    diagnostics = {key: value for key, value in across.diagnostics.items() if key not in _OF_SOURCES}
    errors = [each["standard_error"] for each in facts.values() if "standard_error" in each]
    if len(errors) == len(names):
        largest = max(errors)
        diagnostics["largest_standard_error"] = largest
        diagnostics["enough_windows"] = largest <= target_of(options)
    inner = [f"within {source}: {each}" for source, of in within.items() for each in of.notices]
    if len(inner) > _MOST_NOTICES:
        inner[_MOST_NOTICES:] = [f"{len(inner) - _MOST_NOTICES:,} more notices are of domains within sources"]
    return with_sources(
        replace(
            across,
            names=tuple(names),
            weights=weights / weights.sum(),
            domains={name: facts[name] for name in names},
            diagnostics=diagnostics,
            notices=(*across.notices, *inner),
        )
    )


def _facts_of_both(source: Mapping[str, Any], topic: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a domain from those of its source across sources, and its own within the source.

    A lone topic has no score and no error within its source.
    """
    weight = source["weight"] * topic["weight"]
    facts = {
        **{key: value for key, value in topic.items() if key.startswith("score")},
        "weight": weight,
        "source_weight": source["weight"],
        "share_within_source": topic["weight"],
    }
    is_lone = topic["weight"] == 1.0 and "score" not in topic
    if "standard_error" not in source or not (is_lone or "standard_error" in topic) or weight == 0:
        return facts
    factors = [source] if is_lone else [source, topic]
    relative = np.hypot.reduce([each["standard_error"] / each["weight"] for each in factors])
    facts["standard_error"] = float(weight * relative)
    # d log x = (1 - x) d logit(x): what intervals of the factors reach to either side, in logs, and of the
    # product again in logits.
    reaches = [(1 - each["weight"]) * _half_of(each["interval"]) for each in factors]
    half = float(np.hypot.reduce(reaches)) / max(1 - weight, _EDGE)
    middle = _logit(np.array(weight))
    facts["interval"] = (1 / (1 + np.exp(-(middle + half * np.array([-1.0, 1.0]))))).tolist()
    return facts


def _half_of(interval: Sequence[float]) -> float:
    """Half of what an interval is wide, in logits."""
    low, high = _logit(np.array(interval))
    return float(high - low) / 2


def _logit(share: Array) -> Array:
    kept = np.clip(share, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(kept / (1 - kept)))


# Of the target, to go for where growth by more of it cannot be had, or is not enough.
_PARTS_OF_TARGET = (1.0, 0.5, 0.25)


def nested_windows_wanted(
    samples: Mapping[str, Sample], available: Mapping[str, int], embedded: EmbeddedCorpus, options: Options
) -> dict[str, int]:
    """Windows to have of each domain after the next round, as `judging.windows_wanted`, of nested weights.

    The error of a weight comes from both levels. Each goes for 1/sqrt(2) of the target, so that both together
    are within it; no more is drawn once the errors that will be told are. Of more domains than are assessed
    every round the estimate alone decides.

    Args:
        samples: Of the k domains, not put together.
        available: Windows that each has in all.
        embedded: What they are from.
        options: What is asked for.

    Raises:
        InputError: As of `Levels.of` and `score_nested`.
    """
    merges = options.merge_domains or {}
    parts_of = {name: merges.get(name, (name,)) for name in (*samples, *merges)}
    if merges:
        require_mergeable(list(samples), merges)
        samples = merge(samples, sizes_of(embedded, merges), merges)
    in_all = {name: sum(available[part] for part in parts_of[name]) for name in samples}
    levels = Levels.of(samples, in_all, embedded, merges)
    most = {name: MOST_WINDOWS * len(parts_of[name]) for name in samples}
    for target, is_known_to_lack in _targets(levels, options):
        growth = dict(_growths(levels, most, options, target / math.sqrt(2)))
        wanted = {
            part: _grown(len(embedded.domains[part]), growth[name], available[part])
            for name in samples
            for part in parts_of[name]
        }
        if any(number > len(embedded.domains[name]) for name, number in wanted.items()):
            return wanted
        if not is_known_to_lack and max(growth.values()) <= 1:
            return {}
    return {}


def _targets(levels: Levels, options: Options) -> list[tuple[float, bool]]:
    """What to go for in turn until something is to be drawn, and whether the errors are known to be over it.

    The estimate by which rounds go is low at times: where it sees enough and the errors that will be told are
    over the target, it goes for less.
    """
    target, told = target_of(options), None
    if len(levels.names) <= ASSESSED_EVERY_ROUND:
        judged = score_nested(levels, replace(options, report=None))
        told = judged.weights.diagnostics.get("largest_standard_error")
    if told is None:  # of too many domains, or of a weight that is 0
        return [(part * target, False) for part in _PARTS_OF_TARGET]
    if told <= target:
        return []
    return [(part * target, True) for part in (*_PARTS_OF_TARGET, min(_PARTS_OF_TARGET[-1], target / told))]


def _grown(number: int, factor: float, available: int) -> int:
    return max(number, min(math.ceil(number * factor), available, MOST_WINDOWS))


def _growths(
    levels: Levels, most: Mapping[str, int], options: Options, target: float
) -> Iterator[tuple[str, float]]:
    """By what factor each domain should have more windows: for its source, or for itself within that."""
    formula, sources = Formula.of(len(levels.put_together), options), levels.put_together
    most_of = np.array([sum(most[name] for name in levels.sources[source.name]) for source in sources])
    wanted = next_windows(sources, levels.in_all, formula, target, most_of)
    shares = weights_of(sources, formula, solve(sources, formula)).by_name()
    for source in sources:
        factor = wanted.get(source.name, len(source)) / len(source)
        topics = levels.several.get(source.name)
        if topics is None:
            yield levels.sources[source.name][0], factor
            continue
        within = target_within(target, shares[source.name])
        most_within = np.array([most[topic.name] for topic in topics])
        more = next_windows(topics, levels.available, Formula.of(len(topics), options), within, most_within)
        for topic in topics:
            yield topic.name, max(factor, more.get(topic.name, len(topic)) / len(topic))
