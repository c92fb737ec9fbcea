"""Held-out losses against known values, their standard errors, and the evaluation command."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import WORDS, make_checkpoint, make_texts, write_jsonl
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from chameleon.training.evaluation.command import main
from chameleon.training.evaluation.losses import (
    DocumentLosses,
    document_losses,
    first_documents,
    ratio_standard_error,
)
from chameleon.training.packed_domain import HeldOutDocuments

VOCABULARY, LENGTH = 50, 16


def documents(lengths: list[int], seed: int = 0) -> HeldOutDocuments:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, VOCABULARY, sum(lengths)).astype(np.int32)
    ends = np.cumsum(lengths)
    tokens[ends - 1] = 0
    hashes = np.arange(len(lengths), dtype=np.uint64)
    sizes = np.array(lengths, dtype=np.int64) * 3
    return HeldOutDocuments(tokens, ends.astype(np.int64), sizes, hashes, len(lengths))


def model(seed: int = 0) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    untrained = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=8, n_layer=1, n_head=1, initializer_range=1.0
        )
    )
    evaluated: Any = untrained.eval
    ready: GPT2LMHeadModel = evaluated()
    return ready


def test_each_token_is_predicted_once_from_those_before_it_in_its_row() -> None:
    heldout, net = documents([5, 40, 1, 17, 3]), model()
    losses = document_losses(net, heldout, LENGTH, 3, torch.float32)
    tokens = torch.from_numpy(heldout.tokens.astype(np.int64))
    expected, counts = np.zeros(5), np.zeros(5, dtype=int)
    for target in range(1, len(tokens)):
        begin = (target - 1) // (LENGTH - 1) * (LENGTH - 1)
        with torch.no_grad():
            logits = net(input_ids=tokens[None, begin:target]).logits[0, -1]
        document = int(np.searchsorted(heldout.ends, target, side="right"))
        expected[document] += float(nn.functional.cross_entropy(logits, tokens[target]))
        counts[document] += 1
    assert losses.losses == pytest.approx(expected, rel=1e-5)
    assert losses.tokens.tolist() == counts.tolist() == [4, 40, 1, 17, 3]
    assert losses.loss == pytest.approx(expected.sum() / counts.sum(), rel=1e-5)
    assert losses.bits_per_byte == pytest.approx(expected.sum() / (66 * 3) / math.log(2), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_losses_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    heldout, net = documents([30, 7, 21]), model()
    one = document_losses(net, heldout, LENGTH, 5, torch.float32)
    other = document_losses(net, heldout, LENGTH, batch_size, torch.float32)
    assert other.losses == pytest.approx(one.losses, rel=1e-5)


def test_a_model_of_zeros_has_the_loss_of_uniform_guessing() -> None:
    net = model()
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    losses = document_losses(net, documents([9, 30, 12]), LENGTH, 2, torch.float32)
    assert losses.loss == pytest.approx(math.log(VOCABULARY), rel=1e-6)
    assert losses.standard_error == pytest.approx(0, abs=1e-6)


def test_standard_errors_are_those_of_sampling_documents() -> None:
    """Losses within a document are correlated, so that errors over windows would be too small."""
    rng = np.random.default_rng(0)

    def sample(number: int) -> DocumentLosses:
        tokens = rng.integers(20, 400, number)
        level = 3 + 0.5 * rng.standard_normal(number) + 0.001 * tokens
        return DocumentLosses(np.asarray(tokens * level, dtype=np.float64), tokens, tokens * 4)

    samples = [sample(40) for _ in range(4000)]
    errors = [each.standard_error for each in samples]
    spread = np.std([each.loss for each in samples])
    assert np.mean([error for error in errors if error is not None]) == pytest.approx(spread, rel=0.05)
    assert sample(1).standard_error is None
    # For documents of equal length it is that of a mean.
    for number in (2, 3, 10):
        losses, same = 100 * (3 + rng.standard_normal(number)), np.full(number, 100)
        expected = np.std(losses / 100, ddof=1) / math.sqrt(number)
        assert DocumentLosses(losses, same, same).standard_error == pytest.approx(expected)
    assert ratio_standard_error(np.zeros(3), 5) == 0


def test_only_whole_documents_up_to_a_number_of_tokens_are_evaluated() -> None:
    heldout = documents([10, 10, 10])
    assert [len(first_documents(heldout, most).ends) for most in (5, 10, 19, 20, 29, 30, 99)] == [
        1, 1, 1, 2, 2, 3, 3,
    ]  # fmt: skip
    assert len(first_documents(heldout, 20).tokens) == 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a corpus and two untrained models."""
    directory = tmp_path_factory.mktemp("evaluation")
    for seed, name in enumerate(("law", "code")):
        write_jsonl(directory / "corpus" / f"{name}.jsonl", make_texts(WORDS[name], seed))
    make_checkpoint(directory / "a")
    make_checkpoint(directory / "b")
    return directory


