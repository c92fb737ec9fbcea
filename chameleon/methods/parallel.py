"""Runs jobs in this process, in processes of this machine, or on a Ray cluster.

`chameleon.embeddings.workers` is not used: its workers load one proxy and take pieces of a corpus, whereas
these jobs share nothing, so that a pool of the standard library and tasks of Ray take less
code.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from chameleon.common.errors import InputError
from chameleon.common.machine import available_cores
from chameleon.methods.options import MethodOptions

Result = dict[str, Any]
Work = Callable[[Any], Result]


def run_jobs(work: Work, jobs: Sequence[Any], options: MethodOptions) -> Generator[tuple[int, Result]]:
    """Yield the number of each job and its result, in the order in which they end.

    Args:
        work: A module-level function of one job.
        jobs: Values that can be pickled.
        options: Which engine runs them, and with which workers.

    Raises:
        InputError: The work raises it, or a worker is lost.
    """
    if not jobs:
        return
    if options.engine == "ray":
        yield from _on_ray(work, jobs, options)
    elif options.engine == "processes":
        yield from _in_processes(work, jobs, options.num_workers)
    else:
        for number, job in enumerate(jobs):
            yield number, work(job)


def _in_processes(work: Work, jobs: Sequence[Any], num_workers: int | None) -> Iterator[tuple[int, Result]]:
    import torch

    cores, gpus = available_cores(), torch.cuda.device_count()
    workers = min(num_workers or gpus or max(2, cores // 4), len(jobs))
    context = get_context("forkserver")
    worker_numbers = context.Queue()
    for worker in range(workers):
        worker_numbers.put(worker)
    settings = worker_numbers, max(1, cores // workers), gpus
    with ProcessPoolExecutor(workers, context, _prepare_process, settings) as pool:
        futures = {pool.submit(work, job): number for number, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise InputError(
                "a process that trained a small model was killed; if memory ran out, lower --num_workers or "
                "--batch_size. Finished runs are kept: repeat the command"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _prepare_process(worker_numbers: Any, threads: int, gpus: int) -> None:  # noqa: ANN401
    """Give a new process its share of the cores and one of the GPUs, and silence its stderr."""
    import torch

    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(worker_numbers.get() % gpus)
    torch.set_num_threads(threads)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 (for as long as the process lives)


def _on_ray(work: Work, jobs: Sequence[Any], options: MethodOptions) -> Iterator[tuple[int, Result]]:
    from chameleon.embeddings.workers.ray import connected

    ray = connected(options.ray_address)
    resources, gpus = ray.cluster_resources(), options.num_gpus_per_worker
    if gpus is None:
        gpus = 1.0 if resources.get("GPU", 0) else 0.0
    remote = ray.remote(num_cpus=1, num_gpus=gpus)(_ray_task)
    most_running = options.num_workers or max(1, int(resources.get("CPU", 1)))
    waiting, running = list(range(len(jobs))), dict[Any, int]()
    try:
        while waiting or running:
            while waiting and len(running) < most_running:
                number = waiting.pop(0)
                running[remote.remote(work, jobs[number])] = number
            ended, _ = ray.wait(list(running))
            for task in ended:
                number = running.pop(task)
                try:
                    result, error_text = ray.get(task)
                except ray.exceptions.RayError as error:
                    raise InputError(
                        f"run {number + 1} was lost ({type(error).__name__}); finished runs are kept: repeat "
                        "the command"
                    ) from None
                if result is None:
                    raise InputError(error_text)
                yield number, result
    finally:
        ray.shutdown()


def _ray_task(work: Work, job: Any) -> tuple[Result | None, str]:  # noqa: ANN401
    """A result, or the text of an InputError: not every exception can be pickled."""
    import torch

    torch.set_num_threads(1)
    try:
        return work(job), ""
    except InputError as error:
        return None, str(error)
