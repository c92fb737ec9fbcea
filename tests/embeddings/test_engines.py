"""Who embeds makes no difference: not the engine, not how many workers, not what becomes of them."""

import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SCRIPT, WORDS, Command, make_checkpoint, make_texts, refused, run_command, write_jsonl

from chameleon.common.errors import InputError
from chameleon.embeddings.embedder import Embedder
from chameleon.embeddings.keys import keys_of, recipe_of
from chameleon.embeddings.load_proxy import LoadedProxy, load_run_proxy
from chameleon.embeddings.pieces import CannotWriteError, Piece, Pieces, write_pieces
from chameleon.embeddings.store import ARRAYS, DomainEmbeddings, Extent, read_embeddings, read_records
from chameleon.embeddings.workers import connect as starting
from chameleon.embeddings.workers import fill as filling
from chameleon.embeddings.workers import ray as ray_cluster
from chameleon.embeddings.workers import start as hiring
from chameleon.embeddings.workers.connect import serial_scheduler, worker_scheduler
from chameleon.embeddings.workers.driver import Driver
from chameleon.embeddings.workers.fill import PieceScheduler
from chameleon.embeddings.workers.messages import (
    PieceRequest,
    PieceResult,
    Shard,
    WorkerEvent,
    WorkerInfo,
    WorkerSetup,
    program_digest,
    shards_of,
)
from chameleon.embeddings.workers.processes import Processes
from chameleon.embeddings.workers.worker import Here, Worker, make_worker, worker_info
from chameleon.pipeline.options import Options
from chameleon.proxy.model import load_proxy
from chameleon.proxy.tokenizer import load_tokenizer
from chameleon.text.grid import WindowRecipe, lay_grid
from chameleon.text.windows import CHUNKS_PER_PIECE, VisitRange, Windows, windows_from

N = 150
FLAGS = ("--sample_length", "32", "--embedding_batch_size", "1", "--dtype", "float32", "--target_se", "9")


def flags(corpus: Path, checkpoint: Path, *more: str) -> list[str]:
    return ["--dataset", str(corpus), "--checkpoint_path", str(checkpoint), *FLAGS, *more]


def options_for(corpus: Path, checkpoint: Path, directory: Path, **more: Any) -> Options:  # noqa: ANN401
    return Options(
        dataset=str(corpus),
        checkpoint_path=str(checkpoint),
        embeddings_dir=directory,
        sample_length=32,
        embedding_batch_size=1,
        dtype="float32",
        **more,
    )


