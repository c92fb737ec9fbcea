"""Trainers that are configured in YAML: LLM Foundry, OLMo-core, Levanter, LLaMA-Factory, RegMix."""

import math
from typing import Any

import numpy as np

from chameleon.common.errors import InputError
from chameleon.export.mixture import TrainerMixture
from chameleon.export.parse import (
    ParsedFile,
    mapping_at,
    parse_number,
    parse_numbers,
    parse_step,
    parse_yaml,
    yaml_text,
)

_SCHEMES = ("proportion", "repeat", "choose")


# LLaMA-Factory's names of `interleave_datasets`' strategies.
_ENDS = {
    "interleave_under": "first_exhausted",
    "interleave_over": "all_exhausted",
    "interleave_once": "all_exhausted_without_replacement",
}


def write_streams(mixture: TrainerMixture) -> str:
    """LLM Foundry: a stream a domain with its proportion of rows, and the rows of an epoch."""
    if mixture.budget is None:
        raise InputError(
            "streams need the rows of an epoch (epoch_size), or an epoch is as long as all streams "
            "together; give --budget, the tokens to train on"
        )
    streams = {}
    for (name, share), source in zip(mixture.rows_by_name().items(), mixture.sources, strict=True):
        place = {key: source.further[key] for key in ("remote", "local", "split") if key in source.further}
        if not place.keys() & {"remote", "local"}:
            place["remote" if "://" in source.path else "local"] = source.path
        streams[name] = {**place, "proportion": share}
    rows = mixture.budget * float((mixture.shares / mixture.lengths).sum())
    content = {"streams": streams, "epoch_size": max(1, round(rows))}
    return mixture.header + yaml_text({"dataset": content})


def read_streams(text: str) -> ParsedFile:
    """The inverse of `write_streams`, also of a whole configuration with a `train_loader`."""
    content = mapping_at(parse_yaml(text))
    for key in ("train_loader", "dataset"):
        if "streams" not in content and isinstance(content.get(key), dict):
            content = content[key]
    streams = mapping_at(content, "streams")
    schemes = {key for stream in streams.values() for key in mapping_at(stream) if key in _SCHEMES}
    if schemes != {"proportion"}:
        raise InputError(f"expected a proportion of every stream, got {', '.join(sorted(schemes)) or 'none'}")
    numbers = parse_numbers((name, stream.get("proportion", "nothing")) for name, stream in streams.items())
    problems = [
        f"{name} has neither local nor remote"
        for name, each in streams.items()
        if not each.keys() & {"local", "remote"}
    ]
    size = content.get("epoch_size")
    if size is None:
        problems.append("epoch_size is not set: an epoch is as many rows as all streams have together")
    elif not isinstance(size, str):  # a text such as 10ba is Streaming's own
        size = parse_step(size, "epoch_size", least=1)
    return ParsedFile(numbers, tuple(problems), epoch_size=None if isinstance(size, str) else size)


def write_olmo(mixture: TrainerMixture) -> str:
    """OLMo-core's `SourceMixtureList`; one that is short stops the run, so it may be repeated as needed."""
    sources = []
    for i, (name, share) in enumerate(mixture.by_name().items()):
        entry: dict[str, Any] = {
            "source_name": name,
            "target_ratio": share,
            "paths": list(mixture.sources[i].paths),
        }
        if mixture.epochs is not None:
            # With room for the rounding of the run to whole batches.
            entry["max_repetition_ratio"] = max(1.0, math.ceil(mixture.epochs[i] * 101) / 100)
        sources.append(entry)
    return mixture.header + yaml_text({"sources": sources})


def read_olmo(text: str) -> ParsedFile:
    """The inverse of `write_olmo`, `requested_tokens` and the like left aside."""
    content = mapping_at(parse_yaml(text))
    if "source_list" in content:
        content = mapping_at(content, "source_list")
    sources = content.get("sources")
    if not isinstance(sources, list) or not all(isinstance(each, dict) for each in sources):
        raise InputError("the file has no list sources")
    numbers = parse_numbers((each.get("source_name"), each.get("target_ratio")) for each in sources)
    problems = []
    total = math.fsum(numbers.values())
    if not np.isclose(total, 1.0):
        problems.append(f"target_ratio sums to {total:.6g}, which OLMo-core refuses; it must be 1")
    bounds = {}
    for name, each in zip(numbers, sources, strict=True):
        if not (isinstance(each.get("paths"), list) and each["paths"]):
            problems.append(f"{name} has no list of paths")
        repeated = parse_number(each.get("max_repetition_ratio", 1.0), f"max_repetition_ratio of {name}")
        part = parse_number(each.get("max_source_fraction", 1.0), f"max_source_fraction of {name}")
        if repeated < 1:
            problems.append(
                f"max_repetition_ratio of {name} is {repeated:g}, which OLMo-core refuses; at least 1"
            )
        if not 0 < part <= 1:
            problems.append(f"max_source_fraction of {name} is {part:g}; it must be over 0 and at most 1")
        bounds[name] = repeated * part
    return ParsedFile(numbers, tuple(problems), repetition=bounds)


