"""Everything that can be asked of embedding: the options, their defaults and their flags."""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chameleon.common.command_line import nonnegative_int
from chameleon.common.errors import InputError
from chameleon.common.flags import flag
from chameleon.proxy.checkpoints import DEFAULT_CHECKPOINT
from chameleon.proxy.options import dtype_flag
from chameleon.text.options import (
    BUILTIN,
    DEFAULT_DATASET,
    DEFAULT_SAMPLE_LENGTH,
    DEFAULT_SEED,
    ReadingOptions,
)

Engine = Literal["serial", "processes", "ray"]
DEFAULT_EMBEDDINGS_DIR = "./embeddings/"

# Flags of workers, for `add_flags`.
WORKER_FLAGS = "engine num_workers ray_address num_gpus_per_worker"


def _gpus(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return number


def engine_flag(work: str, beside: str = "") -> Any:  # noqa: ANN401
    """The field `engine` of an options class.

    Args:
        work: What workers do, as a noun.
        beside: What else to say about it.
    """
    return flag(
        "serial",
        f"where {work} runs: serial (this process), processes (one per GPU of this machine) or ray (a "
        f"cluster){beside} (default: serial)",
    )


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Which workers share the work."""

    engine: Engine = "serial"
    num_workers: int | None = flag(
        None, "workers of processes or ray (default: one per GPU, or per four cores)"
    )
    ray_address: str | None = flag(
        None,
        "running Ray cluster to join (default: start one here that only this machine reaches)",
        metavar="HOST:PORT",
    )
    num_gpus_per_worker: float | None = flag(
        None,
        "GPUs of each Ray worker: 0.5 lets two workers share a GPU, 0 uses CPUs (default: 1 where the "
        "cluster has any)",
        type=_gpus,
        metavar="G",
    )

    def require_used(self) -> None:
        """Raise InputError for options of workers that the engine does not use."""
        for name in ("num_workers", "ray_address", "num_gpus_per_worker"):
            value, is_number = getattr(self, name), name == "num_workers"
            if value is not None and self.engine != "ray" and (not is_number or self.engine == "serial"):
                raise InputError(
                    f"--{name} {value} is for --engine {'processes or ray' if is_number else 'ray'}, and the "
                    f"engine is {self.engine}; name another engine, or leave --{name} out"
                )


@dataclass(frozen=True, kw_only=True)
class EmbeddingOptions(ReadingOptions, WorkerOptions):
    """Which windows are embedded, by which proxy and where, named as the flags; None for the default."""

    dataset: str | None = flag(
        None,
        "corpus: a directory with a file or sub-directory for each domain, a manifest (corpus.json), a hub "
        "id, a URL (s3, gs, http), or builtin, which is text of this Python environment (default: "
        f"{DEFAULT_DATASET}, or builtin without a proxy)",
    )
    checkpoint_path: str | None = flag(
        None,
        f"proxy: directory or hub id of any causal language model (default: {DEFAULT_CHECKPOINT}, or a small "
        "stand-in trained on the spot where that is missing)",
        metavar="PATH",
    )
    embeddings_dir: Path = flag(
        Path(DEFAULT_EMBEDDINGS_DIR),
        f"directory of the embeddings, which later runs reuse (default: {DEFAULT_EMBEDDINGS_DIR})",
        metavar="DIR",
    )
    num_samples: int | None = flag(
        None,
        "windows of each domain (default: as many as --target_se needs, up to 2048). Windows embedded "
        "before are reused",
    )
    sample_length: int | None = flag(
        None,
        f"tokens of a window (default: {DEFAULT_SAMPLE_LENGTH}). Lower it for a proxy with a shorter context",
        metavar="TOKENS",
    )
    seed: int | None = flag(
        None,
        f"seed of window sampling (default: {DEFAULT_SEED}). Vary it to see how much the weights depend on "
        "the sample",
        type=nonnegative_int,
    )
    embedding_batch_size: int | None = flag(
        None,
        "windows in one forward pass (default: chosen for the device, and halved where memory runs out). "
        "The embeddings are the same",
    )
    device: str = flag(
        "auto", "where the proxy runs: auto, cpu, cuda, cuda:1, mps (default: auto, a GPU where there is one)"
    )
    dtype: str = dtype_flag("the proxy")
    block: int | None = flag(
        None,
        "block of the proxy whose output is used, from 1 (default: the middle one). Vary it to see how much "
        "the weights depend on it",
    )
    add_domains: dict[str, str] | None = flag(
        None,
        "domains to add: files, directories, URLs or hub ids (default: none). Only they are embedded",
        metavar="NAME=SOURCE,...",
    )
    remove_domains: tuple[str, ...] = flag(
        (), "domains to remove (default: none). If they were embedded before, the table shows what moves"
    )
    engine: Engine = engine_flag("embedding", "; the results are identical")
    num_shards: int | None = flag(
        None,
        "split embedding into N parts, each by a command of its own with another --shard_index, as in a "
        "Slurm array; the command without both flags joins them (default: no parts)",
    )
    shard_index: int | None = flag(
        None, "the part that this command embeds, from 0 (default: none)", type=nonnegative_int, metavar="I"
    )


def checkpoint_of(options: EmbeddingOptions) -> str | None:
    """The proxy of the options, or the one in the default place; None where neither exists."""
    return options.checkpoint_path or (DEFAULT_CHECKPOINT if Path(DEFAULT_CHECKPOINT).exists() else None)


def dataset_of(options: EmbeddingOptions) -> str:
    """The corpus of the options; the built-in one where neither a corpus nor a proxy is given."""
    if options.dataset is not None:
        return options.dataset
    return BUILTIN if checkpoint_of(options) is None else DEFAULT_DATASET
