"""The training command: mixtures that train, runs that stop and go on, and what cannot be."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, WORDS, files_up_to, make_checkpoint, make_texts, write_jsonl
from safetensors.torch import load_file

from chameleon.training.command import main as train
from chameleon.training.evaluation.command import main as evaluate
from chameleon.training.trainer import StreamTrainer

TINY = {
    "model_type": "gpt2", "vocab_size": 320, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of two domains and the configuration of a tiny model."""
    directory = tmp_path_factory.mktemp("training")
    for seed, name in enumerate(("law", "code")):
        write_jsonl(directory / "corpus" / f"{name}.jsonl", make_texts(WORDS[name], seed))
    (directory / "tiny.json").write_text(json.dumps(TINY))
    return directory


@pytest.fixture
def run(place: Path, tmp_path: Path) -> Callable[..., Path]:
    """Train in this process: run("name", "--max_steps", "3") is the directory of the model."""

    def work(name: str, *flags: str, code: int = 0) -> Path:
        assert train(flags_for(place, tmp_path / name, *flags)) == code
        return tmp_path / name

    return work


def flags_for(place: Path, output: Path, *flags: str) -> list[str]:
    given = {
        "--dataset": str(place / "corpus"),
        "--model": str(place / "tiny.json"),
        "--packed_dir": str(place / "packed"),
        "--vocab_size": "320",
        "--sample_length": "32",
        "--batch_size": "4",
        "--learning_rate": "3e-3",
        "--heldout_share": "0.1",
        "--max_steps": "6",
        "--device": "cpu",
        "--dtype": "float32",
    }
    if "--max_tokens" in flags:
        del given["--max_steps"]
    for name, value in pairwise(flags):
        if name in given:
            given[name] = value
    rest = list(flags)
    for name in given:
        if name in rest:
            at = rest.index(name)
            del rest[at : at + 2]
    return ["--output_dir", str(output), *(each for pair in given.items() for each in pair), *rest]


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def assert_same(one: Path, other: Path) -> None:
    """Bit for bit."""
    mine, theirs = weights_of(one), weights_of(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def record_of(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "training.json").read_text())
    return content


