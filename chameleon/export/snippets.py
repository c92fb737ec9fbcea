"""Trainers that are configured in Python: Hugging Face datasets, LitData, torchtitan.

A snippet holds what a reader needs in assignments of literals, which are read back without running it.
"""

import ast
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from chameleon.errors import InputError
from chameleon.export.mixture import Mixture, Source
from chameleon.export.reading import Found, json_of, mapping_of, numbers_of, written_number

_READERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv", ".txt": "text"}
_STOPPING = "all_exhausted"


def write_interleave(mixture: Mixture) -> str:
    """`interleave_datasets` with probabilities of rows by name; small domains are repeated to the end."""
    names, rows = mixture.names, mixture.rows().tolist()
    loaded = {name: _loading(source) for name, source in zip(names, mixture.sources, strict=True)}
    return (
        f"{_comments(mixture)}from datasets import interleave_datasets, load_dataset\n\n"
        "# Shares of "
        f"rows.\n{_assignment('PROBABILITIES', dict(zip(names, map(written_number, rows), strict=True)))}\n"
        f"{_assignment('DATASETS', loaded)}\n"
        f"STOPPING_STRATEGY = {_STOPPING!r}  # by default the first domain at its end would end the run\n"
        "dataset = interleave_datasets(\n"
        "    [load_dataset(**DATASETS[name]) for name in PROBABILITIES],\n"
        "    probabilities=list(PROBABILITIES.values()),\n"
        f"    seed={mixture.seed},\n"
        "    stopping_strategy=STOPPING_STRATEGY,\n"
        ")\n"
    )


def read_interleave(text: str) -> Found:
    """The inverse of `write_interleave`."""
    values = _assignments(text)
    stopping = values.get("STOPPING_STRATEGY", "first_exhausted")
    return _found(
        values, "PROBABILITIES", stopping if isinstance(stopping, str) else None, must_sum_to_1=True
    )


def write_interleave_json(mixture: Mixture) -> str:
    """The arguments of `interleave_datasets` and `load_dataset` as JSON."""
    rows = mixture.rows().tolist()
    content = {
        "comment": list(mixture.comment),
        "unit": "share of rows",
        "probabilities": dict(zip(mixture.names, map(written_number, rows), strict=True)),
        "datasets": {
            name: _loading(source) for name, source in zip(mixture.names, mixture.sources, strict=True)
        },
        "seed": mixture.seed,
        "stopping_strategy": _STOPPING,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_interleave_json(text: str) -> Found:
    """The inverse of `write_interleave_json`."""
    content = mapping_of(json_of(text))
    stopping = content.get("stopping_strategy", "first_exhausted")
    values = {"PROBABILITIES": content.get("probabilities")}
    return _found(values, "PROBABILITIES", str(stopping), must_sum_to_1=True)


def write_litdata(mixture: Mixture) -> str:
    """`CombinedStreamingDataset` with weights of rows."""
    weights = dict(zip(mixture.names, map(written_number, mixture.rows().tolist()), strict=True))
    places = {name: source.path for name, source in zip(mixture.names, mixture.sources, strict=True)}
    return (
        f"{_comments(mixture)}from litdata import CombinedStreamingDataset, StreamingDataset\n\n"
        f"# Shares of rows.\n{_assignment('WEIGHTS', weights)}\n{_assignment('INPUT_DIRS', places)}\n"
        "ITERATE_OVER_ALL = False  # True, the default, goes by the lengths of the datasets and refuses "
        "weights\n"
        "dataset = CombinedStreamingDataset(\n"
        "    [StreamingDataset(INPUT_DIRS[name], shuffle=True) for name in WEIGHTS],\n"
        f"    seed={mixture.seed},\n"
        "    weights=list(WEIGHTS.values()),\n"
        "    iterate_over_all=ITERATE_OVER_ALL,\n"
        ")\n"
    )


def read_litdata(text: str) -> Found:
    """The inverse of `write_litdata`."""
    values = _assignments(text)
    found = _found(values, "WEIGHTS", "first_exhausted")
    if values.get("ITERATE_OVER_ALL", True) is not False:
        return Found(
            found.numbers,
            ("iterate_over_all is not False, with which LitData refuses weights",),
            stopping=None,
        )
    return found


def write_torchtitan(mixture: Mixture) -> str:
    """A dataloader of several sources, each packed to sequences of one length before they are mixed."""
    weights = dict(zip(mixture.names, map(written_number, mixture.shares.tolist()), strict=True))
    places = {name: source.path for name, source in zip(mixture.names, mixture.sources, strict=True)}
    return (
        f"{_comments(mixture)}from torchtitan.hf_datasets.text_datasets import (\n"
        "    HFDataSource,\n    InterleavedHuggingFaceTextDataLoader,\n)\n\n"
        "# Shares of packed sequences, which is of tokens. Names are those of registered datasets.\n"
        f"{_assignment('WEIGHTS', weights)}\n{_assignment('PATHS', places)}\n"
        "dataloader = InterleavedHuggingFaceTextDataLoader.Config(\n"
        "    sources=[\n"
        "        HFDataSource(dataset=name, dataset_path=PATHS[name], infinite=True, weight=weight)\n"
        "        for name, weight in WEIGHTS.items()\n"
        "    ],\n"
        f"    seed={mixture.seed},\n"
        ")\n"
    )


def read_torchtitan(text: str) -> Found:
    """The inverse of `write_torchtitan`."""
    return _found(_assignments(text), "WEIGHTS", None)


def _loading(source: Source) -> dict[str, Any]:
    """What `load_dataset` takes for a source."""
    files = [path for path in source.paths if _kind(path) is not None]
    further = {key: source.further[key] for key in ("name", "split") if key in source.further}
    place: dict[str, Any] = (
        {"path": source.path} if not files else {"path": _kind(files[0]), "data_files": files}
    )
    if files and len({_kind(path) for path in source.paths}) > 1:
        raise InputError(
            f"{', '.join(source.paths)[:200]} are files of different formats; load_dataset takes one"
        )
    return {**place, "split": "train", "streaming": True, **further}


def _kind(path: str) -> str | None:
    suffixes = [suffix for suffix in PurePosixPath(path).suffixes if suffix not in (".gz", ".zst")]
    return _READERS.get(suffixes[-1]) if suffixes else None


def _assignment(name: str, values: Mapping[str, Any]) -> str:
    lines = "".join(f"    {key!r}: {value!r},\n" for key, value in values.items())
    return f"{name} = {{\n{lines}}}"


def _assignments(text: str) -> dict[str, Any]:
    """The literals that names are assigned at the top of a snippet."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise InputError(f"the file is not Python: {error}") from None
    values: dict[str, Any] = {}
    for statement in body:
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            continue
        target = statement.targets[0]
        if isinstance(target, ast.Name):
            if isinstance(statement.value, ast.Dict):
                keys = [ast.unparse(key) for key in statement.value.keys if key is not None]
                if repeated := [key for key in keys if keys.count(key) > 1]:
                    raise InputError(f"{target.id} names {repeated[0]} twice")
            try:
                values[target.id] = ast.literal_eval(statement.value)
            except ValueError:
                continue
    return values


def _found(values: Mapping[str, Any], key: str, stopping: str | None, must_sum_to_1: bool = False) -> Found:
    if not isinstance(values.get(key), dict):
        raise InputError(f"the file has no {key}: an object from domain names to numbers")
    return Found(numbers_of(values[key].items()), stopping=stopping, must_sum_to_1=must_sum_to_1)


def _comments(mixture: Mixture) -> str:
    return "".join(f"# {line}\n" for line in mixture.comment)