def write_levanter(mixture: TrainerMixture) -> str:
    """Levanter: `train_weights` of components by name, or a list of stages."""
    if len(mixture.stages) == 1:
        return mixture.header + yaml_text({"data": {"train_weights": mixture.by_name()}})
    note = "# Stages begin at multiples of mixture_block_size (2048) sequences: step x rows of a batch.\n"
    stages = [[stage.step, mixture.by_name(number)] for number, stage in enumerate(mixture.stages)]
    return mixture.header + note + yaml_text({"data": {"train_weights": stages}})


def read_levanter(text: str) -> ParsedFile:
    """The inverse of `write_levanter`."""
    content = mapping_at(parse_yaml(text))
    content = mapping_at(content, "data") if "data" in content else content
    weights = content.get("train_weights")
    if isinstance(weights, dict):
        return ParsedFile(parse_numbers(weights.items()))
    if not isinstance(weights, list) or not weights:
        raise InputError("the file has no train_weights")
    stages = []
    for entry in weights:
        if not (isinstance(entry, list) and len(entry) == 2):
            raise InputError(f"expected a list of [step, weights] in train_weights, got {entry!r:.80}")
        stages.append((parse_step(entry[0], "a step"), parse_numbers(mapping_at(entry[1]).items())))
    return ParsedFile.staged(stages)


def write_llamafactory(mixture: TrainerMixture) -> str:
    """LLaMA-Factory: names and probabilities of rows with commas between, in one order."""
    names = [source.path for source in mixture.sources]
    for name in names:
        if "," in name or name != name.strip():
            raise InputError(
                f"LLaMA-Factory splits names at commas and strips them, so it cannot take {name!r}; name "
                "another in its dataset_info.json and in --sources"
            )
    content = {
        "dataset": ",".join(names),
        "mix_strategy": "interleave_over",
        "interleave_probs": ",".join(map(repr, mixture.rows_by_name().values())),
    }
    return mixture.header + yaml_text(content)


def read_llamafactory(text: str) -> ParsedFile:
    """The inverse of `write_llamafactory`."""
    content = mapping_at(parse_yaml(text))
    names, probabilities = (_listed(content, key) for key in ("dataset", "interleave_probs"))
    if len(names) != len(probabilities):
        raise InputError(f"{len(names)} names in dataset have {len(probabilities)} interleave_probs")
    numbers = parse_numbers(zip(names, probabilities, strict=True))
    strategy = str(content.get("mix_strategy", "concat"))
    if strategy not in _ENDS:
        wrong = f"mix_strategy is {strategy}, with which LLaMA-Factory refuses interleave_probs"
        return ParsedFile(numbers, (f"{wrong}; set interleave_over",), must_sum_to_1=True)
    return ParsedFile.interleaved(numbers, _ENDS[strategy])


def _listed(content: dict[str, Any], key: str) -> list[str]:
    """What stands there with commas between, or as a list."""
    value = content.get(key)
    if isinstance(value, list) and value:
        return [str(each).strip() for each in value]
    if not isinstance(value, str | int | float):
        raise InputError(f"the file has no {key}")
    return [each.strip() for each in str(value).split(",")]


def write_regmix(mixture: TrainerMixture) -> str:
    """RegMix's configuration of TinyLlama: prefixes of file names, which end before the first dash."""
    train: dict[str, float] = {}
    for path, share in mixture.by_path():
        name = f"train_{regmix_key(path)}"
        if "-" in name:
            raise InputError(
                "RegMix takes a file's name up to the first dash for its domain, so it cannot take "
                f"{name!r}; name another (--sources)"
            )
        if name in train:
            raise InputError(f"two sources are called {name}, once with train_ and once without; name others")
        train[name] = share
    valid = {f"valid_{regmix_key(name)}": 1.0 for name in train}
    return mixture.header + yaml_text({"train": train, "valid": valid, "model_name": "tinyllama_60M"})


def regmix_key(path: str) -> str:
    """A path as `read_regmix` names it."""
    return path.removeprefix("train_")


def read_regmix(text: str) -> ParsedFile:
    """The inverse of `write_regmix`."""
    content = mapping_at(parse_yaml(text))
    numbers = parse_numbers(mapping_at(content, "train").items())
    problems = [f"the file has no {key}" for key in ("valid", "model_name") if key not in content]
    problems += [f"{name} has a dash, behind which RegMix reads nothing" for name in numbers if "-" in name]
    return ParsedFile(
        parse_numbers((regmix_key(name), each) for name, each in numbers.items()), tuple(problems)
    )
