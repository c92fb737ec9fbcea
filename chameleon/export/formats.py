"""The formats: what writes each, what reads it, what its numbers count and how its trainer draws."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from chameleon.common.errors import InputError
from chameleon.export.mixture import TrainerMixture
from chameleon.export.parse import ParsedFile
from chameleon.export.trainers import json_csv as lists
from chameleon.export.trainers import megatron as blends
from chameleon.export.trainers import python_code as snippets
from chameleon.export.trainers import yaml_configs as tables

Draws = Literal["quota", "even", "random", "blocks"]


class FormatSpec(NamedTuple):
    """A row of the table.

    Attributes:
        trainer: For people.
        suffix: Of a file of it.
        write: A mixture to its text.
        read: Its text to numbers by key; raises InputError for what the trainer would not take.
        key: What stands beside a number: a path of the domain's source, or the domain's name.
        counts: What a number is a share of: tokens (sequences of one length too) or rows of any length.
        draws: How rows are drawn (`draws.draw`).
        at_end: What happens to a domain that is used up: it "repeats", "stops" the run or is "refused".
        keeps_zeros: Whether domains of no weight may stand in it.
        takes_stages: Whether weights may change over the run.
        has_comments: Whether it can say where it came from.
        followed: Whose code or documentation it follows.
        key_of: How `read` names a path, where not as it stands.
        needs_budget: Whether it cannot be written without the tokens to train on.
    """

    trainer: str
    suffix: str
    write: Callable[[TrainerMixture], str]
    read: Callable[[str], ParsedFile]
    key: Literal["path", "name"]
    counts: Literal["tokens", "rows"]
    draws: Draws
    at_end: Literal["repeats", "stops", "refused"]
    keeps_zeros: bool = False
    takes_stages: bool = False
    has_comments: bool = True
    followed: str = ""
    key_of: Callable[[str], str] = str
    needs_budget: bool = False


_MEGATRON = "megatron-core 0.16.1, megatron/core/datasets"


_DATASETS = "datasets 5, interleave_datasets"


FORMATS: dict[str, FormatSpec] = {
    "chameleon": FormatSpec(
        "python -m chameleon train, --weights", ".json", lists.write_schedule, lists.read_schedule,
        "name", "tokens", "quota", "repeats", keeps_zeros=True, takes_stages=True, has_comments=False,
    ),
    "megatron": FormatSpec(
        "Megatron-LM, --data-path", ".args", blends.write_arguments, blends.read_arguments,
        "path", "tokens", "even", "repeats", followed=_MEGATRON,
    ),
    "megatron-file": FormatSpec(
        "Megatron-LM, --data-args-path", ".txt", blends.write_arguments_file, blends.read_arguments_file,
        "path", "tokens", "even", "repeats", has_comments=False, followed=_MEGATRON,
    ),
    "megatron-splits": FormatSpec(
        "Megatron-LM, --per-split-data-args-path", ".json", blends.write_splits, blends.read_splits,
        "path", "tokens", "even", "repeats", has_comments=False, followed=_MEGATRON,
    ),
    "nemo": FormatSpec(
        "NeMo 2 and NeMo Automodel, paths", ".json", blends.write_nemo, blends.read_nemo,
        "path", "tokens", "even", "repeats", has_comments=False,
        followed="nemo-automodel 0.7.0, components/datasets/llm/megatron_dataset.py",
    ),
    "mosaicml": FormatSpec(
        "MosaicML Streaming, LLM Foundry, streams", ".yaml", tables.write_streams, tables.read_streams,
        "name", "rows", "quota", "repeats", needs_budget=True, followed="mosaicml-streaming 0.13.0, "
        "llm-foundry 0.22.0",
    ),
    "huggingface": FormatSpec(
        "Hugging Face datasets, interleave_datasets", ".py", snippets.write_interleave,
        snippets.read_interleave, "name", "rows", "random", "repeats", followed=_DATASETS,
    ),
    "huggingface-json": FormatSpec(
        "Hugging Face datasets, its arguments", ".json", snippets.write_interleave_json,
        snippets.read_interleave_json, "name", "rows", "random", "repeats", followed=_DATASETS,
    ),
    "litdata": FormatSpec(
        "LitData, CombinedStreamingDataset", ".py", snippets.write_litdata, snippets.read_litdata,
        "name", "rows", "random", "stops", followed="litdata 0.2.76",
    ),
    "olmo-core": FormatSpec(
        "OLMo-core, SourceMixtureList", ".yaml", tables.write_olmo, tables.read_olmo,
        "name", "tokens", "quota", "refused", followed="ai2-olmo-core 3.0.0, data/source_mixture.py",
    ),
    "levanter": FormatSpec(
        "Levanter, train_weights", ".yaml", tables.write_levanter, tables.read_levanter,
        "name", "tokens", "blocks", "repeats", keeps_zeros=True, takes_stages=True,
        followed="Levanter's Training-Data-Guide.md and data/mixture.py",
    ),
    "nanotron": FormatSpec(
        "nanotron, Nanoset", ".yaml", blends.write_nanotron, blends.read_nanotron,
        "path", "tokens", "even", "repeats", takes_stages=True, followed="nanotron's docs/nanoset.md",
    ),
    "torchtitan": FormatSpec(
        "torchtitan, several sources", ".py", snippets.write_torchtitan, snippets.read_torchtitan,
        "name", "tokens", "random", "repeats", followed="torchtitan 0.3.0, hf_datasets",
    ),
    "llamafactory": FormatSpec(
        "LLaMA-Factory, interleave_probs", ".yaml", tables.write_llamafactory, tables.read_llamafactory,
        "path", "rows", "random", "repeats", followed="llamafactory 0.9.5, data/data_utils.py",
    ),
    "regmix": FormatSpec(
        "RegMix, TinyLlama", ".yaml", tables.write_regmix, tables.read_regmix,
        "path", "tokens", "random", "repeats", keeps_zeros=True, followed="RegMix's mixture_config",
        key_of=tables.regmix_key,
    ),
    "doremi": FormatSpec(
        "DoReMi, domain weights", ".json", lists.write_doremi, lists.read_doremi,
        "name", "tokens", "random", "repeats", keeps_zeros=True, has_comments=False, followed="DoReMi's "
        "configs",
    ),
    "doge": FormatSpec(
        "DoGE, train_dw", ".json", lists.write_doge, lists.read_doge,
        "name", "tokens", "random", "repeats", keeps_zeros=True, has_comments=False,
        followed="DoGE's config/gpt_base and src/dataloader.py",
    ),
    "csv": FormatSpec(
        "plain CSV", ".csv", lists.write_csv, lists.read_csv,
        "name", "tokens", "random", "repeats", keeps_zeros=True, has_comments=False,
    ),
}  # fmt: skip


def format_spec(name: str) -> FormatSpec:
    """The row of a name.

    Raises:
        InputError: There is none (lists them).
    """
    if name not in FORMATS:
        raise InputError(f"there is no format {name}; there are {', '.join(FORMATS)}")
    return FORMATS[name]
