"""Embeddings that were made apart: pieces of domains, many in one file.

A piece is the windows of some visits to a domain (`windows.py`), made by whichever worker. A file holds one
piece or many, and is there whole or not at all; the domain's windows are its pieces one after the other.
Of few domains the pieces are joined into a file for each domain and removed. Of many they stay as they
are: a million domains are not a million files.

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
    extent_of,
    read_embeddings,
    reading,
    write_embeddings,
)

FORMAT = "chameleon-pieces/1"


SUFFIX = ".pieces.safetensors"


class CannotWriteError(InputError):
    """A piece cannot be written: the place is full, or not to be written to from here."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Windows of some visits to a domain.

    Attributes:
        key: Name of the domain's file: it stands for the domain and for all that may change its numbers.
        domain: The domain's name.
        begin: The first visit.
        stored: Its windows, perhaps none; `next_visit` is the visit after the last.
        num_visits: Visits until the domain has no more windows.
    """

    key: str
    domain: str
    begin: int
    stored: DomainEmbeddings
    num_visits: int


class PieceLocation(NamedTuple):
    """Where a piece is: a file, and which rows and which entry of it."""

    path: Path
    rows: slice
    facts: Mapping[str, Any]

    @property
    def ends_domain(self) -> bool:
        """Whether the domain has no windows behind it."""
        return int(self.facts["next_visit"]) >= int(self.facts["num_visits"])


def write_pieces(directory: Path, pieces: Sequence[Piece]) -> Path:
    """Write pieces to a file of their own in a directory, whole or not at all.

    Raises:
        CannotWriteError: It cannot be written.
    """
    facts = [
        {
            "key": piece.key,
            "domain": piece.domain,
            "begin": piece.begin,
            "next_visit": piece.stored.next_visit,
            "num_visits": piece.num_visits,
            "available": piece.stored.available,
            "corpus_tokens": piece.stored.corpus_tokens,
            "examples": piece.stored.examples,
            "rows": len(piece.stored),
        }
        for piece in pieces
    ]
    arrays = {
        name: np.concatenate([np.atleast_1d(getattr(piece.stored, name)) for piece in pieces])
        for name in ARRAYS
    }
    name = digest_of_json([[piece.key, piece.begin, piece.stored.next_visit] for piece in pieces])[:32]
    path = directory / f"{name}{SUFFIX}"
    try:
        write_atomically(path, save(arrays, {"format": FORMAT, "pieces": json.dumps(facts)}))
    except InputError as error:
        raise CannotWriteError(str(error)) from None
    return path


def facts_in(path: Path) -> list[dict[str, Any]]:
    """What a file says of each of its pieces, in order.

    Raises:
        InputError: It is damaged.
        FileNotFoundError: It is gone.
    """
    with reading(path), safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        facts = json.loads(metadata["pieces"])
        count = file.get_slice("embeddings").get_shape()[0]
        if sum(each["rows"] for each in facts) != count:
            raise ValueError(f"it holds {count} windows, other than it says")
        return [dict(each) for each in facts]


def read_piece(place: PieceLocation) -> DomainEmbeddings:
    """The windows of a piece. Errors as of `facts_in`."""
    facts = place.facts
    with reading(place.path), safe_open(place.path, framework="numpy") as file:
        # An empty part cannot be sliced at the end of a file.
        is_empty = place.rows.start == place.rows.stop
        rows = slice(0, 0) if is_empty else place.rows
        arrays = {name: file.get_slice(name)[rows] for name in ARRAYS}
    amount = facts["corpus_tokens"]
    return DomainEmbeddings(
        **arrays,
        available=int(facts["available"]),
        next_visit=int(facts["next_visit"]),
        corpus_tokens=None if amount is None else (float(amount[0]), float(amount[1])),
        examples=_examples_in(place.path)[facts["key"], 0] if facts["begin"] == 0 else (),
    )


@lru_cache(maxsize=4)
def _examples_in(path: Path) -> dict[tuple[str, int], tuple[str, ...]]:
    """The texts that stand with the pieces of a file: domains are read in order, and many are in one."""
    return {
        (str(facts["key"]), int(facts["begin"])): tuple(str(each) for each in facts["examples"])
        for facts in facts_in(path)
    }


# Of more domains than this pieces stay as they are.
MOST_FILES = 256


class Pieces:
    """The pieces in a directory, by domain and first visit; read from the files when they are wanted."""

    def __init__(self, directory: Path) -> None:
        """See what there is.

        Raises:
            InputError: A file is damaged.
        """
        self.directory = directory
        self._places: dict[str, dict[int, PieceLocation]] = {}
        self._by_path: dict[Path, list[tuple[str, int, int]]] = {}
        self.look()

    def look(self, expected: Iterable[str] = ()) -> None:
        """See what came since.

        Args:
            expected: Names of files that are known to be there. Disks that machines share may be slow to list
                them.
        """
        for path in sorted(
            {*self.directory.glob(f"*{SUFFIX}"), *(self.directory / each for each in expected)}
        ):
            if path not in self._by_path:
                self._add(path)

    def _add(self, path: Path) -> None:
        try:
            every = facts_in(path)
        except FileNotFoundError:  # another run has joined it meanwhile
            return
        at, found = 0, self._by_path.setdefault(path, [])
        for facts in every:
            key, begin = str(facts["key"]), int(facts["begin"])
            facts.pop("examples", None)  # of very many domains they are much, and seldom wanted
            rows = slice(at, at := at + int(facts["rows"]))
            end = int(facts["next_visit"])
            places = self._places.setdefault(key, {})
            if begin not in places or end > int(places[begin].facts["next_visit"]):
                places[begin] = PieceLocation(path, rows, facts)
            found.append((key, begin, end))

    def hold(self, key: str, first: int, begin: int, end: int) -> bool:
        """Whether there is a piece of the domain of a key that holds the visits `begin` to `end` - 1.

        It may be longer, but does not begin before the visit `first`, from which on pieces are joined.
        """
        return any(
            first <= at <= begin and int(place.facts["next_visit"]) >= end
            for at, place in self._places.get(key, {}).items()
        )

    def has_any(self, keys: Iterable[str]) -> bool:
        """Whether there are pieces of any of the domains."""
        return any(key in self._places for key in keys)

    def stored(self, key: str) -> DomainEmbeddings | None:
        """All there is of a domain: its own file, and the pieces that go on behind it.

        Raises:
            InputError: A file is damaged.
        """
        path = self.directory / key
        stored = read_embeddings(path) if path.exists() else None
        parts, visit = ([], 0) if stored is None else ([stored], stored.next_visit)
        for place in self._from(key, visit):
            try:
                parts.append(read_piece(place))
            except FileNotFoundError:  # another run has joined it meanwhile: it is in the domain's file
                self._forget(place.path)
                return self.stored(key)
            if place.ends_domain:  # now it is known how many windows the domain has
                parts[-1] = replace(parts[-1], available=sum(map(len, parts)))
        return DomainEmbeddings.joined(parts) if parts else None

    def extent(self, key: str) -> Extent | None:
        """How much there is of a domain; the embeddings themselves are not read.

        Raises:
            InputError: A file is damaged.
        """
        path = self.directory / key
        found = extent_of(path) if path.exists() else None
        for place in self._from(key, 0 if found is None else found.next_visit):
            windows = place.rows.stop - place.rows.start + (0 if found is None else found.windows)
            available = windows if place.ends_domain else int(place.facts["available"])
            found = Extent(windows, int(place.facts["next_visit"]), available)
        return found

    def _from(self, key: str, visit: int) -> Iterator[PieceLocation]:
        """The pieces of a domain that go on from a visit."""
        places = self._places.get(key, {})
        while (place := places.get(visit)) is not None:
            yield place
            if place.ends_domain or int(place.facts["next_visit"]) <= visit:
                return
            visit = int(place.facts["next_visit"])

    def fold(self, domains: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
        """Join pieces into the files of their domains, and remove those of which all is in such files.

        Args:
            domains: By key the domain's name and its recipe.

        Raises:
            InputError: A file is damaged, or cannot be written.
        """
        reached: dict[str, int] = {}
        for key, (name, recipe) in domains.items():
            if key not in self._places:
                continue
            stored = self.stored(key)
            if stored is None:
                continue
            path = self.directory / key
            if not path.exists() or extent_of(path).windows < len(stored):
                write_embeddings(path, name, recipe, stored)
            reached[key] = stored.next_visit
        for path, within in list(self._by_path.items()):
            if all(end <= reached.get(key, -1) for key, _, end in within):
                path.unlink(missing_ok=True)
                self._forget(path)

    def _forget(self, path: Path) -> None:
        """A file is gone."""
        for key, begin, _ in self._by_path.pop(path):
            if begin in self._places[key] and self._places[key][begin].path == path:
                del self._places[key][begin]

    def made_otherwise(self, names: Iterable[str], keys: Iterable[str]) -> int:
        """How many domains of these names there are pieces of with other keys, and none with these."""
        of_names = {
            str(place.facts["domain"]) for places in self._places.values() for place in places.values()
        }
        mine = {str(place.facts["domain"]) for key in keys for place in self._places.get(key, {}).values()}
        return len(of_names.intersection(names) - mine)


class StoredDomains(Mapping[str, DomainEmbeddings]):
    """Embeddings of many domains, which together may be larger than memory: read when they are looked at."""

    def __init__(self, pieces: Pieces, keys: Mapping[str, str], windows: Mapping[str, int]) -> None:
        """Args: where they are, and by domain its key and how many of its windows are in use."""
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
