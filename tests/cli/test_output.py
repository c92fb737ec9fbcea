"""Where the command writes what, and how it ends."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from conftest import SCRIPT, WORDS, Command, make_texts, write_jsonl
from weights_files import SCHEMA, weights_of

from chameleon.embeddings.store import read_embeddings


def test_output_to_stdout_is_json_alone(embedded: Command) -> None:
    run = embedded("--skip_embedding_generation", "--output", "-")
    jsonschema.validate(json.loads(run.stdout), SCHEMA)
    assert "effective dimension" in run.stderr


@pytest.mark.parametrize(
    ("redirection", "code", "table", "stderr"),
    [
        (">&-", 0, False, ""),
        ("2>&-", 0, True, ""),
        (">&- 2>&-", 0, False, ""),
        (
            ">/dev/full",
            2,
            False,
            "stdout cannot be written: No space left on device",
        ),
        ("--output - >&-", 2, False, "stdout is closed; name a file"),
        ("--output - >/dev/full", 2, False, "cannot write the result to stdout: No space left on device"),
        ("2>/dev/full", 0, True, ""),
    ],
)
def test_streams_that_are_closed_or_full(
    embedded: Command, tmp_path: Path, redirection: str, code: int, table: bool, stderr: str
) -> None:
    (tmp_path / "chameleon_weights_pretrain.json").unlink()
    line = f"{sys.executable} {SCRIPT} --skip_embedding_generation {redirection}"
    run = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stderr
    assert stderr in run.stderr
    errors = [line for line in run.stderr.splitlines() if not line.startswith("note: ")]
    assert len(errors) == (1 if stderr else 0)
    assert ("effective dimension" in run.stdout) == table
    assert (tmp_path / "chameleon_weights_pretrain.json").exists() == ("--output" not in redirection)


def test_a_reader_that_leaves_does_not_keep_the_weights_from_being_written(
    embedded: Command, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "embeddings")
    run = f"{sys.executable} {SCRIPT} --embeddings_dir p --skip_embedding_generation"
    line = f"({run} 2>&1; echo $? >code) | true"
    (tmp_path / "p").mkdir()
    for name, row in zip("abc", np.eye(3, dtype=np.float32), strict=True):
        torch.save(torch.from_numpy(np.stack([row, 2 * row])), tmp_path / "p" / f"{name}_embeddings.pt")
    (tmp_path / "chameleon_weights_pretrain.json").unlink()
    subprocess.run(line, shell=True, cwd=tmp_path, check=True)
    assert (tmp_path / "code").read_text() == "0\n"  # though its note found no reader
    assert weights_of(tmp_path / "chameleon_weights_pretrain.json")["notices"]


def test_names_that_the_terminal_cannot_show_are_escaped_and_json_is_utf8(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    for i, name in enumerate(("法律", "code", "é")):
        write_jsonl(tmp_path / "corpus" / f"{name}.jsonl", make_texts(list(WORDS.values())[i], i))
    flags = [
        "--dataset",
        "corpus",
        "--checkpoint_path",
        checkpoint,
        "--num_samples",
        "2",
        "--sample_length",
        "32",
    ]
    run = command(*flags, env={"PYTHONIOENCODING": "ascii"})
    assert run.returncode == 0, run.stderr
    assert "\\u6cd5\\u5f8b" in run.stdout
    line = [sys.executable, str(SCRIPT), "--skip_embedding_generation", "--output", "-"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    raw = subprocess.run(line, cwd=tmp_path, capture_output=True, check=True, env=environment)
    assert set(json.loads(raw.stdout.decode())["weights"]) == {"法律", "code", "é"}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_windows(
    sent: signal.Signals, code: int, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    flags = ["--dataset", corpus_directory, "--checkpoint_path", checkpoint, "--sample_length", "32"]
    flags += ["--num_samples", "100000", "--embedding_batch_size", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(SCRIPT), *map(str, flags)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "embedding\n"
        process.send_signal(sent)
        _, errors = process.communicate(timeout=600)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert ("interrupted; windows embedded so far are kept" in errors) == (sent == signal.SIGINT)
    kept = [len(read_embeddings(path)) for path in (tmp_path / "embeddings").glob("*.safetensors")]
    assert sum(kept) >= 16


# The command, slowed down; it prints a line when it has embedded its first windows.
INTERRUPTED = """
import runpy, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where tests run in the background
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rsplit("/", 1)[0])
from chameleon.proxy.model import Proxy
real, count = Proxy.embed, []
def slow(self, tokens, lengths):
    count.append(1)
    if len(count) == 20:
        print("embedding", flush=True)
        time.sleep(600)
    return real(self, tokens, lengths)
Proxy.embed = slow
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_help_states_the_default_of_each_flag() -> None:
    run = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True)
    entries = re.split(r"\n  (?=--)", run.stdout)[1:]
    assert len(entries) >= 20
    for entry in entries:
        text = " ".join(entry.split())
        assert "(default: " in text, text
