"""Megatron-LM, NeMo and nanotron: weights and paths in turn, of sequences of one length.

Megatron-LM: megatron-core 0.16.1, megatron/core/datasets. `get_blend_from_list` takes weights and prefixes in
turn and strips the prefixes; `--data-args-path` is split at white space; a split of
`--per-split-data-args-path` may be null, or a text that is split at white space.
NeMo: nemo-automodel 0.7.0, components/datasets/llm/megatron_dataset.py. nanotron: docs/nanoset.md.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chameleon.common.errors import InputError
from chameleon.export.parse import ParsedFile, list_at, mapping_at, parse_lists, parse_step
from chameleon.export.serialization import json_text, parse_json, parse_yaml, twelve_digits, yaml_text

if TYPE_CHECKING:
    from chameleon.export.mixture import TrainerMixture

# `BlendedDataset` numbers its datasets in 16 bits, and must have fewer.
_MOST_PREFIXES = (1 << 15) - 2

# Linux allows 2 MiB of arguments; the rest stays free for the environment.
_LONGEST_COMMAND = 2_000_000
_NEGATIVE_NUMBER = re.compile(r"-\d")


def write_arguments(mixture: "TrainerMixture") -> str:
    """`--data-path` with weights and prefixes in turn, for a shell."""
    for path, _ in mixture.by_path():
        if path.startswith("-"):
            raise InputError(f"Megatron-LM would take {path} for a flag; put ./ before it (--sources)")
    words = _blend(mixture)
    # Linux counts a null byte and a pointer for each word.
    if (size := sum(len(word.encode(errors="replace")) + 9 for word in words)) > _LONGEST_COMMAND:
        raise InputError(
            f"a command line holds 2 MiB, and {len(words) // 2:,} weights and prefixes take {size:,} bytes; "
            "use the format megatron-file, which Megatron-LM reads from a file"
        )
    return f"{mixture.header}--data-path {shlex.join(words)}\n"


def read_arguments(text: str) -> ParsedFile:
    """The inverse of `write_arguments`, also from within a whole command."""
    lines = [line for line in text.replace("\\\n", " ").split("\n") if not line.lstrip().startswith("#")]
    try:
        words = shlex.split("\n".join(lines))
    except ValueError as error:
        raise InputError(f"the file cannot be split as a shell does: {error}") from None
    flag = next((i for i, word in enumerate(words) if word.partition("=")[0] == "--data-path"), None)
    if flag is not None:
        _, sign, first = words[flag].partition("=")
        words = [*([first] if sign else []), *words[flag + 1 :]]
        # Prefixes may not begin with a dash: a word that does is the next flag.
        is_flag = [word.startswith("-") and not _NEGATIVE_NUMBER.match(word) for word in words]
        words = words[: [*is_flag, True].index(True)]
    return _parsed(words)


def write_arguments_file(mixture: "TrainerMixture") -> str:
    """The file of `--data-args-path`: weights and prefixes in turn, split at white space."""
    for path, _ in mixture.by_path():
        if len(path.split()) != 1:
            raise InputError(
                f"Megatron-LM splits --data-args-path at white space, so it cannot name {path!r}; use the "
                "format megatron or megatron-splits, or another name (--sources)"
            )
    return " ".join(_blend(mixture)) + "\n"


def read_arguments_file(text: str) -> ParsedFile:
    """The inverse of `write_arguments_file`."""
    return _parsed(text.split())


def write_splits(mixture: "TrainerMixture") -> str:
    """The JSON file of `--per-split-data-args-path`; splits without sources are null."""
    return _splits(mixture, "valid")


def read_splits(text: str) -> ParsedFile:
    """The inverse of `write_splits`."""
    content = mapping_at(parse_json(text))
    parsed = _parsed(_words(content, "train"))
    missing = [
        f"it has no {split}, and Megatron-LM wants all three"
        for split in ("valid", "test")
        if split not in content
    ]
    for split in content.keys() & {"valid", "test"}:
        _words(content, split)
    return ParsedFile(parsed.numbers, (*parsed.problems, *missing))


def write_nemo(mixture: "TrainerMixture") -> str:
    """The JSON file that NeMo's `paths` may name."""
    return _splits(mixture, "validation")


