"""Weights before a change of the set of domains, and how much each added or removed domain moves them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from chameleon.common.arrays import Array
from chameleon.embeddings.store import EmbeddedCorpus
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import samples_by_name, score_samples
from chameleon.weights.compute import solve
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula
from chameleon.weights.sample import Sample

# Above this many added and removed domains, only their effect together is computed.
_MOST_CHANGES = 12


@dataclass(frozen=True, eq=False)
class PreviousWeights:
    """Weights before a change, and their (b, k) bootstrap replicates where these are known."""

    weights: DomainWeights
    replicates: Array | None


@dataclass(frozen=True, eq=False)
class Change:
    """What a change of domains did.

    Attributes:
        before: Weights before the change.
        moved_by: For each added or removed domain, in words, how far it alone moves each other weight.
    """

    before: DomainWeights
    moved_by: Sequence[tuple[str, Mapping[str, float]]]


def weights_before(
    options: Options, previous: DomainWeights | None, samples: Mapping[str, Sample], embedded: EmbeddedCorpus
) -> PreviousWeights | None:
    """Weights before domains were added, removed, split or merged; None where none were, or they are unknown.

    Args:
        options: Of the run.
        previous: The weights of --previous, if given.
        samples: One for each domain of the corpus now, not merged.
        embedded: The domains' embeddings, and those of removed and split domains.
    """
    if previous is not None:
        return PreviousWeights(previous, None)
    added = options.add_domains or {}
    parts = {part for patterns in (options.split_domains or {}).values() for part in patterns}
    old = {name: sample for name, sample in samples.items() if name not in added and name not in parts}
    everything, available = samples_by_name({**embedded.domains, **embedded.removed})
    old |= {name: everything[name] for name in embedded.removed}
    has_changed = bool(added or embedded.removed or options.merge_domains)
    if not has_changed or len(old) < 2:
        return None
    scored = score_samples(list(old.values()), available, replace(options, report=None))
    replicates = None if scored.confidence is None else scored.confidence.replicates.weights
    return PreviousWeights(scored.by_formula, replicates)


def change_from(
    before: DomainWeights,
    in_use: Mapping[str, Sample],
    embedded: EmbeddedCorpus,
    others: Sequence[str],
    formula_of: Callable[[int], Formula],
) -> Change:
    """What moved since before, and because of which domain.

    Args:
        before: Weights before the change.
        in_use: A sample for each domain now.
        embedded: Holds the embeddings of removed domains.
        others: Names of merged and split domains and of what they became: none changes anything alone.
        formula_of: The formula for a number of domains.
    """
    stored, _ = samples_by_name(embedded.removed)
    added = [name for name in in_use if name not in before.names and name not in others]
    removed = [sample for name, sample in stored.items() if name in before.names and name not in others]
    if len(added) + len(removed) > _MOST_CHANGES:
        return Change(before, [])
    after = list(in_use.values())
    now = _weights(after, formula_of)
    moved = []
    for name in added:
        without = [sample for sample in after if sample.name != name]
        if len(without) > 1:
            moved.append((f"{name} added", _difference(now, _weights(without, formula_of))))
    for sample in removed:
        moved.append((f"{sample.name} removed", _difference(now, _weights([*after, sample], formula_of))))
    return Change(before, moved)


def _weights(samples: Sequence[Sample], formula_of: Callable[[int], Formula]) -> dict[str, float]:
    solution = solve(list(samples), formula_of(len(samples)))
    return {sample.name: float(each) for sample, each in zip(samples, solution.weights, strict=True)}


def _difference(now: Mapping[str, float], without: Mapping[str, float]) -> dict[str, float]:
    return {name: weight - without[name] for name, weight in now.items() if name in without}
