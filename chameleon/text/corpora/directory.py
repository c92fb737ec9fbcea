"""A local or remote directory: a file or sub-directory per domain, or domains mixed within its files."""

import os
from collections.abc import Sequence
from pathlib import Path

from chameleon.common.errors import InputError
from chameleon.common.files import is_utf8, local_path
from chameleon.text.corpora.builder import CorpusBuilder
from chameleon.text.corpora.corpus import Corpus, CorpusRequest, Domain
from chameleon.text.corpora.formats import (
    domain_name,
    format_of,
    has_known_suffix,
    known_suffixes,
    open_domain,
    open_labelled,
    usual_column,
)
from chameleon.text.corpora.saved_datasets import is_saved, open_saved
from chameleon.text.corpora.storage import File, files_at, is_remote
from chameleon.text.corpora.token_arrays import INDEX_SUFFIX

_LAYOUT = "expected one file, or one sub-directory of them, for each domain"


def open_directory(request: CorpusRequest) -> Corpus:
    """Open the corpus of a directory or file.

    Files `<domain>.<suffix>` and sub-directories `<domain>/` with any number of files at any depth are
    domains. With a domain column, or SlimPajama's column in parquet files that nothing else separates, all
    files are one source with the domains mixed. A directory written by `datasets.save_to_disk` counts as a
    file.

    Raises:
        InputError: The directory has no domains, or something in it cannot be read or used.
    """
    builder = CorpusBuilder.of(request)
    if not is_remote(request.dataset):
        path = local_path(request.dataset)
        if path.is_dir() and is_saved(path):
            return builder.corpus(open_saved(request, path), "saved dataset")
    files = [file for file in files_at(request.dataset) if not _is_beside_the_data(file)]
    if not files:
        raise InputError(f"{request.dataset} is empty; {_LAYOUT}")
    column = request.domain_column
    if column is None and len({_entry(file, request.dataset)[0] for file in files}) == 1:
        column = usual_column(files)
    if column is not None:
        data = builder.of_split(
            [file for file in files if format_of(file) in ("parquet", "jsonl")], request.dataset
        )
        if not data:
            raise InputError(f"{request.dataset} holds no parquet files or JSON Lines with a column {column}")
        return builder.corpus(open_labelled(builder, data, column), "files with mixed domains", column)
    domains = [
        _domain(builder, name, request.dataset, of_domain)
        for name, of_domain in _files_of_domains(request.dataset, files).items()
    ]
    return builder.corpus(domains, "directory")


def _domain(builder: CorpusBuilder, name: str, dataset: str, files: Sequence[File]) -> Domain:
    if not is_remote(dataset):
        folder = local_path(dataset) / name
        if folder.is_dir() and is_saved(folder):
            return open_saved(builder.request, folder, name)[0]
    return open_domain(builder, name, files)


def _files_of_domains(dataset: str, files: Sequence[File]) -> dict[str, list[File]]:
    """The files of each domain, domains in alphabetical order."""
    domains: dict[str, list[File]] = {}
    claims: dict[str, str] = {}
    folders = _folders(dataset)
    saved = {name for name in folders if is_saved(local_path(dataset) / name)}
    for file in files:
        entry, below = _entry(file, dataset)
        known = format_of(file) is not None or file.path.endswith(INDEX_SUFFIX)
        readable = file.filesystem is not None or Path(file.path).is_file()
        if not (known and readable and not file.path.endswith(".json")) and entry not in saved:
            raise InputError(
                f"{dataset}: {_LAYOUT}, of {known_suffixes()}; found {entry}{'/' if below else ''}{below}; "
                "move it out, or convert it"
            )
        name = entry if below else domain_name(entry)
        if not is_utf8(name):
            raise InputError(f"{dataset}: the file name {os.fsencode(name)!r} is not UTF-8; rename it")
        claim = f"{entry}/" if below else entry.removesuffix(INDEX_SUFFIX).removesuffix(".bin")
        if claims.setdefault(name, claim) != claim:
            raise InputError(f"{dataset} holds both {claims[name]} and {claim}: rename or join them")
        domains.setdefault(name, []).append(file)
    for entry in folders - {_entry(file, dataset)[0] for file in files}:
        raise InputError(f"{dataset}/{entry} holds no text files; remove it, or give the domain some text")
    return dict(sorted(domains.items()))


def _entry(file: File, dataset: str) -> tuple[str, str]:
    """The entry of the directory that a file is or lies in, and the rest of its path."""
    if file.filesystem:
        root = file.filesystem._strip_protocol(dataset)
    else:
        root = str(local_path(dataset.removeprefix("file://")))
    inner = file.path[len(root) :].lstrip("/") if file.path != root else file.path.rpartition("/")[2]
    first, _, rest = inner.partition("/")
    return first, rest


def _folders(dataset: str) -> set[str]:
    if is_remote(dataset) or not local_path(dataset).is_dir():
        return set()
    path = local_path(dataset)
    return {each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith(".")}


def _is_beside_the_data(file: File) -> bool:
    """Whether a file is something that usually lies beside data, such as a README."""
    name = file.path.rpartition("/")[2]
    has_other_use = name.startswith(("_", "README", "LICENSE")) or name.endswith((".md", ".pkl"))
    return has_other_use and not has_known_suffix(name)
