"""Domains split by the files that their windows are from: nothing is embedded anew.

Which files a domain's text fills, and from which place on, is recorded with its embeddings. A window
belongs to the file in which it begins.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.embeddings.store import DomainEmbeddings, EmbeddedCorpus, EmbeddingRecord
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.sample import Sample


def require_mergeable(names: Sequence[str], merges: Mapping[str, Sequence[str]]) -> None:
    """Raise InputError where domains to merge are not there or named twice, one is left, or a name taken."""
    there = set(names)
    gone: Counter[str] = Counter()
    for new, parts in merges.items():
        for name in parts:
            if name not in there:
                raise InputError(
                    f"there is no domain {name} to merge into {new} (--merge_domains); there are "
                    f"{', '.join(names)[:600]}"
                )
        gone.update(parts)
    for name, count in gone.items():
        if count > 1:
            raise InputError(f"--merge_domains names {name} twice; a domain goes into one")
    left = {name for name in names if name not in gone}
    for new in merges:
        if new in left:
            raise InputError(f"there is a domain {new} already; --merge_domains must call it otherwise")
    if len(left) + len(merges) < 2:
        raise InputError(
            f"weights need at least 2 domains, but --merge_domains leaves only {', '.join(merges)}"
        )


def merge(
    samples: Mapping[str, Sample], sizes: Mapping[str, float], merges: Mapping[str, Sequence[str]]
) -> dict[str, Sample]:
    """Samples with some put together, each where the first of its parts stood.

    Args:
        samples: By domain.
        sizes: Tokens of each domain, by which the parts count.
        merges: The parts of each new domain.
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


# For each domain to split, the patterns of files by the parts that they make.
Splits = Mapping[str, Mapping[str, str]]


# Of fewer windows a part says nothing of itself.
_LEAST = 2


def split(embedded: EmbeddedCorpus, splits: Splits) -> EmbeddedCorpus:
    """The corpus with some domains split, each into parts that stand where it stood.

    The whole ones are kept among those removed. Sizes of parts are the whole's by
    their shares of its windows.

    Raises:
        InputError: A domain or a file that is named is not there, a file goes into no part, a name is
            taken, or a part has too few windows.
    """
    if not splits:
        return embedded
    require_splittable(list(embedded.domains), splits)
    domains: dict[str, DomainEmbeddings] = {}
    facts = {name: each for name, each in embedded.record.facts.items() if name not in splits}
    for name, stored in embedded.domains.items():
        if name not in splits:
            domains[name] = stored
            continue
        for part, rows in _rows_of_parts(embedded.record, name, stored, splits[name]).items():
            if len(rows) < _LEAST:
                raise InputError(
                    f"the part {part} of {name} has {len(rows)} of its {len(stored)} windows, at least "
                    f"{_LEAST} are needed; give more windows by --num_samples, or a wider pattern"
                )
            domains[part] = _part(stored, rows)
            if name in embedded.record.facts:
                facts[part] = _scaled(embedded.record.facts[name], len(rows) / len(stored))
    whole = {name: embedded.domains[name] for name in splits}
    return EmbeddedCorpus(replace(embedded.record, facts=facts), domains, {**embedded.removed, **whole})


def require_splittable(names: list[str], splits: Splits) -> None:
    """Raise InputError where a domain to split is not there, or a part's name is taken."""
    for whole in splits:
        if whole not in names:
            raise InputError(
                f"there is no domain {whole} to split (--split_domains); there are {', '.join(names)[:600]}"
            )
    taken = list(names) + [part for parts in splits.values() for part in parts]
    for part in (part for parts in splits.values() for part in parts):
        if taken.count(part) > 1:
            raise InputError(
                f"there is a domain {part} already; --split_domains must call the part otherwise"
            )


