"""Finds embeddings on disk without corpus, checkpoint, torch or transformers.

Settings given by flags must agree with those of the embeddings; others are taken from there. Files of
the method's published code, `<domain>_embeddings.pt`, are read too.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from chameleon.common.errors import InputError
from chameleon.common.files import local_path, path_exists
from chameleon.embeddings.pieces import Pieces, StoredDomains, are_many
from chameleon.embeddings.store import (
    DomainEmbeddings,
    EmbeddedCorpus,
    EmbeddingRecord,
    read_records,
    require_removable,
)

_PUBLISHED_SUFFIX = "_embeddings.pt"
_MAKE_THEM = "run once without --skip_embedding_generation to make them"


def stored_embeddings(
    directory: Path,
    settings: Mapping[str, Any],
    num_samples: int | None = None,
    domains: Sequence[str] | None = None,
    removed: Sequence[str] = (),
) -> EmbeddedCorpus:
    """The embeddings of the one corpus in a directory that agrees with the settings.

    Args:
        directory: Directory of embeddings.
        settings: Settings by the names of their flags; None for those that were not given.
        num_samples: Windows of each domain (default: as many as the last run used).
        domains: Domains to use, in this order (default: all).
        removed: Domains to leave out.

    Raises:
        InputError: No embeddings or several agree with the settings (names the values), or they are
            incomplete, damaged, or fewer than num_samples.
    """
    if not (path_exists(directory) and directory.is_dir()):
        raise InputError(f"there are no embeddings: no directory {directory}; {_MAKE_THEM}")
    records = read_records(directory)
    published = sorted(directory.glob(f"*{_PUBLISHED_SUFFIX}"))
    if records and published:
        raise InputError(
            f"{directory} holds embeddings of this program and of the published code ({published[0].name}); "
            "keep them in two directories and name one by --embeddings_dir"
        )
    if published:
        embedded = _published_embeddings(directory, published, settings, num_samples)
        chosen = {name: embedded.domains[name] for name in _choose_domains(domains, embedded.domains)}
        return _without(replace(embedded, domains=chosen), removed)
    # A run on some domains of a corpus is used if it is the only one, or has the domains that are named.
    named = {*(domains or ()), *removed}
    holding = [record for record in records if record.files.keys() >= named]
    record = _choose(directory, holding or records, settings)
    pieces = Pieces(directory)
    names = _choose_domains(domains, record.files)
    if are_many(len(record.files)):
        require_removable(names, removed)
        counts = {
            name: _enough(pieces, record.files[name], name, num_samples or record.windows[name])
            for name in names
        }
        gone = {name: counts.pop(name) for name in removed}
        in_use, left_out = (StoredDomains(pieces, record.files, each) for each in (counts, gone))
        return EmbeddedCorpus(record, in_use, left_out)
    stored = {
        name: _complete(pieces, record.files[name], name, num_samples or record.windows[name])
        for name in names
    }
    return _without(EmbeddedCorpus(record, stored), removed)


def _without(embedded: EmbeddedCorpus, removed: Sequence[str]) -> EmbeddedCorpus:
    """Embeddings with some domains moved to the removed ones."""
    require_removable(list(embedded.domains), removed)
    rest = {name: stored for name, stored in embedded.domains.items() if name not in removed}
    return replace(embedded, domains=rest, removed={name: embedded.domains[name] for name in removed})


def _choose_domains(domains: Sequence[str] | None, stored: Mapping[str, Any]) -> Sequence[str]:
    """The domains to use, all of which must be stored."""
    for name in domains or ():
        if name not in stored:
            raise InputError(
                f"there are no embeddings of domain {name} (--domains); there are of {', '.join(stored)}"
            )
    if domains is not None and len(domains) < 2:
        raise InputError(f"weights need at least 2 domains, --domains names only {', '.join(domains)}")
    return list(stored) if domains is None else domains


def _choose(directory: Path, records: list[EmbeddingRecord], settings: Mapping[str, Any]) -> EmbeddingRecord:
    """The newest record that agrees with the settings; those that do must have the same settings."""
    if not records:
        raise InputError(f"there are no embeddings in {directory}; {_MAKE_THEM}")
    agreeing = [record for record in records if not _contradictions(record, settings)]
    if not agreeing:
        nearest = min(records, key=lambda record: len(_contradictions(record, settings)))
        name, (wanted, stored) = next(iter(_contradictions(nearest, settings).items()))
        raise InputError(
            f"--{name} {wanted} contradicts the embeddings in {directory}, made with {name} {stored}; "
            f"leave the flag out to use them, or {_MAKE_THEM}"
        )
    if any(record.settings != agreeing[0].settings for record in agreeing):
        raise InputError(
            f"{directory} holds {len(agreeing)} sets of embeddings that agree with the flags given: "
            f"{_differences(agreeing)}; name one by these flags"
        )
    # Several records with the same settings: the corpus has changed since, and its last state counts.
    newest = max(agreeing, key=lambda record: record.written)
    if len(agreeing) == 1:
        return newest
    notice = f"using the embeddings of {newest.written}; {directory} holds earlier states of the corpus too"
    return replace(newest, notices=(*newest.notices, notice))


def _contradictions(record: EmbeddingRecord, settings: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Given and recorded value of each setting in which they differ."""
    return {
        name: (value, record.settings.get(name))
        for name, value in settings.items()
        if value is not None and not _same(value, record.settings.get(name))
    }


