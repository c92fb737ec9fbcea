"""A small corpus and model for tests of the methods, and the flags that run them on it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
from conftest import ROOT, WORDS, make_texts, write_jsonl

from chameleon.common.arrays import Array
from chameleon.methods.runs import Runs

SCHEMA = json.loads((ROOT / "docs" / "weights.schema.json").read_text())
MODEL = {
    "model_type": "gpt2", "vocab_size": 320, "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
TEXT = ["--vocab_size", "320", "--heldout_share", "0.1"]
TRAINING = [
    *TEXT, "--sample_length", "32", "--batch_size", "6", "--learning_rate", "3e-3", "--max_steps", "5",
    "--device", "cpu", "--dtype", "float32",
]  # fmt: skip


def make_corpus(directory: Path) -> Path:
    """Write three domains of different sizes to corpus/, and the configuration of a model to model.json."""
    for seed, name in enumerate(WORDS):
        write_jsonl(directory / "corpus" / f"{name}.jsonl", make_texts(WORDS[name], seed, 20 * (seed + 1)))
    (directory / "model.json").write_text(json.dumps(MODEL))
    return directory


def flags_for(directory: Path, output: Path, method: str, *flags: str) -> list[str]:
    """Arguments that run a method on the corpus in a directory: weights go to w.json, models to r/."""
    text = ["--dataset", str(directory / "corpus"), "--packed_dir", str(directory / "packed")]
    if method in ("uniform", "natural", "temperature"):
        return [method, *text, *TEXT, "--output", str(output / "w.json"), *flags]
    models = ["--model", str(directory / "model.json"), "--output_dir", str(output / "r")]
    where = [] if method == "all" else ["--output", str(output / "w.json")]
    return [method, *text, *TRAINING, *models, *where, *flags]


def regmix_flags(corpus: Path, output: Path, *flags: str) -> list[str]:
    """Arguments that train six small models."""
    small = ["--batch_size", "4", "--max_steps", "4", "--num_runs", "6", "--num_simulated", "500"]
    return flags_for(corpus, output, "regmix", *small, "--regressor", "loglinear", *flags)


def read_weights(path: Path) -> dict[str, Any]:
    """The content of a weights file that follows the schema."""
    content: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(content, SCHEMA)
    return content


def dirichlet(n: int, k: int, seed: int, strength: float = 1.0) -> Array:
    """(n, k) random mixtures."""
    return np.random.default_rng(seed).dirichlet(np.full(k, strength), size=n)


def runs_of(mixtures: Array, losses: Array) -> Runs:
    """Runs with (n, k) mixtures and (n, m) losses, of domains d0, d1, ..."""
    n, k = mixtures.shape
    names = tuple(f"d{i}" for i in range(k))
    of = tuple(f"d{i}" for i in range(losses.shape[1]))
    return Runs(names, mixtures, of, losses, tuple(map(str, range(n))))
