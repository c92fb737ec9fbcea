"""Domains merged from the embeddings that exist: nothing is embedded again."""

from collections import Counter
from collections.abc import Mapping, Sequence

from chameleon.common.errors import InputError
from chameleon.embeddings.store import EmbeddedCorpus
from chameleon.pipeline.amounts import amounts_of_part
from chameleon.weights.sample import Sample


def merge_domains(
    samples: Mapping[str, Sample],
    available: Mapping[str, int],
    embedded: EmbeddedCorpus,
    merges: Mapping[str, Sequence[str]],
) -> tuple[dict[str, Sample], dict[str, int]]:
    """Samples after --merge_domains, and the windows that each domain has in all.

    Args:
        samples: One for each domain.
        available: Windows that each domain has in all.
        embedded: The domains' embeddings, which say their sizes.
        merges: The parts of each merged domain; nothing changes where there are none.

    Raises:
        InputError: A domain to merge is unknown or named twice, a new name is taken, fewer than two
            domains remain, or a size is unknown.
    """
    if merges:
        _require_mergeable(list(samples), merges)
    merged = merge(samples, sizes_of(embedded, merges), merges)
    in_all = {name: sum(available[part] for part in merges.get(name, (name,))) for name in merged}
    return merged, in_all


def merge(
    samples: Mapping[str, Sample], sizes: Mapping[str, float], merges: Mapping[str, Sequence[str]]
) -> dict[str, Sample]:
    """Samples with some merged, each at the place of its first part.

    Args:
        samples: One for each domain.
        sizes: Tokens of each part, by which it counts.
        merges: The parts of each merged domain.
    """
    into = {name: new for new, parts in merges.items() for name in parts}
    merged: dict[str, Sample] = {}
    for name, sample in samples.items():
        new = into.get(name)
        if new is None:
            merged[name] = sample
        elif new not in merged:
            merged[new] = Sample.merged(new, {samples[part]: sizes[part] for part in merges[new]})
    return merged


def sizes_of(
    embedded: EmbeddedCorpus, merges: Mapping[str, Sequence[str]], flag: str = "--merge_domains"
) -> dict[str, float]:
    """Tokens of each part of merged domains.

    Args:
        embedded: The domains' embeddings.
        merges: The parts of each merged domain.
        flag: What needs the sizes, for the message.

    Raises:
        InputError: A size is unknown.
    """
    sizes = {}
    for name in (part for parts in merges.values() for part in parts):
        tokens = amounts_of_part(name, embedded).get("corpus_tokens")
        if tokens is None:
            raise InputError(f"{flag} needs the size of {name}, which its embeddings do not say")
        sizes[name] = float(tokens)
    return sizes


def _require_mergeable(names: Sequence[str], merges: Mapping[str, Sequence[str]]) -> None:
    merged = Counter(part for parts in merges.values() for part in parts)
    for new, parts in merges.items():
        for name in parts:
            if name not in names:
                raise InputError(
                    f"there is no domain {name} to merge into {new} (--merge_domains); there are "
                    f"{', '.join(names)[:600]}"
                )
    for name, count in merged.items():
        if count > 1:
            raise InputError(f"--merge_domains names {name} twice; name each domain once")
    remaining = [name for name in names if name not in merged]
    for new in merges:
        if new in remaining:
            raise InputError(f"there is a domain {new} already; choose another name for --merge_domains")
    if len(remaining) + len(merges) < 2:
        raise InputError(
            f"weights need at least 2 domains, but --merge_domains leaves only {', '.join(merges)}"
        )