def read_nemo(text: str) -> ParsedFile:
    """The inverse of `write_nemo`; also a blend alone, which NeMo Automodel takes."""
    content = parse_json(text)
    return _parsed(_words({"train": content} if isinstance(content, list) else mapping_at(content), "train"))


def write_nanotron(mixture: "TrainerMixture") -> str:
    """Stages with `dataset_folder` and `dataset_weights` side by side."""
    stages: list[dict[str, Any]] = []
    for number, stage in enumerate(mixture.stages):
        folders, weights = map(list, zip(*mixture.by_path(number), strict=True))
        dataset = {"dataset_folder": folders, "dataset_weights": weights}
        stages.append(
            {
                "name": f"stage {number + 1}",
                "start_training_step": stage.step + 1,
                "data": {"dataset": dataset, "num_loading_workers": 1, "seed": mixture.seed},
            }
        )
    return mixture.header + yaml_text({"data_stages": stages})


def read_nanotron(text: str) -> ParsedFile:
    """The inverse of `write_nanotron`; also a mapping of folders to weights, as its documentation has it."""
    stages = []
    for stage in list_at(parse_yaml(text), "data_stages"):
        dataset = mapping_at(stage, "data", "dataset")
        if isinstance(dataset.get("dataset_folder"), dict):
            mapping = dataset["dataset_folder"]
            dataset = {"dataset_folder": [*mapping], "dataset_weights": [*mapping.values()]}
        folders, weights = (list_at(dataset, key) for key in ("dataset_folder", "dataset_weights"))
        step = parse_step(stage.get("start_training_step", 1), "start_training_step", least=1) - 1
        stages.append((step, parse_lists(folders, weights, "dataset_folder", "dataset_weights")))
    return ParsedFile.from_stages(stages)


def _splits(mixture: "TrainerMixture", validation: str) -> str:
    content: dict[str, list[str] | None] = {"train": _blend(mixture)}
    for split, key in ((validation, "valid"), ("test", "test")):
        blend: list[str] = []
        for (_, share), source in zip(mixture.by_name().items(), mixture.sources, strict=True):
            paths = source.held_out(key)
            blend += [word for path in paths for word in (repr(twelve_digits(share / len(paths))), path)]
        content[split] = blend or None
    return json_text(content)


def _blend(mixture: "TrainerMixture") -> list[str]:
    """Weights and prefixes in turn."""
    paths = mixture.by_path()
    if len(paths) > _MOST_PREFIXES:
        raise InputError(
            f"Megatron-LM numbers datasets in 16 bits, up to {_MOST_PREFIXES:,}; here are {len(paths):,}. "
            "Merge domains (--merge_domains of the main command)"
        )
    held_out = [path for each in mixture.sources for key in ("valid", "test") for path in each.held_out(key)]
    for path in (*(path for path, _ in paths), *held_out):
        if path != path.strip() or "\0" in path or "\n" in path:
            raise InputError(
                "Megatron-LM takes no prefix with line ends, or with white space at its ends, such as "
                f"{path!r}; name another (--sources)"
            )
    return [word for path, share in paths for word in (repr(share), path)]


def _words(content: Mapping[str, Any], split: str) -> list[str]:
    """The blend of a split: a list, or a text that is split at white space."""
    if split not in content:
        raise InputError(f"the file has no {split}")
    blend = [] if content[split] is None else content[split]
    if isinstance(blend, str):
        blend = blend.split()
    if not isinstance(blend, list) or not all(isinstance(each, str | int | float) for each in blend):
        raise InputError(f"expected a list of weights and paths in {split}, got {blend!r:.80}")
    return [str(each) for each in blend]


def _parsed(words: Sequence[str]) -> ParsedFile:
    if len(words) % 2 or not words:
        raise InputError(
            f"expected weights and prefixes in turn, got {len(words)} items: Megatron-LM takes an odd "
            "number of them for prefixes without weights"
        )
    numbers = parse_lists(words[1::2], words[::2], "prefixes", "weights")
    zeros = [path for path, number in numbers.items() if number == 0]
    return ParsedFile(
        numbers, tuple(f"the weight of {path} is 0, which Megatron-LM refuses" for path in zeros)
    )
