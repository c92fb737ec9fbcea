"""Megatron-LM, NeMo and nanotron: weights and paths in turn, of sequences of one length.

Megatron-LM: `get_blend_from_list` (megatron-core 0.16.1) takes weights and prefixes in turn and strips the
prefixes; `--data-args-path` is split at white space; a split of `--per-split-data-args-path` may be null.
"""

import json
import shlex
from collections.abc import Sequence
from typing import Any

from chameleon.errors import InputError
from chameleon.export.mixture import Mixture
from chameleon.export.reading import Found, json_of, mapping_of, numbers_of, written_number
from chameleon.export.yaml_text import yaml_of, yaml_text

_MOST_PREFIXES = (1 << 15) - 1


def write_arguments(mixture: Mixture) -> str:
    """`--data-path` with weights and prefixes in turn, for a shell."""
    for path, _ in mixture.by_path():
        _require_plain(path)
        if path.startswith("-"):
            raise InputError(f"Megatron-LM would take {path} for a flag; put ./ before it (--sources)")
    return f"{_comments(mixture)}--data-path {shlex.join(_blend(mixture))}\n"


def read_arguments(text: str) -> Found:
    """The inverse of `write_arguments`, wherever in a command `--data-path` stands."""
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    try:
        words = shlex.split("\n".join(lines))
    except ValueError as error:
        raise InputError(f"the file cannot be split as a shell does: {error}") from None
    if "--data-path" in words:
        words = words[words.index("--data-path") + 1 :]
        # A prefix may not begin with a dash; where one does, the next flag does.
        end = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
        words = words[:end]
    return _found(words)


def write_arguments_file(mixture: Mixture) -> str:
    """The file of `--data-args-path`: weights and prefixes in turn, split at white space."""
    for path, _ in mixture.by_path():
        _require_plain(path)
        if len(path.split()) != 1:
            raise InputError(
                f"Megatron-LM splits --data-args-path at white space, so it cannot name {path!r}; use the "
                "format megatron or megatron-splits, or another name (--sources)"
            )
    return " ".join(_blend(mixture)) + "\n"


def read_arguments_file(text: str) -> Found:
    """The inverse of `write_arguments_file`."""
    return _found(text.split())


def write_splits(mixture: Mixture) -> str:
    """The JSON file of `--per-split-data-args-path`; splits without sources are null."""
    return _splits(mixture, "valid")


def write_nemo(mixture: Mixture) -> str:
    """The JSON file that NeMo's `paths` may name."""
    return _splits(mixture, "validation")


def read_splits(text: str) -> Found:
    """The inverse of both."""
    content = json_of(text)
    if isinstance(content, list):  # NeMo Automodel takes a blend alone too
        return _found([str(each) for each in content])
    content = mapping_of(content)
    if "train" not in content:
        raise InputError("the file has no train")
    aliases = {"valid": ("valid", "validation", "val", "dev"), "test": ("test",)}
    problems = [
        f"the file has no {split}" for split, names in aliases.items() if not content.keys() & set(names)
    ]
    if not isinstance(content["train"], list):
        raise InputError(f"expected a list of weights and paths in train, got {content['train']!r:.80}")
    found = _found([str(each) for each in content["train"]])
    return Found(found.numbers, (*found.problems, *problems))


def write_nanotron(mixture: Mixture) -> str:
    """Stages with `dataset_folder` and `dataset_weights`, beside each other."""
    folders = [path for path, _ in mixture.by_path()]
    stages: list[dict[str, Any]] = []
    for number, stage in enumerate(mixture.stages, 1):
        parts = [
            written_number(share * part)
            for share, source in zip(stage.shares.tolist(), mixture.sources, strict=True)
            for _, part in source.parts()
        ]
        dataset = {"dataset_folder": folders, "dataset_weights": parts}
        stages.append(
            {
                "name": f"stage {number}",
                "start_training_step": stage.step + 1,
                "data": {"dataset": dataset, "num_loading_workers": 1, "seed": mixture.seed},
            }
        )
    return _comments(mixture) + yaml_text({"data_stages": stages})


def read_nanotron(text: str) -> Found:
    """The inverse of `write_nanotron`; also a dictionary of folders and weights, as its documentation "
    "has it."""
    content = mapping_of(yaml_of(text))
    stages = content.get("data_stages")
    if not isinstance(stages, list) or not stages:
        raise InputError("the file has no list data_stages")
    found = []
    for stage in stages:
        dataset = mapping_of(stage, "data", "dataset")
        folders, weights = dataset.get("dataset_folder"), dataset.get("dataset_weights")
        if isinstance(folders, dict):
            weights = [*folders.values()]
            folders = [*folders]
        if not isinstance(folders, list) or not isinstance(weights, list) or len(folders) != len(weights):
            raise InputError("expected as many dataset_weights as there are folders in dataset_folder")
        step = stage.get("start_training_step", 1)
        if not isinstance(step, int):
            raise InputError(f"start_training_step is {step!r:.40}; expected a whole number")
        found.append((step - 1, numbers_of(zip(folders, weights, strict=True))))
    return Found(found[0][1], stages=tuple(found[1:]))


def _splits(mixture: Mixture, validation: str) -> str:
    for path, _ in mixture.by_path():
        _require_plain(path)
    content: dict[str, Any] = {"train": _blend(mixture)}
    for split, key in ((validation, "valid"), ("test", "test")):
        blend: list[str] = []
        for share, source in zip(mixture.shares.tolist(), mixture.sources, strict=True):
            held_out = source.further.get(key)
            if isinstance(held_out, str):
                blend += [repr(written_number(share)), held_out]
        content[split] = blend or None
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _blend(mixture: Mixture) -> list[str]:
    if len(mixture.by_path()) > _MOST_PREFIXES:
        raise InputError(
            f"Megatron-LM numbers datasets in 16 bits, up to {_MOST_PREFIXES:,}; here are "
            f"{len(mixture.by_path()):,}"
        )
    return [each for path, share in mixture.by_path() for each in (repr(written_number(share)), path)]


def _require_plain(path: str) -> None:
    if path != path.strip() or "\0" in path or "\n" in path:
        raise InputError(
            f"Megatron-LM takes no prefix with white space at an end or line ends, such as {path!r}; name "
            "another (--sources)"
        )


def _found(words: Sequence[str]) -> Found:
    if len(words) % 2 or not words:
        raise InputError(
            f"expected weights and prefixes in turn, got {len(words)} items: Megatron-LM takes an odd "
            "number of them for prefixes without weights"
        )
    numbers = numbers_of(zip(words[1::2], words[::2], strict=True))
    zeros = [path for path, number in numbers.items() if number == 0]
    return Found(numbers, tuple(f"the weight of {path} is 0, which Megatron-LM refuses" for path in zeros))


def _comments(mixture: Mixture) -> str:
    return "".join(f"# {line}\n" for line in mixture.comment)
