"""Trainers configured in YAML: LLM Foundry, OLMo-core, Levanter, LLaMA-Factory, RegMix.

LLM Foundry 0.22.0 with mosaicml-streaming 0.13.0. OLMo-core: ai2-olmo-core 3.0.0, data/source_mixture.py.
Levanter: Training-Data-Guide.md and data/mixture.py. LLaMA-Factory: llamafactory 0.9.5, data/data_utils.py.
RegMix: its mixture_config.
"""

import math
from typing import TYPE_CHECKING, Any

from chameleon.common.errors import InputError
from chameleon.export.parse import (
    ParsedFile,
    fact_number,
    list_at,
    mapping_at,
    parse_lists,
    parse_number,
    parse_numbers,
    parse_step,
)
from chameleon.export.serialization import join_names, parse_yaml, yaml_text

if TYPE_CHECKING:
    from chameleon.export.mixture import TrainerMixture

# Levanter's default mixture_block_size.
LEVANTER_BLOCK = 2048

# The ways in which Streaming weighs streams.
_SCHEMES = ("proportion", "repeat", "choose")

# LLaMA-Factory's names of `interleave_datasets`' strategies.
_STRATEGIES = {
    "interleave_under": "first_exhausted",
    "interleave_over": "all_exhausted",
    "interleave_once": "all_exhausted_without_replacement",
}


def write_streams(mixture: "TrainerMixture") -> str:
    """LLM Foundry: a stream for each domain with its proportion of rows, and the rows of an epoch."""
    if mixture.budget is None:
        raise InputError(
            "streams need the rows of an epoch (epoch_size), or an epoch is as long as all streams together; "
            "give --budget, the tokens to train on"
        )
    streams = {}
    for (name, share), source in zip(mixture.rows_by_name().items(), mixture.sources, strict=True):
        stream = {key: source.extra[key] for key in ("remote", "local", "split") if key in source.extra}
        if not stream.keys() & {"remote", "local"}:
            stream["remote" if "://" in source.path else "local"] = source.path
        streams[name] = {**stream, "proportion": share}
    rows = mixture.budget * float(mixture.rows_per_token().sum())
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
        problems.append("epoch_size is not set: an epoch has as many rows as all streams together")
    elif isinstance(size, str):  # such as 10ba, in Streaming's own units
        size = None
    else:
        size = parse_step(size, "epoch_size", least=1)
    return ParsedFile(numbers, tuple(problems), epoch_size=size)


def write_olmo(mixture: "TrainerMixture") -> str:
    """OLMo-core's `SourceMixtureList`, which may repeat a domain as often as it needs: else the run stops."""
    sources = []
    domains = mixture.stages[0].weights.domains
    for source, (name, share) in zip(mixture.sources, mixture.by_name().items(), strict=True):
        entry: dict[str, Any] = {"source_name": name, "target_ratio": share, "paths": [*source.paths]}
        epochs = fact_number(domains.get(name, {}), "epochs", f"domain {name}")
        if epochs is not None:
            # Leave room for rounding the run to whole batches.
            entry["max_repetition_ratio"] = max(1.0, math.ceil(epochs * 101) / 100)
        sources.append(entry)
    return mixture.header + yaml_text({"sources": sources})


def read_olmo(text: str) -> ParsedFile:
    """The inverse of `write_olmo`; `requested_tokens` and the like are ignored."""
    content = mapping_at(parse_yaml(text))
    if "source_list" in content:
        content = mapping_at(content, "source_list")
    sources = [mapping_at(each) for each in list_at(content, "sources")]
    numbers = parse_numbers((each.get("source_name"), each.get("target_ratio")) for each in sources)
    problems = []
    total = math.fsum(numbers.values())
    if abs(total - 1) > 1.001e-5:  # the tolerance of numpy.isclose, which OLMo-core calls
        problems.append(f"target_ratio sums to {total:.6g}, which OLMo-core refuses; it must be 1")
    bounds = {}
    for name, each in zip(numbers, sources, strict=True):
        if not (isinstance(each.get("paths"), list) and each["paths"]):
            problems.append(f"{name} has no list of paths")
        repeated = parse_number(each.get("max_repetition_ratio", 1.0), f"max_repetition_ratio of {name}")
        fraction = parse_number(each.get("max_source_fraction", 1.0), f"max_source_fraction of {name}")
        if repeated < 1:
            problems.append(
                f"max_repetition_ratio of {name} is {repeated:g}, which OLMo-core refuses; at least 1"
            )
        if not 0 < fraction <= 1:
            problems.append(
                f"max_source_fraction of {name} is {fraction:g}; it must be above 0 and at most 1"
            )
        bounds[name] = repeated * fraction
    return ParsedFile(numbers, tuple(problems), repetition=bounds)


