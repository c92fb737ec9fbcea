"""Flags that say who embeds."""

import argparse
import math
from collections.abc import Mapping

from chameleon.argument_types import count, named, whole
from chameleon.errors import InputError
from chameleon.options import Options


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
        type=whole,
        metavar="N",
        help="workers of processes or ray (default: as many as there are GPUs, or one for four cores). Lower "
        "it to leave some to others",
    )
    group.add_argument(
        "--ray_address",
        type=named,
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
        type=whole,
        metavar="N",
        help="parts to embed the windows in, each by a command of its own, as of a Slurm array (default: not "
        "in parts). Give it with --shard_index; the command without both puts the parts together",
    )
    group.add_argument(
        "--shard_index",
        type=count,
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


def _gpus(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return number
