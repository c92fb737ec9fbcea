"""Pieces of domains: windows that were embedded apart from the rest of their domain.

A piece is the windows of some consecutive visits to a domain (`chameleon.text.windows`), made by any
worker; the domain's windows are its pieces one after the other. A file holds one piece or many, and is
written whole or not at all. With few domains the pieces are joined into one file for each domain and
removed. With many they stay as they are: a million domains are not a million files.

Shapes: n windows, d width of an embedding.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json, write_atomically
from chameleon.embeddings.store import (
    ARRAYS,
    DomainEmbeddings,
    Extent,
    amount_of,
    extent_of,
    read_embeddings,
    reading,
    write_embeddings,
)

FORMAT = "chameleon-pieces/1"
SUFFIX = ".pieces.safetensors"

# With more domains than this, embeddings stay in files of many pieces.
_MOST_FILES = 256


def are_many(number: int) -> bool:
    """Whether so many domains do not get a file each."""
    return number > _MOST_FILES


class CannotWriteError(InputError):
    """A piece cannot be written: the disk is full, or the directory is read-only."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Windows of some consecutive visits to a domain.

    Attributes:
        key: File name of the domain, which stands for all that may change its numbers.
        domain: The domain's name.
        begin: The first visit.
        stored: The windows, perhaps none; `next_visit` is the visit after the last.
        num_visits: Visits of the whole domain.
    """

    key: str
    domain: str
    begin: int
    stored: DomainEmbeddings
    num_visits: int

    def facts(self) -> dict[str, Any]:
        """All but the arrays, as JSON types."""
        return {
            "key": self.key,
            "domain": self.domain,
            "begin": self.begin,
            "next_visit": self.stored.next_visit,
            "num_visits": self.num_visits,
            "available": self.stored.available,
            "corpus_tokens": self.stored.corpus_tokens,
            "examples": self.stored.examples,
            "rows": len(self.stored),
        }


class PieceLocation(NamedTuple):
    """Where a piece is: in rows of a file, or in memory until it is joined to its domain's file."""

    path: Path | None
    rows: slice
    facts: Mapping[str, Any]
    stored: DomainEmbeddings | None = None

    @property
    def next_visit(self) -> int:
        """The visit after the piece."""
        return int(self.facts["next_visit"])

    @property
    def ends_domain(self) -> bool:
        """Whether the domain has no windows after it."""
        return self.next_visit >= int(self.facts["num_visits"])


def write_pieces(directory: Path, pieces: Sequence[Piece]) -> Path:
    """Write pieces to a new file in a directory, whole or not at all.

    Raises:
        CannotWriteError: The file cannot be written.
    """
    arrays = {
        name: np.concatenate([np.atleast_1d(getattr(piece.stored, name)) for piece in pieces])
        for name in ARRAYS
    }
    name = digest_of_json([[piece.key, piece.begin, piece.stored.next_visit] for piece in pieces])[:32]
    path = directory / f"{name}{SUFFIX}"
    facts = json.dumps([piece.facts() for piece in pieces])
    try:
        write_atomically(path, save(arrays, {"format": FORMAT, "pieces": facts}))
    except InputError as error:
        raise CannotWriteError(str(error)) from None
    return path


def facts_in(path: Path) -> list[dict[str, Any]]:
    """The facts of each piece in a file, in order.

    Raises:
        InputError: The file is damaged.
        FileNotFoundError: The file is gone.
    """
    with reading(path), safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        facts = json.loads(metadata["pieces"])
        count = file.get_slice("embeddings").get_shape()[0]
        if sum(each["rows"] for each in facts) != count:
            raise ValueError(f"it holds {count} windows, which does not match its metadata")
        return [dict(each) for each in facts]


def read_piece(location: PieceLocation) -> DomainEmbeddings:
    """The windows of a piece. Raises: see `facts_in`."""
    if location.stored is not None:
        return location.stored
    assert location.path is not None
    facts = location.facts
    with reading(location.path), safe_open(location.path, framework="numpy") as file:
        # An empty part cannot be sliced at the end of a file.
        is_empty = location.rows.start == location.rows.stop
        rows = slice(0, 0) if is_empty else location.rows
        arrays = {name: file.get_slice(name)[rows] for name in ARRAYS}
    return DomainEmbeddings(
        **arrays,
        available=int(facts["available"]),
        next_visit=int(facts["next_visit"]),
        corpus_tokens=amount_of(facts["corpus_tokens"]),
        examples=_examples_in(location.path)[facts["key"], 0] if facts["begin"] == 0 else (),
    )


# Domains are read in order, and the pieces of many are in one file.
@lru_cache(maxsize=4)
def _examples_in(path: Path) -> dict[tuple[str, int], tuple[str, ...]]:
    """The example texts of the pieces of a file, by key and first visit."""
    return {
        (str(facts["key"]), int(facts["begin"])): tuple(str(each) for each in facts["examples"])
        for facts in facts_in(path)
    }


