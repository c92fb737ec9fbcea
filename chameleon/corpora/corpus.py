"""What every kind of corpus gives: named domains, each with a text."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chameleon.errors import InputError
from chameleon.text import Text


@dataclass(frozen=True, eq=False)
class Domain:
    """One domain of a corpus.

    Attributes:
        name: What the user calls it.
        text: Its text.
        version: What tells two states of a text apart where its fingerprint may not: times of change
            of files too large to be read whole. Empty otherwise.
        facts: What the user says of it, by the names of the weights file: `corpus_tokens` (counted
            elsewhere), `weight_in_use`.
        files: For a text in several files, in order: the unit and the position in it from which on the
            text is of each, and the file's name below the folder that they share.
    """

    name: str
    text: Text
    version: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    files: tuple[tuple[int, int, str], ...] = ()

    @property
    def count(self) -> int:
        """Its rows, documents, bytes or tokens, whichever its source knows without reading it."""
        return int(getattr(self.text, "num_documents", 0) or self.text.unit_sizes.sum())


@dataclass(frozen=True, eq=False)
class Corpus:
    """Domains and where they are from.

    Attributes:
        name: What the user named: a hub id, a directory, or "builtin".
        domains: At least two, each name once.
        provenance: Facts to record beside results: kind of source, revision, lines left out.
        notices: What the user must hear about it, in words.
        closing: What to call when it is done with.
    """

    name: str
    domains: tuple[Domain, ...]
    provenance: dict[str, Any]
    notices: tuple[str, ...] = ()
    closing: tuple[Callable[[], None], ...] = ()

    def __post_init__(self) -> None:
        names = [domain.name for domain in self.domains]
        if len(names) < 2:
            found = f"only {names[0]}" if names else "none"
            raise InputError(f"weights need at least 2 domains, but {self.name} holds {found}")

    def close(self) -> None:
        """End what reads ahead for it."""
        for close in self.closing:
            close()


def require_labels(place: str, wanted: Iterable[str], counts: Mapping[str, int], flag: str) -> None:
    """Raise for a label or name that is not there, with those that are and how often."""
    for label in wanted:
        if label not in counts:
            found = ", ".join(f"{each or 'an empty label'} ({count:,})" for each, count in counts.items())
            raise InputError(f"{place} has no {label} ({flag}); it has {found[:600] or 'none'}")