@pytest.fixture(scope="module")
def serial(corpus_directory: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings that one process has made."""
    directory = tmp_path_factory.mktemp("serial")
    run = run_command(directory, *flags(corpus_directory, checkpoint, "--num_samples", str(N)))
    assert run.returncode == 0, run.stderr
    return directory / "embeddings"


def require_same_files(found: Path, expected: Path) -> None:
    """Assert that two directories have the same domains with the same bits, and no pieces."""
    names = sorted(path.name for path in expected.glob("*.safetensors"))
    assert len(names) > 1
    assert sorted(path.name for path in found.glob("*.safetensors")) == names
    assert not list(found.glob(".shared*"))
    for name in names:
        require_same(read_embeddings(found / name), read_embeddings(expected / name))


def require_same(found: DomainEmbeddings, expected: DomainEmbeddings) -> None:
    for array in ARRAYS:
        np.testing.assert_array_equal(getattr(found, array), getattr(expected, array))
    for fact in ("available", "next_visit", "corpus_tokens", "examples"):
        assert getattr(found, fact) == getattr(expected, fact), fact


# Spans of visits


def test_pieces_of_a_span_are_its_visits_each_once(corpus_directory: Path, checkpoint: Path) -> None:
    tokenizer, recipe = load_tokenizer(checkpoint), WindowRecipe(seed=0, sample_length=32)
    from conftest import opened as opened_corpus

    grids = [lay_grid(domain.text, tokenizer, recipe) for domain in opened_corpus(corpus_directory).domains]
    rng = random.Random(0)
    for _ in range(300):
        grid = rng.choice(grids)
        grid = dataclasses.replace(grid, num_windows=rng.randint(1, 3 * grid.num_windows))
        visit, have = rng.randint(0, grid.num_visits), rng.randint(0, 50)
        span = VisitRange.of(grid, have, visit, have + rng.randint(0, 80), rng.randint(1, 9))
        pieces = [span.piece(number) for number in range(span.num_pieces)]
        assert [visit for piece in pieces for visit in range(piece.begin, piece.end)] == list(
            range(span.begin, span.end)
        )
        # They end in the same places whatever span they are of: only the first and last are shorter.
        assert all(piece.end % (CHUNKS_PER_PIECE * span.chunk) == 0 for piece in pieces[:-1])
        assert len({piece.place for piece in pieces}) == len(pieces)
    assert VisitRange.of(grids[0], 5, 5, 5, 4).num_pieces == 0


def test_windows_in_spans_are_nested(corpus_directory: Path, checkpoint: Path) -> None:
    tokenizer, recipe = load_tokenizer(checkpoint), WindowRecipe(seed=0, sample_length=32)
    from conftest import opened as opened_corpus

    domain = opened_corpus(corpus_directory).domains[0]
    grid = lay_grid(domain.text, tokenizer, recipe)
    whole = np.concatenate([each.tokens for each in windows_from(grid, tokenizer, recipe, 0, 0, 50, 4)])
    first = list(windows_from(grid, tokenizer, recipe, 0, 0, 13, 4))
    count = sum(len(each.tokens) for each in first)
    rest = windows_from(grid, tokenizer, recipe, count, first[-1].next_visit, 50, 4)
    parts = np.concatenate([each.tokens for each in [*first, *rest]])
    np.testing.assert_array_equal(parts[:50], whole[:50])


def test_shards_hold_all_items_in_order() -> None:
    items = [PieceRequest(f"d{i}", 0, 0, wanted, 0) for i, wanted in enumerate([3, 4, 5, 40, 1, 9, 9])]
    shards = list(shards_of(items, 10))
    assert [item for shard in shards for item in shard] == items
    assert [len(shard) for shard in shards] == [2, 1, 1, 2, 1]  # 3 + 4, 5, 40 (one piece), 1 + 9, 9


# The real engines by the real command


def test_processes_make_the_same_bits(
    command: Command, tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    engine = ("--engine", "processes", "--num_workers", "3")
    run = command(*flags(corpus_directory, checkpoint, "--num_samples", str(N), *engine))
    assert run.returncode == 0, run.stderr
    assert all(line.startswith("note: ") for line in run.stderr.splitlines()), run.stderr
    require_same_files(tmp_path / "embeddings", serial)


def test_rounds_and_more_windows_by_workers(
    command: Command, tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    engine = ("--engine", "processes", "--num_workers", "2")
    for directory, more in (("one", ()), ("many", engine)):
        for wanted in (("--num_samples", "9"), ("--target_se", "0.004")):
            told = ("--embeddings_dir", directory, *wanted, *more)
            run = command(*flags(corpus_directory, checkpoint), *told)
            assert run.returncode == 0, run.stderr
    require_same_files(tmp_path / "many", tmp_path / "one")


def test_a_killed_worker_is_replaced(
    tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    give = Processes.give

    def kill_some(self: Processes, worker: int, shard: Shard) -> None:
        give(self, worker, shard)
        given.append(worker)
        if len(given) in (1, 3):
            process = self._running[worker][0]
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)

    monkeypatch.setattr(Processes, "give", kill_some)
    told: list[str] = []
    options = options_for(corpus_directory, checkpoint, tmp_path, engine="processes", num_workers=2)
    fill(options, N, told.append)
    require_same_files(tmp_path, serial)
    assert len(given) > 5
    deaths = [each for each in told if "a worker died" in each]
    assert len(deaths) == 2
    assert all("SIGKILL" in each for each in deaths)


def fill(options: Options, wanted: int, notify: Callable[[str], None] = print) -> None:
    """Have all made by an engine, and put into the domains' files."""
    pieces = Pieces(options.embeddings_dir)
    with (
        load_run_proxy(options, notify) as own,
        worker_scheduler(own, own.path, pieces, notify) as (identity, filler),
    ):
        assert identity == own.identity
        filler.fill(dict.fromkeys(filler.keys, wanted))
        pieces.fold(domains_of(own))


def met(driver: Driver, notify: Callable[[str], None] = print) -> Driver:
    """A driver whose workers are not checked."""
    driver.meet(lambda hello: None, notify)
    return driver


def domains_of(there: LoadedProxy) -> dict[str, tuple[str, Mapping[str, Any]]]:
    domains = there.corpus.domains
    keys = keys_of(domains, there.identity, there.recipe)
    return {keys[each.name]: (each.name, recipe_of(each, there.identity, there.recipe)) for each in domains}


def test_a_manifest_s_tokens_of_the_proxy_s_own_tokenizer_are_taken_as_they_stand(
    command: Command, tmp_path: Path, checkpoint: Path
) -> None:
    """The process that drives the workers has not loaded that tokenizer."""
    tokenizer = load_tokenizer(checkpoint)
    domains = []
    for number, (name, words) in enumerate(WORDS.items()):
        ids = [i for ids in tokenizer.ids(make_texts(words, number)) for i in (*ids, tokenizer.end_of_text)]
        (tmp_path / f"{name}.bin").write_bytes(np.array(ids, dtype=np.uint16).tobytes())
        domains.append({"name": name, "sources": [f"{name}.bin"]})
    manifest = tmp_path / "corpus.json"
    manifest.write_text(json.dumps({"tokenizer": str(checkpoint), "domains": domains}))
    found: list[Any] = []
    for engine in ((), ("--engine", "processes", "--num_workers", "2")):
        directory = tmp_path / f"embeddings-{len(found)}"
        asked = flags(
            manifest, checkpoint, "--num_samples", "20", "--embeddings_dir", str(directory), *engine
        )
        run = command(*asked)
        assert run.returncode == 0, run.stderr
        assert "decoded" not in run.stderr
        (record,) = read_records(directory)
        found.append((record.notices, record.provenance, record.facts, record.windows))
    assert found[0] == found[1]
    require_same_files(tmp_path / "embeddings-1", tmp_path / "embeddings-0")


def test_a_killed_driver_loses_nothing_that_was_written(
    tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path, command: Command
) -> None:
    arguments = [sys.executable, str(SCRIPT), *flags(corpus_directory, checkpoint, "--num_samples", str(N))]
    run = subprocess.Popen(
        [*arguments, "--engine", "processes", "--num_workers", "2"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    directory = tmp_path / "embeddings"
    deadline = time.monotonic() + 900
    while not list(directory.glob("*.pieces.safetensors")):
        assert time.monotonic() < deadline
        assert run.poll() is None, "it was over before it could be killed"
        time.sleep(0.002)
    run.kill()
    run.wait()
    made = len(list(directory.glob("*.pieces.safetensors")))
    assert made
    for sign in directory.glob(".shared*"):  # what a killed driver leaves
        sign.unlink()
    again = command(*flags(corpus_directory, checkpoint, "--num_samples", str(N)))
    assert again.returncode == 0, again.stderr
    require_same_files(directory, serial)


# Faults at random, with workers that are in this process


class Faulty:
    """Workers of one process, some of which die: before, while or after they write what they made."""

    def __init__(self, worker: Worker, hello: WorkerInfo, size: int, seed: int) -> None:
        self.size = size
        self._worker, self._hello = worker, hello
        self._random = random.Random(seed)
        self._starting: list[int] = []
        self._given: list[tuple[int, Shard]] = []
        self.deaths = 0
        self.made = 0

    def start(self, worker: int) -> None:
        self._starting.append(worker)

    def give(self, worker: int, shard: Shard) -> None:
        self._given.append((worker, shard))

    def wait(self) -> list[WorkerEvent]:
        events = []
        started, self._starting = self._starting, []
        for worker in started:
            if self._random.random() < 0.1:
                self.deaths += 1
                events.append(WorkerEvent(worker, "ended", "at its start"))
            else:
                events.append(WorkerEvent(worker, "ready", self._hello))
        self._random.shuffle(self._given)
        for _ in range(self._random.randint(0 if events else 1, max(1, len(self._given)))):
            if not self._given:
                break
            worker, shard = self._given.pop()
            chance = self._random.random()
            if chance < 0.15:  # before it wrote
                self.deaths += 1
                events.append(WorkerEvent(worker, "ended", "before"))
                continue
            made = self._worker.embed(shard)
            self.made += sum(each.windows for each in made)
            if chance < 0.25:  # it wrote, and could not say so
                self.deaths += 1
                events.append(WorkerEvent(worker, "ended", "after"))
                continue
            events.append(WorkerEvent(worker, "done", made))
        return events

    def close(self) -> None:
        """Nothing."""


@pytest.mark.parametrize("seed", range(10))
def test_any_faults_give_the_same_bits(
    seed: int,
    tmp_path: Path,
    serial: Path,
    corpus_directory: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chameleon.embeddings.workers.driver._MOST_DEATHS", 99)  # here they are chance
    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as there:
        worker = Worker(there, print)
        pool = Faulty(worker, worker_info(there, worker), size=1 + seed % 4, seed=seed)
        pieces = Pieces(tmp_path)
        filler = PieceScheduler(met(Driver(pool)), pieces, worker.keys, 16)
        filler.fill(dict.fromkeys(worker.keys, 7 + seed))  # and more in a second round
        filler.fill(dict.fromkeys(worker.keys, N))
        pieces.fold(domains_of(there))
    require_same_rows(tmp_path, serial)
    assert pool.deaths > 0


def require_same_rows(found: Path, expected: Path) -> None:
    """As `require_same_files`, of the windows that both have: rounds may end a window or two further."""
    for path in expected.glob("*.safetensors"):
        mine, other = read_embeddings(found / path.name), read_embeddings(path)
        assert min(len(mine), len(other)) >= min(N, other.available)
        for name in ARRAYS:
            some = slice(min(len(mine), len(other)))
            np.testing.assert_array_equal(getattr(mine, name)[some], getattr(other, name)[some])


def test_a_shard_that_kills_its_workers_ends_the_run(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    class Deadly(Faulty):
        def wait(self) -> list[WorkerEvent]:
            events = [WorkerEvent(worker, "ready", self._hello) for worker in self._starting]
            events += [WorkerEvent(worker, "ended", "SIGKILL") for worker, _ in self._given]
            self._starting, self._given = [], []
            return events

    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as there:
        worker = Worker(there, print)
        pool = Deadly(worker, worker_info(there, worker), 2, 0)
        filler = PieceScheduler(met(Driver(pool)), Pieces(tmp_path), worker.keys, 4)
        with pytest.raises(InputError, match=r"5 workers died over the same windows of .* \(SIGKILL\)"):
            filler.fill(dict.fromkeys(worker.keys, 5))


def test_a_worker_that_cannot_write_is_done_without(
    tmp_path: Path,
    serial: Path,
    corpus_directory: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full(Faulty):
        full: frozenset[int] = frozenset({1})

        def wait(self) -> list[WorkerEvent]:
            events = [WorkerEvent(worker, "ready", self._hello) for worker in self._starting]
            for worker, shard in self._given:
                if worker in self.full:
                    events.append(
                        WorkerEvent(worker, "unusable", "node-1: cannot write: No space left on device")
                    )
                else:
                    events.append(WorkerEvent(worker, "done", self._worker.embed(shard)))
            self._starting, self._given = [], []
            return events

    told: list[str] = []
    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as there:
        worker = Worker(there, print)
        pool = Full(worker, worker_info(there, worker), 2, 0)
        pieces = Pieces(tmp_path)
        filler = PieceScheduler(met(Driver(pool), told.append), pieces, worker.keys, 16)
        filler.fill(dict.fromkeys(worker.keys, N))
        pieces.fold(domains_of(there))
        require_same_files(tmp_path, serial)
        assert told == ["going on without a worker: node-1: cannot write: No space left on device"]
        pool.full = frozenset({0, 1})
        with pytest.raises(InputError, match="no worker is left: node-1: cannot write"):
            filler.fill(dict.fromkeys(worker.keys, 2 * N))


# Parts without an engine


def test_parts_are_put_together_by_the_same_command(
    command: Command, tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    asked = flags(corpus_directory, checkpoint, "--num_samples", str(N))
    for index in (2, 0):  # the other is lost
        run = command(*asked, "--num_shards", "3", "--shard_index", str(index))
        assert run.returncode == 0, run.stderr
        assert f"shard {index} of 3 is done" in run.stdout
    assert not (tmp_path / "chameleon_weights_pretrain.json").exists()
    pieces = list((tmp_path / "embeddings").glob("*.pieces.safetensors"))
    made = sum(len(read_pieces(path)) for path in pieces)
    assert 0 < made < 3 * N
    run = command(*asked)
    assert run.returncode == 0, run.stderr
    require_same_files(tmp_path / "embeddings", serial)


def test_pieces_of_another_batch_size_are_taken_up(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    """As where parts are embedded on GPUs, and put together on a machine without one."""
    large = dataclasses.replace(options_for(corpus_directory, checkpoint, tmp_path), embedding_batch_size=2)
    with load_run_proxy(large, print) as there:
        worker = Worker(there, print)
        for number in (0, 2):  # one between them is lost
            worker.embed((PieceRequest("law", 0, 0, N, number),))
    made: list[int] = []
    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as there:
        worker, pieces = Worker(there, print), Pieces(tmp_path)
        embed = worker.embed

        def counted(shard: Shard) -> tuple[PieceResult, ...]:
            found = embed(shard)
            made.append(sum(each.windows for each in found))
            return found

        worker.embed = counted  # type: ignore[method-assign]
        driver = met(Driver(Here(worker, worker_info(there, worker))))
        PieceScheduler(driver, pieces, worker.keys, worker.at_once).fill({"law": N})
        extent = pieces.extent(worker.keys["law"])
    assert extent is not None
    assert extent.windows >= N
    assert sum(made) == N - 2 * 16  # what was lost, and what is behind it, and no more


def read_pieces(path: Path) -> np.ndarray[Any, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return np.asarray(file.get_tensor("embeddings"))


# Many domains


def test_many_domains_are_few_files(
    command: Command, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus"
    for number in range(300):
        words = list(WORDS.values())[number % 3]
        write_jsonl(corpus / f"d{number:03}.jsonl", make_texts(words, number, documents=2, longest=120))
    run = command(*flags(corpus, checkpoint, "--num_samples", "3"))
    assert run.returncode == 0, run.stderr
    directory = tmp_path / "embeddings"
    files = list(directory.glob("*.safetensors"))
    assert 1 <= len(files) <= 8  # forty-two domains of three windows are 126
    assert all(path.name.endswith(".pieces.safetensors") for path in files)
    (record,) = read_records(directory)
    assert len(record.files) == 300
    # The same without text and proxy, and by more windows.
    skipped = command("--skip_embedding_generation", "--output", "again.json")
    assert skipped.returncode == 0, skipped.stderr
    one, other = (weights_in(tmp_path / name) for name in ("chameleon_weights_pretrain.json", "again.json"))
    assert one == other
    more = command(*flags(corpus, checkpoint, "--num_samples", "5"))
    assert more.returncode == 0, more.stderr
    kept = {path for path in files if path.exists()}
    assert kept == set(files)
    # As when each domain has a file.
    monkeypatch.setattr(starting, "MOST_FILES", 1000)
    apart = tmp_path / "apart"
    from chameleon.embeddings.embed import embed_corpus

    options = dataclasses.replace(options_for(corpus, checkpoint, apart), num_samples=5)
    monkeypatch.setattr("chameleon.embeddings.embed.MOST_FILES", 1000)
    embedded = embed_corpus(options, 5, lambda found: {}, lambda words: None)
    pieces = Pieces(directory)
    for name, stored in embedded.domains.items():
        found = pieces.stored(embedded.record.files[name])
        assert found is not None
        np.testing.assert_array_equal(found.embeddings[:5], stored.embeddings)


def weights_in(path: Path) -> dict[str, float]:
    return dict(json.loads(path.read_text())["weights"])


def test_a_domain_of_many_without_windows_is_told(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chameleon.embeddings.embed import embed_corpus

    for module in (
        "chameleon.embeddings.workers.connect",
        "chameleon.embeddings.embed",
        "chameleon.embeddings.workers.fill",
    ):
        monkeypatch.setattr(f"{module}.MOST_FILES", 2)
    real = Pieces.extent
    empty = Extent(0, 5, 0)
    monkeypatch.setattr(
        Pieces, "extent", lambda self, key: empty if key.startswith("law-") else real(self, key)
    )
    options = dataclasses.replace(options_for(corpus_directory, checkpoint, tmp_path), num_samples=5)
    with pytest.raises(InputError, match="domain law: no text in it"):
        embed_corpus(options, 5, lambda found: {}, print)


# What is in a file


def a_piece(key: str, begin: int, windows: int, end: int, visits: int = 100) -> Piece:
    rng = np.random.default_rng(begin)
    numbers = np.arange(begin, begin + windows)
    rows = rng.standard_normal((windows, 4)).astype(np.float32)
    return Piece(
        key,
        "d",
        begin,
        DomainEmbeddings(
            rows, numbers, numbers, numbers, 90, end, (5.0, 1.0), ("text",) if not begin else ()
        ),
        visits,
    )


def test_pieces_are_joined_as_far_as_they_go(tmp_path: Path) -> None:
    write_pieces(tmp_path, [a_piece("a", 0, 16, 16), a_piece("b", 0, 3, 5)])
    write_pieces(tmp_path, [a_piece("a", 32, 16, 48)])
    pieces = Pieces(tmp_path)
    stored = pieces.stored("a")
    assert stored is not None
    assert (len(stored), stored.next_visit, stored.available) == (16, 16, 90)
    assert pieces.extent("a") == (16, 16, 90)
    write_pieces(tmp_path, [a_piece("a", 16, 15, 32), a_piece("a", 48, 0, 100)])
    pieces.look()
    stored = pieces.stored("a")
    assert stored is not None
    # Its end is reached: so many windows it has.
    assert (len(stored), stored.next_visit, stored.available) == (47, 100, 47)
    assert stored.positions.tolist() == [*range(31), *range(32, 48)]
    assert stored.examples == ("text",)
    assert pieces.extent("a") == (47, 100, 47)
    assert pieces.extent("none") is None
    assert pieces.hold("a", 0, 16, 32)
    assert pieces.hold("a", 16, 20, 30)
    assert not pieces.hold("a", 17, 20, 30)  # not joined from there on
    assert not pieces.hold("a", 0, 16, 33)
    # Joined into a file of their own, so far as the domain is asked for.
    pieces.fold({"a": ("d", {})})
    assert len(read_embeddings(tmp_path / "a")) == 47
    assert len(list(tmp_path.glob("*.pieces.safetensors"))) == 1  # that which holds b too
    pieces.fold({"a": ("d", {}), "b": ("d", {})})
    assert not list(tmp_path.glob("*.pieces.safetensors"))
    require_same(read_embeddings(tmp_path / "a"), stored)


def test_damaged_pieces_are_told(tmp_path: Path) -> None:
    path = write_pieces(tmp_path, [a_piece("a", 0, 16, 16)])
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"is truncated or damaged .*; delete it"):
        Pieces(tmp_path)


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWriteError, match="cannot write"):
        write_pieces(tmp_path / "file", [a_piece("a", 0, 1, 1)])


# Bad input


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            ("--num_workers", "2"),
            r"--num_workers 2 is for --engine processes or ray, and the engine is serial",
        ),
        (("--engine", "processes", "--ray_address", "a:1"), "--ray_address a:1 is for --engine ray"),
        (
            ("--engine", "processes", "--num_gpus_per_worker", "1"),
            "--num_gpus_per_worker 1.* for --engine ray",
        ),
        (("--num_shards", "2"), "--num_shards and --shard_index go together"),
        (
            ("--num_shards", "2", "--shard_index", "2", "--num_samples", "3"),
            "--shard_index 2 is out of range: of --num_shards 2 it is from 0 to 1",
        ),
        (("--num_shards", "2", "--shard_index", "0"), "--num_shards needs --num_samples"),
        (
            ("--num_shards", "2", "--shard_index", "0", "--num_samples", "3", "--engine", "processes"),
            "--engine does not go with --num_shards",
        ),
        (("--num_shards", "2", "--shard_index", "0", "--num_samples", "3"), "--num_shards needs a proxy"),
        (("--engine", "ray", "--ray_address", "nowhere"), "expected --ray_address host:port"),
    ],
)
def test_flags_that_do_not_go_together(
    asked: tuple[str, ...], expected: str, command: Command, corpus_directory: Path, checkpoint: Path
) -> None:
    needs_proxy = "needs a proxy" not in expected
    proxy = ("--checkpoint_path", str(checkpoint)) if needs_proxy else ()
    refused(command("--dataset", corpus_directory, "--sample_length", "32", *proxy, *asked), expected)


def test_ray_that_is_not_installed(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    options = options_for(corpus_directory, checkpoint, tmp_path, engine="ray")
    with pytest.raises(InputError, match=r'needs the library Ray: pip install "chameleon\[ray\]"'):
        fill(options, 3)


def test_ray_workers_look_for_data_where_this_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("HF_", "TRANSFORMERS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", "/shared/hub")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    found = ray_cluster._environment("/here")
    assert found == {"PYTHONPATH": f"/here{os.pathsep}/mine", "HF_HOME": "/shared/hub"}


def test_a_cluster_that_is_not_there(tmp_path: Path, corpus_directory: Path, checkpoint: Path) -> None:
    with closing(socket.socket()) as taken:  # nobody else can listen there
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = options_for(corpus_directory, checkpoint, tmp_path, engine="ray", ray_address=address)
        with pytest.raises(InputError, match=f"there is no Ray cluster at {address}"):
            fill(options, 3)


@pytest.mark.parametrize(
    ("answer", "is_ray"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"", False),
        (None, False),
        (b"\0\0\6\4\0\0\0\0\0\0\4\0\x10\0\0", True),
    ],
    ids=["another protocol", "hangs up", "says nothing", "as gRPC begins"],
)
def test_an_open_port_that_is_not_ray_s(
    answer: bytes | None, is_ray: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer is None:
        monkeypatch.setattr(ray_cluster, "_SECONDS_TO_ANSWER", 0.5)
    with closing(socket.create_server(("127.0.0.1", 0))) as server, closing_all() as accepted:

        def serve() -> None:
            connection, _ = server.accept()
            accepted.append(connection)
            connection.recv(99)
            if answer is not None:
                with suppress(OSError):  # who asked may have gone
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        expected = nullcontext() if is_ray else pytest.raises(InputError, match=f"{address} is not the head")
        with expected:
            ray_cluster._require_reachable(address)
        thread.join()


@pytest.mark.parametrize("value", ["1", "True"])
def test_a_cluster_with_tls_is_not_asked_in_plain_text(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", value)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:  # which says nothing
        ray_cluster._require_reachable(f"127.0.0.1:{server.getsockname()[1]}")


@contextmanager
def closing_all() -> Iterator[list[socket.socket]]:
    """Connections, closed in the end."""
    connections: list[socket.socket] = []
    yield connections
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"mark": "none"}, "is not to be seen here; name by --embeddings_dir a directory that all machines"),
        ({"checkpoint": "abc"}, r"has another checkpoint .* \(digest abc, here"),
        ({"text": "abc"}, "sees other text in .* than this process"),
    ],
)
def test_workers_that_see_other_things(
    changed: dict[str, Any],
    expected: str,
    tmp_path: Path,
    corpus_directory: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = options_for(corpus_directory, checkpoint, tmp_path, engine="processes")
    monkeypatch.setattr(starting, "SECONDS_TO_BE_SEEN", 0.3)
    with load_run_proxy(options, print) as there:
        worker = Worker(there, print)
        hello = dataclasses.replace(worker_info(there, worker), **changed)
        monkeypatch.setattr(hiring, "_pool", lambda options, setup: Faulty(worker, hello, 2, 3))
        with (
            pytest.raises(InputError, match=expected),
            worker_scheduler(there, there.path, Pieces(tmp_path), print),
        ):
            pass


def test_workers_that_differ_from_each_other(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as there:
        worker = Worker(there, print)
        hello = worker_info(there, worker)
        pool = Faulty(worker, hello, 1, 3)
        driver = met(Driver(pool))
        others: list[dict[str, Any]] = [{"dtype": "bfloat16"}, {"device": "cuda"}]
        for fact in (*others, {"libraries": {"torch": "1.0"}}, {"batch_size": 7}):
            part = fact
            if "batch_size" not in fact:  # and then the keys are others too
                part = {"identity": dataclasses.replace(hello.identity, **fact), "text": "other"}
            other = dataclasses.replace(hello, host="node-9", **part)
            (value,) = fact.values()
            words = "torch 1.0" if isinstance(value, dict) else value
            with pytest.raises(InputError, match=f"the worker on node-9 has .*other .*{words}"):
                driver._welcome(0, other)


def test_workers_of_another_program_or_without_the_directory(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    options = options_for(corpus_directory, checkpoint, tmp_path)
    setup = WorkerSetup(
        options, str(corpus_directory), str(checkpoint), "cpu", None, program_digest(), ".shared-sign"
    )
    with pytest.raises(InputError, match="does not see what this process writes"), make_worker(setup, print):
        pass
    (tmp_path / ".shared-sign").touch()
    with make_worker(setup, print) as (_, hello):
        assert hello.mark is not None
        assert (tmp_path / hello.mark).exists()
    other = dataclasses.replace(setup, program="0.0.9 (abc)", checkpoint="not looked at before")
    with (
        pytest.raises(InputError, match=r"has chameleon .*, this process 0.0.9 \(abc\); install the same"),
        make_worker(other, print),
    ):
        pass


def test_what_was_made_otherwise_is_told(tmp_path: Path, corpus_directory: Path, checkpoint: Path) -> None:
    write_pieces(tmp_path, [dataclasses.replace(a_piece("other-key", 0, 1, 1), domain="law")])
    told: list[str] = []
    options = options_for(corpus_directory, checkpoint, tmp_path)
    with load_run_proxy(options, print) as there:
        assert serial_scheduler(there, Pieces(tmp_path), told.append) is None
    assert len(told) == 1
    assert "holds pieces of 1 of these domains that were made with another proxy, --dtype" in told[0]


def test_what_is_written_and_does_not_come_to_be_seen(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "SECONDS_TO_BE_SEEN", 0.3)
    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path / "one"), print) as there:
        worker = Worker(there, print)
        pool = Faulty(worker, worker_info(there, worker), 1, 3)
        (tmp_path / "other").mkdir()
        driver = met(Driver(pool))
        filler = PieceScheduler(driver, Pieces(tmp_path / "other"), worker.keys, 16)
        with pytest.raises(InputError, match="is not to be seen here; name by --embeddings_dir"):
            filler.fill(dict.fromkeys(worker.keys, 5))


def test_a_place_in_which_all_workers_die_is_done_without(
    tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    class Unlucky(Faulty):
        def wait(self) -> list[WorkerEvent]:
            events = []
            for worker in self._starting:
                if worker == 1:
                    events.append(WorkerEvent(worker, "ended", "SIGILL"))
                else:
                    events.append(WorkerEvent(worker, "ready", self._hello))
            for worker, shard in self._given:
                events.append(WorkerEvent(worker, "done", self._worker.embed(shard)))
            self._starting, self._given = [], []
            return events

    told: list[str] = []
    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as there:
        worker = Worker(there, print)
        pool, pieces = Unlucky(worker, worker_info(there, worker), 2, 0), Pieces(tmp_path)
        filler = PieceScheduler(met(Driver(pool), told.append), pieces, worker.keys, 16)
        filler.fill(dict.fromkeys(worker.keys, N))
        pieces.fold(domains_of(there))
    require_same_files(tmp_path, serial)
    assert "going on without a worker: 5 died one after the other (SIGILL)" in told


def test_bits_do_not_hang_on_threads(tmp_path: Path) -> None:
    """Products of so wide a model are summed otherwise when threads share them."""
    checkpoint = make_checkpoint(tmp_path / "wide", width=512)
    proxy = load_proxy(checkpoint, torch.device("cpu"), torch.float32)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 300, (22, 64)).astype(np.int32)
    numbers = np.arange(22)
    windows = Windows(tokens, np.full(22, 64), numbers, numbers, 22)
    found = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(Embedder(proxy, 3, print).embed("d", windows, 0)[1])
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


# A Ray cluster of three nodes on this machine


@contextmanager
def cluster_of(nodes: int) -> Iterator[Any]:
    """A cluster: a head without workers, and nodes with room for one each."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False},
        shutdown_at_exit=False,
    )
    try:
        cluster.others = [cluster.add_node(num_cpus=1) for _ in range(nodes)]
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_with_faults_makes_the_same_bits(
    tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chameleon.embeddings.workers.ray import RayPool

    give = RayPool.give
    with cluster_of(2) as cluster:
        for fault in ("none", "worker", "node"):
            given: list[int] = []

            def with_fault(
                self: RayPool, worker: int, shard: Shard, fault: str = fault, given: list[int] = given
            ) -> None:
                give(self, worker, shard)
                given.append(worker)
                if len(given) == 3 and fault == "worker":
                    self._ray.kill(self._actors[worker].handle)
                if len(given) == 3 and fault == "node":
                    for actor in self._actors.values():  # there is one on each node
                        self._ray.get(actor.handle.__ray_ready__.remote())
                    cluster.remove_node(cluster.others[1], allow_graceful=False)
                    while sum(node["Alive"] for node in self._ray.nodes()) == 3:
                        time.sleep(0.05)

            monkeypatch.setattr(RayPool, "give", with_fault)
            told: list[str] = []
            directory = tmp_path / fault
            options = options_for(
                corpus_directory, checkpoint, directory, engine="ray", ray_address=cluster.address
            )
            fill(options, N, told.append)
            require_same_files(directory, serial)
            assert len(given) > 5
            assert any("a worker died" in each for each in told) == (fault != "none"), told


@pytest.mark.slow
def test_ray_on_this_machine_opens_no_port_to_others(
    tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    # A process that only drives workers needs none of the libraries that compute.
    code = (
        "import sys, compute_chameleon_weights as script\n"
        "assert script.main(sys.argv[1:]) == 0\n"
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)\n"
    )
    arguments = [sys.executable, "-c", code, *flags(corpus_directory, checkpoint, "--num_samples", str(N))]
    engine = ["--engine", "ray", "--num_workers", "2", "--num_gpus_per_worker", "0"]
    with (tmp_path / "stderr").open("w") as errors:
        run = subprocess.Popen(
            [*arguments, *engine],
            cwd=tmp_path,
            stderr=errors,
            stdout=subprocess.DEVNULL,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "PYTHONPATH": str(SCRIPT.parent),
                "RUN_OF_THIS_TEST": str(tmp_path),
            },
        )
        seen: set[tuple[str, int]] = set()
        while run.poll() is None:
            seen |= open_ports(f"RUN_OF_THIS_TEST={tmp_path}")
            time.sleep(0.2)
    assert run.returncode == 0, (tmp_path / "stderr").read_text()
    require_same_files(tmp_path / "embeddings", serial)
    assert seen, "none was seen open, not even on loopback"
    assert {host for host, _ in seen} <= {"127.0.0.1", "::1"}


def open_ports(variable: str) -> set[tuple[str, int]]:
    """Addresses on which processes listen that have this NAME=value in their environment."""
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end meanwhile
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                for descriptor in (process / "fd").iterdir():
                    with suppress(OSError):
                        sockets.add(str(descriptor.readlink()))
    found = set()
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
        path = Path("/proc/net") / table
        if not path.exists():
            continue
        for line in path.read_text().splitlines()[1:]:
            _, local, _, state, *others = line.split()
            address, port = local.split(":")
            if state == "0A" and f"socket:[{others[5]}]" in sockets:
                # A v4 address may be written as a v6 one; each four bytes stand the other way round.
                is_loopback = address == loopback or address.endswith("0100007F")
                found.add(("127.0.0.1" if is_loopback else address, int(port, 16)))
    return found


def test_made_says_how_many_pieces_there_are(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as there:
        worker = Worker(there, print)
        item = PieceRequest("law", 0, 0, N, 0)
        (made,) = worker.embed((item,))
        pieces = -(-N // 8)
        (file,) = tmp_path.glob("*.pieces.safetensors")
        assert made == PieceResult(item, 8, pieces, file.name)
        # What is there is not made again, nor what the domain does not have.
        worker = Worker(there, print)
        assert worker.embed((item,)) == (PieceResult(item, 0, pieces, None),)
        assert worker.embed((item._replace(number=99),)) == (
            PieceResult(item._replace(number=99), 0, pieces, None),
        )
