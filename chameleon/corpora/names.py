"""What the names of files say: their format, domain and split."""

import os
import re
from collections.abc import Sequence

from chameleon.corpora.storage import File
from chameleon.corpora.streams import COMPRESSIONS

SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".bin": "tokens",
    ".npy": "tokens",
}
FORMATS = ("jsonl", "text", "parquet", "tokens")
INDEX_SUFFIX = ".idx"
# What Megatron's preprocessing adds to a name.
_MEGATRON_ENDING = "_text_document"
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
    """The files of a split, where the names of files tell several splits apart; else all."""
    if not files:
        return []
    root = _common_folder(files)
    splits = {file: _split_of(file.path[len(root) :]) for file in files}
    wanted = _SPLITS.get(split, split)
    if len(set(splits.values()) - {None}) > 1 and wanted in splits.values():
        return [file for file in files if splits[file] == wanted]
    return list(files)


def _split_of(name: str) -> str | None:
    found = _SPLIT_IN_NAME.search(name)
    return _SPLITS[found[1]] if found else None


def _common_folder(files: Sequence[File]) -> str:
    paths = [file.path for file in files]
    prefix = os.path.commonpath(paths) + "/" if len(paths) > 1 else paths[0]
    return prefix[: prefix.rfind("/") + 1]


def format_of(file: File) -> str | None:
    """The format that a file's name says."""
    return SUFFIXES.get(_bare(file.path)[1])


def is_compressed(file: File) -> bool:
    """Whether its name says so."""
    return file.path.endswith(COMPRESSIONS)


def domain_name(file_name: str) -> str:
    """What a file's name says of the domain in it."""
    name, suffix = _bare(file_name)
    return name.removesuffix(_MEGATRON_ENDING) if suffix in (".bin", INDEX_SUFFIX) else name


def known_suffixes() -> str:
    """In words."""
    return ".jsonl or .txt (also .gz, .zst), .parquet, .bin, .npy"


def _bare(path: str) -> tuple[str, str]:
    for ending in COMPRESSIONS:
        path = path.removesuffix(ending)
    name = path.rpartition("/")[2]
    for suffix in (*SUFFIXES, INDEX_SUFFIX):
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix), suffix
    return name, ""
