"""Trainers configured in Python: Hugging Face datasets, LitData, torchtitan.

A snippet is read back without running it: from the call that mixes, with the literals assigned to its names.

Hugging Face datasets 5: `interleave_datasets`. LitData 0.2.76. torchtitan 0.3.0: hf_datasets.
"""

import ast
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from chameleon.common.errors import InputError
from chameleon.export.parse import ParsedFile, mapping_at, parse_lists, parse_numbers
from chameleon.export.serialization import json_text, parse_json

if TYPE_CHECKING:
    from chameleon.export.mixture import TrainerMixture
    from chameleon.export.sources import TrainerSource

_READERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv", ".txt": "text"}
_STRATEGY = "all_exhausted"


def write_interleave(mixture: "TrainerMixture") -> str:
    """`interleave_datasets` with probabilities of rows by name; small domains are repeated to the end."""
    return (
        f"{mixture.header}from datasets import interleave_datasets, load_dataset\n\n"
        f"# Shares of rows.\n{_assignment('PROBABILITIES', mixture.rows_by_name())}\n"
        f"{_assignment('DATASETS', _load_arguments(mixture))}\n"
        f"STOPPING_STRATEGY = {_STRATEGY!r}  # the default ends the run with the first domain that runs out\n"
        "dataset = interleave_datasets(\n"
        "    [load_dataset(**DATASETS[name]) for name in PROBABILITIES],\n"
        "    probabilities=list(PROBABILITIES.values()),\n"
        f"    seed={mixture.seed},\n"
        "    stopping_strategy=STOPPING_STRATEGY,\n"
        ")\n"
    )


def read_interleave(text: str) -> ParsedFile:
    """The inverse of `write_interleave`; also a call with lists."""
    numbers, keywords = _Snippet(text).call("interleave_datasets", "PROBABILITIES", "probabilities")
    return ParsedFile.interleaved(numbers, keywords.get("stopping_strategy", "first_exhausted"))


def write_interleave_json(mixture: "TrainerMixture") -> str:
    """The arguments of `interleave_datasets` and `load_dataset` as JSON."""
    content = {
        "comment": list(mixture.comment),
        "unit": "share of rows",
        "probabilities": mixture.rows_by_name(),
        "datasets": _load_arguments(mixture),
        "seed": mixture.seed,
        "stopping_strategy": _STRATEGY,
    }
    return json_text(content)


def read_interleave_json(text: str) -> ParsedFile:
    """The inverse of `write_interleave_json`; also a list of probabilities beside as many datasets."""
    content = mapping_at(parse_json(text))
    probabilities, datasets = content.get("probabilities"), content.get("datasets")
    if isinstance(probabilities, list) and isinstance(datasets, dict | list):
        numbers = parse_lists([*map(str, datasets)], probabilities, "datasets", "probabilities")
    else:
        numbers = parse_numbers(mapping_at(content, "probabilities").items())
    return ParsedFile.interleaved(numbers, content.get("stopping_strategy", "first_exhausted"))


def write_litdata(mixture: "TrainerMixture") -> str:
    """`CombinedStreamingDataset` with weights of rows."""
    return (
        f"{mixture.header}from litdata import CombinedStreamingDataset, StreamingDataset\n\n"
        f"# Shares of rows.\n{_assignment('WEIGHTS', mixture.rows_by_name())}\n"
        f"{_assignment('INPUT_DIRS', mixture.paths_by_name())}\n"
        "dataset = CombinedStreamingDataset(\n"
        "    [StreamingDataset(INPUT_DIRS[name], shuffle=True) for name in WEIGHTS],\n"
        f"    seed={mixture.seed},\n"
        "    weights=list(WEIGHTS.values()),\n"
        "    iterate_over_all=False,  # True, the default, goes by the datasets' lengths\n"
        ")\n"
    )


def read_litdata(text: str) -> ParsedFile:
    """The inverse of `write_litdata`; also a call with lists."""
    numbers, keywords = _Snippet(text).call("CombinedStreamingDataset", "WEIGHTS", "weights")
    problems: tuple[str, ...] = ()
    if keywords.get("iterate_over_all", True) is not False:
        problems = ("iterate_over_all is not False, with which LitData refuses weights",)
    return ParsedFile(numbers, problems)


