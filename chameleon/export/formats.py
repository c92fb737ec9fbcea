"""The table of formats: for each its writer, its reader and how its trainer draws.

To add a format:
1. In `trainers/`, write `write_x(mixture)`, which returns the file's text, and `read_x(text)`, its inverse.
2. Give it a row in `FORMATS`; `export`, `check` and the tests of all formats then include it.
3. In `tests/export/test_trainers_*.py`, add a file written by hand and what the trainer refuses.
4. In `docs/guide/export.md`, add it to the table of formats.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from chameleon.common.errors import InputError
from chameleon.export.parse import ParsedFile
from chameleon.export.trainers import json_csv, megatron, python_code, yaml_configs

if TYPE_CHECKING:
    from chameleon.export.mixture import TrainerMixture

# "quota": each domain's part of all rows, rounded down; the rest goes to the largest remainders.
# "even": always the domain that is furthest behind, as Megatron-LM blends.
# "random": each row by itself.
# "blocks": of every 2048 rows each domain's part, rounded down; the rest goes to the largest, as in Levanter.
Draws = Literal["quota", "even", "random", "blocks"]


class FormatSpec(NamedTuple):
    """A row of the table.

    Attributes:
        trainer: The trainer and the setting that takes the file, for people.
        suffix: File name suffix.
        write: Turns a mixture into the file's text.
        read: Parses the text; raises InputError for what the trainer would not take.
        key: What a number belongs to: a path of the domain's source, or the domain's name.
        counts: What a number is a share of: tokens (or sequences of one length), or rows of any length.
        draws: How the trainer draws rows.
        stops_at_end: Whether the run stops when a domain runs out; if not, the domain is repeated.
        keeps_zeros: Whether the file may hold domains of no weight.
        takes_stages: Whether weights may change over the run.
        has_comments: Whether the file can say where it is from.
        needs_budget: Whether it cannot be written without the tokens to train on.
        key_of: How `read` names a path, where that differs from the path.
    """

    trainer: str
    suffix: str
    write: Callable[["TrainerMixture"], str]
    read: Callable[[str], ParsedFile]
    key: Literal["path", "name"]
    counts: Literal["tokens", "rows"]
    draws: Draws
    stops_at_end: bool = False
    keeps_zeros: bool = False
    takes_stages: bool = False
    has_comments: bool = True
    needs_budget: bool = False
    key_of: Callable[[str], str] = str


FORMATS: dict[str, FormatSpec] = {
    "chameleon": FormatSpec(
        "python -m chameleon train, --weights", ".json", json_csv.write_schedule, json_csv.read_schedule,
        "name", "tokens", "quota", keeps_zeros=True, takes_stages=True, has_comments=False,
    ),
    "megatron": FormatSpec(
        "Megatron-LM, --data-path", ".args", megatron.write_arguments, megatron.read_arguments,
        "path", "tokens", "even",
    ),
    "megatron-file": FormatSpec(
        "Megatron-LM, --data-args-path", ".txt", megatron.write_arguments_file, megatron.read_arguments_file,
        "path", "tokens", "even", has_comments=False,
    ),
    "megatron-splits": FormatSpec(
        "Megatron-LM, --per-split-data-args-path", ".json", megatron.write_splits, megatron.read_splits,
        "path", "tokens", "even", has_comments=False,
    ),
    "nemo": FormatSpec(
        "NeMo 2 and NeMo Automodel, paths", ".json", megatron.write_nemo, megatron.read_nemo,
        "path", "tokens", "even", has_comments=False,
    ),
    "mosaicml": FormatSpec(
        "MosaicML Streaming, LLM Foundry, streams", ".yaml",
        yaml_configs.write_streams, yaml_configs.read_streams,
        "name", "rows", "quota", needs_budget=True,
    ),
    "huggingface": FormatSpec(
        "Hugging Face datasets, interleave_datasets", ".py",
        python_code.write_interleave, python_code.read_interleave,
        "name", "rows", "random",
    ),
    "huggingface-json": FormatSpec(
        "Hugging Face datasets, its arguments", ".json",
        python_code.write_interleave_json, python_code.read_interleave_json,
        "name", "rows", "random",
    ),
    "litdata": FormatSpec(
        "LitData, CombinedStreamingDataset", ".py", python_code.write_litdata, python_code.read_litdata,
        "name", "rows", "random", stops_at_end=True,
    ),
    "olmo-core": FormatSpec(
        "OLMo-core, SourceMixtureList", ".yaml", yaml_configs.write_olmo, yaml_configs.read_olmo,
        "name", "tokens", "quota",
    ),
    "levanter": FormatSpec(
        "Levanter, train_weights", ".yaml", yaml_configs.write_levanter, yaml_configs.read_levanter,
        "name", "tokens", "blocks", keeps_zeros=True, takes_stages=True,
    ),
    "nanotron": FormatSpec(
        "nanotron, Nanoset", ".yaml", megatron.write_nanotron, megatron.read_nanotron,
        "path", "tokens", "even", takes_stages=True,
    ),
    "torchtitan": FormatSpec(
        "torchtitan, several sources", ".py", python_code.write_torchtitan, python_code.read_torchtitan,
        "name", "tokens", "random",
    ),
    "llamafactory": FormatSpec(
        "LLaMA-Factory, interleave_probs", ".yaml",
        yaml_configs.write_llamafactory, yaml_configs.read_llamafactory,
        "path", "rows", "random",
    ),
    "regmix": FormatSpec(
        "RegMix, TinyLlama", ".yaml", yaml_configs.write_regmix, yaml_configs.read_regmix,
        "path", "tokens", "random", keeps_zeros=True, key_of=yaml_configs.regmix_key,
    ),
    "doremi": FormatSpec(
        "DoReMi, domain weights", ".json", json_csv.write_doremi, json_csv.read_doremi,
        "name", "tokens", "random", keeps_zeros=True, has_comments=False,
    ),
    "doge": FormatSpec(
        "DoGE, train_dw", ".json", json_csv.write_doge, json_csv.read_doge,
        "name", "tokens", "random", keeps_zeros=True, has_comments=False,
    ),
    "csv": FormatSpec(
        "plain CSV", ".csv", json_csv.write_csv, json_csv.read_csv,
        "name", "tokens", "random", keeps_zeros=True, has_comments=False,
    ),
}  # fmt: skip


def format_spec(name: str) -> FormatSpec:
    """The row of a format.

    Raises:
        InputError: There is no such format; the message lists them.
    """
    if name not in FORMATS:
        raise InputError(f"there is no format {name}; there are {', '.join(FORMATS)}")
    return FORMATS[name]
