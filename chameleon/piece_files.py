"""Files of pieces: stretches of domains, one or many in a file, which is there whole or not at all.

Shapes: n windows, d width of an embedding.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from chameleon.errors import InputError
from chameleon.files import digest_of_json, write_atomically
from chameleon.store import ARRAYS, DomainEmbeddings, reading

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


class Place(NamedTuple):
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


def read_piece(place: Place) -> DomainEmbeddings:
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
