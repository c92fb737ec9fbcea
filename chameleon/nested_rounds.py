"""How many windows of each domain are enough for weights across sources times those within.

Shapes: k domains.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from chameleon.compute import solve, weights_of
from chameleon.confidence.rounds import MOST_WINDOWS, next_windows
from chameleon.domains import merge, require_mergeable
from chameleon.facts import sizes_of
from chameleon.hierarchy import Levels, judge_nested, target_within
from chameleon.judging import ASSESSED_EVERY_ROUND, formula_of, target_of
from chameleon.options import Options
from chameleon.sample import Sample
from chameleon.store import EmbeddedCorpus

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
        InputError: As of `Levels.of` and `judge_nested`.
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
        judged = judge_nested(levels, replace(options, report=None))
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
    formula, sources = formula_of(len(levels.put_together), options), levels.put_together
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
        more = next_windows(topics, levels.available, formula_of(len(topics), options), within, most_within)
        for topic in topics:
            yield topic.name, max(factor, more.get(topic.name, len(topic)) / len(topic))
