"""Embeddings on disk: one safetensors file for each domain, and a record of each embedded corpus.

A domain's file is named by the domain and the digest of its recipe, which is everything that may
change its numbers; the recipe itself is in the file too. Row j is window j, so a file with fewer
rows than wanted is extended and one with more is used as it is. A record
`<corpus>-<digest>.run.json` says which files make up a corpus, so that weights can be computed from
the directory alone.

Shapes: n windows of a domain, d width of an embedding.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json, file_stem, write_atomically

FORMAT = "chameleon-embeddings/2"
RECORD_SUFFIX = ".run.json"
_REMEDY = "delete it to have its windows embedded again"

# Arrays with a row for each window, and their dtypes.
ARRAYS = {"embeddings": "float32", "positions": "int64", "documents": "int64", "tokens": "int64"}


@dataclass(frozen=True)
class DomainEmbeddings:
    """Embeddings of the first n windows of a domain.

    Attributes:
        embeddings: (n, d) float32, one row for each window.
        positions: (n,) int64, position in the domain at which each window begins.
        documents: (n,) int64, position of its first document.
        tokens: (n,) int64, tokens of each window.
        available: Windows of the whole domain, so far as is known.
        next_visit: The visit from which further windows are cut (`chameleon.text.windows`).
        corpus_tokens: Tokens of the whole domain and their standard error; None where unknown.
        examples: Beginnings of the first few windows, to be displayed.
    """

    embeddings: npt.NDArray[np.float32]
    positions: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    available: int
    next_visit: int = 0
    corpus_tokens: tuple[float, float] | None = None
    examples: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.embeddings)

    def first(self, n: int) -> Self:
        """The first n windows, or all of them where there are fewer."""
        return self.at(slice(n))

    def at(self, rows: slice | npt.NDArray[np.int64]) -> Self:
        """Some of the windows."""
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in ARRAYS}
        return replace(self, **arrays)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Parts of one domain, at least one, one after the other."""
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS
        }
        examples = next((part.examples for part in parts if part.examples), ())
        return replace(parts[-1], **arrays, examples=examples)


def file_name(domain: str, recipe: Mapping[str, Any]) -> str:
    """Name of a domain's file: readable, and unique to the domain and its recipe."""
    return f"{file_stem(domain)}-{digest_of_json({'domain': domain, **recipe})[:16]}.safetensors"


def write_embeddings(path: Path, domain: str, recipe: Mapping[str, Any], stored: DomainEmbeddings) -> None:
    """Write a domain's file, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    metadata = {
        "format": FORMAT,
        "domain": domain,
        "recipe": json.dumps(recipe, sort_keys=True),
        "available": str(stored.available),
        "next_visit": str(stored.next_visit),
        "corpus_tokens": json.dumps(stored.corpus_tokens),
        "examples": json.dumps(stored.examples),
    }
    arrays = {name: np.ascontiguousarray(getattr(stored, name)) for name in ARRAYS}
    write_atomically(path, save(arrays, metadata))


def read_embeddings(path: Path) -> DomainEmbeddings:
    """Read a domain's file.

    Raises:
        InputError: The file cannot be read, or is truncated, or not one of these.
    """
    with reading(path), safe_open(path, framework="numpy") as file:
        metadata = _metadata(path, file.metadata())
        arrays = {name: file.get_tensor(name) for name in ARRAYS}
        examples = json.loads(metadata.get("examples", "[]"))
        stored = DomainEmbeddings(
            **arrays,
            available=int(metadata["available"]),
            next_visit=int(metadata["next_visit"]),
            corpus_tokens=amount_of(json.loads(metadata["corpus_tokens"])),
            examples=tuple(str(each) for each in examples),
        )
    shapes = {name: array.shape for name, array in arrays.items()}
    fits = stored.embeddings.ndim == 2 and all(shape[:1] == (len(stored),) for shape in shapes.values())
    if not fits or any(array.dtype != ARRAYS[name] for name, array in arrays.items()):
        raise InputError(f"{path} holds arrays that do not fit each other ({shapes}); {_REMEDY}")
    return stored


def amount_of(value: Sequence[float] | None) -> tuple[float, float] | None:
    """Tokens of a domain and their standard error, from JSON."""
    return None if value is None else (float(value[0]), float(value[1]))


class Extent(NamedTuple):
    """How much of a domain is stored: windows, the visit after them, and windows of the whole domain."""

    windows: int
    next_visit: int
    available: int


def extent_of(path: Path) -> Extent:
    """How much a domain's file holds, without reading the arrays. Raises: see `read_embeddings`."""
    with reading(path), safe_open(path, framework="numpy") as file:
        metadata = _metadata(path, file.metadata())
        windows = file.get_slice("embeddings").get_shape()[0]
        return Extent(int(windows), int(metadata["next_visit"]), int(metadata["available"]))


