"""Domains that come, go, are split or put together: weights before, and what moved because of whom."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from chameleon.common.arrays import Array
from chameleon.embeddings.store import EmbeddedCorpus
from chameleon.pipeline.judge import samples_by_name, score_samples
from chameleon.pipeline.options import Options
from chameleon.weights.compute import solve
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula
from chameleon.weights.sample import Sample

Samples = Mapping[str, Sample]


# Of more changes than this only what they do together is shown.
_MOST_CHANGES = 12


@dataclass(frozen=True, eq=False)
class PreviousWeights:
    """Weights before a change, and their (b, k) replicates where these are known."""

    weights: DomainWeights
    replicated: Array | None


@dataclass(frozen=True, eq=False)
class Change:
    """What a change of domains did.

    Attributes:
        before: Weights before it.
        moved_by: For each domain that came or went, in words, what it alone moves each other weight by.
    """

    before: DomainWeights
    moved_by: Sequence[tuple[str, Mapping[str, float]]]


def weights_before(
    options: Options, previous: DomainWeights | None, samples: Samples, embedded: EmbeddedCorpus
) -> PreviousWeights | None:
    """Weights before domains came, went or were put together; None where nothing did, or it is not known.

    Args:
        options: What is asked for.
        previous: What the user says they were, if anything.
        samples: Of the domains that there are now, none of them put together.
        embedded: What they are from, and what is stored of those that went or were split.
    """
    if previous is not None:
        return PreviousWeights(previous, None)
    splits = options.split_domains or {}
    parts = {part for patterns in splits.values() for part in patterns}
    added = options.add_domains or {}
    old = {name: sample for name, sample in samples.items() if name not in added and name not in parts}
    everything, available = samples_by_name({**embedded.domains, **embedded.removed})
    old |= {name: everything[name] for name in embedded.removed}
    changed = bool(added or embedded.removed or options.merge_domains)
    if not changed or len(old) < 2:
        return None
    judged = score_samples(list(old.values()), available, replace(options, report=None))
    return PreviousWeights(
        judged.weights, None if judged.confidence is None else judged.confidence.replicates.weights
    )


def change_from(
    before: DomainWeights,
    in_use: Samples,
    embedded: EmbeddedCorpus,
    others: Sequence[str],
    formula_of: Callable[[int], Formula],
) -> Change:
    """What moved since before, because of whom.

    Args:
        before: Weights before.
        in_use: The domains now.
        embedded: What is stored of those that went.
        others: Domains that were put together or split, or came of it: they are not alone.
        formula_of: The formula for a number of domains.
    """
    gone, _ = samples_by_name(embedded.removed)
    came = [name for name in in_use if name not in before.names and name not in others]
    went = [sample for name, sample in gone.items() if name in before.names and name not in others]
    if len(came) + len(went) > _MOST_CHANGES:
        return Change(before, [])
    after = list(in_use.values())
    now = _weights(after, formula_of)
    moved = []
    for name in came:
        without = [sample for sample in after if sample.name != name]
        if len(without) > 1:
            moved.append((f"{name} came", _difference(now, _weights(without, formula_of))))
    for sample in went:
        moved.append((f"{sample.name} went", _difference(now, _weights([*after, sample], formula_of))))
    return Change(before, moved)


def _weights(samples: Sequence[Sample], formula_of: Callable[[int], Formula]) -> dict[str, float]:
    solution = solve(list(samples), formula_of(len(samples)))
    return {sample.name: float(each) for sample, each in zip(samples, solution.weights, strict=True)}


def _difference(now: Mapping[str, float], without: Mapping[str, float]) -> dict[str, float]:
    return {name: weight - without[name] for name, weight in now.items() if name in without}
