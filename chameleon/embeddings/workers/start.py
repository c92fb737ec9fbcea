"""Starts the workers of an engine, before this process opens the corpus."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import time

from chameleon.common.files import absolute_without_links, check_writable
from chameleon.common.libraries import loading_libraries
from chameleon.common.machine import available_cores
from chameleon.embeddings.options import EmbeddingOptions, checkpoint_of, dataset_of
from chameleon.embeddings.workers.driver import Driver
from chameleon.embeddings.workers.messages import WorkerPool, WorkerSetup, program_digest
from chameleon.embeddings.workers.processes import Processes, prepare
from chameleon.embeddings.workers.ray import RayPool

# Files by which workers show that they share a directory; those of killed runs are removed after a week.
_SIGN, _SECONDS_OF_SIGNS = ".shared-", 7 * 86400.0

# Threads of a worker on CPUs.
_THREADS = 4


@contextmanager
def workers_for(options: EmbeddingOptions) -> Iterator[Driver | None]:
    """Start the workers of a run, which load while this process opens the corpus.

    Yields:
        Their driver; None for the serial engine, and where the proxy is yet to be trained.

    Raises:
        InputError: They cannot be started.
    """
    checkpoint = checkpoint_of(options)
    if options.engine == "serial" or checkpoint is None:
        yield None
        return
    with start_workers(options, dataset_of(options), checkpoint) as driver:
        yield driver


@contextmanager
def start_workers(options: EmbeddingOptions, dataset: str, checkpoint: str) -> Iterator[Driver]:
    """Start workers on a corpus and a proxy of these names, and end them at exit.

    Raises:
        InputError: They cannot be started.
    """
    check_writable(options.embeddings_dir / "domain.safetensors")
    with _sign(options.embeddings_dir) as sign:
        driver = Driver(_pool(options, _setup(options, dataset, checkpoint, sign)))
        try:
            yield driver
        finally:
            driver.close()


def _setup(options: EmbeddingOptions, dataset: str, checkpoint: str, sign: str) -> WorkerSetup:
    """The setup with absolute paths, as workers may have another working directory; links stay links."""
    added = {name: absolute_without_links(place) for name, place in (options.add_domains or {}).items()}
    placed = replace(
        options,
        embeddings_dir=Path(os.path.abspath(options.embeddings_dir)),  # noqa: PTH100
        add_domains=added or None,
        tokenizer=None if options.tokenizer is None else absolute_without_links(options.tokenizer),
    )
    places = absolute_without_links(dataset), absolute_without_links(checkpoint)
    return WorkerSetup(placed, *places, options.device, None, program_digest(), sign)


def _pool(options: EmbeddingOptions, setup: WorkerSetup) -> WorkerPool:
    if options.engine == "ray":
        return RayPool(setup, options.num_workers, options.num_gpus_per_worker, options.ray_address)
    prepare()
    devices = _devices(options.device)
    if devices[0].startswith("cuda"):
        return Processes(setup, options.num_workers or len(devices), devices)
    cores = available_cores()
    size = options.num_workers or max(2, cores // _THREADS)
    return Processes(replace(setup, threads=max(1, cores // size)), size, devices)


def _devices(name: str) -> list[str]:
    """The devices of this machine that a --device stands for.

    Raises:
        InputError: See `choose_device`.
    """
    if name == "cpu":
        return [name]
    with loading_libraries():
        import torch

        from chameleon.proxy.devices import choose_device

    device = choose_device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if device.index is None else 1
        return [f"cuda:{i}" for i in range(count)] if device.index is None else [str(device)]
    return [device.type]


@contextmanager
def _sign(directory: Path) -> Iterator[str]:
    """Create a file by which workers show that they share the directory, and remove it at exit."""
    sign = f"{_SIGN}{uuid.uuid4().hex}"
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob(f"{_SIGN}*"):  # of a run that was killed
        if time() - old.stat().st_mtime > _SECONDS_OF_SIGNS:
            old.unlink(missing_ok=True)
    try:
        (directory / sign).touch()
        yield sign
    finally:
        for path in directory.glob(f"{sign}*"):
            path.unlink(missing_ok=True)