@pytest.fixture
def evaluate(place: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*flags: str) -> int:
        given = [*flags]
        for name, value in (
            ("--dataset", str(place / "corpus")),
            ("--packed_dir", str(place / "packed")),
            ("--output", str(tmp_path / "e.json")),
            ("--dtype", "float32"),
        ):
            if name not in given:
                given += [name, value]
        return main(given)

    return run


def test_checkpoints_side_by_side(
    evaluate: Callable[..., int], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(str(place / "a"), str(place / "b"), "--heldout_share", "0.3") == 0
    shown = capsys.readouterr()
    content = json.loads((tmp_path / "e.json").read_text())
    one, same = content["checkpoints"]
    assert one["domains"].keys() == {"law", "code"}
    for name, facts in one["domains"].items():
        assert facts["perplexity"] == pytest.approx(math.exp(facts["loss"]))
        assert facts["perplexity_standard_error"] == pytest.approx(
            facts["perplexity"] * facts["loss_standard_error"]
        )
        assert facts["documents"] > 5
        assert facts["tokens"] > 1000
        assert facts["bits_per_byte"] > 0
        assert "loss_against_first" not in facts
        assert same["domains"][name]["loss_against_first"] == 0
        assert same["domains"][name]["loss_against_first_standard_error"] == 0
        assert f"{facts['loss']:.3f} +- {facts['loss_standard_error']:.3f}" in shown.out
    losses = [facts["loss"] for facts in one["domains"].values()]
    errors = [facts["loss_standard_error"] for facts in one["domains"].values()]
    assert one["mean_loss"] == pytest.approx(np.mean(losses))
    assert one["mean_loss_standard_error"] == pytest.approx(math.hypot(*errors) / 2)
    assert one["geometric_mean_perplexity"] == pytest.approx(math.exp(np.mean(losses)))
    assert one["average_perplexity"] == pytest.approx(np.mean(np.exp(losses)))
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    assert "has no record of training on" not in shown.err


def test_json_on_stdout_and_the_table_on_stderr(
    evaluate: Callable[..., int], place: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert evaluate(str(place / "a"), "--output", "-", "--picture", str(tmp_path / "p.svg")) == 0
    captured = capfdbinary.readouterr()
    assert json.loads(captured.out)["format"] == "chameleon-evaluation/1"
    assert b"Held-out loss on" in captured.err
    assert b"it may have seen the held-out documents" in captured.err
    assert "<svg" in (tmp_path / "p.svg").read_text()


def test_a_perplexity_that_overflows_is_reported_as_infinite(
    evaluate: Callable[..., int], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    bad = tmp_path / "bad$^$"
    shutil.copytree(place / "a", bad)
    weights = load_file(bad / "model.safetensors")
    weights["transformer.ln_f.weight"] = weights["transformer.ln_f.weight"] * 1e6
    save_file(weights, bad / "model.safetensors", metadata={"format": "pt"})
    assert evaluate(str(bad), str(place / "a")) == 0
    content = json.loads((tmp_path / "e.json").read_text())["checkpoints"][0]
    assert content["domains"]["law"]["loss"] > 710
    assert content["domains"]["law"]["perplexity"] is None
    assert content["average_perplexity"] is None
    assert "inf" in capsys.readouterr().out


@pytest.mark.parametrize("share", ["NaN", "2.5", "-0.5", '"x"'])
def test_a_damaged_record(
    evaluate: Callable[..., int], place: Path, tmp_path: Path, share: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.copytree(place / "a", tmp_path / "c")
    (tmp_path / "c" / "training.json").write_text(f'{{"heldout_share": {share}}}')
    assert evaluate(str(tmp_path / "c")) == 2
    assert "training.json is damaged (heldout_share is" in capsys.readouterr().err


def test_more_tokens_give_smaller_standard_errors(
    evaluate: Callable[..., int], place: Path, tmp_path: Path
) -> None:
    errors = []
    for most in ("1500", "100000"):
        assert evaluate(str(place / "a"), "--heldout_share", "1", "--max_tokens", most) == 0
        facts = json.loads((tmp_path / "e.json").read_text())["checkpoints"][0]["domains"]["law"]
        errors.append((facts["tokens"], facts["loss_standard_error"]))
    assert errors[0][0] <= 1500 < errors[1][0]
    assert errors[1][1] < errors[0][1]


def test_the_heldout_share_is_that_of_the_training(
    evaluate: Callable[..., int], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    trained = tmp_path / "trained"
    shutil.copytree(place / "a", trained)
    record = {"settings": {"dataset": str(place / "corpus"), "split": None}, "heldout_share": 0.25}
    (trained / "training.json").write_text(json.dumps(record))
    assert evaluate(str(trained)) == 0
    assert json.loads((tmp_path / "e.json").read_text())["settings"]["heldout_share"] == 0.25
    assert "may have seen" not in capsys.readouterr().err
    assert evaluate(str(trained), "--heldout_share", "0.1") == 0
    capsys.readouterr()
    assert evaluate(str(trained), "--heldout_share", "0.3") == 2
    assert (
        "was trained with 0.25 of the documents held out, so it has seen some of 0.3"
        in capsys.readouterr().err
    )


def test_other_tokenizers_are_compared_by_bits_per_byte(
    evaluate: Callable[..., int], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_checkpoint(tmp_path / "other")
    definition = json.loads((other / "tokenizer.json").read_text())
    definition["model"]["merges"] = definition["model"]["merges"][:20]
    (other / "tokenizer.json").write_text(json.dumps(definition))
    assert evaluate(str(place / "a"), str(other)) == 0
    assert "different tokenizers: compare bits per byte" in capsys.readouterr().err
    content = json.loads((tmp_path / "e.json").read_text())["checkpoints"]
    assert "loss_against_first" not in content[1]["domains"]["law"]
    tokens = [each["domains"]["law"]["tokens"] for each in content]
    assert tokens[1] > tokens[0]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["./nowhere"], "there is no checkpoint ./nowhere"),
        (
            ["{a}", "--sample_length", "65"],
            "rows of 65 tokens exceed the context of 64 tokens of .*use --sample",
        ),
        (["{a}", "--sample_length", "1"], "a row of one token predicts nothing"),
        (["{a}", "--dataset", "./nowhere"], "there is no directory ./nowhere"),
        (["{a}", "--output", "{tmp}"], "it is a directory"),
        (
            ["{a}", "--picture", "{tmp}/p.xyz"],
            "expected a picture's name to end in .png, .svg or .pdf, got .*xyz",
        ),
        (["{a}", "--device", "abacus"], "--device abacus cannot be used here"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    evaluate: Callable[..., int], place: Path, tmp_path: Path, flags: list[str], expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import re

    assert evaluate(*(flag.format(a=place / "a", tmp=tmp_path) for flag in flags)) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1
    assert re.search(expected, errors[0]), errors
    assert captured.out == ""


def test_a_single_document_has_no_standard_error_and_an_empty_domain_is_noted(
    evaluate: Callable[..., int], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(tmp_path / "c" / "law.jsonl", make_texts(WORDS["law"], 1))
    write_jsonl(tmp_path / "c" / "code.jsonl", ["def f ( ) :", "return self"])
    write_jsonl(tmp_path / "c" / "one.jsonl", ["only this"])
    assert evaluate(str(place / "a"), "--dataset", str(tmp_path / "c")) == 0
    shown = capsys.readouterr()
    assert "one document of code is held out: its loss has no standard error" in shown.err
    assert "nothing of one is held out: it has too few documents" in shown.err
    content = json.loads((tmp_path / "e.json").read_text())["checkpoints"][0]
    assert content["domains"]["code"]["loss_standard_error"] is None
    assert content["mean_loss_standard_error"] is None
    assert content["domains"].keys() == {"code", "law"}
