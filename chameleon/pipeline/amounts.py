"""How much of each domain there is and was embedded: windows, tokens and shares, for the weights file."""

from collections.abc import Mapping, Sequence
from typing import Any

from chameleon.embeddings.store import DomainEmbeddings, EmbeddedCorpus


def amounts_of(
    names: Sequence[str], embedded: EmbeddedCorpus, merges: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Windows and tokens by domain, and natural shares where the sizes of all domains are known.

    Args:
        names: Domains in use.
        embedded: Their embeddings, not merged.
        merges: The parts of each merged domain.
    """
    amounts = {
        name: _summed([amounts_of_part(part, embedded) for part in merges.get(name, (name,))])
        for name in names
    }
    if all("corpus_tokens" in each for each in amounts.values()):
        total = sum(each["corpus_tokens"] for each in amounts.values())
        for each in amounts.values():
            each["natural_share"] = each["corpus_tokens"] / total
    return amounts


def amounts_of_part(name: str, embedded: EmbeddedCorpus) -> dict[str, Any]:
    """Windows and tokens of one embedded domain; what the user states replaces what was estimated."""
    stated = embedded.record.facts.get(name, {})
    amounts = {**_counted(embedded.domains[name]), **stated}
    if "corpus_tokens" in stated:
        amounts["corpus_tokens_standard_error"] = 0
    return amounts


def _counted(stored: DomainEmbeddings) -> dict[str, Any]:
    amounts: dict[str, Any] = {"windows": len(stored), "windows_available": stored.available}
    if (stored.tokens >= 0).all():
        amounts["tokens"] = int(stored.tokens.sum())
    if stored.corpus_tokens is not None:
        tokens, error = stored.corpus_tokens
        amounts["corpus_tokens"] = max(1, round(tokens))
        amounts["corpus_tokens_standard_error"] = round(error)
    return amounts


def _summed(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The amounts of a merged domain: those known of all its parts, standard errors summed as squares."""
    if len(parts) == 1:
        return dict(parts[0])
    summed: dict[str, Any] = {}
    for key in parts[0]:
        values = [part[key] for part in parts if key in part]
        if len(values) == len(parts):
            is_error = key.endswith("standard_error")
            summed[key] = round(sum(value**2 for value in values) ** 0.5) if is_error else sum(values)
    return summed
