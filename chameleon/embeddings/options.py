"""Everything that can be asked of embedding: the options, their defaults and their flags."""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chameleon.common.command_line import nonempty, nonempty_path, nonnegative_int, positive_int
from chameleon.common.errors import InputError
from chameleon.proxy.checkpoints import DEFAULT_CHECKPOINT
from chameleon.proxy.options import add_dtype_flag, add_trust_flag
from chameleon.text.options import (
    BUILTIN,
    DEFAULT_DATASET,
    DEFAULT_SAMPLE_LENGTH,
    DEFAULT_SEED,
    ReadingOptions,
    add_domains_flag,
)

Engine = Literal["serial", "processes", "ray"]

DEFAULT_EMBEDDINGS_DIR = "./embeddings/"
DEFAULT_ENGINE: Engine = "serial"


@dataclass(frozen=True, kw_only=True)
class EmbeddingOptions(ReadingOptions):
    """Which windows are embedded, by which proxy and where, named as the flags; None for the default.

    Attributes:
        dataset, checkpoint_path: Names of corpus and proxy.
        embeddings_dir: Directory of the embeddings.
        num_samples: Windows of each domain.
        sample_length: Tokens of a window.
        seed: Seed of window sampling.
        embedding_batch_size: Windows in one forward pass.
        device, dtype, block: Where and in which precision the proxy runs, and up to which block.
        add_domains: Sources of further domains, by name.
        remove_domains: Domains to leave out.
        engine, num_workers, ray_address, num_gpus_per_worker: Which workers embed.
        num_shards, shard_index: Number of parts of the work, and which of them this run is.
    """

    dataset: str | None = None
    checkpoint_path: str | None = None
    embeddings_dir: Path = Path(DEFAULT_EMBEDDINGS_DIR)
    num_samples: int | None = None
    sample_length: int | None = None
    seed: int | None = None
    embedding_batch_size: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    block: int | None = None
    add_domains: dict[str, str] | None = None
    remove_domains: tuple[str, ...] = ()
    engine: Engine = DEFAULT_ENGINE
    num_workers: int | None = None
    ray_address: str | None = None
    num_gpus_per_worker: float | None = None
    num_shards: int | None = None
    shard_index: int | None = None


def checkpoint_of(options: EmbeddingOptions) -> str | None:
    """The proxy of the options, or the one in the default place; None where neither exists."""
    return options.checkpoint_path or (DEFAULT_CHECKPOINT if Path(DEFAULT_CHECKPOINT).exists() else None)


def dataset_of(options: EmbeddingOptions) -> str:
    """The corpus of the options; the built-in one where neither a corpus nor a proxy is given."""
    if options.dataset is not None:
        return options.dataset
    return BUILTIN if checkpoint_of(options) is None else DEFAULT_DATASET


