"""The driver: whatever becomes of workers, the embeddings are the same bits."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import (
    FaultyPool,
    N,
    ScriptedPool,
    driver_of,
    embed_serially,
    make_piece,
    open_faulty,
    options_for,
    require_same_files,
    require_same_rows,
)

from chameleon.common.errors import InputError
from chameleon.embeddings.load_proxy import load_run_proxy
from chameleon.embeddings.pieces import Pieces, write_pieces
from chameleon.embeddings.workers import connect, start
from chameleon.embeddings.workers.connect import serial_scheduler, worker_scheduler
from chameleon.embeddings.workers.messages import Shard, WorkerEvent
from chameleon.embeddings.workers.worker import Worker, worker_info


@pytest.fixture(scope="module")
def serial(corpus_directory: Path, checkpoint: Path) -> Path:
    return embed_serially(corpus_directory, checkpoint)


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
    options = options_for(corpus_directory, checkpoint, tmp_path)
    with open_faulty(FaultyPool, options, size=1 + seed % 4, seed=seed) as (pool, scheduler):
        scheduler.fill(dict.fromkeys(scheduler.keys, 7 + seed))  # and more in a second round
        scheduler.fill(dict.fromkeys(scheduler.keys, N))
    require_same_rows(tmp_path, serial)
    assert pool.deaths > 0


def test_a_shard_that_kills_its_workers_ends_the_run(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    class Deadly(ScriptedPool):
        def finished(self, worker: int, shard: Shard) -> WorkerEvent:
            return WorkerEvent(worker, "ended", "SIGKILL")

    options = options_for(corpus_directory, checkpoint, tmp_path)
    with (
        open_faulty(Deadly, options, 2, piece_windows=4) as (_, scheduler),
        pytest.raises(InputError, match=r"5 workers died over the same windows of .* \(SIGKILL\)"),
    ):
        scheduler.fill(dict.fromkeys(scheduler.keys, 5))


def test_a_worker_that_cannot_write_is_left_out(
    tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    full = {1}

    class Full(ScriptedPool):
        def finished(self, worker: int, shard: Shard) -> WorkerEvent:
            if worker in full:
                return WorkerEvent(worker, "unusable", "node-1: cannot write: No space left on device")
            return super().finished(worker, shard)

    notes: list[str] = []
    options = options_for(corpus_directory, checkpoint, tmp_path)
    with open_faulty(Full, options, 2, notes.append) as (_, scheduler):
        scheduler.fill(dict.fromkeys(scheduler.keys, N))
        require_same_files(tmp_path, serial)
        assert notes == ["continuing without a worker: node-1: cannot write: No space left on device"]
        full.add(0)
        with pytest.raises(InputError, match="no worker is left: node-1: cannot write"):
            scheduler.fill(dict.fromkeys(scheduler.keys, 2 * N))


def test_a_place_in_which_all_workers_die_is_left_out(
    tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    class Unlucky(ScriptedPool):
        def started(self, worker: int) -> WorkerEvent:
            return WorkerEvent(worker, "ended", "SIGILL") if worker == 1 else super().started(worker)

    notes: list[str] = []
    options = options_for(corpus_directory, checkpoint, tmp_path)
    with open_faulty(Unlucky, options, 2, notes.append) as (_, scheduler):
        scheduler.fill(dict.fromkeys(scheduler.keys, N))
    require_same_files(tmp_path, serial)
    assert "continuing without a worker: 5 died one after the other (SIGILL)" in notes


# Workers that are not what they have to be


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"mark": "none"}, "does not appear here; set --embeddings_dir to a directory that all machines"),
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
    monkeypatch.setattr(connect, "SECONDS_TO_BE_SEEN", 0.3)
    with load_run_proxy(options, print) as loaded:
        worker = Worker(loaded, print)
        info = dataclasses.replace(worker_info(loaded, worker), **changed)
        monkeypatch.setattr(start, "_pool", lambda options, setup: FaultyPool(worker, info, 2, 3))
        with (
            pytest.raises(InputError, match=expected),
            worker_scheduler(loaded.opened, loaded.path, Pieces(tmp_path), print),
        ):
            pass


def test_workers_that_differ_from_each_other(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as loaded:
        worker = Worker(loaded, print)
        info = worker_info(loaded, worker)
        driver = driver_of(FaultyPool(worker, info, 1, 3))
        others: list[dict[str, Any]] = [{"dtype": "bfloat16"}, {"device": "cuda"}]
        for fact in (*others, {"libraries": {"torch": "1.0"}}, {"batch_size": 7}):
            part = fact
            if "batch_size" not in fact:  # and then the keys are others too
                part = {"identity": dataclasses.replace(info.identity, **fact), "text": "other"}
            other = dataclasses.replace(info, host="node-9", **part)
            (value,) = fact.values()
            words = "torch 1.0" if isinstance(value, dict) else value
            with pytest.raises(InputError, match=f"the worker on node-9 has .*other .*{words}"):
                driver._welcome(0, other)


def test_pieces_of_other_recipes_are_reported(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    write_pieces(tmp_path, [dataclasses.replace(make_piece("other-key", 0, 1, 1), domain="law")])
    notes: list[str] = []
    options = options_for(corpus_directory, checkpoint, tmp_path)
    with (
        load_run_proxy(options, print) as loaded,
        serial_scheduler(loaded, Pieces(tmp_path), notes.append),
    ):
        assert len(notes) == 1
    assert "holds pieces of 1 of these domains that were made with another proxy, --dtype" in notes[0]
