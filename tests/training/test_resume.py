"""Resuming: bit for bit, from the last good checkpoint, and never as another run."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import files_up_to
from training_fixtures import (
    Train,
    assert_matches,
    assert_same_weights,
    curve_of,
    one_error,
    record_of,
    weights_of,
)

from chameleon.training.trainer import StreamTrainer


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Interrupt a run in the middle of a step."""
    real = StreamTrainer.training_step

    def work(self: StreamTrainer, *arguments: Any, **named: Any) -> torch.Tensor:  # noqa: ANN401
        if self.state.global_step + 1 == step:
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    monkeypatch.setattr(StreamTrainer, "training_step", work)


@pytest.mark.parametrize("weights", ["uniform", "schedule"])
def test_an_interrupted_and_resumed_run_gives_the_same_weights_bit_for_bit(
    train_model: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if weights == "schedule":
        schedule = [
            {"step": 0, "weights": "uniform"},
            {"step": 3, "over": 6, "weights": {"law": 0.9, "code": 0.1}},
        ]
        weights = str(tmp_path / "schedule.json")
        Path(weights).write_text(json.dumps({"schedule": schedule}))
    flags = ["--max_steps", "12", "--save_steps", "5", "--weights", weights, "--logging_steps", "1"]
    whole = train_model("whole", *flags)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 9)
        parts = train_model("parts", *flags, code=130)
    assert "interrupted; the last checkpoint is kept" in capsys.readouterr().err
    assert not (parts / "config.json").exists()
    assert [int(row["step"]) for row in curve_of(parts)][-1] == 8
    train_model("parts", *flags, "--resume")
    assert_same_weights(whole, parts)
    losses = [[row["loss"] for row in curve_of(each)] for each in (whole, parts)]
    assert losses[0] == losses[1]
    assert record_of(whole)["result"] == record_of(parts)["result"]
    before = (parts / "model.safetensors").stat().st_mtime_ns
    train_model("parts", *flags, "--resume")
    assert "has all its 12 steps: nothing to do" in capsys.readouterr().err
    assert (parts / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--seed", "1"], r"another seed \(0, not 1\)"),
        (["--weights", "natural"], "another mixture"),
        (["--domains", "law,code"], r"another corpus \(its domains are code, law, these law, code\)"),
        (["--heldout_share", "0.2"], r"another corpus \(its text of code differs\)"),
        (["--batch_size", "8"], r"another batch_size \(4, not 8\)"),
        (["--sample_length", "16"], r"another sample_length \(32, not 16\)"),
        (["--learning_rate", "1e-3"], r"another learning_rate \(0.003, not 0.001\)"),
        (["--max_steps", "4"], "is at step 6, beyond the 4 requested"),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(
    train_model: Train, flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train_model("m")
    capsys.readouterr()
    train_model("m", "--resume", *flags, code=2)
    assert_matches(expected, one_error(capsys.readouterr().err))


def test_a_run_resumed_for_more_steps_warns_about_its_learning_rate(
    train_model: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    train_model("m", "--lr_schedule", "constant", "--warmup_steps", "1")
    train_model("m", "--lr_schedule", "constant", "--warmup_steps", "1", "--max_steps", "9", "--resume")
    assert "started for 6 steps and continues to 9" in capsys.readouterr().err
    whole = train_model("whole", "--lr_schedule", "constant", "--warmup_steps", "1", "--max_steps", "9")
    assert_same_weights(tmp := whole.parent / "m", whole)
    assert record_of(tmp)["result"]["steps"] == 9


def test_an_incomplete_checkpoint_is_not_resumed_from(
    train_model: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train_model("whole", "--save_steps", "2")
    broken = train_model("broken", "--save_steps", "2")
    (broken / "checkpoint-6" / "complete.json").unlink()
    (broken / "checkpoint-6" / "model.safetensors").write_bytes(b"")
    (broken / "config.json").unlink()
    train_model("broken", "--save_steps", "2", "--resume")
    assert "resuming from" in capsys.readouterr().err
    assert_same_weights(whole, broken)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json"])
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(
    train_model: Train, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train_model("whole", "--save_steps", "2")
    broken = train_model("broken", "--save_steps", "2")
    (broken / "config.json").unlink()
    if damage == "missing":
        (broken / "checkpoint-6" / name).unlink()
    else:
        (broken / "checkpoint-6" / name).write_bytes(b"x")
    train_model("broken", "--save_steps", "2", "--resume")
    assert "checkpoint-6 is incomplete or damaged and is removed" in capsys.readouterr().err
    assert_same_weights(whole, broken)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"identity": 3}'])
def test_a_damaged_record_is_an_error(
    train_model: Train, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = train_model("m")
    (directory / "training.json").write_text(content)
    capsys.readouterr()
    train_model("m", "--resume", code=2)
    assert "is damaged" in one_error(capsys.readouterr().err)


def test_a_model_is_not_overwritten(train_model: Train, capsys: pytest.CaptureFixture[str]) -> None:
    directory = train_model("m")
    before = weights_of(directory)
    train_model("m", "--seed", "5", code=2)
    assert "already holds a model or a run; continue it with --resume" in capsys.readouterr().err
    assert all(torch.equal(weights_of(directory)[name], each) for name, each in before.items())


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
    train_model: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = StreamTrainer.compute_loss

    def breaks(self: StreamTrainer, model: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        loss: Any = real(self, model, *arguments, **named)
        return loss * float("nan") if self.state.global_step == 8 else loss

    monkeypatch.setattr(StreamTrainer, "compute_loss", breaks)
    directory = train_model("m", "--max_steps", "12", "--save_steps", "3", code=2)
    error = one_error(capsys.readouterr().err)
    assert "the loss of step 9 is not finite (its rows: code 25%, law 75%)" in error
    assert "the last good checkpoint is" in error
    assert "checkpoint-6" in error
    assert not (directory / "checkpoint-9").exists()
    assert not (directory / "config.json").exists()


def test_an_absurd_learning_rate_is_an_error(train_model: Train, capsys: pytest.CaptureFixture[str]) -> None:
    directory = train_model(
        "m", "--learning_rate", "1e38", "--warmup_steps", "0", "--save_steps", "2", code=2
    )
    assert "is not finite" in one_error(capsys.readouterr().err)
    assert not (directory / "model.safetensors").exists()


def test_a_full_disk_while_saving_keeps_the_last_checkpoint(
    train_model: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--max_steps", "6", "--save_steps", "2"]
    whole = train_model("whole", *flags)
    real = StreamTrainer._save_checkpoint

    def save(self: StreamTrainer, *arguments: Any) -> None:  # noqa: ANN401
        if self.state.global_step < 4:
            real(self, *arguments)
            return
        with files_up_to(20_000):
            real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(StreamTrainer, "_save_checkpoint", save)
        directory = train_model("m", *flags, code=2)
    error = one_error(capsys.readouterr().err)
    assert_matches(r"cannot save .*checkpoint-4: .*; the last checkpoint is checkpoint-2: free", error)
    assert [path.name for path in directory.glob("checkpoint-*")] == ["checkpoint-2"]
    train_model("m", *flags, "--resume")
    assert_same_weights(whole, directory)


def test_a_full_disk_while_saving_the_tokenizer_is_an_error(
    train_model: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import PreTrainedTokenizerFast

    def fails(*arguments: Any, **named: Any) -> None:  # noqa: ANN401
        raise Exception("No space left on device (os error 28)")  # as the library does

    train_model("before")
    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", fails)
    directory = train_model("m", code=2)
    assert_matches("cannot save .*checkpoint-6: No space left", one_error(capsys.readouterr().err))
    assert not list(directory.glob("checkpoint-*"))
