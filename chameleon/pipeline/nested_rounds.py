"""Windows to draw in the next round for nested weights, whose errors come from two levels.

Shapes: k domains.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from chameleon.confidence.stopping import MOST_WINDOWS, next_windows
from chameleon.embeddings.store import EmbeddedCorpus
from chameleon.pipeline.merge import merge_domains
from chameleon.pipeline.nested import Levels, score_nested, target_within
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import ASSESSED_EVERY_ROUND
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula
from chameleon.weights.sample import Sample

# Parts of the target to aim at in turn, until one of them asks for more windows.
_PARTS_OF_TARGET = (1.0, 0.5, 0.25)


def nested_windows_wanted(
    samples: Mapping[str, Sample], available: Mapping[str, int], embedded: EmbeddedCorpus, options: Options
) -> dict[str, int]:
    """Windows to have of each domain after the next round; empty where there are enough.

    Each level aims at 1/sqrt(2) of the target, so that both together are within it. Rounds end once the
    errors that will be reported are. Above `ASSESSED_EVERY_ROUND` domains, an estimate decides alone.

    Args:
        samples: One for each of the k domains, not merged.
        available: Windows that each domain has in all.
        embedded: The domains' embeddings.
        options: Of the run.

    Raises:
        InputError: See `Levels.of` and `score_nested`.
    """
    merges = options.merge_domains or {}
    merged, in_all = merge_domains(samples, available, embedded, merges)
    parts_of = {name: merges.get(name, (name,)) for name in merged}
    levels = Levels.of(merged, in_all, embedded, merges)
    drawn = {name: len(stored) for name, stored in embedded.domains.items()}
    most = {name: MOST_WINDOWS * len(parts) for name, parts in parts_of.items()}
    for target, is_known_to_lack in _targets(levels, options):
        growth = dict(_growths(levels, most, options, target / math.sqrt(2)))
        wanted = {
            part: max(drawn[part], min(math.ceil(drawn[part] * growth[name]), available[part], MOST_WINDOWS))
            for name, parts in parts_of.items()
            for part in parts
        }
        if any(number > drawn[name] for name, number in wanted.items()):
            return wanted
        if not is_known_to_lack and max(growth.values()) <= 1:
            return {}
    return {}


def _targets(levels: Levels, options: Options) -> list[tuple[float, bool]]:
    """Targets to aim at in turn, each with whether the errors are known to be above the one asked for.

    The estimate that rounds go by is too low at times. Where it is within the target and the errors that
    will be reported are not, a lower target makes it draw more.
    """
    target, largest = options.target, None
    if len(levels.names) <= ASSESSED_EVERY_ROUND:
        largest = score_nested(levels, replace(options, report=None)).largest_error
    if largest is None:  # too many domains, or a weight of 0
        return [(part * target, False) for part in _PARTS_OF_TARGET]
    if largest <= target:
        return []
    lowest = min(_PARTS_OF_TARGET[-1], target / largest)
    return [(part * target, True) for part in (*_PARTS_OF_TARGET, lowest)]


def _growths(
    levels: Levels, most: Mapping[str, int], options: Options, target: float
) -> Iterator[tuple[str, float]]:
    """The factor by which each domain should have more windows, for its source or within it."""
    sources = levels.as_domains
    formula = Formula.of(len(sources), options)
    most_of = np.array([sum(most[name] for name in levels.sources[source.name]) for source in sources])
    wanted = next_windows(sources, levels.available_of_sources, formula, target, most_of)
    for source, share in zip(sources, solve(sources, formula).weights.tolist(), strict=True):
        factor = wanted.get(source.name, len(source)) / len(source)
        topics = levels.topics.get(source.name)
        if topics is None:
            yield levels.sources[source.name][0], factor
            continue
        within = target_within(target, share)
        most_within = np.array([most[topic.name] for topic in topics])
        more = next_windows(topics, levels.available, Formula.of(len(topics), options), within, most_within)
        for topic in topics:
            yield topic.name, max(factor, more.get(topic.name, len(topic)) / len(topic))
