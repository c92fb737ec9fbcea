"""Which kind of corpus a name stands for."""

import os
import re

from chameleon.corpora.builtin import open_builtin
from chameleon.corpora.corpus import Corpus
from chameleon.corpora.hub import open_hub_dataset
from chameleon.corpora.jsonl import open_directory
from chameleon.errors import InputError
from chameleon.files import is_there, is_utf8, local_path

BUILTIN = "builtin"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def open_corpus(dataset: str, skip_bad_lines: bool = False) -> Corpus:
    """Open the corpus of a name: "builtin", a local directory, or else a dataset of the hub.

    Args:
        dataset: The name.
        skip_bad_lines: For text files: leave out and count lines that cannot be used.

    Raises:
        InputError: There is no such corpus, it cannot be had, or what it holds cannot be used.
    """
    if not is_utf8(dataset):
        raise InputError(f"the dataset's name {os.fsencode(dataset)!r} is not UTF-8; rename it")
    if dataset == BUILTIN:
        return open_builtin()
    path = local_path(dataset)
    try:
        if is_there(path) and path.is_dir():
            return open_directory(path, skip_bad_lines)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror}") from None
    if is_there(path):
        raise InputError(f"expected a directory with one JSONL file a domain, {dataset} is a file")
    if not _HUB_ID.fullmatch(dataset):
        raise InputError(
            f"there is no directory {dataset}, and it is no hub id (owner/name) either; "
            f'name a directory with one JSONL file a domain, a hub id, or "{BUILTIN}"'
        )
    return open_hub_dataset(dataset)
