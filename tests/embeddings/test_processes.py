"""Workers that are processes of this machine, by the real command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SCRIPT, WORDS, Command, make_texts, refused
from engine_helpers import N, embed_by_engine, embed_serially, flags, options_for, require_same_files

from chameleon.embeddings.store import read_records
from chameleon.embeddings.workers.messages import Shard
from chameleon.embeddings.workers.processes import Processes
from chameleon.proxy.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def serial(corpus_directory: Path, checkpoint: Path) -> Path:
    return embed_serially(corpus_directory, checkpoint)


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
            where = ("--embeddings_dir", directory)
            run = command(*flags(corpus_directory, checkpoint), *where, *wanted, *more)
            assert run.returncode == 0, run.stderr
    require_same_files(tmp_path / "many", tmp_path / "one")


def test_a_killed_worker_is_replaced(
    tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assigned: list[int] = []
    assign = Processes.assign

    def kill_some(self: Processes, worker: int, shard: Shard) -> None:
        assign(self, worker, shard)
        assigned.append(worker)
        if len(assigned) in (1, 3):
            process = self._running[worker][0]
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)

    monkeypatch.setattr(Processes, "assign", kill_some)
    notes: list[str] = []
    options = options_for(corpus_directory, checkpoint, tmp_path, engine="processes", num_workers=2)
    embed_by_engine(options, N, notes.append)
    require_same_files(tmp_path, serial)
    assert len(assigned) > 5
    deaths = [each for each in notes if "a worker died" in each]
    assert len(deaths) == 2
    assert all("SIGKILL" in each for each in deaths)


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
            "--shard_index 2 is out of range: with --num_shards 2 it is from 0 to 1",
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
