"""Megatron-LM, NeMo and nanotron: weights and paths in turn, of sequences of one length.

Megatron-LM: `get_blend_from_list` (megatron-core 0.16.1) takes weights and prefixes in turn and strips the
prefixes; `--data-args-path` is split at white space; a split of `--per-split-data-args-path` may be null, or
a text that is split so.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from chameleon.common.errors import InputError
from chameleon.export.mixture import TrainerMixture, TrainerSource
from chameleon.export.parse import (
    ParsedFile,
    mapping_at,
    parse_json,
    parse_numbers,
    parse_step,
    parse_yaml,
    written_number,
    yaml_text,
)

# `BlendedDataset` numbers its datasets in 16 bits, and must have fewer.
_MOST_PREFIXES = (1 << 15) - 2


_LONGEST_COMMAND = 2_000_000


_NUMBER = re.compile(r"-\d")


def write_arguments(mixture: TrainerMixture) -> str:
    """`--data-path` with weights and prefixes in turn, for a shell."""
    for path, _ in mixture.by_path():
        if path.startswith("-"):
            raise InputError(f"Megatron-LM would take {path} for a flag; put ./ before it (--sources)")
    words = _blend(mixture)
    # Linux counts an end and a pointer for each; what is above stays free for the environment.
    if (size := sum(len(word.encode(errors="replace")) + 9 for word in words)) > _LONGEST_COMMAND:
        raise InputError(
            f"a command line holds 2 MiB, and {len(words) // 2:,} weights and prefixes take {size:,} bytes; "
            "use the format megatron-file, which Megatron-LM reads from a file"
        )
    return f"{mixture.header}--data-path {shlex.join(words)}\n"


def read_arguments(text: str) -> ParsedFile:
    """The inverse of `write_arguments`, wherever in a command `--data-path` stands."""
    lines = [line for line in text.replace("\\\n", " ").split("\n") if not line.lstrip().startswith("#")]
    try:
        words = shlex.split("\n".join(lines))
    except ValueError as error:
        raise InputError(f"the file cannot be split as a shell does: {error}") from None
    flag = next((i for i, word in enumerate(words) if word.partition("=")[0] == "--data-path"), None)
    if flag is not None:
        _, sign, first = words[flag].partition("=")
        words = [*([first] if sign else []), *words[flag + 1 :]]
        # A prefix may not begin with a dash; where a word does, the next flag begins.
        end = next(
            (i for i, word in enumerate(words) if word.startswith("-") and not _NUMBER.match(word)), None
        )
        words = words[:end]
    return _found(words)


def write_arguments_file(mixture: TrainerMixture) -> str:
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
    return _found(text.split())


def write_splits(mixture: TrainerMixture) -> str:
    """The JSON file of `--per-split-data-args-path`; splits without sources are null."""
    return _splits(mixture, "valid")


def read_splits(text: str) -> ParsedFile:
    """The inverse of `write_splits`."""
    content = mapping_at(parse_json(text))
    found = _found(_words(content, "train"))
    missing = [
        f"it has no {split}, and Megatron-LM wants all three"
        for split in ("valid", "test")
        if split not in content
    ]
    for split in content.keys() & {"valid", "test"}:
        _words(content, split)
    return ParsedFile(found.numbers, (*found.problems, *missing))


def write_nemo(mixture: TrainerMixture) -> str:
    """The JSON file that NeMo's `paths` may name."""
    return _splits(mixture, "validation")


def read_nemo(text: str) -> ParsedFile:
    """The inverse of `write_nemo`; also a blend alone, which NeMo Automodel takes."""
    content = parse_json(text)
    return _found(_words({"train": content} if isinstance(content, list) else mapping_at(content), "train"))


def write_nanotron(mixture: TrainerMixture) -> str:
    """Stages with `dataset_folder` and `dataset_weights`, beside each other."""
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
    stages = mapping_at(parse_yaml(text)).get("data_stages")
    if not isinstance(stages, list) or not stages:
        raise InputError("the file has no list data_stages")
    found = []
    for stage in stages:
        dataset = mapping_at(stage, "data", "dataset")
        folders, weights = dataset.get("dataset_folder"), dataset.get("dataset_weights")
        if isinstance(folders, dict):
            weights = [*folders.values()]
            folders = [*folders]
        if not isinstance(folders, list) or not isinstance(weights, list) or len(folders) != len(weights):
            raise InputError("expected as many dataset_weights as there are folders in dataset_folder")
        step = parse_step(stage.get("start_training_step", 1), "start_training_step", least=1) - 1
        found.append((step, parse_numbers(zip(folders, weights, strict=True))))
    return ParsedFile.staged(found)


def _splits(mixture: TrainerMixture, validation: str) -> str:
    held_out = {
        split: _held_out(mixture, key) or None for split, key in ((validation, "valid"), ("test", "test"))
    }
    return json.dumps({"train": _blend(mixture), **held_out}, indent=2, ensure_ascii=False) + "\n"


def _held_out(mixture: TrainerMixture, key: str) -> list[str]:
    """The blend of what is held out, where sources name it: a domain's weight alike over its paths."""
    blend = []
    for (_, share), source in zip(mixture.by_name().items(), mixture.sources, strict=True):
        paths = _listed(source, key)
        blend += [each for path in paths for each in (repr(written_number(share / len(paths))), path)]
    return blend


def _listed(source: TrainerSource, key: str) -> list[str]:
    value = source.further.get(key, [])
    return [value] if isinstance(value, str) else value


def _blend(mixture: TrainerMixture) -> list[str]:
    paths = mixture.by_path()
    if len(paths) > _MOST_PREFIXES:
        raise InputError(
            f"Megatron-LM numbers datasets in 16 bits, up to {_MOST_PREFIXES:,}; here are {len(paths):,}. "
            "Merge domains (--merge_domains of the main command)"
        )
    for path in [
        *(path for path, _ in paths),
        *(p for s in mixture.sources for k in ("valid", "test") for p in _listed(s, k)),
    ]:
        if path != path.strip() or "\0" in path or "\n" in path:
            raise InputError(
                "Megatron-LM takes no prefix with white space at an end or line ends, such as "
                f"{path!r}; name another (--sources)"
            )
    return [each for path, share in paths for each in (repr(share), path)]


def _words(content: Mapping[str, Any], split: str) -> list[str]:
    """The blend of a split: a list, or a text that is split at white space."""
    if split not in content:
        raise InputError(f"the file has no {split}")
    blend = content[split]
    if blend is None:
        blend = []
    if isinstance(blend, str):
        blend = blend.split()
    if not isinstance(blend, list) or not all(isinstance(each, str | int | float) for each in blend):
        raise InputError(f"expected a list of weights and paths in {split}, got {blend!r:.80}")
    return [str(each) for each in blend]


def _found(words: Sequence[str]) -> ParsedFile:
    if len(words) % 2 or not words:
        raise InputError(
            f"expected weights and prefixes in turn, got {len(words)} items: Megatron-LM takes an odd "
            "number of them for prefixes without weights"
        )
    numbers = parse_numbers(zip(words[1::2], words[::2], strict=True))
    zeros = [path for path, number in numbers.items() if number == 0]
    return ParsedFile(
        numbers, tuple(f"the weight of {path} is 0, which Megatron-LM refuses" for path in zeros)
    )
