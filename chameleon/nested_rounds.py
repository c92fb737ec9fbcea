"""How many windows of each domain are enough for weights across sources times those within.

Shapes: k domains.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from chameleon.compute import solve, weights_of
from chameleon.confidence.rounds import MOST_WINDOWS, next_windows
from chameleon.domains import merge, require_mergeable
from chameleon.facts import sizes_of
from chameleon.hierarchy import Levels, judge_nested, target_within
from chameleon.judging import ASSESSED_EVERY_ROUND, formula_of, target_of
from chameleon.options import Options
from chameleon.sample import Sample
from chameleon.store import EmbeddedCorpus

# The estimate by which rounds go is low at times: where it sees enough and the errors that will be told are
# over the target, it goes for so much of it.
_PARTS_OF_TARGET = (1.0, 0.5, 0.25)


def nested_windows_wanted(
    samples: Mapping[str, Sample], available: Mapping[str, int], embedded: EmbeddedCorpus, options: Options
) -> dict[str, int]:
    """Windows to have of each domain after the next round, as `judging.windows_wanted`, of nested weights.

    The error of a weight comes from both levels. Each goes for 1/sqrt(2) of the target, so that both together
    are within it; no more is drawn once the errors that will be told are.

    Args:
        samples: Of the k domains, not put together.
        available: Windows that each has in all.
        embedded: What they are from.
        options: What is asked for.

    Raises:
        InputError: As of `judge_nested`.
    """
    merges = options.merge_domains or {}
    parts_of = {name: merges.get(name, (name,)) for name in (*samples, *merges)}
    if merges:
        require_mergeable(list(samples), merges)
        samples = merge(samples, sizes_of(embedded, merges), merges)
    in_all = {name: sum(available[part] for part in parts_of[name]) for name in samples}
    is_assessed = len(samples) <= ASSESSED_EVERY_ROUND
    if is_assessed:
        judged = judge_nested(samples, in_all, embedded, merges, replace(options, report=None))
        if judged.weights.diagnostics.get("largest_standard_error", 0.0) <= target_of(options):
            return {}
    levels = Levels.of(samples, in_all, embedded, merges)
    for part in _PARTS_OF_TARGET if is_assessed else _PARTS_OF_TARGET[:1]:
        growth: dict[str, float] = {}
        for name, factor in _growths(levels, in_all, options, part * target_of(options) / math.sqrt(2)):
            growth |= {each: max(factor, growth.get(each, 1.0)) for each in parts_of[name]}
        wanted = {}
        for name, factor in growth.items():
            there = len(embedded.domains[name])
            wanted[name] = max(there, min(math.ceil(there * factor), available[name], MOST_WINDOWS))
        if any(number > len(embedded.domains[name]) for name, number in wanted.items()):
            return wanted
    return {}


def _growths(
    levels: Levels, available: Mapping[str, int], options: Options, target: float
) -> Iterator[tuple[str, float]]:
    """By what factor each domain should have more windows: for its source, and for itself within that."""
    formula = formula_of(len(levels.put_together), options)
    most = MOST_WINDOWS * max(map(len, levels.sources.values()))
    wanted = next_windows(levels.put_together, levels.in_all, formula, target, most)
    for sample in levels.put_together:
        factor = wanted.get(sample.name, len(sample)) / len(sample)
        yield from ((name, factor) for name in levels.sources[sample.name])
    shares = weights_of(levels.put_together, formula, solve(levels.put_together, formula)).by_name()
    for source, topics in levels.several.items():
        within = target_within(target, shares[source])
        wanted = next_windows(topics, available, formula_of(len(topics), options), within)
        yield from ((topic.name, wanted.get(topic.name, len(topic)) / len(topic)) for topic in topics)
