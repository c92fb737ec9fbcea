"""Datasets of the hub: the `datasets` library lists their files, which are read by ranges of bytes.

Files in the hub's cache are read from there. The environment variables of the hub's libraries apply (HF_HOME,
HF_TOKEN, HF_HUB_OFFLINE, HF_ENDPOINT).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chameleon.common.errors import InputError, one_line
from chameleon.common.files import digest_of_json
from chameleon.common.libraries import quiet_hub
from chameleon.text.corpora.builder import CorpusBuilder
from chameleon.text.corpora.corpus import SLIMPAJAMA_COLUMN, Corpus, CorpusRequest, Domain
from chameleon.text.corpora.formats import format_of, open_domain, open_labelled, usual_column
from chameleon.text.corpora.parquet import columns_of
from chameleon.text.corpora.saved_datasets import domains_of_table
from chameleon.text.corpora.splits import STANDARD_SPLITS
from chameleon.text.corpora.storage import File, remote_file

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PART = re.compile(r"-(\d{5})-of-(\d{5})")
_REMOTE = re.compile(r"hf://datasets/(?P<repository>[^/]+/[^/@]+)@(?P<revision>[^/]+)/(?P<path>.+)")


@dataclass(frozen=True)
class _Listing:
    """The files of a dataset's subset by split, the names of all subsets, and the commit."""

    splits: Mapping[str, Sequence[File]]
    subsets: tuple[str, ...]
    revision: str


def open_hub_dataset(request: CorpusRequest) -> Corpus:
    """Open the corpus of a hub dataset: domains by a column, or one per subset, or one per split.

    Raises:
        InputError: Neither the hub nor its cache has the dataset, or it lacks the split or column.
    """
    builder = CorpusBuilder.of(request)
    listing = _list_files(request)
    if listing is None:
        return _of_cached_table(builder)
    column = request.domain_column or usual_column(listing.splits.get(request.split, ()))
    split = "each" if column is None else request.split
    if column is not None:
        identity = _identity(request, listing, split)
        domains = open_labelled(builder, _of_split(request, listing), column, identity)
    elif len(listing.subsets) > 1 and request.subset is None:
        domains = [domain_of_hub(builder.with_options(subset=each), each)[0] for each in listing.subsets]
    elif len(listing.splits) > 1 and not STANDARD_SPLITS & listing.splits.keys():
        domains = [
            open_domain(
                builder.with_options(split=name), name, files, digest=_identity(request, listing, name)
            )
            for name, files in listing.splits.items()
        ]
    else:
        raise InputError(
            f"{request.dataset}: nothing tells its domains apart. Name by --domain_column the column that "
            f"does: it has {_columns(listing)}"
        )
    return builder.corpus(domains, "hub dataset", column, revision=listing.revision, split=split)


def domain_of_hub(builder: CorpusBuilder, name: str) -> list[Domain]:
    """Open a dataset's split as one domain, or as several by a column.

    Raises:
        InputError: See `open_hub_dataset`.
    """
    request = builder.request
    listing = _list_files(request)
    if listing is None:
        raise InputError(
            f"{request.dataset} is not in the hub's cache; run once with access to the hub and --download"
        )
    files = _of_split(request, listing)
    identity = _identity(request, listing, request.split)
    if request.domain_column is not None:
        return open_labelled(builder, files, request.domain_column, identity)
    return [open_domain(builder, name, files, digest=identity)]


def _list_files(request: CorpusRequest) -> _Listing | None:
    """The files of a dataset on the hub or in its cache; None where only a prepared table may be cached."""
    import datasets
    from huggingface_hub import snapshot_download

    offline = datasets.config.HF_HUB_OFFLINE
    try:
        with quiet_hub():
            if offline or request.download:
                place = snapshot_download(
                    request.dataset, repo_type="dataset", revision=request.revision, local_files_only=offline
                )
                builder = datasets.load_dataset_builder(place, request.subset)
                return _local(request, builder, Path(place))
            builder = datasets.load_dataset_builder(
                request.dataset, request.subset, revision=request.revision
            )
    except InputError:
        raise
    except Exception as error:  # of the hub's library, its HTTP library, the network or the files
        if offline:
            return None
        subsets = _subsets_in(error)
        if subsets and request.domain_column is None:
            first = _list_files(replace(request, subset=subsets[0]))
            if first is None:
                raise InputError(f"{request.dataset} has no subset {subsets[0]} in the hub's cache") from None
            return replace(first, subsets=subsets)
        raise _unavailable(request.dataset, error) from None
    return _remote(builder)


