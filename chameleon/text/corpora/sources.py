"""Which kind of source the name of a corpus stands for."""

import os
from dataclasses import replace
from pathlib import Path

from chameleon.common.errors import InputError
from chameleon.common.files import is_utf8, local_path, path_exists
from chameleon.text.corpora.builder import CorpusBuilder
from chameleon.text.corpora.builtin import open_builtin
from chameleon.text.corpora.corpus import Corpus, CorpusRequest, require_labels
from chameleon.text.corpora.directory import open_directory
from chameleon.text.corpora.hub import HUB_ID, open_hub_dataset
from chameleon.text.corpora.manifest import open_entry, open_manifest
from chameleon.text.corpora.storage import is_remote
from chameleon.text.options import BUILTIN


def open_corpus(request: CorpusRequest) -> Corpus:
    """Open a corpus: "builtin", a manifest (.json), a local or remote directory or file, or a hub dataset.

    Raises:
        InputError: The corpus does not exist, cannot be read, or holds something that cannot be used.
    """
    corpus = _with_added(_open(request), request)
    if request.domains is not None:
        by_name = {domain.name: domain for domain in corpus.domains}
        counts = {name: domain.text.count for name, domain in by_name.items()}
        require_labels(request.dataset, request.domains, counts, "--domains")
        corpus = replace(corpus, domains=tuple(by_name[name] for name in request.domains))
    if len(corpus.domains) < request.least_domains:
        domains = f"only {corpus.domains[0].name}" if corpus.domains else "none"
        raise InputError(
            f"weights need at least {request.least_domains} domains, but {corpus.name} holds {domains}"
        )
    return corpus


def _with_added(corpus: Corpus, request: CorpusRequest) -> Corpus:
    """A corpus together with the domains added to it."""
    domains, notices, closing = list(corpus.domains), list(corpus.notices), list(corpus.closing)
    for name, source in request.added.items():
        if name in [domain.name for domain in domains]:
            raise InputError(
                f"{request.dataset} already has a domain {name}; give the one of --add_domains another name"
            )
        builder = CorpusBuilder.of(replace(request, dataset=source, domain_column=None))
        try:
            domains += open_entry(builder, {"name": name, "sources": [source]}, Path())
        except InputError as error:
            raise InputError(f"--add_domains {name}={source}: {error}") from None
        notices += builder.notices
        closing += builder.closing
    provenance = corpus.provenance | ({"added": dict(request.added)} if request.added else {})
    return Corpus(corpus.name, tuple(domains), provenance, tuple(notices), tuple(closing))


def _open(request: CorpusRequest) -> Corpus:
    dataset = request.dataset
    if not is_utf8(dataset):
        raise InputError(f"the dataset's name {os.fsencode(dataset)!r} is not UTF-8; rename it")
    if dataset == BUILTIN:
        return open_builtin()
    if is_remote(dataset):
        _require_no_hub_flags(request)
        return open_directory(request)
    path = local_path(dataset)
    if path_exists(path):
        try:
            if path.is_file() and path.suffix == ".json":
                return open_manifest(request, path)
            _require_no_hub_flags(request)
            return open_directory(request)
        except OSError as error:
            raise InputError(f"cannot read {error.filename or path}: {error.strerror}") from None
    if not HUB_ID.fullmatch(dataset):
        raise InputError(
            f"there is no directory {dataset}, and it is not a hub id (owner/name); "
            f'name a directory with a file for each domain, a manifest, a hub id, or "{BUILTIN}"'
        )
    return open_hub_dataset(request)


def _require_no_hub_flags(request: CorpusRequest) -> None:
    for flag in ("download", "subset", "revision"):
        if getattr(request, flag):
            raise InputError(f"--{flag} is for hub datasets, and {request.dataset} is not one; leave it out")
