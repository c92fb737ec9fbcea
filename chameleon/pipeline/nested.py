"""Weights of domains named source/topic: those across sources times those of the topics within each.

Shapes: k domains, t topics of one source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from chameleon.common.arrays import Array, expit, logit
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.embeddings.store import EmbeddedCorpus
from chameleon.pipeline.merge import merge, sizes_of
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import Scored, score_samples
from chameleon.weights.sample import Sample

_MOST_NOTICES = 5

# Ends of intervals are kept off 0 and 1, whose logits are not finite.
_EDGE = 1e-12


def sources_in(names: Sequence[str]) -> dict[str, list[str]]:
    """The domains of each source, the part of a name before its first slash; {} where a name has none."""
    sources: dict[str, list[str]] = {}
    for name in names:
        sources.setdefault(name.partition("/")[0], []).append(name)
    return {} if _without_source(names) else sources


def _without_source(names: Sequence[str]) -> list[str]:
    return [name for name in names if not all(name.partition("/"))]


@dataclass(frozen=True, eq=False)
class Levels:
    """Domains named source/topic, as two levels.

    Attributes:
        names: (k,) domain names.
        available: Windows that each domain has in all.
        sources: The domains of each source.
        as_domains: A sample for each source: its topics weighted by their sizes.
        available_of_sources: Windows that each source has in all.
        topics: Samples of the topics of each source that has several.
    """

    names: tuple[str, ...]
    available: Mapping[str, int]
    sources: Mapping[str, Sequence[str]]
    as_domains: list[Sample]
    available_of_sources: dict[str, int]
    topics: dict[str, list[Sample]]

    @classmethod
    def of(
        cls,
        samples: Mapping[str, Sample],
        available: Mapping[str, int],
        embedded: EmbeddedCorpus,
        merges: Mapping[str, Sequence[str]],
    ) -> Self:
        """The levels of k domains.

        Args:
            samples: One for each domain, merged where that is asked for.
            available: Windows that each domain has in all.
            embedded: The domains' embeddings, not merged.
            merges: The parts of each merged domain.

        Raises:
            InputError: A name has no source, there is only one source, or sizes are unknown.
        """
        sources = _required_sources(list(samples))
        several = {source: names for source, names in sources.items() if len(names) > 1}
        renamed = {names[0]: source for source, names in sources.items() if len(names) == 1}
        parts_of = {name: merges.get(name, (name,)) for names in several.values() for name in names}
        part_sizes = sizes_of(embedded, parts_of, "--hierarchy nested")
        sizes = {name: sum(part_sizes[part] for part in parts) for name, parts in parts_of.items()}
        as_domains = [
            replace(sample, name=renamed.get(name, name))
            for name, sample in merge(samples, sizes, several).items()
        ]
        in_all = {source: sum(available[name] for name in names) for source, names in sources.items()}
        topics = {source: [samples[name] for name in names] for source, names in several.items()}
        return cls(tuple(samples), available, sources, as_domains, in_all, topics)


def _required_sources(names: Sequence[str]) -> dict[str, list[str]]:
    if without := _without_source(names):
        raise InputError(
            f"--hierarchy nested needs domains named source/topic, unlike {listed(without)}; rename them "
            "(--domain_names), or leave the flag out"
        )
    sources = sources_in(names)
    if len(sources) < 2:
        raise InputError(
            f"--hierarchy nested needs at least 2 sources, but all domains are of {next(iter(sources))}; "
            "leave the flag out"
        )
    return sources


class _Shares(NamedTuple):
    """Weights of one level: (n,) shares, their standard errors, and half of their intervals in logits."""

    shares: Array
    errors: Array
    halves: Array

    @classmethod
    def of(cls, scored: Scored) -> Self:
        if scored.confidence is None:
            unknown = np.full(len(scored.weights), np.nan)
            return cls(scored.weights, unknown, unknown)
        spread = scored.confidence.weights
        ends = logit(spread.intervals, _EDGE)
        return cls(scored.weights, spread.errors, (ends[:, 1] - ends[:, 0]) / 2)


# The only topic of a source has all of it.
_ALL = _Shares(np.ones(1), np.zeros(1), np.zeros(1))


@dataclass(frozen=True, eq=False)
class NestedScores:
    """Weights of k domains on two levels.

    Attributes:
        names: (k,) domain names.
        across: The sources, each as one domain.
        within: The topics of each source that has several.
        source_weights: (k,) weight of each domain's source.
        shares: (k,) share of each domain within its source.
        errors: (k,) standard errors of the weights; NaN where unknown.
        intervals: (k, 2) intervals of the weights; NaN where unknown.
    """

    names: tuple[str, ...]
    across: Scored
    within: Mapping[str, Scored]
    source_weights: Array
    shares: Array
    errors: Array
    intervals: Array

    @classmethod
    def of(cls, levels: Levels, across: Scored, within: Mapping[str, Scored]) -> Self:
        """Both levels together.

        Relative variances of the two factors of a weight add up, as if the factors were independent;
        intervals are of logits.
        """
        place = {name: i for i, name in enumerate(levels.names)}
        source_weights, shares, errors = np.empty((3, len(place)))
        intervals = np.empty((len(place), 2))
        outer = _Shares.of(across)
        for i, (source, names) in enumerate(levels.sources.items()):
            rows = [place[name] for name in names]
            one = _Shares(*(values[i : i + 1] for values in outer))
            inner = _Shares.of(within[source]) if source in within else _ALL
            source_weights[rows], shares[rows] = one.shares, inner.shares
            errors[rows], intervals[rows] = _errors_of_products(one, inner)
        return cls(levels.names, across, within, source_weights, shares, errors, intervals)

    @cached_property
    def weights(self) -> Array:
        """(k,) weights of the domains."""
        products = self.source_weights * self.shares
        return np.asarray(products / products.sum())

    @property
    def largest_error(self) -> float | None:
        """The largest standard error of a weight; None where one is unknown."""
        return float(self.errors.max()) if np.isfinite(self.errors).all() else None

    @property
    def notices(self) -> tuple[str, ...]:
        """What a reader must know of the weights of sources, and of some of those within them."""
        inner = [f"within {source}: {each}" for source, one in self.within.items() for each in one.notices]
        if (rest := len(inner) - _MOST_NOTICES) > 0:
            inner[_MOST_NOTICES:] = [f"{rest:,} more notices are of domains within sources"]
        return (*self.across.notices, *inner)


def _errors_of_products(source: _Shares, topics: _Shares) -> tuple[Array, Array]:
    """(t,) standard errors and (t, 2) intervals of a source's weight times the shares of its t topics."""
    weights = source.shares * topics.shares
    with np.errstate(divide="ignore", invalid="ignore"):  # of a weight of 0, whose error is unknown
        relative = np.hypot(source.errors / source.shares, topics.errors / topics.shares)
        errors = np.where(weights > 0, weights * relative, np.nan)
    # d log x = (1 - x) d logit(x): the reach of each factor's interval in logs, the product's in logits.
    reaches = [(1 - factor.shares) * factor.halves for factor in (source, topics)]
    halves = np.hypot(*reaches) / np.maximum(1 - weights, _EDGE)
    ends = logit(weights, _EDGE)[:, None] + halves[:, None] * np.array([-1.0, 1.0])
    return errors, expit(ends)


def target_within(target: float, share: float) -> float:
    """The standard error of shares within a source that a target for weights allows."""
    return target / max(share, _EDGE)


def score_nested(levels: Levels, options: Options) -> NestedScores:
    """Score the sources, each as one domain, and the topics within each.

    Raises:
        InputError: See `score_samples`; the message names the source.
    """
    across = score_samples(levels.as_domains, levels.available_of_sources, options)
    source_weights = dict(zip(levels.sources, across.weights.tolist(), strict=True))
    within = {}
    for source, topics in levels.topics.items():
        target = target_within(options.target, source_weights[source])
        one = replace(options, report=None, target_se=target)
        try:
            within[source] = score_samples(topics, levels.available, one)
        except InputError as error:
            raise InputError(f"within {source} (--hierarchy nested): {error}") from None
    return NestedScores.of(levels, across, within)