def add_text_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add --dataset, --domains, --num_samples, --sample_length and --seed; returns their group."""
    group = parser.add_argument_group("text")
    group.add_argument(
        "--dataset",
        type=nonempty,
        metavar="NAME",
        help="corpus: a directory with a file or sub-directory for each domain, a manifest (corpus.json), a "
        "hub id, a URL (s3, gs, http), or builtin, which is text of this Python environment (default: "
        f"{DEFAULT_DATASET}, or builtin without a proxy)",
    )
    add_domains_flag(group)
    group.add_argument(
        "--num_samples",
        type=positive_int,
        metavar="N",
        help="windows of each domain (default: as many as --target_se needs, up to 2048). Windows embedded "
        "before are reused",
    )
    group.add_argument(
        "--sample_length",
        type=positive_int,
        metavar="TOKENS",
        help=f"tokens of a window (default: {DEFAULT_SAMPLE_LENGTH}). Lower it for a proxy with a shorter "
        "context",
    )
    group.add_argument(
        "--seed",
        type=nonnegative_int,
        metavar="N",
        help=f"seed of window sampling (default: {DEFAULT_SEED}). Vary it to see how much the weights depend "
        "on the sample",
    )
    return group


def add_embedding_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add --checkpoint_path, --embeddings_dir and how the proxy runs; returns their group."""
    group = parser.add_argument_group("embedding")
    group.add_argument(
        "--checkpoint_path",
        type=nonempty,
        metavar="PATH",
        help=f"proxy: directory or hub id of any causal language model (default: {DEFAULT_CHECKPOINT}, or a "
        "small stand-in trained on the spot where that is missing)",
    )
    group.add_argument(
        "--embeddings_dir",
        type=nonempty_path,
        default=Path(DEFAULT_EMBEDDINGS_DIR),
        metavar="DIR",
        help=f"directory of the embeddings, which later runs reuse (default: {DEFAULT_EMBEDDINGS_DIR})",
    )
    group.add_argument(
        "--embedding_batch_size",
        type=positive_int,
        metavar="N",
        help="windows in one forward pass (default: chosen for the device, and halved where memory runs "
        "out). The embeddings are the same",
    )
    group.add_argument(
        "--device",
        default="auto",
        help="where the proxy runs: auto, cpu, cuda, cuda:1, mps (default: auto, a GPU where there is one)",
    )
    group.add_argument(
        "--block",
        type=positive_int,
        metavar="N",
        help="block of the proxy whose output is used, from 1 (default: the middle one). Vary it to see how "
        "much the weights depend on it",
    )
    add_dtype_flag(group, "the proxy")
    add_trust_flag(group)
    return group


def add_worker_flags(parser: argparse.ArgumentParser, work: str, beside: str = "") -> argparse._ArgumentGroup:
    """Add --engine, --num_workers, --ray_address and --num_gpus_per_worker, in a group of their own.

    Args:
        parser: The parser.
        work: What workers do, as a noun.
        beside: What else to say about --engine.
    """
    group = parser.add_argument_group("machines")
    group.add_argument(
        "--engine",
        choices=("serial", "processes", "ray"),
        default=DEFAULT_ENGINE,
        help=f"where {work} runs: serial (this process), processes (one per GPU of this machine) or ray (a "
        f"cluster){beside} (default: {DEFAULT_ENGINE})",
    )
    group.add_argument(
        "--num_workers",
        type=positive_int,
        metavar="N",
        help="workers of processes or ray (default: one per GPU, or per four cores)",
    )
    group.add_argument(
        "--ray_address",
        type=nonempty,
        metavar="HOST:PORT",
        help="running Ray cluster to join (default: start one here that only this machine reaches)",
    )
    group.add_argument(
        "--num_gpus_per_worker",
        type=_gpus,
        metavar="G",
        help="GPUs of each Ray worker: 0.5 lets two workers share a GPU, 0 uses CPUs (default: 1 where the "
        "cluster has any)",
    )
    return group


def add_engine_flags(parser: argparse.ArgumentParser) -> None:
    """Add --engine, --num_workers, --ray_address, --num_gpus_per_worker, --num_shards and --shard_index."""
    group = add_worker_flags(parser, "embedding", "; the results are identical")
    group.add_argument(
        "--num_shards",
        type=positive_int,
        metavar="N",
        help="split embedding into N parts, each by a command of its own with another --shard_index, as in a "
        "Slurm array; the command without both flags joins them (default: no parts)",
    )
    group.add_argument(
        "--shard_index",
        type=nonnegative_int,
        metavar="I",
        help="the part that this command embeds, from 0 (default: none)",
    )


def require_workers(engine: str, given: Mapping[str, object]) -> None:
    """Raise InputError for flags of workers (None where not given) that the engine does not use."""
    for name, value in given.items():
        if value is not None and engine != "ray" and (name != "num_workers" or engine == "serial"):
            engines = "processes or ray" if name == "num_workers" else "ray"
            raise InputError(
                f"--{name} {value} is for --engine {engines}, and the engine is {engine}; name another "
                f"engine, or leave --{name} out"
            )


def _gpus(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return number