def write_levanter(mixture: "TrainerMixture") -> str:
    """Levanter's `train_weights`: weights of components by name, or a list of stages."""
    if len(mixture.stages) == 1:
        return mixture.header + yaml_text({"data": {"train_weights": mixture.by_name()}})
    note = f"# Stages begin at multiples of {LEVANTER_BLOCK} (mixture_block_size) rows: step x batch size.\n"
    stages = [[stage.step, mixture.by_name(number)] for number, stage in enumerate(mixture.stages)]
    return mixture.header + note + yaml_text({"data": {"train_weights": stages}})


def read_levanter(text: str) -> ParsedFile:
    """The inverse of `write_levanter`."""
    content = mapping_at(parse_yaml(text))
    content = mapping_at(content, "data") if "data" in content else content
    if isinstance(content.get("train_weights"), dict):
        return ParsedFile(parse_numbers(content["train_weights"].items()))
    stages = []
    for entry in list_at(content, "train_weights"):
        if not (isinstance(entry, list) and len(entry) == 2):
            raise InputError(f"expected a list of [step, weights] in train_weights, got {entry!r:.80}")
        stages.append((parse_step(entry[0], "a step"), parse_numbers(mapping_at(entry[1]).items())))
    return ParsedFile.from_stages(stages)


def write_llamafactory(mixture: "TrainerMixture") -> str:
    """LLaMA-Factory's comma-separated names and probabilities of rows, in one order."""
    names = [source.path for source in mixture.sources]
    content = {
        "dataset": join_names(names, "LLaMA-Factory", "rename it in dataset_info.json and in --sources"),
        "mix_strategy": "interleave_over",
        "interleave_probs": ",".join(map(repr, mixture.rows_by_name().values())),
    }
    return mixture.header + yaml_text(content)


def read_llamafactory(text: str) -> ParsedFile:
    """The inverse of `write_llamafactory`."""
    content = mapping_at(parse_yaml(text))
    names, probabilities = (_entries(content, key) for key in ("dataset", "interleave_probs"))
    numbers = parse_lists(names, probabilities, "dataset", "interleave_probs")
    strategy = str(content.get("mix_strategy", "concat"))
    if strategy not in _STRATEGIES:
        wrong = f"mix_strategy is {strategy}, with which LLaMA-Factory refuses interleave_probs"
        return ParsedFile(numbers, (f"{wrong}; set interleave_over",), must_sum_to_1=True)
    return ParsedFile.interleaved(numbers, _STRATEGIES[strategy])


def _entries(content: dict[str, Any], key: str) -> list[str]:
    """The entries of a list, or of a text with commas between."""
    value = content.get(key)
    if isinstance(value, list) and value:
        return [str(each).strip() for each in value]
    if not isinstance(value, str | int | float):
        raise InputError(f"the file has no {key}")
    return [each.strip() for each in str(value).split(",")]


def write_regmix(mixture: "TrainerMixture") -> str:
    """RegMix's configuration of TinyLlama: file name prefixes, which end before the first dash."""
    train: dict[str, float] = {}
    for path, share in mixture.by_path():
        name = f"train_{regmix_key(path)}"
        if name == "train_":
            raise InputError(f"RegMix needs a name after train_, got {path!r}; name another (--sources)")
        if "-" in name:
            raise InputError(
                "RegMix takes a file's name up to the first dash for its domain, so it cannot take "
                f"{name!r}; name another (--sources)"
            )
        if name in train:
            raise InputError(f"two sources are called {name}, one with and one without train_; rename one")
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
