"""What a weights file says of each domain, from its stored embeddings and from what the user said."""

from collections.abc import Mapping, Sequence
from typing import Any

from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError
from chameleon.store import DomainEmbeddings, EmbeddedCorpus


def facts_of(
    weights: DomainWeights, embedded: EmbeddedCorpus, merges: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Facts by domain: those that the weights have, counts, sizes and shares.

    Args:
        weights: Of the domains in use.
        embedded: What they are from.
        merges: The parts of those of them that were put together.
    """
    facts = {}
    for name in weights.names:
        parts = [_facts_of_one(part, embedded) for part in merges.get(name, (name,))]
        facts[name] = {**weights.domains[name], **_summed(parts)}
    if all("corpus_tokens" in each for each in facts.values()):
        total = sum(each["corpus_tokens"] for each in facts.values())
        for each in facts.values():
            each["natural_share"] = each["corpus_tokens"] / total
    return facts


def sizes_of(
    embedded: EmbeddedCorpus, merges: Mapping[str, Sequence[str]], flag: str = "--merge_domains"
) -> dict[str, float]:
    """Tokens of each domain that is put together with others, because of a flag.

    Raises:
        InputError: They are not known.
    """
    sizes = {}
    for name in (part for parts in merges.values() for part in parts):
        tokens = _facts_of_one(name, embedded).get("corpus_tokens")
        if tokens is None:
            raise InputError(f"{flag} needs the size of {name}, which its embeddings do not say")
        sizes[name] = float(tokens)
    return sizes


def _facts_of_one(name: str, embedded: EmbeddedCorpus) -> dict[str, Any]:
    said = embedded.record.facts.get(name, {})
    facts = {**_counts(embedded.domains[name]), **said}
    if "corpus_tokens" in said:  # somebody's count
        facts["corpus_tokens_standard_error"] = 0
    return facts


def _counts(stored: DomainEmbeddings) -> dict[str, Any]:
    counts: dict[str, Any] = {"windows": len(stored), "windows_available": stored.available}
    if (stored.tokens >= 0).all():
        counts["tokens"] = int(stored.tokens.sum())
    if stored.corpus_tokens is not None:
        tokens, error = stored.corpus_tokens
        counts["corpus_tokens"] = max(1, round(tokens))
        counts["corpus_tokens_standard_error"] = round(error)
    return counts


def _summed(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts of several domains as of one: all are numbers that add up, errors as squares."""
    summed: dict[str, Any] = {}
    for key in parts[0]:
        values = [part[key] for part in parts if key in part]
        if len(values) == len(parts):
            is_error = key.endswith("standard_error")
            summed[key] = round(sum(value**2 for value in values) ** 0.5) if is_error else sum(values)
    return summed if len(parts) > 1 else dict(parts[0])
