"""What tests of engines share: options of a run, its embeddings by one process, and pools with faults."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from conftest import run_command

from chameleon.embeddings.keys import recipes_by_key
from chameleon.embeddings.load_proxy import LoadedProxy, load_run_proxy
from chameleon.embeddings.pieces import Piece, Pieces
from chameleon.embeddings.store import ARRAYS, DomainEmbeddings, read_embeddings
from chameleon.embeddings.workers.connect import worker_scheduler
from chameleon.embeddings.workers.driver import Driver
from chameleon.embeddings.workers.messages import Shard, WorkerEvent, WorkerInfo
from chameleon.embeddings.workers.scheduler import PieceScheduler
from chameleon.embeddings.workers.worker import Worker, worker_info
from chameleon.pipeline.options import Options

N = 150
FLAGS = ("--sample_length", "32", "--embedding_batch_size", "1", "--dtype", "float32", "--target_se", "9")


def flags(corpus: Path, checkpoint: Path, *more: str) -> list[str]:
    return ["--dataset", str(corpus), "--checkpoint_path", str(checkpoint), *FLAGS, *more]


def options_for(corpus: Path, checkpoint: Path, directory: Path, **more: Any) -> Options:  # noqa: ANN401
    settings = {"sample_length": 32, "embedding_batch_size": 1, "dtype": "float32", **more}
    return Options(dataset=str(corpus), checkpoint_path=str(checkpoint), embeddings_dir=directory, **settings)


@cache
def embed_serially(corpus: Path, checkpoint: Path) -> Path:
    """A directory of N windows of each domain, embedded by one process."""
    directory = Path(mkdtemp(dir=corpus.parent))
    run = run_command(directory, *flags(corpus, checkpoint, "--num_samples", str(N)))
    assert run.returncode == 0, run.stderr
    return directory / "embeddings"


def require_same_files(actual: Path, expected: Path) -> None:
    """Assert that two directories have the same domains with the same bits, and no pieces."""
    names = sorted(path.name for path in expected.glob("*.safetensors"))
    assert len(names) > 1
    assert sorted(path.name for path in actual.glob("*.safetensors")) == names
    assert not list(actual.glob(".shared*"))
    for name in names:
        require_same(read_embeddings(actual / name), read_embeddings(expected / name))


def require_same(actual: DomainEmbeddings, expected: DomainEmbeddings) -> None:
    for array in ARRAYS:
        np.testing.assert_array_equal(getattr(actual, array), getattr(expected, array))
    for fact in ("available", "next_visit", "corpus_tokens", "examples"):
        assert getattr(actual, fact) == getattr(expected, fact), fact


def require_same_rows(actual: Path, expected: Path) -> None:
    """As `require_same_files`, of the windows that both have: rounds may end a window or two further."""
    for path in expected.glob("*.safetensors"):
        mine, other = read_embeddings(actual / path.name), read_embeddings(path)
        assert min(len(mine), len(other)) >= min(N, other.available)
        for name in ARRAYS:
            some = slice(min(len(mine), len(other)))
            np.testing.assert_array_equal(getattr(mine, name)[some], getattr(other, name)[some])


def embed_by_engine(options: Options, wanted: int, notify: Callable[[str], None] = print) -> None:
    """Embed windows of each domain by the workers of an engine, into the domains' files."""
    pieces = Pieces(options.embeddings_dir)
    with (
        load_run_proxy(options, notify) as loaded,
        worker_scheduler(loaded.opened, loaded.path, pieces, notify) as (identity, scheduler),
    ):
        assert identity == loaded.identity
        scheduler.fill(dict.fromkeys(scheduler.keys, wanted))


def driver_of(pool: "FaultyPool", notify: Callable[[str], None] = print) -> Driver:
    """A driver whose workers are not checked."""
    driver = Driver(pool)
    driver.meet(lambda info: None, notify)
    return driver


def folded(loaded: LoadedProxy) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Name and recipe of each domain, by key."""
    return {**recipes_by_key(loaded.opened.corpus.domains, loaded.identity, loaded.opened.recipe)}


@contextmanager
def open_faulty(
    kind: "type[FaultyPool]",
    options: Options,
    size: int,
    notify: Callable[[str], None] = print,
    piece_windows: int = 16,
    seed: int = 0,
) -> "Iterator[tuple[FaultyPool, PieceScheduler]]":
    """A pool of a kind and a scheduler of its workers."""
    with load_run_proxy(options, print) as loaded:
        worker = Worker(loaded, print)
        pool = kind(worker, worker_info(loaded, worker), size, seed)
        pieces = Pieces(options.embeddings_dir)
        driver = driver_of(pool, notify)
        yield pool, PieceScheduler(driver, pieces, worker.keys, piece_windows, folded(loaded))


class FaultyPool:
    """Workers of one process, some of which die: before, while or after they write their pieces."""

    def __init__(self, worker: Worker, info: WorkerInfo, size: int, seed: int) -> None:
        self.size = size
        self.worker, self.info = worker, info
        self._random = random.Random(seed)
        self.starting: list[int] = []
        self.assigned: list[tuple[int, Shard]] = []
        self.deaths = 0

    def start(self, worker: int) -> None:
        self.starting.append(worker)

    def assign(self, worker: int, shard: Shard) -> None:
        self.assigned.append((worker, shard))

    def wait(self) -> list[WorkerEvent]:
        events = []
        started, self.starting = self.starting, []
        for worker in started:
            if self._random.random() < 0.1:
                self.deaths += 1
                events.append(WorkerEvent(worker, "ended", "at its start"))
            else:
                events.append(WorkerEvent(worker, "ready", self.info))
        self._random.shuffle(self.assigned)
        for _ in range(self._random.randint(0 if events else 1, max(1, len(self.assigned)))):
            if not self.assigned:
                break
            worker, shard = self.assigned.pop()
            chance = self._random.random()
            if chance < 0.15:  # before it wrote
                self.deaths += 1
                events.append(WorkerEvent(worker, "ended", "before"))
                continue
            results = self.worker.embed(shard)
            if chance < 0.25:  # it wrote, and could not say so
                self.deaths += 1
                events.append(WorkerEvent(worker, "ended", "after"))
                continue
            events.append(WorkerEvent(worker, "done", results))
        return events

    def close(self) -> None:
        """Do nothing."""


class ScriptedPool(FaultyPool):
    """Workers of which `started` and `finished` say what happens."""

    def started(self, worker: int) -> WorkerEvent:
        return WorkerEvent(worker, "ready", self.info)

    def finished(self, worker: int, shard: Shard) -> WorkerEvent:
        return WorkerEvent(worker, "done", self.worker.embed(shard))

    def wait(self) -> list[WorkerEvent]:
        events = [self.started(worker) for worker in self.starting]
        events += [self.finished(worker, shard) for worker, shard in self.assigned]
        self.starting, self.assigned = [], []
        return events


def make_piece(key: str, begin: int, windows: int, end: int, visits: int = 100) -> Piece:
    """A piece of random embeddings, of visits `begin` to `end` - 1."""
    rows = np.random.default_rng(begin).standard_normal((windows, 4)).astype(np.float32)
    numbers = np.arange(begin, begin + windows)
    examples = ("text",) if begin == 0 else ()
    stored = DomainEmbeddings(rows, numbers, numbers, numbers, 90, end, (5.0, 1.0), examples)
    return Piece(key, "d", begin, stored, visits)