class Pieces:
    """The domains' files and pieces of a directory; pieces are read when they are wanted."""

    def __init__(self, directory: Path) -> None:
        """Look which pieces the directory holds.

        Raises:
            InputError: A file is damaged.
        """
        self.directory = directory
        self._locations: dict[str, dict[int, PieceLocation]] = {}
        self._by_path: dict[Path, list[tuple[str, int, int]]] = {}
        self.look()

    def look(self, expected: Iterable[str] = ()) -> None:
        """Look which files were written since.

        Args:
            expected: Names of files that are known to exist. Disks that machines share may be slow to list
                them.
        """
        listed = self.directory.glob(f"*{SUFFIX}")
        for path in sorted({*listed, *(self.directory / each for each in expected)} - self._by_path.keys()):
            try:
                every = facts_in(path)
            except FileNotFoundError:  # another run has joined it meanwhile
                continue
            at, self._by_path[path] = 0, []
            for facts in every:
                facts.pop("examples", None)  # with very many domains they are large, and seldom wanted
                location = PieceLocation(path, slice(at, at := at + int(facts["rows"])), facts)
                self._add(location)
                self._by_path[path].append((str(facts["key"]), int(facts["begin"]), location.next_visit))

    def hold(self, pieces: Iterable[Piece]) -> None:
        """Keep pieces in memory until `fold` joins them to their domains' files."""
        for piece in pieces:
            self._add(PieceLocation(None, slice(0, len(piece.stored)), piece.facts(), piece.stored))

    def _add(self, location: PieceLocation) -> None:
        """If two pieces begin at the same visit, the longer one is used."""
        of_domain = self._locations.setdefault(str(location.facts["key"]), {})
        begin = int(location.facts["begin"])
        if begin not in of_domain or location.next_visit > of_domain[begin].next_visit:
            of_domain[begin] = location

    def has(self, key: str, first: int, begin: int, end: int) -> bool:
        """Whether there is a piece of a domain with the visits `begin` to `end` - 1.

        It may be longer, but does not begin before the visit `first`, from which on pieces are joined.
        """
        return any(
            first <= at <= begin and location.next_visit >= end
            for at, location in self._locations.get(key, {}).items()
        )

    def stored(self, key: str) -> DomainEmbeddings | None:
        """The windows of a domain: those of its own file, and of the pieces that follow them.

        Raises:
            InputError: A file is damaged.
        """
        path = self.directory / key
        stored = read_embeddings(path) if path.exists() else None
        parts, visit = ([], 0) if stored is None else ([stored], stored.next_visit)
        for location in self._from(key, visit):
            try:
                parts.append(read_piece(location))
            except FileNotFoundError:  # another run has joined it meanwhile to the domain's file
                assert location.path is not None
                self._forget(location.path)
                return self.stored(key)
            if location.ends_domain:  # now it is known how many windows the domain has
                parts[-1] = replace(parts[-1], available=sum(map(len, parts)))
        return DomainEmbeddings.joined(parts) if parts else None

    def extent(self, key: str) -> Extent | None:
        """How much of a domain is stored, without reading the embeddings; None for nothing.

        Raises:
            InputError: A file is damaged.
        """
        path = self.directory / key
        extent = extent_of(path) if path.exists() else None
        for location in self._from(key, 0 if extent is None else extent.next_visit):
            windows = location.rows.stop - location.rows.start + (0 if extent is None else extent.windows)
            available = windows if location.ends_domain else int(location.facts["available"])
            extent = Extent(windows, location.next_visit, available)
        return extent

    def _from(self, key: str, visit: int) -> Iterator[PieceLocation]:
        """The pieces of a domain that follow each other from a visit on."""
        locations = self._locations.get(key, {})
        while (location := locations.get(visit)) is not None:
            yield location
            if location.ends_domain or location.next_visit <= visit:
                return
            visit = location.next_visit

    def fold(self, domains: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
        """Join pieces to the files of their domains, and remove files of which all is joined.

        Args:
            domains: Name and recipe of each domain, by key.

        Raises:
            InputError: A file is damaged, or cannot be written.
        """
        reached: dict[str, int] = {}
        for key, (name, recipe) in domains.items():
            stored = self.stored(key) if self._locations.get(key) else None
            if stored is None:
                continue
            path = self.directory / key
            # Another run may have written more meanwhile.
            if not path.exists() or extent_of(path)[:2] < (len(stored), stored.next_visit):
                write_embeddings(path, name, recipe, stored)
            reached[key] = stored.next_visit
            for begin, location in list(self._locations[key].items()):
                if location.path is None and location.next_visit <= stored.next_visit:
                    del self._locations[key][begin]
        for path, pieces in list(self._by_path.items()):
            if all(end <= reached.get(key, -1) for key, _, end in pieces):
                path.unlink(missing_ok=True)
                self._forget(path)

    def _forget(self, path: Path) -> None:
        """Forget the pieces of a file that is gone."""
        for key, begin, _ in self._by_path.pop(path):
            if begin in self._locations[key] and self._locations[key][begin].path == path:
                del self._locations[key][begin]

    def num_of_other_recipes(self, names: Iterable[str], keys: Iterable[str]) -> int:
        """How many of these domains have pieces under other keys, and none under these."""
        others = {
            str(location.facts["domain"])
            for of_domain in self._locations.values()
            for location in of_domain.values()
        }
        mine = {str(each.facts["domain"]) for key in keys for each in self._locations.get(key, {}).values()}
        return len(others.intersection(names) - mine)


class StoredDomains(Mapping[str, DomainEmbeddings]):
    """Embeddings of domains that together may be larger than memory: each is read when it is looked up."""

    def __init__(self, pieces: Pieces, keys: Mapping[str, str], windows: Mapping[str, int]) -> None:
        """Set up.

        Args:
            pieces: The directory.
            keys: Key of each domain, by name.
            windows: How many of its windows are used, by name.
        """
        self._pieces, self._keys, self._windows = pieces, keys, windows

    def __getitem__(self, name: str) -> DomainEmbeddings:
        stored = self._pieces.stored(self._keys[name])
        if stored is None:
            raise InputError(f"the embeddings of domain {name} are gone from {self._pieces.directory}")
        return stored.first(self._windows[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._windows)

    def __len__(self) -> int:
        return len(self._windows)