def more_of_scarce(embedded: EmbeddedCorpus, splits: Splits, most: int) -> dict[str, int]:
    """Windows to have of every domain, where a part of one has too few so far and the domain has more."""
    wanted = {name: len(stored) for name, stored in embedded.domains.items()}
    for name, patterns in splits.items():
        stored = embedded.domains[name]
        rows = _rows_of_parts(embedded.record, name, stored, patterns)
        if any(len(each) < _LEAST for each in rows.values()):
            wanted[name] = _bounded(2 * len(stored), stored, most)
    grows = any(number > len(embedded.domains[name]) for name, number in wanted.items())
    return wanted if grows else {}


def wholes_wanted(
    wanted: Mapping[str, int], embedded: EmbeddedCorpus, parts: EmbeddedCorpus, splits: Splits, most: int
) -> dict[str, int]:
    """Windows to have of the domains that are embedded, from those wanted of their parts; none where all are.

    Args:
        wanted: Windows of each domain in use.
        embedded: The domains as they are embedded.
        parts: The same, split.
        splits: How.
        most: Windows of a domain at most.
    """
    wholes = {}
    for name, stored in embedded.domains.items():
        growth = max(wanted[part] / len(parts.domains[part]) for part in splits.get(name, (name,)))
        wholes[name] = _bounded(round(len(stored) * growth), stored, most)
    grows = any(number > len(embedded.domains[name]) for name, number in wholes.items())
    return wholes if grows else {}


def _bounded(number: int, stored: DomainEmbeddings, most: int) -> int:
    return max(len(stored), min(number, stored.available, most))


def _rows_of_parts(
    record: EmbeddingRecord, name: str, stored: DomainEmbeddings, patterns: Mapping[str, str]
) -> dict[str, npt.NDArray[np.int64]]:
    """The windows of each part."""
    begins, files = _files(record, name)
    part_of = []
    for file in files:
        fitting = [part for part, pattern in patterns.items() if PurePosixPath(file).match(pattern)]
        if not fitting:
            raise InputError(
                f"the file {file} of domain {name} goes into no part; add one for it (--split_domains), such "
                f"as rest:* behind the others; its files are {', '.join(dict.fromkeys(files))[:300]}"
            )
        part_of.append(fitting[0])
    for part, pattern in patterns.items():
        if part not in part_of:
            raise InputError(
                f"no file of domain {name} is left for {part}:{pattern} (--split_domains); its files are "
                f"{', '.join(dict.fromkeys(files))[:300]}"
            )
    at = np.searchsorted(begins, stored.positions, side="right") - 1
    of_window = np.array(part_of)[at]
    return {part: np.flatnonzero(of_window == part) for part in patterns}


def _files(record: EmbeddingRecord, name: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The places from which on a domain's text is of one file after the other, and these."""
    sources = record.sources.get(name, ())
    if len({file for _, file in sources}) < 2:
        raise InputError(
            f"domain {name} cannot be split (--split_domains): its embeddings do not say that it is of "
            "several files; where it is, run once without --skip_embedding_generation, which embeds nothing "
            "anew"
        )
    return np.array([begin for begin, _ in sources], dtype=np.int64), [file for _, file in sources]


def _part(stored: DomainEmbeddings, rows: npt.NDArray[np.int64]) -> DomainEmbeddings:
    part = stored.at(rows)
    share = len(rows) / len(stored)
    available = max(len(rows), round(stored.available * share))
    if stored.corpus_tokens is None:
        return replace(part, available=available)
    tokens, error = stored.corpus_tokens
    # Windows are a sample of the text, whatever file it is in.
    unseen = max(0.0, 1 - len(stored) / max(stored.available, 1))
    of_share = np.sqrt(share * (1 - share) / len(stored) * unseen)
    amount = (tokens * share, float(np.hypot(error * share, tokens * of_share)))
    return replace(part, available=available, corpus_tokens=amount)


def _scaled(said: Mapping[str, Any], share: float) -> dict[str, Any]:
    """What a user said of a domain, for a part of it: all are amounts."""
    scaled = {key: value * share for key, value in said.items()}
    return {key: round(value) if key == "corpus_tokens" else value for key, value in scaled.items()}
