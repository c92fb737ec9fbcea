"""What a run is asked for."""

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
        help="standard error up to which a weight is sure enough: windows are drawn in rounds, more where "
        f"the error comes from, until all are (default: {DEFAULT_TARGET_SE}). Lower it for surer weights",
    )
    add_reading_flags(parser)
    add_change_flags(parser)
    embedding = add_embedding_flags(parser)
    embedding.add_argument(
        "--skip_embedding_generation",
        action="store_true",
        help="use the embeddings in --embeddings_dir as they are (default: embed what is missing). Give it "
        "to try other weight settings in a second, or where text and proxy are not at hand",
    )
    embedding.add_argument(
        "--sensitivity",
        action="store_true",
        help="embed with two other blocks and seeds too, and say how far weights move (default: only with "
        "lambda, sigma and temperature). Give it before a decision that is dear",
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
        help="what the weights are for (default: pretrain). pretrain raises domains that share most with "
        "the others, finetune those that share least; change it with the training that follows",
    )
    group.add_argument(
        "--output",
        type=nonempty,
        metavar="FILE",
        help="weights file to write (default: chameleon_weights_<mode>.json). Change it to keep several "
        "results; - writes the JSON to stdout and the table to stderr",
    )
    group.add_argument(
        "--report",
        type=nonempty_path,
        metavar="FILE",
        help="page to write, such as report.html: pictures of the weights, how sure they are and why "
        "(default: none). Give it to show them to others",
    )
    group.add_argument(
        "--export",
        type=nonempty,
        metavar="F",
        help="trainer's format to write too, beside the weights file (default: none). Give it to train with "
        "them; python -m chameleon export --help lists the formats and caps epochs",
    )
    add_source_flags(group)
    group.add_argument(
        "--budget",
        type=token_count,
        metavar="TOKENS",
        help="tokens to train on, such as 300B, for --export (default: not known). Give it to see epochs",
    )


def add_change_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of what is added, removed, split, merged or kept, and of names that have levels."""
    group = parser.add_argument_group("domains that come and go")
    group.add_argument(
        "--add_domains",
        type=mapping,
        metavar="NAME=SOURCE,...",
        help="further domains: files, directories, URLs or hub ids (default: none). Give it to see what they "
        "change; only they are embedded",
    )
    group.add_argument(
        "--remove_domains",
        type=name_list,
        default=(),
        metavar="A,B,...",
        help="domains to leave out (default: none). Give it to see what that changes, where they were "
        "embedded before",
    )
    group.add_argument(
        "--split_domains",
        type=splits,
        metavar="OLD=A:PATTERN+B:PATTERN,...",
        help="domains to split by the names of their files (default: none). Give it where one name stands "
        "for different things; nothing is embedded anew",
    )
    group.add_argument(
        "--merge_domains",
        type=merges,
        metavar="NEW=A+B,...",
        help="domains to put together, by their tokens (default: none). Give it where two are near "
        "duplicates; nothing is embedded anew",
    )
    group.add_argument(
        "--previous",
        type=nonempty_path,
        metavar="FILE",
        help="weights file of before, to compare with (default: computed without the changes above). Give it "
        "where the corpus has become another",
    )
    group.add_argument(
        "--keep_ratios",
        action="store_true",
        help="domains of before keep their relative shares, new ones take theirs (default: all weights "
        "move). Give it in the middle of a training run",
    )
    group.add_argument(
        "--hierarchy",
        choices=("flat", "nested"),
        default="flat",
        help="how domains named source/topic are weighed (default: flat, all at once). Change it to nested "
        "where sources have very unequal numbers of topics: weights across sources times those within each",
    )


@dataclass(frozen=True, kw_only=True)
class Options(EmbeddingOptions, FormulaSettings):
    """What a run is asked for, by the names of the flags; None is left to the program.

    `compute_chameleon_weights.py --help` says what each does.
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


def require_consistent(options: Options) -> None:
    """Raise InputError for flags that do not go together."""
    flags = ("num_workers", "ray_address", "num_gpus_per_worker")
    require_workers(options.engine, {name: getattr(options, name) for name in flags})
    if (options.num_shards is None) != (options.shard_index is None):
        raise InputError("--num_shards and --shard_index go together: how many parts, and which this one is")
    if options.num_shards is None or options.shard_index is None:
        return
    if options.shard_index >= options.num_shards:
        raise InputError(
            f"--shard_index {options.shard_index} is out of range: of --num_shards {options.num_shards} it "
            f"is from 0 to {options.num_shards - 1}"
        )
    if options.num_samples is None:
        raise InputError(
            "--num_shards needs --num_samples: how many windows a run draws by itself is known only after a "
            "round of all domains"
        )
    unfit = {
        "--engine": options.engine != "serial",
        "--skip_embedding_generation": options.skip_embedding_generation,
        "--sensitivity": options.sensitivity,
    }
    for flag, is_given in unfit.items():
        if is_given:
            raise InputError(
                f"{flag} does not go with --num_shards, which only embeds; leave one of them out"
            )
