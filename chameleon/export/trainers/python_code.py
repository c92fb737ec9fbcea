"""Trainers that are configured in Python: Hugging Face datasets, LitData, torchtitan.

A snippet is read back without running it: from the call that mixes, with the literals that names stand for.
"""

import ast
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from chameleon.common.errors import InputError
from chameleon.export.mixture import TrainerMixture, TrainerSource
from chameleon.export.parse import ParsedFile, mapping_at, parse_json, parse_numbers

_READERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv", ".txt": "text"}


_STOPPING = "all_exhausted"


def write_interleave(mixture: TrainerMixture) -> str:
    """`interleave_datasets` with probabilities of rows by name; small domains are repeated to the end."""
    return (
        f"{mixture.header}from datasets import interleave_datasets, load_dataset\n\n"
        f"# Shares of rows.\n{_assignment('PROBABILITIES', mixture.rows_by_name())}\n"
        f"{_assignment('DATASETS', _loaded(mixture))}\n"
        f"STOPPING_STRATEGY = {_STOPPING!r}  # by default the first domain at its end would end the run\n"
        "dataset = interleave_datasets(\n"
        "    [load_dataset(**DATASETS[name]) for name in PROBABILITIES],\n"
        "    probabilities=list(PROBABILITIES.values()),\n"
        f"    seed={mixture.seed},\n"
        "    stopping_strategy=STOPPING_STRATEGY,\n"
        ")\n"
    )


def read_interleave(text: str) -> ParsedFile:
    """The inverse of `write_interleave`; also a call with lists, whose datasets are named by what they "
    "are."""
    call = _Snippet(text).call("interleave_datasets", "PROBABILITIES", "probabilities")
    return ParsedFile.interleaved(call.numbers, call.keywords.get("stopping_strategy", "first_exhausted"))


