"""Work on several jobs at a time: in this process, in others of this machine, or on a Ray cluster."""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from chameleon.common.errors import InputError
from chameleon.common.machine import available_cores
from chameleon.methods.options import Engine

Result = dict[str, Any]


Work = Callable[[Any], Result]


def run_jobs(work: Work, jobs: Sequence[Any], engine: Engine) -> Generator[tuple[int, Result]]:
    """What work makes of each job, with the job's number, as they end.

    Args:
        work: A function of a module, of one job.
        jobs: What can be sent to another process.
        engine: Who works.

    Raises:
        InputError: By the work, or a worker is lost.
    """
    if not jobs:
        return
    if engine.name == "ray":
        yield from _on_ray(work, jobs, engine)
    elif engine.name == "processes":
        yield from _in_processes(work, jobs, engine)
    else:
        for at, job in enumerate(jobs):
            yield at, work(job)


def _in_processes(work: Work, jobs: Sequence[Any], engine: Engine) -> Iterator[tuple[int, Result]]:
    import torch

    cores, gpus = available_cores(), torch.cuda.device_count()
    workers = min(engine.workers or gpus or max(2, cores // 4), len(jobs))
    context = get_context("forkserver")
    turns = context.Queue()
    for worker in range(workers):
        turns.put(worker)
    start = turns, max(1, cores // workers), gpus
    with ProcessPoolExecutor(workers, context, _settle, start) as pool:
        futures = {pool.submit(work, job): at for at, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise InputError(
                "a process that trained a small model was killed; if memory ran out, lower --num_workers or "
                "--batch_size. Runs that have ended are kept: give the command again"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _settle(turns: Any, threads: int, gpus: int) -> None:  # noqa: ANN401
    """Make a new process ready: its share of the cores, one of the GPUs, and nothing on the terminal."""
    import torch

    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(turns.get() % gpus)
    torch.set_num_threads(threads)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 (for as long as the process lives)


def _on_ray(work: Work, jobs: Sequence[Any], engine: Engine) -> Iterator[tuple[int, Result]]:
    from chameleon.embeddings.workers.ray import connected

    ray = connected(engine.ray_address)
    gpus = engine.gpus
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0
    remote = ray.remote(num_cpus=1, num_gpus=gpus)(_remotely)
    waiting = list(range(len(jobs)))
    running: dict[Any, int] = {}
    at_once = engine.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                at = waiting.pop(0)
                running[remote.remote(work, jobs[at])] = at
            ended, _ = ray.wait(list(running))
            for task in ended:
                at = running.pop(task)
                try:
                    kind, value = ray.get(task)
                except ray.exceptions.RayError as error:
                    raise InputError(
                        f"run {at + 1} was lost ({type(error).__name__}); runs that have ended are kept: "
                        "give the command again"
                    ) from None
                if kind == "failed":
                    raise InputError(str(value))
                yield at, value
    finally:
        ray.shutdown()


def _remotely(work: Work, job: Any) -> tuple[str, Any]:  # noqa: ANN401
    """A run as a task of Ray: errors come back as words, since not all of them can be sent."""
    import torch

    torch.set_num_threads(1)
    try:
        return "done", work(job)
    except InputError as error:
        return "failed", str(error)
