"""What tests share: small real text, a tokenizer, a checkpoint and the command.

Tests run in several processes of one thread each: with more threads than cores, torch's wait for each other.
"""

import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings

from chameleon.text.corpora import Corpus, CorpusRequest, Domain, open_corpus
from chameleon.text.corpora.indexed import IndexedText
from chameleon.text.protocols import Text

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in every run, however slow the machine.
settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

pytest_plugins = ("training_fixtures",)
ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "compute_chameleon_weights.py"
WORDS: Mapping[str, str] = {
    "law": "court plaintiff statute appeal evidence the of was by under section held",
    "cooking": "onion butter simmer oven salt the with until and stir minutes add",
    "code": "def return self import ( ) : = for in if None",
}


def make_texts(words: str, seed: int, documents: int = 40, longest: int = 400) -> list[str]:
    """Documents of random words, of very unequal lengths."""
    rng = random.Random(seed)
    vocabulary = words.split()
    return [
        " ".join(rng.choices(vocabulary, k=rng.randint(1, longest)))
        + rng.choice(["", ".", "\n", " é ü 漢字"])
        for _ in range(documents)
    ]


def write_jsonl(path: Path, texts: Sequence[str]) -> None:
    """A JSON Lines file of documents, with other fields around the text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": i, "text": text, "meta": {"n": i}}) for i, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def corpus_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three domains: two files and a sub-directory of two."""
    directory = tmp_path_factory.mktemp("corpus")
    write_jsonl(directory / "law.jsonl", make_texts(WORDS["law"], 1))
    write_jsonl(directory / "cooking.jsonl", make_texts(WORDS["cooking"], 2))
    write_jsonl(directory / "code" / "a.jsonl", make_texts(WORDS["code"], 3))
    write_jsonl(directory / "code" / "b.jsonl", make_texts(WORDS["code"], 4))
    return directory


def opened(dataset: str | Path, **how: Any) -> Corpus:  # noqa: ANN401
    """The corpus with a name or path."""
    return open_corpus(CorpusRequest(str(dataset), **how))


def indexed(domain: Domain) -> IndexedText:
    """The text of a domain whose documents are indexed."""
    assert isinstance(domain.text, IndexedText)
    return domain.text


def documents(text: Text) -> list[bytes]:
    """All documents of a text, unit by unit."""
    units = map(text.unit, range(len(text.unit_keys)))
    return [content[0 : len(content)] for unit in units for content in unit.documents()]


@dataclass(frozen=True)
class BytesTokenizer:
    """A tokenizer with one token a byte, so that windows can be compared with the text."""

    end_of_text: int = 256
    digest: str = "bytes"

    def encode(self, texts: Sequence[str]) -> list["Tokens"]:
        """See `chameleon.text.protocols.Tokenizer`."""
        return [_bytes_of(text) for text in texts]


@dataclass(frozen=True)
class Tokens:
    """See `chameleon.text.protocols.Encoded`."""

    ids: npt.NDArray[np.int32]
    begins: npt.NDArray[np.int64]

    def between(self, begin: int, end: int) -> npt.NDArray[np.int32]:
        """See `chameleon.text.protocols.Encoded`."""
        first, last = np.searchsorted(self.begins, (begin, end))
        return self.ids[first:last]


def _bytes_of(text: str) -> Tokens:
    sizes = [len(character.encode()) for character in text]
    ids = np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32)
    return Tokens(ids, np.repeat(np.arange(len(text)), sizes).astype(np.int64))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 with random weights and a byte-level BPE of the corpus's words."""
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


def make_checkpoint(directory: Path, context: int = 64, width: int = 16) -> Path:
    """Save a tiny random GPT-2 and its tokenizer in a directory."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from chameleon.common.libraries import quiet_transformers

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=context, n_embd=width, n_layer=3, n_head=2, eos_token_id=0
    )
    with quiet_transformers():
        GPT2LMHeadModel(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def make_tokenizer() -> Any:  # noqa: ANN401
    """A byte-level BPE trained on the words of the corpus."""
    from chameleon.training.tokenizer import train_bpe

    return train_bpe((" ".join(make_texts(words, 0)) for words in WORDS.values()), 320)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Files cannot grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


Command = Callable[..., subprocess.CompletedProcess[str]]


def run_command(
    directory: Path, *flags: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The real command, run in a directory."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, flags)],
        cwd=directory,
        env={**inherited, "HF_HUB_OFFLINE": "1", **(env or {})},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The real command, run in an empty directory: command("--mode", "pretrain", env={...})."""
    return partial(run_command, tmp_path)


@pytest.fixture(scope="session")
def stored_run(corpus_directory: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the command has run on the corpus: 12 windows of 32 tokens a domain."""
    directory = tmp_path_factory.mktemp("run")
    flags: list[str | Path] = ["--dataset", corpus_directory, "--checkpoint_path", checkpoint]
    run = run_command(directory, *flags, "--num_samples", "12", "--sample_length", "32")
    assert run.returncode == 0, run.stderr
    return directory


@pytest.fixture
def embedded(command: Command, stored_run: Path, tmp_path: Path) -> Command:
    """The command in a directory where it has run on the corpus."""
    shutil.copytree(stored_run, tmp_path, dirs_exist_ok=True)
    return command


def refused(run: subprocess.CompletedProcess[str], expected: str) -> None:
    """Assert that a run ended with exit code 2 and one line on stderr that matches."""
    assert run.returncode == 2, run.stderr
    errors = [line for line in run.stderr.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1, run.stderr
    assert re.search(expected, errors[0]), errors[0]
    assert run.stdout == ""
