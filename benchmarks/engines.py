"""Engines compared with one process: what distributing the work costs, and whether faults change a bit.

The real command embeds the corpus with an 82M GPT-2 of random weights. The baseline is a worker's share of
the windows by the serial engine with one thread, before and after the others in each repeat; each engine has
two workers of one thread for two such shares, Ray's on two nodes of a cluster of three on this machine. All
that an engine takes beyond the share, the start of its workers included, is its overhead; beside it what two
serial commands take that run at once. Then a few windows are embedded while workers are killed at random, a
node is taken away, or the driver is killed and started again, and the files are compared.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.embedding import random_checkpoint
from benchmarks.faults import kill_a_child, kill_one, ray_actors, until, while_running
from benchmarks.machine import SCRIPT, Figure, Report, command_line, medians, positive_int, publish, texts_of
from chameleon.embeddings.store import ARRAYS, read_embeddings

WORKERS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--windows", type=positive_int, default=64, help="of each domain, for time (default: 64)"
    )
    parser.add_argument("--repeats", type=positive_int, default=3, help="of what is timed (default: 3)")
    parser.add_argument(
        "--few", type=positive_int, default=12, help="of each domain, for faults (default: 12)"
    )
    parser.add_argument("--seeds", type=positive_int, default=10, help="of random faults (default: 10)")
    parser.add_argument("--gpu", action="store_true", help="workers that share a GPU instead, without Ray")
    parser.add_argument("--domains", type=positive_int, default=96, help="made for the GPU (default: 96)")
    arguments = parser.parse_args(argv)
    if arguments.gpu:
        return _on_gpu(arguments)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        work = _Work(root, arguments.dataset, random_checkpoint(arguments.dataset, root / "checkpoint"))
        figures = [
            *_costs(work, arguments.windows, arguments.repeats),
            *_faults(work, arguments.few, arguments.seeds),
        ]
    conditions = {
        "dataset": arguments.dataset,
        "windows a domain": arguments.windows,
        "tokens a window": 512,
        "workers": WORKERS,
        "repeats": arguments.repeats,
        "windows a domain with faults": arguments.few,
    }
    return publish(
        Report("engines", "serial engine, one thread", conditions, tuple(figures)), arguments.output
    )


def _on_gpu(arguments: argparse.Namespace) -> int:
    """One GPU for one process and for several, which then read and encode text side by side."""
    windows, domains = 2048, arguments.domains
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _make_corpus(arguments.dataset, root / "corpus", domains, windows)
        checkpoint = random_checkpoint(arguments.dataset, root / "checkpoint")
        work = _Work(root, str(root / "corpus"), checkpoint, threads=None)
        serial = work.seconds("serial", windows)
        start = work.seconds("serial", windows)
        tokens = domains * windows * 512
        figures = [
            Figure("serial: text to file, baseline", tokens / (serial - start) / 1e6, "M tokens/s"),
            Figure("start, and all that is not embedding", start, "s"),
        ]
        for workers in (4, 8):
            place = f"processes-{workers}"
            taken = work.seconds(place, windows, "--engine", "processes", "--num_workers", str(workers))
            rate = tokens / (taken - start) / 1e6
            figures += [
                Figure(f"{workers} processes: text to file, with their start", rate, "M tokens/s"),
                Figure(f"{workers} processes / serial", (serial - start) / (taken - start), "times"),
                Figure(f"{workers} processes: same bits", work.is_same(place, "serial"), at_least=1),
            ]
    conditions = {"domains": domains, "windows a domain": windows, "tokens a window": 512}
    return publish(Report("engines_gpu", "serial engine", conditions, tuple(figures)), arguments.output)


def _make_corpus(dataset: str, directory: Path, domains: int, windows: int) -> None:
    """Domains of as much text as so many windows need, of a corpus's own lines put together at random."""
    lines = [line for texts in texts_of(dataset).values() for text in texts for line in text.splitlines()]
    chance = random.Random(0)
    directory.mkdir()
    for number in range(domains):
        length = 0
        with (directory / f"d{number:04}.jsonl").open("w") as file:
            while length < 5 * windows * 512:
                document = "\n".join(chance.choices(lines, k=100))
                length += len(document)
                file.write(json.dumps({"text": document}) + "\n")


class _Work:
    """The command, run in directories below one."""

    def __init__(self, root: Path, dataset: str, checkpoint: Path, threads: int | None = 1) -> None:
        self.root = root
        self._environment = {**os.environ, **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})}
        corpus = Path(dataset).resolve() if Path(dataset).exists() else dataset
        self._flags = ["--dataset", str(corpus), "--checkpoint_path", str(checkpoint), "--target_se", "9"]

    def start(self, place: str, windows: int, *engine: str) -> subprocess.Popen[bytes]:
        """Start the command in the directory `place`."""
        directory = self.root / place
        directory.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *self._flags, "--num_samples", str(windows), *engine],
            cwd=directory,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def seconds(self, place: str, windows: int, *engine: str) -> float:
        """Seconds that the command takes."""
        begin = perf_counter()
        if self.start(place, windows, *engine).wait():
            raise SystemExit(f"the command failed with {' '.join(engine)}")
        return perf_counter() - begin

    def is_same(self, place: str, other: str) -> bool:
        """Whether two directories hold the same embeddings, bit by bit."""
        files = sorted((self.root / other / "embeddings").glob("*.safetensors"))
        mine = self.root / place / "embeddings"
        return bool(files) and all(_is_same(mine / path.name, path) for path in files)


