"""DoReMi and DoGE from the command line: resuming, seeds, targets and cost."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from conftest import write_jsonl
from method_runs import MODEL, flags_for, make_corpus, read_weights
from transformers import GPT2Config, GPT2LMHeadModel

from chameleon.methods.command import main
from chameleon.methods.cost import forward_flops
from chameleon.training.trainer import StreamTrainer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("methods"))


@pytest.mark.parametrize("method", ["doremi", "doge"])
def test_an_interrupted_command_resumes_with_the_same_result(
    method: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped after a checkpoint of a proxy, and repeated."""
    flags = ["--save_steps", "2", "--logging_steps", "1"]
    assert main(flags_for(corpus, tmp_path / "whole", method, *flags)) == 0
    save = StreamTrainer._save_checkpoint

    def breaking(self: StreamTrainer, *arguments: object) -> None:
        save(self, *arguments)
        if "proxy-1" in str(self.args.output_dir) and self.state.global_step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StreamTrainer, "_save_checkpoint", breaking)
        assert main(flags_for(corpus, tmp_path / "parts", method, *flags)) == 130
    assert main(flags_for(corpus, tmp_path / "parts", method, *flags)) == 0
    mine, theirs = (read_weights(tmp_path / name / "w.json") for name in ("parts", "whole"))
    assert mine["weights"] == theirs["weights"]
    assert mine["diagnostics"]["seeds"] == theirs["diagnostics"]["seeds"]
    assert list(mine["diagnostics"]["seeds"]) == ["0", "1"]
    assert mine["diagnostics"]["cost"]["flops"] == theirs["diagnostics"]["cost"]["flops"] > 0
    assert (tmp_path / "parts" / "w.png").exists()
    lines = (tmp_path / "parts" / "r" / method / "proxy-1" / "weights.csv").read_text().splitlines()
    assert len(lines) == 6
    assert main(flags_for(corpus, tmp_path / "parts", method, *flags, "--learning_rate", "1e-3")) == 2


def make_helping_corpus(directory: Path) -> None:
    """Write two domains, one made of both, and noise."""
    random_state = random.Random(0)
    first = ["apple", "amber", "arrow", "anvil", "acorn", "atlas"]
    second = ["brick", "bison", "basil", "badge", "birch", "bloom"]

    def walk(words: list[str], length: int) -> str:
        at, walked = random_state.randrange(len(words)), []
        for _ in range(length):
            walked.append(words[at])
            at = (at + 1) % len(words) if random_state.random() < 0.9 else random_state.randrange(len(words))
        return " ".join(walked)

    def noise() -> str:
        return "".join(random_state.choices("qxzjkvw0123456789", k=240))

    for name, make in {
        "first": lambda: walk(first, 40),
        "second": lambda: walk(second, 40),
        "helper": lambda: f"{walk(first, 20)} {walk(second, 20)}",
        "noise": noise,
    }.items():
        write_jsonl(directory / f"{name}.jsonl", [make() for _ in range(150)])


@pytest.mark.slow
def test_doge_prefers_a_helpful_domain_and_doremi_avoids_noise(tmp_path: Path) -> None:
    """DoReMi does not chase noise, on which its reference model does no better."""
    make_helping_corpus(tmp_path / "corpus")
    (tmp_path / "model.json").write_text(json.dumps({**MODEL, "n_embd": 32, "n_layer": 2}))
    for method in ("doge", "doremi"):
        flags = [
            "--batch_size", "16", "--lr_schedule", "constant", "--warmup_steps", "5", "--max_steps", "80",
            "--save_steps", "1000", "--num_seeds", "1",
        ]  # fmt: skip
        assert main(flags_for(tmp_path, tmp_path / method, method, *flags)) == 0
    doge, doremi = (read_weights(tmp_path / name / "w.json")["weights"] for name in ("doge", "doremi"))
    assert max(doge, key=doge.__getitem__) == "helper"
    assert doge["helper"] > 0.5
    assert doge["noise"] < 0.1
    assert doremi["noise"] < 0.25


def test_disagreeing_seeds_are_reported(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags_for(corpus, tmp_path, "doremi", "--step_size", "50")) == 0
    assert "doremi is unstable here: weights of two seeds differ by" in capsys.readouterr().err
    content = read_weights(tmp_path / "w.json")
    seeds = [np.array(list(each.values())) for each in content["diagnostics"]["seeds"].values()]
    assert content["diagnostics"]["seeds_apart"] == pytest.approx(np.abs(seeds[0] - seeds[1]).sum() / 2)
    assert content["notices"]
    for place_of, name in enumerate(content["weights"]):
        error = abs(seeds[0][place_of] - seeds[1][place_of]) / 2
        assert content["domains"][name]["standard_error"] == pytest.approx(error)


def test_targets_out_of_domain_have_no_weight(corpus: Path, tmp_path: Path) -> None:
    flags = ["--target_domains", "law", "--out_of_domain", "--num_seeds", "1"]
    assert main(flags_for(corpus, tmp_path, "doge", *flags)) == 0
    content = read_weights(tmp_path / "w.json")
    assert set(content["weights"]) == {"code", "cooking"}
    # Rows of the target take one forward and backward pass, of the others two.
    row = forward_flops(tmp_path / "r" / "doge" / "proxy-0", 32)
    rows = json.loads((tmp_path / "r" / "doge" / "proxy-0" / "training.json").read_text())["result"][
        "domains"
    ]
    passes = {name: 3 if name == "law" else 6 for name in rows}
    expected = row * sum(passes[name] * facts["tokens"] / 32 for name, facts in rows.items())
    assert content["diagnostics"]["cost"]["flops"] == pytest.approx(expected)


def test_flops_are_those_of_matrix_products(tmp_path: Path) -> None:
    """Counted by hand for a GPT-2: matrices of the blocks and the head, and attention over all pairs."""
    config = GPT2Config(vocab_size=50, n_positions=16, n_embd=8, n_layer=3, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    t, d, blocks = 16, 8, 3
    expected = t * (blocks * 2 * 12 * d * d + 2 * 50 * d) + blocks * 2 * 2 * t * t * d
    assert forward_flops(tmp_path, t) == expected
