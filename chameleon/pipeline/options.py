"""Settings of a run: the dataclass, its flags, and which do not go together."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from chameleon.common.command_line import (
    mapping,
    merges,
    name_list,
    nonempty,
    nonempty_path,
    positive_number,
    splits,
)
from chameleon.common.errors import InputError
from chameleon.embeddings.options import (
    EmbeddingOptions,
    add_embedding_flags,
    add_engine_flags,
    add_text_flags,
    require_workers,
)
from chameleon.export.options import add_source_flags, token_count
from chameleon.text.options import add_reading_flags
from chameleon.weights.options import FormulaSettings, add_weight_flags

DEFAULT_TARGET_SE = 0.005


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """All flags of the main command, grouped by the stages of the pipeline."""
    add_result_flags(parser)
    text = add_text_flags(parser)
    text.add_argument(
        "--target_se",
        type=positive_number,
        metavar="SE",
        help="largest standard error of a weight: windows are drawn in rounds, more where the error comes "
        f"from, until all weights are within it (default: {DEFAULT_TARGET_SE})",
    )
    add_reading_flags(parser)
    add_change_flags(parser)
    embedding = add_embedding_flags(parser)
    embedding.add_argument(
        "--skip_embedding_generation",
        action="store_true",
        help="use the embeddings in --embeddings_dir as they are, without text or proxy (default: embed what "
        "is missing). Other weight settings take a second",
    )
    embedding.add_argument(
        "--sensitivity",
        action="store_true",
        help="also embed with two other proxy blocks and two other seeds, and report how far the weights "
        "move (default: only with lambda, sigma and temperature). Use before an expensive decision",
    )
    add_engine_flags(parser)
    add_weight_flags(parser)


def add_result_flags(parser: argparse.ArgumentParser) -> None:
    """--mode and what is written: --output, --report, --export and its flags."""
    group = parser.add_argument_group("result")
    group.add_argument(
        "--mode",
        choices=("pretrain", "finetune"),
        default="pretrain",
        help="training that the weights are for: pretrain favours domains that share most with the others, "
        "finetune those that share least (default: pretrain)",
    )
    group.add_argument(
        "--output",
        type=nonempty,
        metavar="FILE",
        help="weights file to write; - writes JSON to stdout and the table to stderr (default: "
        "chameleon_weights_<mode>.json)",
    )
    group.add_argument(
        "--report",
        type=nonempty_path,
        metavar="FILE",
        help="HTML page to write, such as report.html: pictures of the weights, how sure they are and why "
        "(default: none)",
    )
    group.add_argument(
        "--export",
        type=nonempty,
        metavar="F",
        help="also write the weights in a trainer's format, beside the weights file (default: none). "
        "python -m chameleon export --help lists the formats, and has caps on epochs",
    )
    add_source_flags(group)
    group.add_argument(
        "--budget",
        type=token_count,
        metavar="TOKENS",
        help="tokens to train on, such as 300B, to show epochs with --export (default: unknown)",
    )


def add_change_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that add, remove, split, merge or nest domains."""
    group = parser.add_argument_group("changing the set of domains")
    group.add_argument(
        "--add_domains",
        type=mapping,
        metavar="NAME=SOURCE,...",
        help="domains to add: files, directories, URLs or hub ids (default: none). Only they are embedded",
    )
    group.add_argument(
        "--remove_domains",
        type=name_list,
        default=(),
        metavar="A,B,...",
        help="domains to remove (default: none). If they were embedded before, the table shows what moves",
    )
    group.add_argument(
        "--split_domains",
        type=splits,
        metavar="OLD=A:PATTERN+B:PATTERN,...",
        help="domains to split by the names of their files (default: none). Nothing is embedded again",
    )
    group.add_argument(
        "--merge_domains",
        type=merges,
        metavar="NEW=A+B,...",
        help="domains to merge, such as near duplicates, by their tokens (default: none). Nothing is "
        "embedded again",
    )
    group.add_argument(
        "--previous",
        type=nonempty_path,
        metavar="FILE",
        help="earlier weights file to compare with (default: weights before the changes above). Use it when "
        "the corpus itself has changed",
    )
    group.add_argument(
        "--keep_ratios",
        action="store_true",
        help="keep the relative shares of existing domains; only new domains take from them (default: all "
        "weights may move). For the middle of a training run",
    )
    group.add_argument(
        "--hierarchy",
        choices=("flat", "nested"),
        default="flat",
        help="weights of domains named source/topic: flat (all at once) or nested (weights across sources "
        "times those within each; for sources with very unequal numbers of topics) (default: flat)",
    )


@dataclass(frozen=True, kw_only=True)
class Options(EmbeddingOptions, FormulaSettings):
    """All settings of a run, named as its flags; None leaves a setting to the program.

    `compute_chameleon_weights.py --help` describes each.
    """

    target_se: float | None = None
    split_domains: dict[str, dict[str, str]] | None = None
    merge_domains: dict[str, tuple[str, ...]] | None = None
    keep_ratios: bool = False
    hierarchy: str = "flat"
    previous: Path | None = None
    sensitivity: bool = False
    report: Path | None = None
    skip_embedding_generation: bool = False

    @property
    def target(self) -> float:
        """Standard error at which a weight is sure enough."""
        return DEFAULT_TARGET_SE if self.target_se is None else self.target_se


def require_consistent(options: Options) -> None:
    """Raise InputError for flags that do not go together."""
    flags = ("num_workers", "ray_address", "num_gpus_per_worker")
    require_workers(options.engine, {name: getattr(options, name) for name in flags})
    _require_whole_shard(options)
    if options.hierarchy == "nested":
        for flag in ("keep_ratios", "sensitivity"):
            if getattr(options, flag):
                raise InputError(
                    f"--{flag} applies to weights over all domains at once, not to --hierarchy nested; leave "
                    "one out"
                )
    if options.sensitivity and options.skip_embedding_generation:
        raise InputError(
            "--sensitivity embeds with other blocks and seeds, which --skip_embedding_generation does not; "
            "leave one of them out"
        )


def _require_whole_shard(options: Options) -> None:
    """Raise InputError where --num_shards lacks its index or a number of windows, or more is asked of it."""
    if (options.num_shards is None) != (options.shard_index is None):
        raise InputError("--num_shards and --shard_index go together: how many shards, and which this one is")
    if options.num_shards is None or options.shard_index is None:
        return
    if options.shard_index >= options.num_shards:
        raise InputError(
            f"--shard_index {options.shard_index} is out of range: with --num_shards {options.num_shards} it "
            f"is from 0 to {options.num_shards - 1}"
        )
    if options.num_samples is None:
        raise InputError(
            "--num_shards needs --num_samples: a run that chooses the number of windows itself needs a round "
            "over all domains first"
        )
    others = {
        "--engine": options.engine != "serial",
        "--skip_embedding_generation": options.skip_embedding_generation,
        "--sensitivity": options.sensitivity,
    }
    for flag, is_given in others.items():
        if is_given:
            raise InputError(
                f"{flag} does not go with --num_shards, which only embeds; leave one of them out"
            )