def _metadata(path: Path, metadata: Mapping[str, str] | None) -> Mapping[str, str]:
    if metadata is None or metadata.get("format") != FORMAT:
        raise InputError(f"{path} is not a file of embeddings of this program ({FORMAT}); {_REMEDY}")
    return metadata


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of reading a file of embeddings into an InputError that says what to do."""
    try:
        yield
    except (InputError, FileNotFoundError):
        raise
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, IndexError, struct.error) as error:
        raise InputError(f"{path} is truncated or damaged ({error}); {_REMEDY}") from None


@dataclass(frozen=True)
class EmbeddingRecord:
    """Which files hold the embeddings of a corpus, and what made them.

    Attributes:
        dataset: Name of the corpus.
        settings: Settings by the names of their flags: seed, sample_length, dtype, checkpoint_path, ...
        num_samples: --num_samples of the last run; None where it chose the number of windows itself.
        windows: Windows that the last run used, by domain.
        files: Name of the file, by domain.
        facts: Facts that a manifest states about a domain, for domains that have any.
        provenance: Facts about corpus and proxy for the weights file.
        notices: Messages about the corpus.
        written: Time of writing, ISO 8601.
        sources: For domains of several files, each file with the position at which its text begins.
    """

    dataset: str
    settings: Mapping[str, Any]
    num_samples: int | None
    windows: Mapping[str, int]
    files: Mapping[str, str]
    facts: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Any]
    notices: tuple[str, ...]
    written: str
    sources: Mapping[str, Sequence[tuple[int, str]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The record's file name: the same for every run on the same domains with the same recipes."""
        return f"{file_stem(self.dataset)}-{digest_of_json(dict(self.files))[:8]}{RECORD_SUFFIX}"


@dataclass(frozen=True)
class EmbeddedCorpus:
    """The embeddings of a corpus, from which weights are computed.

    Attributes:
        record: What made them.
        domains: Embeddings of the domains in use.
        removed: Embeddings of domains that were left out, so far as they are stored.
    """

    record: EmbeddingRecord
    domains: Mapping[str, DomainEmbeddings]
    removed: Mapping[str, DomainEmbeddings] = field(default_factory=dict)


def require_removable(names: Sequence[str], removed: Sequence[str]) -> None:
    """Raise InputError for a removed domain that does not exist, or if fewer than two domains remain."""
    existing, gone = set(names), set(removed)
    for name in removed:
        if name not in existing:
            raise InputError(
                f"there is no domain {name} to remove (--remove_domains); there are {', '.join(names)[:600]}"
            )
    left = [name for name in names if name not in gone]
    if removed and len(left) < 2:
        remaining = f"only {left[0]}" if left else "none"
        raise InputError(f"weights need at least 2 domains, but --remove_domains leaves {remaining}")


def write_record(directory: Path, record: EmbeddingRecord) -> None:
    """Write a record, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    text = json.dumps({"format": FORMAT, **vars(record)}, indent=2, ensure_ascii=False) + "\n"
    write_atomically(directory / record.name, text.encode())


def read_records(directory: Path) -> list[EmbeddingRecord]:
    """All records of a directory, sorted by file name.

    Raises:
        InputError: A record cannot be read.
    """
    records = []
    for path in sorted(directory.glob(f"*{RECORD_SUFFIX}")):
        try:
            records.append(_record_of(json.loads(path.read_bytes())))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged or not of this program ({error}); delete it") from None
    return records


def _record_of(content: Any) -> EmbeddingRecord:  # noqa: ANN401
    """The record of a file's content, which may be anything.

    Raises:
        ValueError: It is not a record; the message says why.
    """
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    kinds = {"dataset": str, "settings": dict, "num_samples": int | None, "windows": dict, "files": dict,
             "facts": dict, "sources": dict, "provenance": dict, "notices": list, "written": str}  # fmt: skip
    if content.keys() != kinds.keys():
        raise ValueError(f"expected {', '.join(kinds)}, found {', '.join(content)[:200]}")
    for name, kind in kinds.items():
        if not isinstance(content[name], kind):
            raise ValueError(f"{name} is not a {getattr(kind, '__name__', kind)}")
    if content["num_samples"] is not None and content["num_samples"] < 1:
        raise ValueError(f"num_samples is {content['num_samples']}")
    if content["windows"].keys() != content["files"].keys():
        raise ValueError("windows and files name different domains")
    for number in content["windows"].values():
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"expected windows of at least 1, got {number}")
    for file in content["files"].values():
        if not isinstance(file, str) or file != Path(file).name:
            raise ValueError(f"{json.dumps(file)[:80]} is not a file beside it")
    try:
        sources = {
            name: tuple((int(begin), str(file)) for begin, file in entries)
            for name, entries in content["sources"].items()
        }
    except TypeError:
        raise ValueError("sources are not pairs of position and file") from None
    return EmbeddingRecord(**{**content, "sources": sources, "notices": tuple(map(str, content["notices"]))})