def _same(given: Any, recorded: Any) -> bool:  # noqa: ANN401
    if isinstance(given, str) and isinstance(recorded, str):
        return given == recorded or _real_path(given) == _real_path(recorded)
    return bool(given == recorded)


def _real_path(name: str) -> str:
    return os.path.realpath(local_path(name))


def _differences(records: list[EmbeddingRecord]) -> str:
    """The settings in which records differ, for each record."""
    every = [record.settings for record in records]
    names = [
        name
        for name in dict.fromkeys(name for settings in every for name in settings)
        if any(settings.get(name) != every[0].get(name) for settings in every)
    ]
    return "; ".join(
        " ".join(f"--{name} {settings.get(name, '(not given)')}" for name in names) for settings in every
    )


def _enough(pieces: Pieces, key: str, domain: str, wanted: int) -> int:
    """Stored windows of a domain to use, without reading them."""
    extent = pieces.extent(key)
    if extent is None or extent.windows < min(wanted, extent.available):
        return len(_complete(pieces, key, domain, wanted))  # says what is missing
    return min(wanted, extent.windows)


def _complete(pieces: Pieces, key: str, domain: str, wanted: int) -> DomainEmbeddings:
    """The first windows of a domain, as many as wanted or as it has."""
    stored, path = pieces.stored(key), pieces.directory / key
    if stored is None:
        raise InputError(f"the embeddings of domain {domain} are missing ({path}); {_MAKE_THEM}")
    if len(stored) < min(wanted, stored.available):
        raise InputError(
            f"domain {domain} has embeddings of {len(stored)} windows in {path}, "
            f"--num_samples is {wanted}; run without --skip_embedding_generation to add the others, or set "
            "a smaller --num_samples"
        )
    return stored.first(wanted)


def _published_embeddings(
    directory: Path, paths: list[Path], settings: Mapping[str, Any], num_samples: int | None
) -> EmbeddedCorpus:
    """Embeddings of the published code, without exact duplicates, which it removes when it reads them."""
    given = [name for name, value in settings.items() if value is not None]
    if given:
        raise InputError(
            f"--{given[0]} {settings[given[0]]} cannot be compared with {paths[0]}: files of the published "
            "code do not say what made them; leave the flag out"
        )
    domains = {}
    for path in paths:
        tensor = _tensor(path)
        distinct = np.sort(np.unique(tensor, axis=0, return_index=True)[1])
        rows = tensor[distinct][:num_samples]
        unknown_numbers = np.full(len(rows), -1, dtype=np.int64)
        domains[path.name.removesuffix(_PUBLISHED_SUFFIX)] = DomainEmbeddings(
            rows, unknown_numbers, unknown_numbers, unknown_numbers, available=len(rows)
        )
    record = EmbeddingRecord(
        dataset=str(directory),
        settings={"dataset": str(directory)},
        num_samples=num_samples,
        windows={name: len(rows) for name, rows in domains.items()},
        files={domain: path.name for domain, path in zip(domains, paths, strict=True)},
        facts={},
        provenance={"embeddings": "files of the method's published code"},
        notices=(
            "these embeddings are of the published code, which does not record what made them",
            *(
                f"{name} has only {len(rows)} windows: all are used"
                for name, rows in domains.items()
                if num_samples is not None and len(rows) < num_samples
            ),
        ),
        written="",
    )
    return EmbeddedCorpus(record, domains)


def _tensor(path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            tensor = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's restricted unpickler raises many kinds
        # Without torch's message, which advises to read the file unsafely.
        raise InputError(
            f"{path} holds no plain tensor or is damaged ({type(error).__name__}); create it again"
        ) from None
    plain = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
    if not plain or tensor.ndim != 2 or 0 in tensor.shape:
        shape = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise InputError(f"{path}: expected an (n, d) tensor of embeddings, got {shape}")
    rows: np.ndarray[Any, np.dtype[np.float32]] = tensor.detach().float().numpy()
    return rows
