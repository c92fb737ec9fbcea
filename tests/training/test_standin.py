"""The built-in corpus and the stand-in proxy: the whole method without data or a model."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from conftest import ROOT, Command, documents, indexed, opened

from chameleon.proxy.model import load_proxy
from chameleon.proxy.tokenizer import load_tokenizer
from chameleon.training.standin import StandinSettings, standin_checkpoint

TINY = StandinSettings(
    vocabulary=300, blocks=2, width=16, heads=2, context=32, steps=30, batch_size=4, learning_rate=3e-3
)
CPU = torch.device("cpu")
BUILTIN_DOMAINS = [
    "cpp_headers", "docstrings", "licences", "manual", "package_descriptions", "python", "type_stubs",
]  # fmt: skip


def test_the_builtin_corpus_is_reproducible_and_large_enough() -> None:
    one, again = opened("builtin"), opened("builtin")
    assert [domain.name for domain in one.domains] == BUILTIN_DOMAINS
    assert [d.text.fingerprint for d in one.domains] == [d.text.fingerprint for d in again.domains]
    for domain in one.domains:
        assert indexed(domain).length > 200_000, domain.name
        found = documents(domain.text)
        assert len(set(found)) == len(found) == indexed(domain).num_documents


def test_training_learns_and_is_reused(corpus_directory: Path, tmp_path: Path) -> None:
    texts = [domain.text for domain in opened(corpus_directory).domains]
    path = standin_checkpoint(texts, tmp_path, CPU, TINY)
    assert list(tmp_path.iterdir()) == [path]
    written = path.stat().st_mtime_ns
    assert standin_checkpoint(texts, tmp_path, CPU, TINY) == path
    assert path.stat().st_mtime_ns == written
    tokenizer, proxy = load_tokenizer(path), load_proxy(path, CPU, torch.float32)
    assert (proxy.num_blocks, proxy.block, proxy.context) == (2, 1, 32)

    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(path)
    text = documents(texts[0])[0].decode()
    ids = torch.from_numpy(tokenizer.encode([text])[0].ids[:32].astype(np.int64))[None]
    with torch.no_grad():
        loss = float(model(input_ids=ids, labels=ids).loss)
    assert loss < 0.9 * np.log(TINY.vocabulary)


def test_the_same_training_gives_the_same_stand_in(corpus_directory: Path, tmp_path: Path) -> None:
    texts = [domain.text for domain in opened(corpus_directory).domains]
    paths = [standin_checkpoint(texts, tmp_path / name, CPU, TINY) for name in "ab"]
    for name in ("tokenizer.json", "model.safetensors"):
        assert (paths[0] / name).read_bytes() == (paths[1] / name).read_bytes()
    other = standin_checkpoint(texts[:2], tmp_path / "a", CPU, TINY)
    assert other.name != paths[0].name


def test_interrupted_training_leaves_no_files(
    corpus_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chameleon.training.standin._train_model", interrupt)
    with pytest.raises(KeyboardInterrupt):
        standin_checkpoint([d.text for d in opened(corpus_directory).domains], tmp_path, CPU, TINY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_without_flags_runs_the_whole_method(command: Command, tmp_path: Path) -> None:
    run = command()
    assert run.returncode == 0, run.stderr
    notices = [line for line in run.stderr.splitlines() if line.startswith("note: ")]
    assert notices[0].startswith(
        "note: there is no proxy in ./checkpoints/BASE-82M/: using the built-in corpus"
    )
    content = json.loads((tmp_path / "chameleon_weights_pretrain.json").read_text())
    jsonschema.validate(content, json.loads((ROOT / "docs" / "weights.schema.json").read_text()))
    assert list(content["weights"]) == BUILTIN_DOMAINS
    assert content["settings"]["dataset"] == "builtin"
    # Text that is much like other text is common ground; licences are like nothing else there.
    assert content["weights"]["docstrings"] > content["weights"]["licences"]
    again = command("--mode", "finetune", "--skip_embedding_generation")
    assert again.returncode == 0, again.stderr
    finetune = json.loads((tmp_path / "chameleon_weights_finetune.json").read_text())
    assert finetune["weights"]["licences"] > finetune["weights"]["docstrings"]


def test_of_two_runs_that_train_the_same_stand_in_the_first_is_used(tmp_path: Path) -> None:
    from chameleon.training.standin import _move_into_place

    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    _move_into_place(tmp_path / "first", tmp_path / "place")
    _move_into_place(tmp_path / "second", tmp_path / "place")
    assert (tmp_path / "place" / "config.json").read_text() == "first"