def _subsets_in(error: Exception) -> tuple[str, ...]:
    """The subsets that the library's error lists where one must be named."""
    match = re.search(r"Config name is missing.*available configs: (\[.*?\])", str(error), re.DOTALL)
    return tuple(re.findall(r"'([^']+)'", match[1])) if match else ()


def _remote(builder: Any) -> _Listing:  # noqa: ANN401
    splits, revision = {}, ""
    for split, names in (builder.config.data_files or {}).items():
        files = []
        for name in names:
            match = _REMOTE.fullmatch(str(name))
            if match is not None:
                revision = match["revision"]
            files.append(_cached(match) or remote_file(str(name)))
        splits[str(split)] = files
    return _Listing(splits, tuple(builder.builder_configs), revision)


def _cached(match: re.Match[str] | None) -> File | None:
    """The copy of a hub file in the cache; None where there is none."""
    from huggingface_hub import try_to_load_from_cache

    if match is None:
        return None
    path = try_to_load_from_cache(
        match["repository"], match["path"], revision=match["revision"], repo_type="dataset"
    )
    return _local_copy(Path(path)) if isinstance(path, str) else None


def _local_copy(path: Path) -> File:
    return File(str(path), path.stat().st_size, "", str(path))


def _local(request: CorpusRequest, builder: Any, place: Path) -> _Listing | None:  # noqa: ANN401
    """The files of a snapshot in the hub's cache; None where it has no data."""
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
    return _Listing(splits, tuple(builder.builder_configs), place.name) if splits else None


def _of_split(request: CorpusRequest, listing: _Listing) -> list[File]:
    if request.split not in listing.splits:
        raise InputError(
            f"{request.dataset} has no split {request.split}; it has {', '.join(listing.splits)} (--split)"
        )
    return list(listing.splits[request.split])


def _columns(listing: _Listing) -> str:
    files = [file for files in listing.splits.values() for file in files if format_of(file) == "parquet"]
    return ", ".join(columns_of(files[0])) if files else "no parquet files"


def _identity(request: CorpusRequest, listing: _Listing, split: str) -> str:
    """Digest of which files are read and how, the same for the hub and its cache."""
    return digest_of_json(
        {
            "dataset": request.dataset,
            "subset": request.subset,
            "split": split,
            "revision": listing.revision,
            "columns": [request.text_column, request.domain_column or SLIMPAJAMA_COLUMN],
        }
    )


def _of_cached_table(builder: CorpusBuilder) -> Corpus:
    """The corpus of a table that the `datasets` library has prepared in its own cache, without the hub."""
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
    except Exception as error:  # of the library or the files in its cache
        raise _unavailable(request.dataset, error) from None
    if not table.cache_files:
        raise InputError(
            f"{request.dataset} was loaded into memory, where its revision is not known; "
            "unset HF_DATASETS_IN_MEMORY_MAX_SIZE"
        )
    # The library caches a table in a folder named by its commit.
    revision = Path(table.cache_files[0]["filename"]).parent.name
    column = request.domain_column or SLIMPAJAMA_COLUMN
    identity = f"{revision} {request.split}"
    domains = domains_of_table(request.dataset, table, identity, request.text_column, column, request.names)
    return builder.corpus(domains, "hub dataset", column, revision=revision, split=request.split)


def _unavailable(dataset: str, error: Exception) -> InputError:
    return InputError(
        f"cannot get {dataset} from the hub ({type(error).__name__}: {one_line(error, 300)}). To work "
        "offline, run once with access and --download and set HF_HOME to that cache and HF_HUB_OFFLINE=1; "
        'or name by --dataset a directory with a file for each domain, or "builtin"'
    )
