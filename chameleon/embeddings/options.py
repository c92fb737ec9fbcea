"""Domains that are left out or put together."""

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

DEFAULT_EMBEDDINGS_DIR = "./embeddings/"


Engine = Literal["serial", "processes", "ray"]


@dataclass(frozen=True, kw_only=True)
class EmbeddingOptions(ReadingOptions):
    """What embedding is asked for, by the names of the flags; None is left to the program."""

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
    engine: Engine = "serial"
    num_workers: int | None = None
    ray_address: str | None = None
    num_gpus_per_worker: float | None = None
    num_shards: int | None = None
    shard_index: int | None = None


def checkpoint_of(options: EmbeddingOptions) -> str | None:
    """The proxy asked for, or the one in the default place; None where there is neither."""
    return options.checkpoint_path or (DEFAULT_CHECKPOINT if Path(DEFAULT_CHECKPOINT).exists() else None)


def dataset_of(options: EmbeddingOptions) -> str:
    """The corpus asked for; the built-in one where nothing was named and no proxy is there."""
    if options.dataset is not None:
        return options.dataset
    return BUILTIN if checkpoint_of(options) is None else DEFAULT_DATASET


def add_text_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """--dataset, --domains, --num_samples, --sample_length and --seed; returns their group."""
    group = parser.add_argument_group("text")
    group.add_argument(
        "--dataset",
        type=nonempty,
        metavar="NAME",
        help=f"corpus (default: {DEFAULT_DATASET}, or builtin where there is no proxy in the default place "
        "and none is named). Change it for your own text: a directory with a file or sub-directory for each "
        "domain, a manifest (corpus.json), a hub id, or a URL of s3, gs or http; builtin is text of this "
        "Python environment",
    )
    add_domains_flag(group)
    group.add_argument(
        "--num_samples",
        type=positive_int,
        metavar="N",
        help="windows of each domain (default: as many as --target_se needs, up to 2048). Give it for "
        "exactly so many; windows embedded before are kept",
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
        help=f"which windows are drawn (default: {DEFAULT_SEED}). Change it to see how far the weights hang "
        "on that",
    )
    return group


def add_embedding_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """--checkpoint_path, --embeddings_dir and how the proxy runs; returns their group."""
    group = parser.add_argument_group("embedding")
    group.add_argument(
        "--checkpoint_path",
        type=nonempty,
        metavar="PATH",
        help=f"proxy: directory or hub id of any causal language model (default: {DEFAULT_CHECKPOINT}, or a "
        "small stand-in trained on the spot where that is missing). Change it to look with another model",
    )
    group.add_argument(
        "--embeddings_dir",
        type=nonempty_path,
        default=Path(DEFAULT_EMBEDDINGS_DIR),
        metavar="DIR",
        help=f"where embeddings are kept (default: {DEFAULT_EMBEDDINGS_DIR}). Change it for a larger disk",
    )
    group.add_argument(
        "--embedding_batch_size",
        type=positive_int,
        metavar="N",
        help="windows in one forward pass (default: found for the device, and halved where memory runs out). "
        "Lower it to leave memory to others; the windows stay the same",
    )
    group.add_argument(
        "--device",
        default="auto",
        help="where the proxy runs: auto, cpu, cuda, cuda:1, mps (default: auto, a GPU where there is one). "
        "Change it to pick one of several",
    )
    group.add_argument(
        "--block",
        type=positive_int,
        metavar="N",
        help="block of the proxy whose output is taken (default: the middle one). Change it to see how far "
        "the weights hang on that",
    )
    add_dtype_flag(group, "the proxy computes")
    add_trust_flag(group)
    return group


def add_worker_flags(parser: argparse.ArgumentParser, does: str, beside: str = "") -> argparse._ArgumentGroup:
    """--engine, --num_workers, --ray_address and --num_gpus_per_worker, in a group of their own.

    Args:
        parser: Where to.
        does: What workers do.
        beside: What else to know of them.
    """
    group = parser.add_argument_group("machines")
    group.add_argument(
        "--engine",
        choices=("serial", "processes", "ray"),
        default="serial",
        help=f"who {does}: this process, several on this machine (one for each GPU), or a Ray cluster "
        f"(default: serial). Change it for several GPUs or machines{beside}",
    )
    group.add_argument(
        "--num_workers",
        type=positive_int,
        metavar="N",
        help="workers of processes or ray (default: as many as there are GPUs, or one for four cores). Lower "
        "it to leave some to others",
    )
    group.add_argument(
        "--ray_address",
        type=nonempty,
        metavar="HOST:PORT",
        help="running Ray cluster to join (default: one is started here that only this machine reaches). "
        "Give it for several machines",
    )
    group.add_argument(
        "--num_gpus_per_worker",
        type=_gpus,
        metavar="G",
        help="GPUs of each Ray worker (default: 1 where there are any). Lower it to 0.5 to have two workers "
        "on a GPU, to 0 for CPUs",
    )
    return group


def add_engine_flags(parser: argparse.ArgumentParser) -> None:
    """--engine, --num_workers, --ray_address, --num_gpus_per_worker, --num_shards and --shard_index."""
    group = add_worker_flags(parser, "embeds", "; the embeddings are the same")
    group.add_argument(
        "--num_shards",
        type=positive_int,
        metavar="N",
        help="parts to embed the windows in, each by a command of its own, as of a Slurm array (default: not "
        "in parts). Give it with --shard_index; the command without both puts the parts together",
    )
    group.add_argument(
        "--shard_index",
        type=nonnegative_int,
        metavar="I",
        help="which of the parts this command embeds, from 0 on (default: none). Give it with --num_shards, "
        "another to each command",
    )


def require_workers(engine: str, given: Mapping[str, object]) -> None:
    """Raise InputError for flags of workers (None where not given) that the engine has no use for."""
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
