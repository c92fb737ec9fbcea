"""The training command: its model, its record, and the mixture that it trains on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, make_checkpoint
from training_fixtures import (
    Train,
    curve_of,
    one_error,
    record_of,
    training_flags,
    weights_of,
)

from chameleon.training.command import main as train
from chameleon.training.evaluation.command import main as evaluate


def test_a_run_writes_model_record_curve_and_table(
    train_model: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = train_model("m", "--max_steps", "40", "--logging_steps", "5")
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


def test_the_weights_command_finds_the_model_as_its_proxy(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With default paths no flag names the proxy, and the weights file serves to train with."""
    monkeypatch.chdir(tmp_path)
    flags = training_flags(workspace, Path("x"))[2:]
    assert train(flags) == 0
    import compute_chameleon_weights

    weights_flags = ["--dataset", str(workspace / "corpus"), "--num_samples", "8", "--sample_length", "32"]
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


def test_a_model_is_better_on_the_domain_it_saw_more_of(
    train_model: Train, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, shares in (("lawyer", {"law": 0.95, "code": 0.05}), ("coder", {"law": 0.05, "code": 0.95})):
        (tmp_path / f"{name}.json").write_text(json.dumps(shares))
        train_model(name, "--max_steps", "80", "--weights", str(tmp_path / f"{name}.json"))
    output = tmp_path / "evaluation.json"
    dataset, packed = ["--dataset", str(workspace / "corpus")], ["--packed_dir", str(workspace / "packed")]
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


def test_gradient_accumulation_does_not_change_steps(
    train_model: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once = weights_of(train_model("one"))
    in_parts = weights_of(train_model("two", "--gradient_accumulation_steps", "4"))
    for name, expected in at_once.items():
        torch.testing.assert_close(in_parts[name], expected, rtol=0, atol=2e-4)
    capsys.readouterr()


@pytest.mark.slow
def test_two_processes_train_on_the_same_stream_as_one_and_resume_its_run(
    train_model: Train, workspace: Path, tmp_path: Path
) -> None:
    one = train_model("one", "--save_steps", "3")

    def by_two(name: str, *flags: str) -> None:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        done = subprocess.run(
            [*command, "-m", "chameleon", "train", *training_flags(workspace, tmp_path / name, *flags)],
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


def test_finetuning_starts_from_a_checkpoint_and_its_tokenizer(
    train_model: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    base = train_model("base", "--max_steps", "60", "--logging_steps", "2")
    tuned = train_model(
        "tuned", "--model", str(base), "--max_steps", "4", "--logging_steps", "2", "--domains", "law,code"
    )
    assert float(curve_of(tuned)[0]["loss"]) < float(curve_of(base)[0]["loss"]) - 1
    assert (tuned / "tokenizer.json").read_text() == (base / "tokenizer.json").read_text()
    assert record_of(tuned)["model"] == str(base)
    capsys.readouterr()


def test_a_configuration_of_another_model_family(train_model: Train, tmp_path: Path) -> None:
    config = {
        "model_type": "llama", "vocab_size": 320, "max_position_embeddings": 64, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    (tmp_path / "llama.json").write_text(json.dumps(config))
    directory = train_model(
        "m", "--model", str(tmp_path / "llama.json"), "--max_steps", "30", "--logging_steps", "5"
    )
    curve = curve_of(directory)
    assert float(curve[-1]["loss"]) < float(curve[0]["loss"]) - 0.5
    assert json.loads((directory / "config.json").read_text())["model_type"] == "llama"


def test_a_named_size_has_the_published_shape() -> None:
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


def test_the_small_size_is_a_llama_with_an_output_of_its_own() -> None:
    from chameleon.training.models import ModelSource, build_model, count_parameters

    model = build_model(ModelSource("2M"), 4096, 7, 128, 0, False)
    block = 4 * 128**2 + 3 * 128 * 344 + 2 * 128
    assert count_parameters(model) == 2 * 4096 * 128 + 4 * block + 128
    assert model.config.max_position_embeddings == 128
    assert model.config.eos_token_id == 7


def test_max_tokens_sets_the_steps_and_repeated_domains_are_flagged(
    train_model: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = train_model(
        "m", "--max_tokens", str(41 * 4 * 32 - 5), "--sample_length", "32", "--domains", "code,law"
    )
    assert record_of(directory)["result"]["steps"] == 41
    capsys.readouterr()
    directory = train_model("n", "--max_steps", "50", "--batch_size", "256", "--sample_length", "16")
    shown = capsys.readouterr()
    assert "repeated more than 4 times" in shown.out
    assert "note: law is repeated" in shown.err
    sizes = {
        name: each["tokens"] / each["epochs"]
        for name, each in record_of(directory)["result"]["domains"].items()
    }
    assert min(sizes.values()) > 1000


def test_a_schedule_changes_the_mixture(train_model: Train, tmp_path: Path) -> None:
    schedule = [{"step": 0, "weights": {"law": 1, "code": 0}}, {"step": 30, "weights": {"law": 0, "code": 1}}]
    (tmp_path / "s.json").write_text(json.dumps({"schedule": schedule}))
    directory = train_model("m", "--weights", str(tmp_path / "s.json"), "--max_steps", "40")
    shares = {name: each["share"] for name, each in record_of(directory)["result"]["domains"].items()}
    assert shares == pytest.approx({"law": 0.75, "code": 0.25}, abs=0.01)


def test_a_schedule_beyond_the_run_is_noted_and_left_out_of_the_table(
    train_model: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule = [{"step": 0, "weights": {"law": 1, "code": 0}}, {"step": 40, "weights": {"law": 0, "code": 1}}]
    (tmp_path / "s.json").write_text(json.dumps({"schedule": schedule}))
    train_model("m", "--weights", str(tmp_path / "s.json"), "--max_steps", "20")
    shown = capsys.readouterr()
    assert "from step 40 on are beyond the run's 20 steps" in shown.err
    assert "law     1.0000    1.0000" in shown.out


def test_a_name_that_looks_like_a_formula_and_a_run_of_one_step_are_drawn(
    train_model: Train,
) -> None:
    directory = train_model("x$^$", "--seed", str(1 << 64), "--max_steps", "1")
    assert [int(row["step"]) for row in curve_of(directory)] == [1]
    assert (directory / "loss.png").exists()
    assert record_of(directory)["result"]["loss"] is not None


def test_domains_of_a_weights_file_are_matched_by_name_or_renamed(
    train_model: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.json").write_text('{"law": 0.25, "github": 0.75}')
    train_model("m", "--weights", str(tmp_path / "w.json"), code=2)
    error = one_error(capsys.readouterr().err)
    assert "has weights for law, github, but" in error
    assert "has the domains code, law" in error
    directory = train_model(
        "m", "--weights", str(tmp_path / "w.json"), "--rename", "github=code", "--max_steps", "20"
    )
    shares = {name: each["share"] for name, each in record_of(directory)["result"]["domains"].items()}
    assert shares == pytest.approx({"code": 0.75, "law": 0.25}, abs=0.02)


def test_token_arrays_are_packed_as_they_are(
    train_model: Train, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_checkpoint(tmp_path / "checkpoint")
    rng = np.random.default_rng(0)
    for name in ("law", "code"):
        (tmp_path / "c").mkdir(exist_ok=True)
        rng.integers(0, 300, 20_000).astype("<u2").tofile(tmp_path / "c" / f"{name}.bin")
    train_model("m", "--dataset", str(tmp_path / "c"), "--tokenizer", str(tmp_path / "checkpoint"))
    assert "encoded anew" not in capsys.readouterr().err
    packed = sorted(workspace.glob("packed/law-*.bin"))
    arrays = [np.fromfile(path, dtype="<u2") for path in packed]
    source = np.fromfile(tmp_path / "c" / "law.bin", dtype="<u2")
    # The tokens of the source and no others, but for what is held out and where documents end.
    assert any(set(array.tolist()) == set(source.tolist()) for array in arrays)
