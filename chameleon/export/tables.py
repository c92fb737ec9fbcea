"""Trainers that are configured in YAML: LLM Foundry, OLMo-core, Levanter, LLaMA-Factory, RegMix."""

import math
from typing import Any

import numpy as np

from chameleon.errors import InputError
from chameleon.export.mixture import Mixture
from chameleon.export.reading import Found, mapping_of, numbers_of, written_number
from chameleon.export.yaml_text import yaml_of, yaml_text


def write_streams(mixture: Mixture) -> str:
    """LLM Foundry: a stream a domain with its proportion of rows, and the rows of an epoch."""
    rows = mixture.rows()
    streams = {}
    for name, source, share in zip(mixture.names, mixture.sources, rows.tolist(), strict=True):
        place = {key: each for key, each in source.further.items() if key in ("remote", "local", "split")}
        if not place:
            place = {"remote" if "://" in source.path else "local": source.path}
        streams[name] = {**place, "proportion": written_number(share)}
    if mixture.budget is None:
        raise InputError(
            "streams need the rows of an epoch (epoch_size), or an epoch is as long as all streams "
            "together; give --budget, the tokens to train on"
        )
    of_a_row = 1 / float((mixture.shares / mixture.lengths).sum())
    epoch_size = max(1, round(mixture.budget / of_a_row))
    return _comments(mixture) + yaml_text({"dataset": {"streams": streams, "epoch_size": epoch_size}})


def read_streams(text: str) -> Found:
    """The inverse of `write_streams`."""
    content = mapping_of(yaml_of(text))
    while "streams" not in content and len(content) == 1 and isinstance(next(iter(content.values())), dict):
        content = next(iter(content.values()))
    if "streams" not in content and "dataset" in content:
        content = mapping_of(content, "dataset")
    streams = mapping_of(content, "streams")
    schemes = {
        key
        for stream in streams.values()
        for key in mapping_of(stream)
        if key in ("proportion", "repeat", "choose")
    }
    if schemes != {"proportion"}:
        raise InputError(f"expected a proportion of every stream, got {', '.join(sorted(schemes)) or 'none'}")
    pairs = [(name, stream.get("proportion", "nothing")) for name, stream in streams.items()]
    size = content.get("epoch_size")
    problems = () if size else (
        "epoch_size is not set: an epoch is as many rows as all streams have, whatever the proportions",
    )  # fmt: skip
    return Found(numbers_of(pairs), problems, epoch_size=int(size) if isinstance(size, int) else None)


def write_olmo(mixture: Mixture) -> str:
    """OLMo-core: `SourceMixtureList`; a source that is short stops the run, so repetition is allowed as "
    "needed."""
    sources = []
    # Ratios must sum to 1 as they are written.
    ratios = [written_number(share) for share in mixture.shares.tolist()]
    for i, (name, source) in enumerate(zip(mixture.names, mixture.sources, strict=True)):
        entry: dict[str, Any] = {"source_name": name, "target_ratio": ratios[i], "paths": list(source.paths)}
        if mixture.epochs is not None:
            # With room for the rounding of the run to whole batches.
            entry["max_repetition_ratio"] = max(1.0, math.ceil(mixture.epochs[i] * 101) / 100)
        sources.append(entry)
    return _comments(mixture) + yaml_text({"sources": sources})


def read_olmo(text: str) -> Found:
    """The inverse of `write_olmo`, `requested_tokens` and the like left aside."""
    content = mapping_of(yaml_of(text))
    if "source_list" in content:
        content = mapping_of(content, "source_list")
    sources = content.get("sources")
    if not isinstance(sources, list) or not all(isinstance(each, dict) for each in sources):
        raise InputError("the file has no list sources")
    numbers = numbers_of((each.get("source_name"), each.get("target_ratio")) for each in sources)
    problems = []
    total = math.fsum(numbers.values())
    if not np.isclose(total, 1.0):
        problems.append(f"target_ratio sums to {total:.6g}, which OLMo-core refuses; it must be 1")
    problems += [
        f"the target_ratio of {name} is 0, which OLMo-core refuses"
        for name, each in numbers.items()
        if not each
    ]
    problems += [f"{each.get('source_name')} has no paths" for each in sources if not each.get("paths")]
    pairs = ((each["source_name"], each.get("max_repetition_ratio", 1.0)) for each in sources)
    return Found(numbers, tuple(problems), repetition=numbers_of(pairs, "max_repetition_ratio"))


