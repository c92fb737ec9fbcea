"""What cannot be trained: one line that says why, before long work, and exit code 2."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import WORDS, make_checkpoint, make_texts, write_jsonl
from training_fixtures import (
    Train,
    assert_matches,
    one_error,
)

from chameleon.training.trainer import StreamTrainer


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--sample_length", "65"], "rows of 65 tokens exceed the context of 64 tokens of .*tiny.json"),
        (["--batch_size", "6", "--gradient_accumulation_steps", "4"], "make it a multiple of 4"),
        (["--model", "83M"], "there is no checkpoint 83M.*82M, 124M, 684M or a config.json"),
        (["--vocab_size", "2000"], r"the tokenizer has \d+ tokens, but the model .*tiny.json only 320"),
        (["--weights", "nowhere.json"], "cannot read the weights nowhere.json"),
        (["--tokenizer", "./nowhere"], "there is no checkpoint ./nowhere"),
        (["--dataset", "./nowhere"], "there is no directory ./nowhere"),
        (["--min_learning_rate", "1"], "--min_learning_rate 1 is above --learning_rate 0.003"),
        (
            ["--min_learning_rate", "0", "--lr_schedule", "linear"],
            "is for --lr_schedule cosine; omit it with linear",
        ),
        (["--sample_length", "1"], "a row of one token predicts nothing"),
        (["--warmup_steps", "7"], "--warmup_steps 7 exceeds the 6 steps of the run"),
        (["--heldout_share", "1"], "has no text to train on besides held-out documents"),
        (["--heldout_share", "1.5"], "--heldout_share: expected a share from 0 to 1, got '1.5'"),
        (["--max_tokens", "5", "--max_steps", "5"], "not allowed with argument"),
        (["--max_steps", "2000000000"], "over 4294967296 rows"),
        (["--resume"], "nothing to resume in"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    train_model: Train, flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        directory = train_model("m", *flags, code=2)
        assert not (directory / "model.safetensors").exists()
    except SystemExit as ended:  # argparse
        code = ended.code
    else:
        code = 2
    assert code == 2
    captured = capsys.readouterr()
    assert_matches(expected, one_error(captured.err))
    assert captured.out == ""


def test_a_missing_package_is_named(
    train_model: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("chameleon.training.trainer_settings.find_spec", lambda name: None)
    train_model("m", "--tensorboard", code=2)
    assert 'pip install ".[tensorboard]" in the project\'s directory' in one_error(capsys.readouterr().err)


def test_a_model_that_is_not_causal_is_refused(
    train_model: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "model_type": "bert", "vocab_size": 320, "max_position_embeddings": 64, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    }  # fmt: skip
    (tmp_path / "bert.json").write_text(json.dumps(config))
    train_model("m", "--model", str(tmp_path / "bert.json"), code=2)
    assert_matches("tokens of .*bert.json see those that follow", one_error(capsys.readouterr().err))


def test_an_incomplete_torchrun_environment_is_refused(
    train_model: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    train_model("m", code=2)
    assert "WORLD_SIZE is 2, but LOCAL_RANK is not set" in one_error(capsys.readouterr().err)


def test_out_of_memory_says_which_flags_help(
    train_model: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(StreamTrainer, "compute_loss", fails)
    train_model("m", code=2)
    error = one_error(capsys.readouterr().err)
    assert (
        "not enough memory for 4 rows of 32 tokens in one pass; raise --gradient_accumulation_steps" in error
    )


def test_a_domain_without_tokens_cannot_have_a_weight(
    train_model: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(tmp_path / "c" / "law.jsonl", make_texts(WORDS["law"], 1))
    write_jsonl(tmp_path / "c" / "code.jsonl", ["def f"])
    train_model("m", "--dataset", str(tmp_path / "c"), code=2)
    error = one_error(capsys.readouterr().err)
    assert_matches(
        r"domain code has the weight 0.5, but only \d+ tokens to train on, less than one row of 32", error
    )
    (tmp_path / "w.json").write_text('{"law": 1, "code": 0}')
    train_model("m", "--dataset", str(tmp_path / "c"), "--weights", str(tmp_path / "w.json"))


def test_token_arrays_need_the_tokenizer_that_made_them(
    train_model: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = train_model("base")
    for name in ("law", "code"):
        (tmp_path / "c").mkdir(exist_ok=True)
        np.arange(300, dtype="<u2").repeat(9).tofile(tmp_path / "c" / f"{name}.bin")
    capsys.readouterr()
    train_model("m", "--dataset", str(tmp_path / "c"), "--model", str(base), code=2)
    assert "name by --tokenizer the checkpoint whose tokenizer made them" in one_error(
        capsys.readouterr().err
    )
    train_model("m", "--dataset", str(tmp_path / "c"), "--model", str(base), "--tokenizer", str(base))


def test_flags_are_checked_before_the_corpus_is_packed(
    train_model: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def packs(*arguments: Any) -> Any:  # noqa: ANN401
        raise AssertionError("packed")

    monkeypatch.setattr("chameleon.training.inputs.pack", packs)
    (tmp_path / "w.json").write_text('{"law": 1, "cod": 0}')
    train_model("m", "--weights", str(tmp_path / "w.json"), code=2)
    assert "has weights for law, cod, but" in one_error(capsys.readouterr().err)
    train_model("m", "--vocab_size", "2000", code=2)
    assert "train a smaller one with --vocab_size" in one_error(capsys.readouterr().err)


def test_a_vocabulary_too_large_for_uint16_arrays_is_refused(
    train_model: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    definition = json.loads((checkpoint / "tokenizer.json").read_text())
    vocabulary = definition["model"]["vocab"]
    vocabulary.update({f"<extra {i}>": len(vocabulary) + i for i in range(70_000)})
    (checkpoint / "tokenizer.json").write_text(json.dumps(definition))
    for name in ("law", "code"):
        (tmp_path / "c").mkdir(exist_ok=True)
        np.arange(2000, dtype="<u2").tofile(tmp_path / "c" / f"{name}.bin")
    train_model("m", "--dataset", str(tmp_path / "c"), "--tokenizer", str(checkpoint), code=2)
    error = one_error(capsys.readouterr().err)
    assert_matches(
        r"the tokenizer of .* has 70\d+ tokens, more than items of uint16 can hold.*--token_dtype uint32",
        error,
    )
