"""Small training runs in this process: their fixtures, and what is read from the directories they write."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch

TINY = {
    "model_type": "gpt2", "vocab_size": 320, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip

Train = Callable[..., Path]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a corpus of two domains and the configuration of a tiny model."""
    from conftest import WORDS, make_texts, write_jsonl

    directory = tmp_path_factory.mktemp("training")
    for seed, name in enumerate(("law", "code")):
        write_jsonl(directory / "corpus" / f"{name}.jsonl", make_texts(WORDS[name], seed))
    (directory / "tiny.json").write_text(json.dumps(TINY))
    return directory


@pytest.fixture
def train_model(workspace: Path, tmp_path: Path) -> Train:
    """Train in this process: train_model("name", "--max_steps", "3") is the directory of the model."""
    from chameleon.training.command import main

    def train(name: str, *flags: str, code: int = 0) -> Path:
        assert main(training_flags(workspace, tmp_path / name, *flags)) == code
        return tmp_path / name

    return train


def training_flags(workspace: Path, output: Path, *flags: str) -> list[str]:
    """Flags of a small run; those given replace the ones here."""
    defaults = {
        "--dataset": str(workspace / "corpus"),
        "--model": str(workspace / "tiny.json"),
        "--packed_dir": str(workspace / "packed"),
        "--vocab_size": "320",
        "--sample_length": "32",
        "--batch_size": "4",
        "--learning_rate": "3e-3",
        "--heldout_share": "0.1",
        "--max_steps": "6",
        "--device": "cpu",
        "--dtype": "float32",
    }
    if "--max_tokens" in flags and "--max_steps" not in flags:
        del defaults["--max_steps"]
    pairs = [each for pair in defaults.items() if pair[0] not in flags for each in pair]
    return ["--output_dir", str(output), *pairs, *flags]


def weights_of(directory: Path) -> "dict[str, torch.Tensor]":
    """The parameters of the model in a directory."""
    from safetensors.torch import load_file

    return load_file(directory / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    """Assert that two models have the same parameters, bit for bit."""
    import torch

    mine, theirs = weights_of(one), weights_of(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def record_of(directory: Path) -> dict[str, Any]:
    """The record of a run."""
    content: dict[str, Any] = json.loads((directory / "training.json").read_text())
    return content


def curve_of(directory: Path) -> list[dict[str, str]]:
    """The lines of a run's loss.csv."""
    with (directory / "loss.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def one_error(captured: str) -> str:
    """The one line on stderr that is not a note."""
    errors = [line for line in captured.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1, captured
    return errors[0]


def assert_matches(expected: str, error: str) -> None:
    """Assert that an error has a match of a regular expression."""
    assert re.search(expected, error), error
