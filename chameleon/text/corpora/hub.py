"""Datasets of the hub: their files are found by the `datasets` library and read by ranges.

What is in the hub's cache is read from there. Environment variables of the hub's libraries hold
(HF_HOME, HF_TOKEN, HF_HUB_OFFLINE, HF_ENDPOINT).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.common.libraries import quiet_hub
from chameleon.text.corpora.builder import CorpusBuilder
from chameleon.text.corpora.corpus import SLIMPAJAMA_COLUMN, Corpus, CorpusRequest, Domain
from chameleon.text.corpora.formats import format_of, open_domain, open_labelled
from chameleon.text.corpora.parquet import columns_of
from chameleon.text.corpora.saved_datasets import domains_of_table
from chameleon.text.corpora.splits import STANDARD_SPLITS
from chameleon.text.corpora.storage import File, remote_files

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


_PART = re.compile(r"-(\d{5})-of-(\d{5})")


_REMOTE = re.compile(r"hf://datasets/(?P<repository>[^/]+/[^/@]+)@(?P<revision>[^/]+)/(?P<path>.+)")


@dataclass(frozen=True)
class _Found:
    """The files of a dataset's subset by split, and the commit that they are of."""

    splits: Mapping[str, Sequence[File]]
    subsets: tuple[str, ...]
    revision: str


def open_hub_dataset(request: CorpusRequest) -> Corpus:
    """A corpus of a hub dataset: domains in a column, or one a subset, or one a split.

    Raises:
        InputError: It cannot be had from the hub or its cache, or does not have what is asked for.
    """
    builder = CorpusBuilder.of(request)
    found = _find(request)
    if found is None:
        return _of_cached_table(builder)
    column = request.domain_column or _default_column(found, request)
    if column is not None:
        files = _of_split(request, found)
        identity = _identity(request, found, request.split)
        corpus = builder.corpus(open_labelled(builder, files, column, identity), "hub dataset", column)
        split: str | None = request.split
    else:
        split = None
        if len(found.subsets) > 1 and request.subset is None:
            domains = [_of_subset(builder, subset) for subset in found.subsets]
        elif len(found.splits) > 1 and not STANDARD_SPLITS & found.splits.keys():
            domains = [
                open_domain(
                    builder.with_options(split=name), name, files, digest=_identity(request, found, name)
                )
                for name, files in found.splits.items()
            ]
        else:
            raise InputError(
                f"{request.dataset}: nothing tells its domains apart. Name by --domain_column the column "
                f"that does: it has {_columns(found)}"
            )
        corpus = builder.corpus(domains, "hub dataset")
    return replace(
        corpus, provenance={**corpus.provenance, "revision": found.revision, "split": split or "each"}
    )


def domain_of_hub(builder: CorpusBuilder, name: str) -> list[Domain]:
    """A dataset's split as one domain, or as several by a column."""
    request = builder.request
    found = _find(request)
    if found is None:
        raise InputError(
            f"{request.dataset} is not in the hub's cache; run once with access to the hub and --download"
        )
    files = _of_split(request, found)
    if request.domain_column is not None:
        return open_labelled(builder, files, request.domain_column, _identity(request, found, request.split))
    return [open_domain(builder, name, files, digest=_identity(request, found, request.split))]


def _find(request: CorpusRequest) -> _Found | None:
    """The dataset's files, on the hub or in its cache; None where only a prepared table may be cached."""
    import datasets
    from huggingface_hub import snapshot_download

    offline = datasets.config.HF_HUB_OFFLINE
    try:
        with quiet_hub():
            if offline or request.download:
                place = Path(
                    snapshot_download(
                        request.dataset,
                        repo_type="dataset",
                        revision=request.revision,
                        local_files_only=offline,
                    )
                )
                builder = datasets.load_dataset_builder(str(place), request.subset)
                return _local(request, builder, place)
            builder = datasets.load_dataset_builder(
                request.dataset, request.subset, revision=request.revision
            )
    except InputError:
        raise
    except Exception as error:  # of the hub's library, its HTTP library, the network or the files
        if offline:
            return None
        subsets = _subsets_asked_for(error)
        if subsets and request.domain_column is None:
            return _found_by_subset(request, subsets)
        raise _unavailable(request.dataset, error) from None
    return _remote(builder)


def _subsets_asked_for(error: Exception) -> tuple[str, ...]:
    """The subsets that the library lists when one must be named."""
    listed = (
        re.search(r"available configs: (\[.*?\])", str(error))
        if "Config name is missing" in str(error)
        else None
    )
    return tuple(re.findall(r"'([^']+)'", listed[1])) if listed else ()


def _found_by_subset(request: CorpusRequest, subsets: tuple[str, ...]) -> _Found:
    first = _find(replace(request, subset=subsets[0]))
    if first is None:
        raise InputError(f"{request.dataset} has no subset {subsets[0]} in the hub's cache")
    return replace(first, subsets=subsets)