def write_levanter(mixture: Mixture) -> str:
    """Levanter: `train_weights` of components by name, or a list of stages."""
    stages = [
        {
            name: written_number(share)
            for name, share in zip(mixture.names, stage.shares.tolist(), strict=True)
        }
        for stage in mixture.stages
    ]
    weights: Any = stages[0]
    if len(stages) > 1:
        weights = [[stage.step, each] for stage, each in zip(mixture.stages, stages, strict=True)]
    return _comments(mixture) + yaml_text({"data": {"train_weights": weights}})


def read_levanter(text: str) -> Found:
    """The inverse of `write_levanter`."""
    content = mapping_of(yaml_of(text))
    content = mapping_of(content, "data") if "data" in content else content
    weights = content.get("train_weights")
    if isinstance(weights, dict):
        return Found(numbers_of(weights.items()))
    if not isinstance(weights, list) or not weights:
        raise InputError("the file has no train_weights")
    stages = []
    for entry in weights:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], int)):
            raise InputError(f"expected a list of [step, weights] in train_weights, got {entry!r:.80}")
        stages.append((entry[0], numbers_of(mapping_of(entry[1]).items())))
    return Found(stages[0][1], stages=tuple(stages[1:]))


def write_llamafactory(mixture: Mixture) -> str:
    """LLaMA-Factory: names and probabilities of rows with commas between, in one order."""
    for name in (source.path for source in mixture.sources):
        if "," in name or name != name.strip():
            raise InputError(
                f"LLaMA-Factory splits names at commas and strips them, so it cannot take {name!r}; name "
                "another in its dataset_info.json and in --sources"
            )
    content = {
        "dataset": ",".join(source.path for source in mixture.sources),
        "mix_strategy": "interleave_over",
        "interleave_probs": ",".join(repr(written_number(each)) for each in mixture.rows().tolist()),
        "streaming": True,
    }
    return _comments(mixture) + yaml_text(content)


def read_llamafactory(text: str) -> Found:
    """The inverse of `write_llamafactory`."""
    content = mapping_of(yaml_of(text))
    lists = []
    for key in ("dataset", "interleave_probs"):
        value = content.get(key)
        if not isinstance(value, str | int | float):
            raise InputError(f"the file has no {key}")
        lists.append([each.strip() for each in str(value).split(",")])
    names, probabilities = lists
    if len(names) != len(probabilities):
        raise InputError(f"{len(names)} names in dataset have {len(probabilities)} interleave_probs")
    strategy = str(content.get("mix_strategy", "concat"))
    ends = {"interleave_under": "first_exhausted", "interleave_over": "all_exhausted",
            "interleave_once": "all_exhausted_without_replacement"}  # fmt: skip
    problems = () if strategy in ends else (
        f"mix_strategy is {strategy}, with which LLaMA-Factory refuses interleave_probs; set interleave_over",
    )  # fmt: skip
    numbers = numbers_of(zip(names, probabilities, strict=True))
    return Found(numbers, problems, stopping=ends.get(strategy), must_sum_to_1=True)


def write_regmix(mixture: Mixture) -> str:
    """RegMix's configuration of TinyLlama: prefixes of file names, which end before the first dash."""
    train = {}
    for path, share in mixture.by_path():
        name = path if path.startswith("train_") else f"train_{path}"
        if "-" in name:
            raise InputError(
                "RegMix takes a file's name up to the first dash for its domain, so it cannot take "
                f"{name!r}; name another (--sources)"
            )
        train[name] = written_number(share)
    if len(train) < len(mixture.by_path()):
        raise InputError("two sources have the same name once train_ is put before them")
    valid = {f"valid_{name.removeprefix('train_')}": 1.0 for name in train}
    return _comments(mixture) + yaml_text({"train": train, "valid": valid, "model_name": "tinyllama_60M"})


def regmix_key(path: str) -> str:
    """A path as `read_regmix` names it."""
    return path.removeprefix("train_")


def read_regmix(text: str) -> Found:
    """The inverse of `write_regmix`."""
    content = mapping_of(yaml_of(text))
    numbers = numbers_of(mapping_of(content, "train").items())
    problems = [f"the file has no {key}" for key in ("valid", "model_name") if key not in content]
    problems += [f"{name} has a dash, behind which RegMix reads nothing" for name in numbers if "-" in name]
    return Found({regmix_key(name): each for name, each in numbers.items()}, tuple(problems))


def _comments(mixture: Mixture) -> str:
    return "".join(f"# {line}\n" for line in mixture.comment)
