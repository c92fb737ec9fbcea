"""Everything that can be asked of a run: the options, their flags, and which do not go together."""

from dataclasses import dataclass
from pathlib import Path

from chameleon.common.command_line import merges, splits
from chameleon.common.errors import InputError
from chameleon.common.flags import flag
from chameleon.embeddings.options import WORKER_FLAGS, EmbeddingOptions
from chameleon.export.options import SOURCE_FLAGS
from chameleon.text.options import READING_FLAGS
from chameleon.weights.options import WEIGHT_FLAGS, FormulaSettings

DEFAULT_TARGET_SE = 0.005

# Groups of flags, for `add_flags`; those of `EXPORT_FLAGS` are of `ExportRequest`.
RESULT_FLAGS = {"result": "mode output report export"}
EXPORT_FLAGS = {"result": f"{SOURCE_FLAGS} budget"}
RUN_FLAGS = {
    "text": "dataset domains num_samples sample_length seed target_se",
    **READING_FLAGS,
    "changing the set of domains": "add_domains remove_domains split_domains merge_domains previous "
    "keep_ratios hierarchy",
    "embedding": "checkpoint_path embeddings_dir embedding_batch_size device block dtype trust_remote_code "
    "skip_embedding_generation sensitivity",
    "machines": f"{WORKER_FLAGS} num_shards shard_index",
    **WEIGHT_FLAGS,
}


@dataclass(frozen=True, kw_only=True)
class Options(EmbeddingOptions, FormulaSettings):
    """All settings of a run, named as its flags; None leaves a setting to the program.

    `compute_chameleon_weights.py --help` describes each.
    """

    target_se: float | None = flag(
        None,
        "largest standard error of a weight: windows are drawn in rounds, more where the error comes from, "
        f"until all weights are within it (default: {DEFAULT_TARGET_SE})",
        metavar="SE",
    )
    split_domains: dict[str, dict[str, str]] | None = flag(
        None,
        "domains to split by the names of their files (default: none). Nothing is embedded again",
        type=splits,
        metavar="OLD=A:PATTERN+B:PATTERN,...",
    )
    merge_domains: dict[str, tuple[str, ...]] | None = flag(
        None,
        "domains to merge, such as near duplicates, by their tokens (default: none). Nothing is embedded "
        "again",
        type=merges,
        metavar="NEW=A+B,...",
    )
    keep_ratios: bool = flag(
        False,
        "keep the relative shares of existing domains; only new domains take from them (default: all "
        "weights may move). For the middle of a training run",
    )
    hierarchy: str = flag(
        "flat",
        "weights of domains named source/topic: flat (all at once) or nested (weights across sources times "
        "those within each; for sources with very unequal numbers of topics) (default: flat)",
        choices=("flat", "nested"),
    )
    previous: Path | None = flag(
        None,
        "earlier weights file to compare with (default: weights before the changes above). Use it when the "
        "corpus itself has changed",
    )
    sensitivity: bool = flag(
        False,
        "also embed with two other proxy blocks and two other seeds, and report how far the weights move "
        "(default: only with lambda, sigma and temperature). Use before an expensive decision",
    )
    output: str | None = flag(
        None,
        "weights file to write; - writes JSON to stdout and the table to stderr (default: "
        "chameleon_weights_<mode>.json)",
        metavar="FILE",
    )
    export: str | None = flag(
        None,
        "also write the weights in a trainer's format, beside the weights file (default: none). python -m "
        "chameleon export --help lists the formats, and has caps on epochs",
        metavar="F",
    )
    report: Path | None = flag(
        None,
        "HTML page to write, such as report.html: pictures of the weights, how sure they are and why "
        "(default: none)",
    )
    skip_embedding_generation: bool = flag(
        False,
        "use the embeddings in --embeddings_dir as they are, without text or proxy (default: embed what is "
        "missing). Other weight settings take a second",
    )

    @property
    def target(self) -> float:
        """Standard error at which a weight is sure enough."""
        return DEFAULT_TARGET_SE if self.target_se is None else self.target_se


def require_consistent(options: Options) -> None:
    """Raise InputError for flags that do not go together."""
    options.require_used()
    _require_whole_shard(options)
    if options.hierarchy == "nested":
        for name in ("keep_ratios", "sensitivity"):
            if getattr(options, name):
                raise InputError(
                    f"--{name} applies to weights over all domains at once, not to --hierarchy nested; leave "
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
    for name, is_given in others.items():
        if is_given:
            raise InputError(
                f"{name} does not go with --num_shards, which only embeds; leave one of them out"
            )