def write_interleave_json(mixture: TrainerMixture) -> str:
    """The arguments of `interleave_datasets` and `load_dataset` as JSON."""
    content = {
        "comment": list(mixture.comment),
        "unit": "share of rows",
        "probabilities": mixture.rows_by_name(),
        "datasets": _loaded(mixture),
        "seed": mixture.seed,
        "stopping_strategy": _STOPPING,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_interleave_json(text: str) -> ParsedFile:
    """The inverse of `write_interleave_json`; also a list of probabilities beside as many datasets."""
    content = mapping_at(parse_json(text))
    probabilities, datasets = content.get("probabilities"), content.get("datasets")
    if isinstance(probabilities, list) and isinstance(datasets, dict | list):
        if len(probabilities) != len(datasets):
            raise InputError(f"{len(datasets)} datasets have {len(probabilities)} probabilities")
        probabilities = dict(zip(map(str, datasets), probabilities, strict=True))
    if not isinstance(probabilities, dict):
        raise InputError("the file has no probabilities: an object from domain names to numbers")
    numbers = parse_numbers(probabilities.items())
    return ParsedFile.interleaved(numbers, content.get("stopping_strategy", "first_exhausted"))


def write_litdata(mixture: TrainerMixture) -> str:
    """`CombinedStreamingDataset` with weights of rows."""
    places = {name: source.path for name, source in zip(mixture.names, mixture.sources, strict=True)}
    return (
        f"{mixture.header}from litdata import CombinedStreamingDataset, StreamingDataset\n\n"
        f"# Shares of rows.\n{_assignment('WEIGHTS', mixture.rows_by_name())}\n"
        f"{_assignment('INPUT_DIRS', places)}\n"
        "dataset = CombinedStreamingDataset(\n"
        "    [StreamingDataset(INPUT_DIRS[name], shuffle=True) for name in WEIGHTS],\n"
        f"    seed={mixture.seed},\n"
        "    weights=list(WEIGHTS.values()),\n"
        "    iterate_over_all=False,  # True, the default, goes by the datasets' lengths and refuses "
        "weights\n"
        ")\n"
    )


def read_litdata(text: str) -> ParsedFile:
    """The inverse of `write_litdata`; also a call with lists."""
    call = _Snippet(text).call("CombinedStreamingDataset", "WEIGHTS", "weights")
    problems: tuple[str, ...] = ()
    if call.keywords.get("iterate_over_all", True) is not False:
        problems = ("iterate_over_all is not False, with which LitData refuses weights",)
    return ParsedFile(call.numbers, problems)


def write_torchtitan(mixture: TrainerMixture) -> str:
    """A dataloader of several sources, each packed to sequences of one length before they are mixed."""
    lower: dict[str, str] = {}
    for name in mixture.names:
        if lower.setdefault(name.lower(), name) != name:
            raise InputError(
                f"torchtitan looks names of datasets up in lower case, in which {lower[name.lower()]} "
                f"and {name} "
                "are the same; name the domains otherwise"
            )
    places = {name: source.path for name, source in zip(mixture.names, mixture.sources, strict=True)}
    return (
        f"{mixture.header}from torchtitan.hf_datasets.text_datasets import (\n"
        "    HFDataSource,\n    InterleavedHuggingFaceTextDataLoader,\n)\n\n"
        "# Shares of packed sequences, which are of tokens. Names are those of datasets registered in "
        "lower case.\n"
        f"{_assignment('WEIGHTS', mixture.by_name())}\n{_assignment('PATHS', places)}\n"
        "dataloader = InterleavedHuggingFaceTextDataLoader.Config(\n"
        "    sources=[\n"
        "        HFDataSource(dataset=name, dataset_path=PATHS[name], infinite=True, weight=weight)\n"
        "        for name, weight in WEIGHTS.items()\n"
        "    ],\n"
        f"    seed={mixture.seed},\n"
        ")\n"
    )


def read_torchtitan(text: str) -> ParsedFile:
    """The inverse of `write_torchtitan`."""
    return ParsedFile(_Snippet(text).assigned("WEIGHTS"))


def _loaded(mixture: TrainerMixture) -> dict[str, dict[str, Any]]:
    return {name: _loading(source) for name, source in zip(mixture.names, mixture.sources, strict=True)}


def _loading(source: TrainerSource) -> dict[str, Any]:
    """What `load_dataset` takes for a source."""
    kinds = {_kind(path) for path in source.paths}
    if len(kinds) > 1:
        raise InputError(
            f"{', '.join(source.paths)[:200]} are files of different formats; load_dataset takes one"
        )
    (kind,) = kinds
    place: dict[str, Any] = (
        {"path": source.path} if kind is None else {"path": kind, "data_files": [*source.paths]}
    )
    further = {key: source.further[key] for key in ("name", "split") if key in source.further}
    return {**place, "split": "train", "streaming": True, **further}


def _kind(path: str) -> str | None:
    suffixes = [suffix for suffix in PurePosixPath(path).suffixes if suffix not in (".gz", ".zst")]
    return _READERS.get(suffixes[-1]) if suffixes else None


def _assignment(name: str, values: Mapping[str, Any]) -> str:
    lines = "".join(f"    {key!r}: {value!r},\n" for key, value in values.items())
    return f"{name} = {{\n{lines}}}"


class _Call(NamedTuple):
    """A call that mixes datasets: their numbers by name, and its keywords so far as they are known."""

    numbers: Mapping[str, float]
    keywords: Mapping[str, Any]


class _Snippet:
    """The statements of a Python file, and the literals that names stand for at its top."""

    def __init__(self, text: str) -> None:
        try:
            self._tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise InputError(f"the file is not Python: {error}") from None
        self._values: dict[str, ast.expr] = {}
        for statement in self._tree.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if isinstance(statement, ast.AnnAssign):
                targets = [statement.target]
            value = getattr(statement, "value", None)
            for target in targets:
                if isinstance(target, ast.Name) and value is not None:
                    self._values[target.id] = value

    def assigned(self, name: str) -> dict[str, float]:
        """The numbers by name that a name stands for."""
        value = self._values.get(name)
        if not isinstance(value, ast.Dict):
            raise InputError(f"the file has no {name}: an object from domain names to numbers")
        return parse_numbers(
            (self._literal(k), self._literal(v)) for k, v in zip(value.keys, value.values, strict=True)
        )

    def call(self, function: str, name: str, keyword: str) -> _Call:
        """The call of a function: numbers from `name` where that is assigned, else from the call's lists."""
        calls = [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == function
        ]
        if not calls:
            raise InputError(f"the file has no call of {function}")
        keywords = {each.arg: each.value for each in calls[0].keywords if each.arg}
        known = {key: self._literal(value) for key, value in keywords.items()}
        if name in self._values:
            return _Call(self.assigned(name), known)
        datasets = self._behind(calls[0].args[0] if calls[0].args else keywords.get("datasets"))
        numbers = known.get(keyword)
        if not isinstance(datasets, ast.List) or not isinstance(numbers, list):
            raise InputError(f"the file has no {name}, and no lists of datasets and {keyword} in {function}")
        if len(numbers) != len(datasets.elts):
            raise InputError(f"{len(datasets.elts)} datasets have {len(numbers)} {keyword}")
        return _Call(parse_numbers(zip(map(self._label, datasets.elts), numbers, strict=True)), known)

    def _behind(self, value: ast.expr | None) -> ast.expr | None:
        """What a name stands for, or the value itself."""
        return self._values.get(value.id, value) if isinstance(value, ast.Name) else value

    def _literal(self, value: ast.expr | None) -> Any:  # noqa: ANN401
        """A literal, through a name if need be; None for anything else."""
        try:
            return ast.literal_eval(self._behind(value) or ast.Constant(None))
        except (ValueError, TypeError, RecursionError, MemoryError):
            return None

    def _label(self, dataset: ast.expr) -> str:
        """What to call a dataset: the variable, or the first text that it is made with."""
        if isinstance(dataset, ast.Name):
            return dataset.id
        texts = [node.value for node in ast.walk(dataset) if isinstance(node, ast.Constant)]
        return next((text for text in texts if isinstance(text, str)), ast.unparse(dataset))