def write_torchtitan(mixture: "TrainerMixture") -> str:
    """A dataloader of several sources, each packed to sequences of one length before they are mixed."""
    lower: dict[str, str] = {}
    for name in mixture.names:
        if lower.setdefault(name.lower(), name) != name:
            raise InputError(
                "torchtitan looks datasets up by names in lower case, in which "
                f"{lower[name.lower()]} and {name} are the same; rename a domain"
            )
    return (
        f"{mixture.header}from torchtitan.hf_datasets.text_datasets import (\n"
        "    HFDataSource,\n    InterleavedHuggingFaceTextDataLoader,\n)\n\n"
        "# Shares of packed sequences, so of tokens. Names are those of registered datasets, in lower case.\n"
        f"{_assignment('WEIGHTS', mixture.by_name())}\n"
        f"{_assignment('PATHS', mixture.paths_by_name())}\n"
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


def _load_arguments(mixture: "TrainerMixture") -> dict[str, dict[str, Any]]:
    """What `load_dataset` takes for each domain."""
    return {name: _load_argument(source) for name, source in zip(mixture.names, mixture.sources, strict=True)}


def _load_argument(source: "TrainerSource") -> dict[str, Any]:
    kinds = {_kind(path) for path in source.paths}
    if len(kinds) > 1:
        raise InputError(
            f"{', '.join(source.paths)[:200]} are files of different formats; load_dataset takes one"
        )
    (kind,) = kinds
    data: dict[str, Any] = (
        {"path": source.path} if kind is None else {"path": kind, "data_files": [*source.paths]}
    )
    extra = {key: source.extra[key] for key in ("name", "split") if key in source.extra}
    return {**data, "split": "train", "streaming": True, **extra}


def _kind(path: str) -> str | None:
    suffixes = [suffix for suffix in PurePosixPath(path).suffixes if suffix not in (".gz", ".zst")]
    return _READERS.get(suffixes[-1]) if suffixes else None


def _assignment(name: str, values: Mapping[str, Any]) -> str:
    lines = "".join(f"    {key!r}: {value!r},\n" for key, value in values.items())
    return f"{name} = {{\n{lines}}}"


class _Snippet:
    """A Python file, and what its top-level statements assign to names."""

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
        """The numbers by key in the dictionary assigned to a name."""
        value = self._values.get(name)
        if not isinstance(value, ast.Dict):
            raise InputError(f"the file has no {name}: a dictionary from domain names to numbers")
        return parse_numbers(
            (self._literal(k), self._literal(v)) for k, v in zip(value.keys, value.values, strict=True)
        )

    def call(self, function: str, name: str, keyword: str) -> tuple[dict[str, float], dict[str, Any]]:
        """Numbers and literal keywords of the first call of a function.

        The numbers are those assigned to `name`, or else the call's lists of datasets and of `keyword`.
        """
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
            return self.assigned(name), known
        datasets = self._resolved(calls[0].args[0] if calls[0].args else keywords.get("datasets"))
        numbers = known.get(keyword)
        if not isinstance(datasets, ast.List) or not isinstance(numbers, list):
            raise InputError(f"the file has no {name}, and no lists of datasets and {keyword} in {function}")
        labels = [self._label(each) for each in datasets.elts]
        return parse_lists(labels, numbers, "datasets", keyword), known

    def _resolved(self, value: ast.expr | None) -> ast.expr | None:
        """What is assigned to a name, or the value itself."""
        return self._values.get(value.id, value) if isinstance(value, ast.Name) else value

    def _literal(self, value: ast.expr | None) -> Any:  # noqa: ANN401
        """The value of a literal or of a name to which one is assigned; None for anything else."""
        try:
            return ast.literal_eval(self._resolved(value) or ast.Constant(None))
        except (ValueError, TypeError, RecursionError, MemoryError):
            return None

    def _label(self, dataset: ast.expr) -> str:
        """A dataset's variable, or the first text in the expression that creates it."""
        if isinstance(dataset, ast.Name):
            return dataset.id
        texts = [node.value for node in ast.walk(dataset) if isinstance(node, ast.Constant)]
        return next((text for text in texts if isinstance(text, str)), ast.unparse(dataset))
