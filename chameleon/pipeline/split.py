"""Domains split by the files that their windows come from: nothing is embedded again.

The record of embeddings says which files the text of a domain consists of, and where each begins. A window
belongs to the file in which it begins.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.embeddings.store import DomainEmbeddings, EmbeddedCorpus, EmbeddingRecord

# For each domain to split, the patterns of file names by part.
Splits = Mapping[str, Mapping[str, str]]

# A part needs two windows for a standard error.
_LEAST = 2


def split(embedded: EmbeddedCorpus, splits: Splits) -> EmbeddedCorpus:
    """The corpus with some domains split, the parts at the place of the whole.

    The wholes move to the removed domains. The size of a part is its share of the windows of the whole.

    Raises:
        InputError: A domain is unknown, a file matches no part, a pattern no file, a name is taken, or a
            part has too few windows.
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
                    f"{_LEAST} are needed; draw more windows (--num_samples) or widen the pattern"
                )
            domains[part] = _part(stored, rows)
            if name in embedded.record.facts:
                facts[part] = _scaled(embedded.record.facts[name], len(rows) / len(stored))
    whole = {name: embedded.domains[name] for name in splits}
    return EmbeddedCorpus(replace(embedded.record, facts=facts), domains, {**embedded.removed, **whole})


def require_splittable(names: list[str], splits: Splits) -> None:
    """Raise InputError where a domain to split is unknown, or the name of a part is taken."""
    for whole in splits:
        if whole not in names:
            raise InputError(
                f"there is no domain {whole} to split (--split_domains); there are {', '.join(names)[:600]}"
            )
    parts = [part for patterns in splits.values() for part in patterns]
    for part in parts:
        if [*names, *parts].count(part) > 1:
            raise InputError(f"there is a domain {part} already; choose another name for --split_domains")


def more_of_scarce(embedded: EmbeddedCorpus, splits: Splits, most: int) -> dict[str, int]:
    """Windows to have of each domain so that no part has too few; empty where that adds none."""
    wanted = {name: len(stored) for name, stored in embedded.domains.items()}
    for name, patterns in splits.items():
        stored = embedded.domains[name]
        rows = _rows_of_parts(embedded.record, name, stored, patterns)
        if any(len(each) < _LEAST for each in rows.values()):
            wanted[name] = _bounded(2 * len(stored), stored, most)
    return _if_more(wanted, embedded)


def wholes_wanted(
    wanted: Mapping[str, int], embedded: EmbeddedCorpus, parts: EmbeddedCorpus, splits: Splits, most: int
) -> dict[str, int]:
    """Windows to have of each domain before the split, so that its parts have as many as they need.

    Args:
        wanted: Windows to have of each domain in use; empty where there are enough.
        embedded: The domains before the split.
        parts: The domains in use.
        splits: The patterns of each domain that is split.
        most: Windows of a domain at most.
    """
    if not wanted:
        return {}
    wholes = {}
    for name, stored in embedded.domains.items():
        growth = max(wanted[part] / len(parts.domains[part]) for part in splits.get(name, (name,)))
        wholes[name] = _bounded(round(len(stored) * growth), stored, most)
    return _if_more(wholes, embedded)


def _bounded(number: int, stored: DomainEmbeddings, most: int) -> int:
    return max(len(stored), min(number, stored.available, most))


def _if_more(wanted: dict[str, int], embedded: EmbeddedCorpus) -> dict[str, int]:
    is_more = any(number > len(embedded.domains[name]) for name, number in wanted.items())
    return wanted if is_more else {}


def _rows_of_parts(
    record: EmbeddingRecord, name: str, stored: DomainEmbeddings, patterns: Mapping[str, str]
) -> dict[str, npt.NDArray[np.int64]]:
    """The rows of a domain's windows that belong to each part."""
    begins, files = _files(record, name)
    its_files = f"its files are {', '.join(dict.fromkeys(files))[:300]}"
    part_of = []
    for file in files:
        matching = [part for part, pattern in patterns.items() if PurePosixPath(file).match(pattern)]
        if not matching:
            raise InputError(
                f"the file {file} of domain {name} goes into no part; add one for it (--split_domains), such "
                f"as rest:* behind the others; {its_files}"
            )
        part_of.append(matching[0])
    for part, pattern in patterns.items():
        if part not in part_of:
            raise InputError(
                f"no file of domain {name} is left for {part}:{pattern} (--split_domains); {its_files}"
            )
    at = np.searchsorted(begins, stored.positions, side="right") - 1
    of_window = np.array(part_of)[at]
    return {part: np.flatnonzero(of_window == part) for part in patterns}


def _files(record: EmbeddingRecord, name: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Where each file begins in a domain's text, and the names of the files."""
    sources = record.sources.get(name, ())
    if len({file for _, file in sources}) < 2:
        raise InputError(
            f"domain {name} cannot be split (--split_domains): its embeddings do not say that it is of "
            "several files; if it is, run once without --skip_embedding_generation, which embeds nothing "
            "again"
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


def _scaled(stated: Mapping[str, Any], share: float) -> dict[str, Any]:
    """What a user states of a domain, for a part of it: all are amounts."""
    return {
        key: round(value * share) if key == "corpus_tokens" else value * share
        for key, value in stated.items()
    }
