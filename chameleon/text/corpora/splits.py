"""Which split (train, validation, test) a file belongs to, by its name."""

import os
import re
from collections.abc import Sequence

from chameleon.text.corpora.storage import File

_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "eval": "test",
}
STANDARD_SPLITS = set(_SPLITS.values())
_SPLIT_IN_NAME = re.compile(rf"(?:^|[/_.-])({'|'.join(_SPLITS)})(?=[/_.-]|$)")


def of_split(files: Sequence[File], split: str) -> list[File]:
    """The files of a split where file names tell several splits apart, else all files."""
    # The names below the folder that they share.
    root = os.path.commonprefix([file.path for file in files]).rpartition("/")[0]  # noqa: RUF071
    matches = {file: _SPLIT_IN_NAME.search(file.path, len(root)) for file in files}
    splits = {file: _SPLITS[match[1]] if match else None for file, match in matches.items()}
    wanted = _SPLITS.get(split, split)
    if len(set(splits.values()) - {None}) > 1 and wanted in splits.values():
        return [file for file in files if splits[file] == wanted]
    return list(files)