def _remote(builder: Any) -> _Found:  # noqa: ANN401
    splits, revision = {}, ""
    for split, names in (builder.config.data_files or {}).items():
        files = []
        for name in names:
            match = _REMOTE.fullmatch(str(name))
            if match is not None:
                revision = match["revision"]
            files.append(_cached(match) or str(name))
        missing = [file for file in files if isinstance(file, str)]
        there = iter(remote_files(missing)) if missing else iter(())
        splits[str(split)] = [next(there) if isinstance(file, str) else file for file in files]
    return _Found(splits, tuple(builder.builder_configs), revision)


def _cached(match: re.Match[str] | None) -> File | None:
    """A file of the hub that its cache holds."""
    from huggingface_hub import try_to_load_from_cache

    if match is None:
        return None
    found = try_to_load_from_cache(
        match["repository"], match["path"], revision=match["revision"], repo_type="dataset"
    )
    return _local_copy(Path(found)) if isinstance(found, str) else None


def _local_copy(path: Path) -> File:
    return File(str(path), path.stat().st_size, "", str(path))


def _local(request: CorpusRequest, builder: Any, place: Path) -> _Found | None:  # noqa: ANN401
    """The files of a snapshot in the hub's cache; None where it holds no data."""
    splits = {
        str(split): [_local_copy(Path(str(name))) for name in names]
        for split, names in (builder.config.data_files or {}).items()
    }
    for files in splits.values():
        parts = [part for part in (_PART.search(file.path) for file in files) if part]
        if parts and len(parts) < int(parts[0][2]):
            raise InputError(
                f"{request.dataset}: the hub's cache holds {len(parts)} of {int(parts[0][2])} files; run "
                "once with access to the hub and --download"
            )
    return _Found(splits, tuple(builder.builder_configs), place.name) if splits else None


def _of_split(request: CorpusRequest, found: _Found) -> list[File]:
    if request.split not in found.splits:
        raise InputError(
            f"{request.dataset} has no split {request.split}; it has {', '.join(found.splits)} (--split)"
        )
    return list(found.splits[request.split])


def _default_column(found: _Found, request: CorpusRequest) -> str | None:
    files = found.splits.get(request.split, ())
    parquet = [file for file in files if format_of(file) == "parquet"]
    return SLIMPAJAMA_COLUMN if parquet and SLIMPAJAMA_COLUMN in columns_of(parquet[0]) else None


def _columns(found: _Found) -> str:
    files = [file for files in found.splits.values() for file in files if format_of(file) == "parquet"]
    return ", ".join(columns_of(files[0])) if files else "no parquet files"


def _of_subset(builder: CorpusBuilder, subset: str) -> Domain:
    return domain_of_hub(builder.with_options(subset=subset), subset)[0]


def _identity(request: CorpusRequest, found: _Found, split: str) -> str:
    """What the files are, whether they are read from the hub or from its cache."""
    return digest_of_json(
        {
            "dataset": request.dataset,
            "subset": request.subset,
            "split": split,
            "revision": found.revision,
            "columns": [request.text_column, request.domain_column or SLIMPAJAMA_COLUMN],
        }
    )


def _of_cached_table(builder: CorpusBuilder) -> Corpus:
    """Without the hub: what the `datasets` library has prepared from it in its own cache."""
    import datasets

    request = builder.request
    if request.revision is not None:
        raise InputError(
            f"{request.dataset}: --revision {request.revision} cannot be found without the hub; leave it "
            "out, or run once with access to the hub and --download"
        )
    try:
        with quiet_hub():
            table = datasets.load_dataset(request.dataset, request.subset, split=request.split)
    except Exception as error:  # of the library, or what it stumbles on in its cache
        raise _unavailable(request.dataset, error) from None
    if not table.cache_files:
        raise InputError(
            f"{request.dataset} was loaded into memory, where nothing says which revision it is; "
            "unset HF_DATASETS_IN_MEMORY_MAX_SIZE"
        )
    # The commit that the table was made from names the folder in which the library caches it.
    revision = Path(table.cache_files[0]["filename"]).parent.name
    column = request.domain_column or SLIMPAJAMA_COLUMN
    identity = f"{revision} {request.split}"
    domains = domains_of_table(request.dataset, table, identity, request.text_column, column, request.names)
    corpus = builder.corpus(domains, "hub dataset", column)
    return replace(corpus, provenance={**corpus.provenance, "revision": revision, "split": request.split})


def _unavailable(dataset: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:300]
    return InputError(
        f"cannot get {dataset} from the hub ({type(error).__name__}: {reason}). To work offline, run once "
        "with access and --download and set HF_HOME to that cache and HF_HUB_OFFLINE=1; "
        'or name by --dataset a directory with a file for each domain, or "builtin"'
    )