def curve_of(directory: Path) -> list[dict[str, str]]:
    with (directory / "loss.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def one_error(captured: str) -> str:
    errors = [line for line in captured.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1, captured
    return errors[0]


def test_a_model_its_record_its_curve_and_its_table(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = run("m", "--max_steps", "40", "--logging_steps", "5")
    names = {path.name for path in directory.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "training.json",
        "loss.csv",
        "loss.png",
    } <= names
    assert "training_args.bin" not in names
    assert ".unfinished" not in names
    record = record_of(directory)
    domains = record["result"]["domains"]
    assert list(domains) == ["code", "law"]
    assert sum(each["tokens"] for each in domains.values()) == record["result"]["tokens"] == 40 * 4 * 32
    assert [each["share"] for each in domains.values()] == pytest.approx([0.5, 0.5], abs=0.01)
    assert record["heldout_share"] == 0.1
    assert record["schedule"] == [{"step": 0, "over": 0, "weights": {"code": 0.5, "law": 0.5}}]
    curve = curve_of(directory)
    assert [int(row["step"]) for row in curve] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert int(curve[-1]["tokens"]) == 40 * 4 * 32
    assert float(curve[-1]["loss"]) < float(curve[0]["loss"]) - 0.5
    assert (directory / "loss.png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr()
    assert "0.5000" in shown.out
    assert "40 steps, 5,120 tokens" in shown.out
    assert str(directory) in shown.out


def test_the_weights_command_takes_the_model_as_its_proxy(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the default places are used, no flag names the proxy, and its weights serve to train with."""
    monkeypatch.chdir(tmp_path)
    flags = flags_for(place, Path("x"))[2:]
    assert train(flags) == 0
    import compute_chameleon_weights

    weights_flags = ["--dataset", str(place / "corpus"), "--num_samples", "8", "--sample_length", "32"]
    assert compute_chameleon_weights.main([*weights_flags, "--dtype", "float32"]) == 0
    content = json.loads(Path("chameleon_weights_pretrain.json").read_text())
    assert content["settings"]["checkpoint_path"] == str(tmp_path / "checkpoints" / "BASE-82M")
    base = [
        *flags,
        "--output_dir",
        "base",
        "--weights",
        "chameleon_weights_pretrain.json",
        "--max_steps",
        "20",
    ]
    assert train(base) == 0
    shares = {name: each["share"] for name, each in record_of(Path("base"))["result"]["domains"].items()}
    assert shares == pytest.approx(content["weights"], abs=0.02)
    capsys.readouterr()


def test_each_of_two_opposite_mixtures_is_better_on_what_it_saw_more_of(
    run: Callable[..., Path], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, shares in (("lawyer", {"law": 0.95, "code": 0.05}), ("coder", {"law": 0.05, "code": 0.95})):
        (tmp_path / f"{name}.json").write_text(json.dumps(shares))
        run(name, "--max_steps", "80", "--weights", str(tmp_path / f"{name}.json"))
    output = tmp_path / "evaluation.json"
    dataset, packed = ["--dataset", str(place / "corpus")], ["--packed_dir", str(place / "packed")]
    models = [str(tmp_path / "lawyer"), str(tmp_path / "coder")]
    assert evaluate([*models, *dataset, *packed, "--output", str(output), "--dtype", "float32"]) == 0
    lawyer, coder = json.loads(output.read_text())["checkpoints"]
    for better, worse, domain in ((lawyer, coder, "law"), (coder, lawyer, "code")):
        gain = worse["domains"][domain]["loss"] - better["domains"][domain]["loss"]
        error = coder["domains"][domain]["loss_against_first_standard_error"]
        assert gain > 0.3
        assert gain > 4 * error
    assert output.with_suffix(".png").exists()
    assert "lawyer" in capsys.readouterr().out


def stopped_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """A run that is interrupted in the middle of a step."""
    real = StreamTrainer.training_step

    def work(self: StreamTrainer, *arguments: Any, **named: Any) -> torch.Tensor:  # noqa: ANN401
        if self.state.global_step + 1 == step:
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    monkeypatch.setattr(StreamTrainer, "training_step", work)


@pytest.mark.parametrize("weights", ["uniform", "schedule"])
def test_a_run_that_stops_and_goes_on_gives_the_same_weights_bit_for_bit(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str,
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
    whole = run("whole", *flags)
    with monkeypatch.context() as patch:
        stopped_at(patch, 9)
        parts = run("parts", *flags, code=130)
    assert "interrupted; the last checkpoint is kept" in capsys.readouterr().err
    assert not (parts / "config.json").exists()
    assert [int(row["step"]) for row in curve_of(parts)][-1] == 8
    run("parts", *flags, "--resume")
    assert_same(whole, parts)
    losses = [[row["loss"] for row in curve_of(each)] for each in (whole, parts)]
    assert losses[0] == losses[1]
    assert record_of(whole)["result"] == record_of(parts)["result"]
    before = (parts / "model.safetensors").stat().st_mtime_ns
    run("parts", *flags, "--resume")
    assert "has all its 12 steps: nothing to do" in capsys.readouterr().err
    assert (parts / "model.safetensors").stat().st_mtime_ns == before


def test_accumulated_steps_are_the_same_steps(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    at_once = weights_of(run("one"))
    in_parts = weights_of(run("two", "--gradient_accumulation_steps", "4"))
    for name, expected in at_once.items():
        torch.testing.assert_close(in_parts[name], expected, rtol=0, atol=2e-4)
    capsys.readouterr()


@pytest.mark.slow
def test_two_processes_train_on_the_same_stream_as_one_and_go_on_from_each_other(
    run: Callable[..., Path], place: Path, tmp_path: Path
) -> None:
    one = run("one", "--save_steps", "3")

    def by_two(name: str, *flags: str) -> None:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        done = subprocess.run(
            [*command, "-m", "chameleon", "train", *flags_for(place, tmp_path / name, *flags)],
            env={**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("model  ") == 1

    by_two("two", "--save_steps", "3")
    for name, expected in weights_of(one).items():
        torch.testing.assert_close(weights_of(tmp_path / "two")[name], expected, rtol=0, atol=2e-4)
    # Begun by one process and ended by two.
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(one / "training.json", begun)
    shutil.copytree(one / "checkpoint-3", begun / "checkpoint-3")
    by_two("begun", "--resume")
    for name, expected in weights_of(one).items():
        torch.testing.assert_close(weights_of(begun)[name], expected, rtol=0, atol=2e-4)


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
def test_a_run_is_not_gone_on_with_as_another(
    run: Callable[..., Path], flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("m")
    capsys.readouterr()
    run("m", "--resume", *flags, code=2)
    assert_matches(expected, one_error(capsys.readouterr().err))


def assert_matches(expected: str, error: str) -> None:
    import re

    assert re.search(expected, error), error


def test_a_run_goes_on_for_more_steps_and_says_that_it_is_not_the_same(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run("m", "--lr_schedule", "constant", "--warmup_steps", "1")
    run("m", "--lr_schedule", "constant", "--warmup_steps", "1", "--max_steps", "9", "--resume")
    assert "started for 6 steps and continues to 9" in capsys.readouterr().err
    whole = run("whole", "--lr_schedule", "constant", "--warmup_steps", "1", "--max_steps", "9")
    assert_same(tmp := whole.parent / "m", whole)
    assert record_of(tmp)["result"]["steps"] == 9


def test_a_checkpoint_that_was_broken_off_is_not_gone_on_from(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run("whole", "--save_steps", "2")
    broken = run("broken", "--save_steps", "2")
    (broken / "checkpoint-6" / "complete.json").unlink()
    (broken / "checkpoint-6" / "model.safetensors").write_bytes(b"")
    (broken / "config.json").unlink()
    run("broken", "--save_steps", "2", "--resume")
    assert "resuming from" in capsys.readouterr().err
    assert_same(whole, broken)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = StreamTrainer.compute_loss

    def breaks(self: StreamTrainer, model: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        loss: Any = real(self, model, *arguments, **named)
        return loss * float("nan") if self.state.global_step == 8 else loss

    monkeypatch.setattr(StreamTrainer, "compute_loss", breaks)
    directory = run("m", "--max_steps", "12", "--save_steps", "3", code=2)
    error = one_error(capsys.readouterr().err)
    assert "the loss of step 9 is not finite (its rows: code 25%, law 75%)" in error
    assert "the last good checkpoint is" in error
    assert "checkpoint-6" in error
    assert not (directory / "checkpoint-9").exists()
    assert not (directory / "config.json").exists()


def test_a_learning_rate_beyond_all_bounds(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = run("m", "--learning_rate", "1e38", "--warmup_steps", "0", "--save_steps", "2", code=2)
    assert "is not finite" in one_error(capsys.readouterr().err)
    assert not (directory / "model.safetensors").exists()


def test_a_full_disk_while_saving_keeps_the_last_checkpoint(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--max_steps", "6", "--save_steps", "2"]
    whole = run("whole", *flags)
    real = StreamTrainer._save_checkpoint

    def save(self: StreamTrainer, *arguments: Any) -> None:  # noqa: ANN401
        if self.state.global_step < 4:
            real(self, *arguments)
            return
        with files_up_to(20_000):
            real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(StreamTrainer, "_save_checkpoint", save)
        directory = run("m", *flags, code=2)
    error = one_error(capsys.readouterr().err)
    assert_matches(r"cannot save .*checkpoint-4: .*; the last checkpoint is checkpoint-2: free", error)
    assert [path.name for path in directory.glob("checkpoint-*")] == ["checkpoint-2"]
    run("m", *flags, "--resume")
    assert_same(whole, directory)


def test_finetuning_goes_on_from_a_checkpoint_with_its_tokenizer(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    base = run("base", "--max_steps", "60", "--logging_steps", "2")
    tuned = run(
        "tuned", "--model", str(base), "--max_steps", "4", "--logging_steps", "2", "--domains", "law,code"
    )
    assert float(curve_of(tuned)[0]["loss"]) < float(curve_of(base)[0]["loss"]) - 1
    assert (tuned / "tokenizer.json").read_text() == (base / "tokenizer.json").read_text()
    assert record_of(tuned)["model"] == str(base)
    capsys.readouterr()


def test_another_family_of_models(run: Callable[..., Path], tmp_path: Path) -> None:
    config = {
        "model_type": "llama", "vocab_size": 320, "max_position_embeddings": 64, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    (tmp_path / "llama.json").write_text(json.dumps(config))
    directory = run("m", "--model", str(tmp_path / "llama.json"), "--max_steps", "30", "--logging_steps", "5")
    curve = curve_of(directory)
    assert float(curve[-1]["loss"]) < float(curve[0]["loss"]) - 0.5
    assert json.loads((directory / "config.json").read_text())["model_type"] == "llama"


def test_a_named_size_is_the_published_shape() -> None:
    from chameleon.training.models import ModelSource, build_model, count_parameters

    model = build_model(ModelSource("82M"), 50257, 0, 512, 0, False)
    assert count_parameters(model) == pytest.approx(81.5e6, rel=0.003)
    config = model.config
    assert (config.n_layer, config.n_embd, config.n_head, config.n_positions) == (6, 768, 12, 512)
    again = build_model(ModelSource("82M"), 50257, 0, 512, 0, False)
    other = build_model(ModelSource("82M"), 50257, 0, 512, 1, False)
    name = "transformer.wte.weight"
    assert torch.equal(model.get_parameter(name), again.get_parameter(name))
    assert not torch.equal(model.get_parameter(name), other.get_parameter(name))


def test_tokens_instead_of_steps_and_repeats_that_are_flagged(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = run(
        "m", "--max_tokens", str(41 * 4 * 32 - 5), "--sample_length", "32", "--domains", "code,law"
    )
    assert record_of(directory)["result"]["steps"] == 41
    capsys.readouterr()
    directory = run("n", "--max_steps", "50", "--batch_size", "256", "--sample_length", "16")
    shown = capsys.readouterr()
    assert "repeated more than 4 times" in shown.out
    assert "note: law is repeated" in shown.err
    sizes = {
        name: each["tokens"] / each["epochs"]
        for name, each in record_of(directory)["result"]["domains"].items()
    }
    assert min(sizes.values()) > 1000


def test_a_schedule_changes_what_is_trained_on(run: Callable[..., Path], tmp_path: Path) -> None:
    schedule = [{"step": 0, "weights": {"law": 1, "code": 0}}, {"step": 30, "weights": {"law": 0, "code": 1}}]
    (tmp_path / "s.json").write_text(json.dumps({"schedule": schedule}))
    directory = run("m", "--weights", str(tmp_path / "s.json"), "--max_steps", "40")
    shares = {name: each["share"] for name, each in record_of(directory)["result"]["domains"].items()}
    assert shares == pytest.approx({"law": 0.75, "code": 0.25}, abs=0.01)


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
def test_what_cannot_be_trained(
    run: Callable[..., Path], flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        directory = run("m", *flags, code=2)
        assert not (directory / "model.safetensors").exists()
    except SystemExit as ended:  # argparse
        code = ended.code
    else:
        code = 2
    assert code == 2
    captured = capsys.readouterr()
    assert_matches(expected, one_error(captured.err))
    assert captured.out == ""


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"identity": 3}'])
def test_a_damaged_record(run: Callable[..., Path], content: str, capsys: pytest.CaptureFixture[str]) -> None:
    directory = run("m")
    (directory / "training.json").write_text(content)
    capsys.readouterr()
    run("m", "--resume", code=2)
    assert "is damaged" in one_error(capsys.readouterr().err)


def test_a_package_that_is_not_there_is_named(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("chameleon.training.trainer_settings.find_spec", lambda name: None)
    run("m", "--tensorboard", code=2)
    assert 'pip install "chameleon[tensorboard]"' in one_error(capsys.readouterr().err)


def test_a_model_that_sees_ahead_is_not_trained(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "model_type": "bert", "vocab_size": 320, "max_position_embeddings": 64, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    }  # fmt: skip
    (tmp_path / "bert.json").write_text(json.dumps(config))
    run("m", "--model", str(tmp_path / "bert.json"), code=2)
    assert_matches("tokens of .*bert.json see those that follow", one_error(capsys.readouterr().err))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json"])
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_checkpoint_is_left_for_the_one_before(
    run: Callable[..., Path], name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run("whole", "--save_steps", "2")
    broken = run("broken", "--save_steps", "2")
    (broken / "config.json").unlink()
    if damage == "missing":
        (broken / "checkpoint-6" / name).unlink()
    else:
        (broken / "checkpoint-6" / name).write_bytes(b"x")
    run("broken", "--save_steps", "2", "--resume")
    assert "checkpoint-6 is incomplete or damaged and is removed" in capsys.readouterr().err
    assert_same(whole, broken)


def test_processes_that_do_not_know_each_other_are_refused(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    run("m", code=2)
    assert "WORLD_SIZE is 2, but LOCAL_RANK is not set" in one_error(capsys.readouterr().err)


def test_a_schedule_beyond_the_run_is_told_and_the_table_says_what_was_asked_of_this_run(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule = [{"step": 0, "weights": {"law": 1, "code": 0}}, {"step": 40, "weights": {"law": 0, "code": 1}}]
    (tmp_path / "s.json").write_text(json.dumps({"schedule": schedule}))
    run("m", "--weights", str(tmp_path / "s.json"), "--max_steps", "20")
    shown = capsys.readouterr()
    assert "from step 40 on are beyond the run's 20 steps" in shown.err
    assert "law     1.0000    1.0000" in shown.out


def test_names_that_would_be_formulas_and_runs_shorter_than_a_line_of_the_curve(
    run: Callable[..., Path],
) -> None:
    directory = run("x$^$", "--seed", str(1 << 64), "--max_steps", "1")
    assert [int(row["step"]) for row in curve_of(directory)] == [1]
    assert (directory / "loss.png").exists()
    assert record_of(directory)["result"]["loss"] is not None


def test_a_full_disk_under_the_tokenizer(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import PreTrainedTokenizerFast

    def fails(*arguments: Any, **named: Any) -> None:  # noqa: ANN401
        raise Exception("No space left on device (os error 28)")  # as the library does

    run("before")
    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", fails)
    directory = run("m", code=2)
    assert_matches("cannot save .*checkpoint-6: No space left", one_error(capsys.readouterr().err))
    assert not list(directory.glob("checkpoint-*"))


def test_memory_that_runs_out_says_what_to_do(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(StreamTrainer, "compute_loss", fails)
    run("m", code=2)
    error = one_error(capsys.readouterr().err)
    assert (
        "not enough memory for 4 rows of 32 tokens in one pass; raise --gradient_accumulation_steps" in error
    )


def test_a_model_is_not_written_over(run: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    directory = run("m")
    before = weights_of(directory)
    run("m", "--seed", "5", code=2)
    assert "already holds a model or a run; continue it with --resume" in capsys.readouterr().err
    assert all(torch.equal(weights_of(directory)[name], each) for name, each in before.items())


def test_a_domain_without_tokens_cannot_have_a_weight(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(tmp_path / "c" / "law.jsonl", make_texts(WORDS["law"], 1))
    write_jsonl(tmp_path / "c" / "code.jsonl", ["def f"])
    run("m", "--dataset", str(tmp_path / "c"), code=2)
    error = one_error(capsys.readouterr().err)
    assert_matches(
        r"domain code has the weight 0.5, but only \d+ tokens to train on, less than one row of 32", error
    )
    (tmp_path / "w.json").write_text('{"law": 1, "code": 0}')
    run("m", "--dataset", str(tmp_path / "c"), "--weights", str(tmp_path / "w.json"))


def test_names_of_a_weights_file_are_matched_or_mapped(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.json").write_text('{"law": 0.25, "github": 0.75}')
    run("m", "--weights", str(tmp_path / "w.json"), code=2)
    error = one_error(capsys.readouterr().err)
    assert "has weights for law, github, but" in error
    assert "has the domains code, law" in error
    directory = run(
        "m", "--weights", str(tmp_path / "w.json"), "--rename", "github=code", "--max_steps", "20"
    )
    shares = {name: each["share"] for name, each in record_of(directory)["result"]["domains"].items()}
    assert shares == pytest.approx({"code": 0.75, "law": 0.25}, abs=0.02)


def test_token_arrays_go_straight_into_the_stream(
    run: Callable[..., Path], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_checkpoint(tmp_path / "checkpoint")
    rng = np.random.default_rng(0)
    for name in ("law", "code"):
        (tmp_path / "c").mkdir(exist_ok=True)
        rng.integers(0, 300, 20_000).astype("<u2").tofile(tmp_path / "c" / f"{name}.bin")
    run("m", "--dataset", str(tmp_path / "c"), "--tokenizer", str(tmp_path / "checkpoint"))
    assert "encoded anew" not in capsys.readouterr().err
    packed = sorted(place.glob("packed/law-*.bin"))
    arrays = [np.fromfile(path, dtype="<u2") for path in packed]
    source = np.fromfile(tmp_path / "c" / "law.bin", dtype="<u2")
    # The tokens of the source and no others, but for what is held out and where documents end.
    assert any(set(array.tolist()) == set(source.tolist()) for array in arrays)


def test_whose_tokens_arrays_hold_is_not_guessed(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = run("base")
    for name in ("law", "code"):
        (tmp_path / "c").mkdir(exist_ok=True)
        np.arange(300, dtype="<u2").repeat(9).tofile(tmp_path / "c" / f"{name}.bin")
    capsys.readouterr()
    run("m", "--dataset", str(tmp_path / "c"), "--model", str(base), code=2)
    assert "name by --tokenizer the checkpoint whose tokenizer made them" in one_error(
        capsys.readouterr().err
    )
    run("m", "--dataset", str(tmp_path / "c"), "--model", str(base), "--tokenizer", str(base))


def test_flags_are_held_against_the_corpus_before_it_is_packed(
    run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def packs(*arguments: Any) -> Any:  # noqa: ANN401
        raise AssertionError("packed")

    monkeypatch.setattr("chameleon.training.inputs.pack", packs)
    (tmp_path / "w.json").write_text('{"law": 1, "cod": 0}')
    run("m", "--weights", str(tmp_path / "w.json"), code=2)
    assert "has weights for law, cod, but" in one_error(capsys.readouterr().err)
    run("m", "--vocab_size", "2000", code=2)
    assert "train a smaller one with --vocab_size" in one_error(capsys.readouterr().err)


def test_a_tokenizer_that_the_arrays_items_cannot_hold(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    definition = json.loads((checkpoint / "tokenizer.json").read_text())
    vocabulary = definition["model"]["vocab"]
    vocabulary.update({f"<extra {i}>": len(vocabulary) + i for i in range(70_000)})
    (checkpoint / "tokenizer.json").write_text(json.dumps(definition))
    for name in ("law", "code"):
        (tmp_path / "c").mkdir(exist_ok=True)
        np.arange(2000, dtype="<u2").tofile(tmp_path / "c" / f"{name}.bin")
    run("m", "--dataset", str(tmp_path / "c"), "--tokenizer", str(checkpoint), code=2)
    error = one_error(capsys.readouterr().err)
    assert_matches(
        r"the tokenizer of .* has 70\d+ tokens, more than items of uint16 can hold.*--token_dtype uint32",
        error,
    )
