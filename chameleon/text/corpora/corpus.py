"""A corpus, its domains, and a request for one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

from chameleon.common.errors import InputError
from chameleon.text.corpora.token_arrays import SourceTokenizer
from chameleon.text.options import DEFAULT_SPLIT, DEFAULT_TEXT_COLUMN, TOKEN_DTYPES, ReadingOptions
from chameleon.text.protocols import FileStart, Text


@dataclass(frozen=True, eq=False)
class Domain:
    """One domain of a corpus.

    Attributes:
        name: Name of the domain.
        text: Text of the domain.
        version: Digest of modification times where files are too large to be hashed whole, so that a change
            that the fingerprint misses is noticed; else empty.
        facts: What the user says of the domain, named as in the weights file: `corpus_tokens` (counted
            elsewhere), `weight_in_use`.
    """

    name: str
    text: Text
    version: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def files(self) -> tuple[FileStart, ...]:
        """Where each file of several begins, in order, with names below the folder that they share."""
        starts = [next(of_file) for _, of_file in groupby(self.text.file_starts(), lambda start: start.file)]
        names = {start.file for start in starts}
        if len(names) < 2:
            return ()
        levels = zip(*(name.split("/")[:-1] for name in names), strict=False)
        shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
        return tuple(start._replace(file="/".join(start.file.split("/")[shared:])) for start in starts)


@dataclass(frozen=True, eq=False)
class Corpus:
    """Domains and their source.

    Attributes:
        name: The name that the user gave: a hub id, a directory, or "builtin".
        domains: Domains with unique names.
        provenance: Facts to record beside results: kind of source, revision, skipped lines.
        notices: Messages for the user.
        closing: Functions to call when the corpus is no longer used.
    """

    name: str
    domains: tuple[Domain, ...]
    provenance: dict[str, Any]
    notices: tuple[str, ...] = ()
    closing: tuple[Callable[[], None], ...] = ()

    def close(self) -> None:
        """Stop reading ahead."""
        for close in self.closing:
            close()


def require_labels(place: str, wanted: Iterable[str], counts: Mapping[str, int], flag: str) -> None:
    """Raise InputError for a label or name that does not occur, listing those that do and how often."""
    for label in wanted:
        if label not in counts:
            known = ", ".join(f"{each or 'an empty label'} ({count:,})" for each, count in counts.items())
            raise InputError(f"{place} has no {label} ({flag}); it has {known[:600] or 'none'}")


# The column with the domain of a document in SlimPajama and datasets labelled like it, and usual names.
SLIMPAJAMA_COLUMN = "meta.redpajama_set_name"
SLIMPAJAMA_NAMES = {
    "RedPajamaArXiv": "arxiv",
    "RedPajamaBook": "book",
    "RedPajamaC4": "c4",
    "RedPajamaCommonCrawl": "cc",
    "RedPajamaGithub": "github",
    "RedPajamaStackExchange": "stackexchange",
    "RedPajamaWikipedia": "wikipedia",
}


def _no_tokenizer(name: str) -> SourceTokenizer:
    raise ValueError(f"no tokenizer {name}")


@dataclass(frozen=True)
class CorpusRequest(ReadingOptions):
    """A corpus and how to read it: the reading options with their defaults filled in, and what they need.

    Attributes:
        dataset: Name of the corpus.
        added: Sources of further domains by name.
        scratch: Directory for text while it is in use.
        proxy_tokenizer_digest: Digest of the tokenizer that windows are for, or a function that returns it
            (called for token arrays only); None where it is not known.
        load_tokenizer: Loads the tokenizer of a checkpoint by name.
        least_domains: Fewer domains than this are an error: weights need two, an evaluation one.
    """

    dataset: str
    added: dict[str, str] = field(default_factory=dict)
    scratch: Path = Path()
    proxy_tokenizer_digest: str | Callable[[], str] | None = None
    load_tokenizer: Callable[[str], SourceTokenizer] = _no_tokenizer
    least_domains: int = 2
    text_column: str = field(default=DEFAULT_TEXT_COLUMN, kw_only=True)
    split: str = field(default=DEFAULT_SPLIT, kw_only=True)
    token_dtype: str = field(default=TOKEN_DTYPES[0], kw_only=True)
    domain_names: dict[str, str] = field(default_factory=dict, kw_only=True)

    @property
    def names(self) -> dict[str, str]:
        """Names of domains by label: those given, and the usual ones for SlimPajama's labels."""
        return {**SLIMPAJAMA_NAMES, **self.domain_names}