def _is_same(one: Path, other: Path) -> bool:
    if not one.exists():
        return False
    mine, expected = read_embeddings(one), read_embeddings(other)
    return all(np.array_equal(getattr(mine, name), getattr(expected, name)) for name in ARRAYS)


def _costs(work: _Work, windows: int, repeats: int) -> Iterator[Figure]:
    """Medians of ratios within a repeat, since the speed of a machine varies."""
    work.seconds("serial", windows)  # for its bits
    share = windows // WORKERS
    processes = ("--engine", "processes", "--num_workers", str(WORKERS))
    rows = []
    same = [1, 1]
    for repeat in range(repeats):
        of_one = work.seconds(f"share-{repeat}", share)
        start = work.seconds(f"share-{repeat}", share)  # all is stored: what the command takes besides
        by_processes = work.seconds(f"processes-{repeat}", windows, *processes)
        with _cluster() as cluster:
            by_ray = work.seconds(f"ray-{repeat}", windows, *_ray(cluster))
            # Two workers leave no core of two for the driver and Ray's own processes; one worker does.
            alone = work.seconds(f"ray-one-{repeat}", share, *_ray(cluster, 1))
        at_once = _at_once(work, [f"serial-{repeat}-{number}" for number in range(WORKERS)], share)
        # Again, since the machine may be slower by now.
        of_one = (of_one + work.seconds(f"share-again-{repeat}", share)) / 2 - start
        rows.append(
            [of_one, *((each - start) / of_one - 1 for each in (by_processes, by_ray, alone, at_once))]
        )
        same[0] &= work.is_same(f"processes-{repeat}", "serial")
        same[1] &= work.is_same(f"ray-{repeat}", "serial")
    of_one, of_processes, of_ray, of_ray_alone, of_serial = medians(rows)
    part = "of the work"
    yield Figure("work of a worker, baseline", of_one, "s")
    yield Figure("processes: overhead", of_processes, part, at_most=0.1)
    yield Figure("processes: same bits", same[0], at_least=1)
    yield Figure("ray: overhead", of_ray, part, at_most=0.1)
    yield Figure("ray: same bits", same[1], at_least=1)
    yield Figure("ray: overhead, one worker", of_ray_alone, part, at_most=0.1)
    # What the machine itself loses with both cores busy, which no engine can avoid.
    yield Figure("serial commands at once, one a worker: overhead", of_serial, part)
    for name, column in (("processes", 1), ("ray", 2)):
        overheads = [row[column] for row in rows]
        yield Figure(f"{name}: overhead, from", min(overheads), part)
        yield Figure(f"{name}: overhead, to", max(overheads), part)


def _at_once(work: _Work, places: Sequence[str], windows: int) -> float:
    """Seconds until all of some serial commands have ended."""
    begin = perf_counter()
    runs = [work.start(place, windows) for place in places]
    if {run.wait() for run in runs} != {0}:
        raise SystemExit("the command failed beside another")
    return perf_counter() - begin


def _faults(work: _Work, windows: int, seeds: int) -> Iterator[Figure]:
    work.seconds("few", windows)
    processes = ("--engine", "processes", "--num_workers", str(WORKERS))
    same = kills = 0
    for seed in range(seeds):
        place, chance = f"seed-{seed}", random.Random(seed)
        run = work.start(place, windows, *processes)
        kills += while_running(run, partial(kill_a_child, run.pid, chance))
        same += work.is_same(place, "few")
    yield Figure("processes: workers killed in all", kills, at_least=1)
    yield Figure("processes: seeds of random faults with the same bits", same, f"of {seeds}", at_least=seeds)
    with _cluster() as cluster:
        same = kills = 0
        for seed in range(seeds):
            place, chance = f"ray-seed-{seed}", random.Random(seed)
            run = work.start(place, windows, *_ray(cluster))
            kills += while_running(run, partial(_kill_an_actor, chance))
            same += work.is_same(place, "few")
        yield Figure("ray: workers killed in all", kills, at_least=1)
        yield Figure("ray: seeds of workers killed with the same bits", same, f"of {seeds}", at_least=seeds)
        run = work.start("ray-node", windows, *_ray(cluster))
        until(run, lambda: _has_pieces(work.root / "ray-node"))
        cluster.remove_node(cluster.others[1], allow_graceful=False)
        run.wait()
        yield Figure("ray: same bits, a node removed", work.is_same("ray-node", "few"), at_least=1)
        run = work.start("ray-driver", windows, *_ray(cluster))
        until(run, lambda: _has_pieces(work.root / "ray-driver"))
        run.kill()
        run.wait()
        work.seconds("ray-driver", windows, *_ray(cluster))
        yield Figure("ray: same bits, the driver killed", work.is_same("ray-driver", "few"), at_least=1)


def _has_pieces(directory: Path) -> bool:
    return any((directory / "embeddings").glob("*.pieces.safetensors"))


def _kill_an_actor(chance: random.Random) -> bool:
    return kill_one(ray_actors(), chance)


@contextmanager
def _cluster() -> Iterator[Any]:
    """A head without room for workers, and a node for each."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=False)
    try:
        cluster.others = [cluster.add_node(num_cpus=1) for _ in range(WORKERS)]
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def _ray(cluster: Any, workers: int = WORKERS) -> tuple[str, ...]:  # noqa: ANN401
    return ("--engine", "ray", "--ray_address", cluster.address, "--num_workers", str(workers))


if __name__ == "__main__":
    sys.exit(main())
