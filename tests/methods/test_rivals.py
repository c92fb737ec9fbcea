"""Rival methods: plain rules, DoReMi and DoGE against formulas written down anew, and the commands."""

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from conftest import ROOT, WORDS, make_texts, write_jsonl
from transformers import GPT2Config, GPT2LMHeadModel

from chameleon.methods.command import main
from chameleon.methods.cost import forward_flops
from chameleon.methods.doge import DoGE, DoGESettings
from chameleon.methods.doremi import DoReMi, DoReMiSettings
from chameleon.methods.moving_weights import MovingWeights
from chameleon.methods.run import temperature_shares
from chameleon.training.trainer import StreamTrainer

SCHEMA = json.loads((ROOT / "docs" / "weights.schema.json").read_text())
TINY = {
    "model_type": "gpt2", "vocab_size": 320, "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
K, RATE = 4, 0.05
Gradients = list[torch.Tensor]


def make_model(seed: int) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=23, n_positions=8, n_embd=8, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).double()


def batches(steps: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Rows with their domains; one domain has none in the second step."""
    chance = torch.Generator().manual_seed(0)
    found = []
    for step in range(steps):
        domains = torch.tensor([0, 1, 1, 2, 3, 3, 0, 2] if step != 1 else [0, 1, 1, 3, 3, 0, 0, 1])
        found.append((torch.randint(23, (8, 8), generator=chance), domains))
    return found


def loss_of(model: GPT2LMHeadModel, ids: torch.Tensor) -> torch.Tensor:
    """The library's own mean loss."""
    loss: torch.Tensor = model(input_ids=ids, labels=ids).loss
    return loss


def gradients_by_domain(
    model: GPT2LMHeadModel, ids: torch.Tensor, domains: torch.Tensor
) -> dict[int, torch.Tensor]:
    """Flat gradients of domains' mean losses, one at a time."""
    found = {}
    for i in sorted(set(domains.tolist())):
        model.zero_grad()
        torch.autograd.backward(loss_of(model, ids[domains == i]))
        found[i] = torch.cat(
            [each.grad.flatten().clone() for each in model.parameters() if each.grad is not None]
        )
    model.zero_grad()
    return found


def flat_gradient(model: GPT2LMHeadModel) -> torch.Tensor:
    return torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


def softmax(logits: list[float]) -> list[float]:
    parts = [math.exp(each) for each in logits]
    return [each / sum(parts) for each in parts]


def test_doremi_is_its_formula() -> None:
    model, reference = make_model(0), make_model(1)
    eta, e = 0.7, 0.01
    objective = DoReMi(K, copy.deepcopy(reference), "r", DoReMiSettings(eta, e), torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    weights, excess, history = [1 / K] * K, [0.0] * K, []
    for ids, domains in batches(4):
        gradients = gradients_by_domain(model, ids, domains)
        for i in gradients:
            # Token by token, as the paper has it.
            rows, values = ids[domains == i], []
            mine, theirs = (torch.log_softmax(each(input_ids=rows).logits, -1) for each in (model, reference))
            for row in range(len(rows)):
                for t in range(1, rows.shape[1]):
                    token = rows[row, t]
                    values.append(max(float((theirs - mine).detach()[row, t - 1, token]), 0.0))
            excess[i] = sum(values) / len(values)
        moved = softmax([math.log(w) + eta * x for w, x in zip(weights, excess, strict=True)])
        weights = [(1 - e) * each + e / K for each in moved]
        history.append(weights)
        optimizer.zero_grad()
        loss = objective.step(model, ids, domains, RATE)
        np.testing.assert_allclose(objective.moving.weights, weights, atol=1e-9)
        expected = torch.stack([weights[i] * g for i, g in gradients.items()]).sum(0)
        torch.testing.assert_close(flat_gradient(model), expected, atol=1e-6, rtol=1e-6)
        losses = {i: float(loss_of(model, ids[domains == i]).detach()) for i in gradients}
        assert float(loss.detach()) == pytest.approx(sum(weights[i] * losses[i] for i in losses))
        optimizer.step()
    np.testing.assert_allclose(objective.moving.mean, np.mean(history, axis=0), atol=1e-9)


@pytest.mark.parametrize(
    ("targets", "untrained", "scale"),
    [((0, 1, 2, 3), (), 1), ((0, 1, 2, 3), (), 6), ((2,), (), 1), ((3,), (3,), 1), ((0, 3), (0, 3), 1)],
    ids=["universal", "steep", "a target", "out of domain", "two out of domain"],
)
def test_doge_is_its_formula(targets: tuple[int, ...], untrained: tuple[int, ...], scale: int) -> None:
    model, mu = make_model(0), 0.3
    with torch.no_grad():  # steep losses have scores beyond both bounds
        for parameter in model.parameters():
            parameter.mul_(scale)
    objective = DoGE(K, DoGESettings(targets, untrained, mu))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    trained = [i for i in range(K) if i not in untrained]
    weights, history = dict.fromkeys(trained, 1 / len(trained)), []
    below = above = 0
    for ids, domains in batches(5):
        gradients = gradients_by_domain(model, ids, domains)
        present = [i for i in trained if i in gradients]
        norm = sum(float(gradients[i].norm()) for i in present) / len(present)
        logits = {i: math.log(weights[i]) for i in trained}
        for i in present:
            others = [j for j in targets if j != i and j in gradients]
            aligned = sum(float(gradients[i] @ gradients[j]) for j in others)
            score = RATE * aligned / norm
            below, above = below + (score < 0), above + (score > 5 * RATE)
            logits[i] += min(max(score, 0.0), 5 * RATE) / mu
        weights = dict(zip(trained, softmax([logits[i] for i in trained]), strict=True))
        history.append([weights[i] for i in trained])
        optimizer.zero_grad()
        objective.step(model, ids, domains, RATE)
        np.testing.assert_allclose(objective.moving.weights, history[-1], atol=1e-9)
        expected = torch.stack([weights[i] * gradients[i] for i in present]).sum(0)
        torch.testing.assert_close(flat_gradient(model), expected, atol=1e-6, rtol=1e-6)
        optimizer.step()
    np.testing.assert_allclose(objective.moving.mean, np.mean(history, axis=0), atol=1e-9)
    if scale > 1:
        assert below, "no score was clipped at 0, so that is not tested"
        assert above, "no score was clipped at 5 rates, so that is not tested"


@pytest.mark.parametrize("kind", ["doremi", "doge"])
def test_objectives_go_on_from_their_state(kind: str) -> None:
    def make() -> DoReMi | DoGE:
        if kind == "doge":
            return DoGE(K, DoGESettings((0, 1, 2, 3)))
        return DoReMi(K, make_model(1), "r", DoReMiSettings(), torch.float32)

    whole, model = make(), make_model(0)
    parts = make()
    for step, (ids, domains) in enumerate(batches(4)):
        whole.step(model, ids, domains, RATE)
        if step == 1:  # the last excess of a domain that is not in a step is part of the state
            state = json.loads(json.dumps(parts.state()))
            parts = make()
            parts.restore(state)
        parts.step(model, ids, domains, RATE)
    np.testing.assert_array_equal(parts.moving.weights, whole.moving.weights)
    np.testing.assert_array_equal(parts.moving.mean, whole.moving.mean)
    assert parts.moving.trajectory == whole.moving.trajectory


def test_trajectories_are_thinned_and_weights_may_become_none() -> None:
    moving = MovingWeights(3)
    chance = np.random.default_rng(0)
    sums = np.zeros(3)
    for _ in range(5000):
        sums += moving.move(0.1 * chance.normal(size=3))
    np.testing.assert_allclose(moving.mean, sums / 5000, rtol=1e-9)
    steps = [step for step, _ in moving.trajectory]
    assert 150 <= len(steps) < 400
    assert np.ptp(np.diff(steps)) == 0
    moving.move(np.array([0.0, -2000.0, 0.0]))
    moving.move(np.array([0.0, 1.0, 0.0]))
    assert moving.weights[1] == 0
    assert np.isfinite(moving.weights).all()


def test_temperatures_lie_between_natural_and_uniform() -> None:
    counts = np.array([8.0, 4.0, 1.0, 0.0])
    np.testing.assert_allclose(temperature_shares(counts, 1), counts / 13)
    np.testing.assert_allclose(temperature_shares(counts, 2), np.sqrt(counts) / np.sqrt(counts).sum())
    np.testing.assert_allclose(temperature_shares(counts, math.inf), 0.25)


# The commands


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rivals")
    for seed, name in enumerate(WORDS):
        write_jsonl(directory / "corpus" / f"{name}.jsonl", make_texts(WORDS[name], seed, 20 * (seed + 1)))
    (directory / "tiny.json").write_text(json.dumps(TINY))
    return directory


TEXT = ["--vocab_size", "320", "--heldout_share", "0.1"]
TRAINING = [
    *TEXT, "--sample_length", "32", "--batch_size", "6", "--learning_rate", "3e-3", "--max_steps", "5",
    "--device", "cpu", "--dtype", "float32",
]  # fmt: skip


def flags_for(place: Path, output: Path, method: str, *flags: str) -> list[str]:
    text = ["--dataset", str(place / "corpus"), "--packed_dir", str(place / "packed")]
    if method in ("uniform", "natural", "temperature"):
        return [method, *text, *TEXT, "--output", str(output / "w.json"), *flags]
    models = ["--model", str(place / "tiny.json"), "--output_dir", str(output / "r")]
    where = [] if method == "all" else ["--output", str(output / "w.json")]
    return [method, *text, *TRAINING, *models, *where, *flags]


def weights_in(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(content, SCHEMA)
    return content


@pytest.mark.parametrize(("method", "power"), [("uniform", 0.0), ("natural", 1.0), ("temperature", 0.5)])
def test_plain_rules(
    method: str, power: float, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags_for(place, tmp_path, method)) == 0
    content = weights_in(tmp_path / "w.json")
    counts = {name: facts["corpus_tokens"] for name, facts in content["domains"].items()}
    total = sum(count**power for count in counts.values())
    assert content["weights"] == pytest.approx({name: n**power / total for name, n in counts.items()})
    assert "cost" in capsys.readouterr().out
    (tmp_path / "counts.json").write_text(json.dumps({"tokens": counts}))
    assert (
        main([method, "--token_counts", str(tmp_path / "counts.json"), "--output", str(tmp_path / "c.json")])
        == 0
    )
    assert weights_in(tmp_path / "c.json")["weights"] == pytest.approx(content["weights"])


@pytest.mark.parametrize("method", ["doremi", "doge"])
def test_a_run_that_was_broken_off_comes_to_the_same(
    method: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped behind a checkpoint of a proxy, and begun again with the same command."""
    flags = ["--save_steps", "2", "--logging_steps", "1"]
    assert main(flags_for(place, tmp_path / "whole", method, *flags)) == 0
    save = StreamTrainer._save_checkpoint

    def breaking(self: StreamTrainer, *arguments: object) -> None:
        save(self, *arguments)
        if "proxy-1" in str(self.args.output_dir) and self.state.global_step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StreamTrainer, "_save_checkpoint", breaking)
        assert main(flags_for(place, tmp_path / "parts", method, *flags)) == 130
    assert main(flags_for(place, tmp_path / "parts", method, *flags)) == 0
    mine, theirs = (weights_in(tmp_path / name / "w.json") for name in ("parts", "whole"))
    assert mine["weights"] == theirs["weights"]
    assert mine["diagnostics"]["seeds"] == theirs["diagnostics"]["seeds"]
    assert list(mine["diagnostics"]["seeds"]) == ["0", "1"]
    assert mine["diagnostics"]["cost"]["flops"] == theirs["diagnostics"]["cost"]["flops"] > 0
    assert (tmp_path / "parts" / "w.png").exists()
    lines = (tmp_path / "parts" / "r" / method / "proxy-1" / "weights.csv").read_text().splitlines()
    assert len(lines) == 6
    assert main(flags_for(place, tmp_path / "parts", method, *flags, "--learning_rate", "1e-3")) == 2


def make_helping_corpus(directory: Path) -> None:
    """Two domains, one that is made of both, and noise."""
    chance = random.Random(0)
    first = ["apple", "amber", "arrow", "anvil", "acorn", "atlas"]
    second = ["brick", "bison", "basil", "badge", "birch", "bloom"]

    def walk(words: list[str], length: int) -> str:
        at, said = chance.randrange(len(words)), []
        for _ in range(length):
            said.append(words[at])
            at = (at + 1) % len(words) if chance.random() < 0.9 else chance.randrange(len(words))
        return " ".join(said)

    def noise() -> str:
        return "".join(chance.choices("qxzjkvw0123456789", k=240))

    for name, make in {
        "first": lambda: walk(first, 40),
        "second": lambda: walk(second, 40),
        "helper": lambda: f"{walk(first, 20)} {walk(second, 20)}",
        "noise": noise,
    }.items():
        write_jsonl(directory / f"{name}.jsonl", [make() for _ in range(150)])


@pytest.mark.slow
def test_noise_and_a_domain_that_helps_all(tmp_path: Path) -> None:
    """DoGE goes from the noise to the helper; DoReMi does not chase noise that the reference has as well."""
    make_helping_corpus(tmp_path / "corpus")
    (tmp_path / "tiny.json").write_text(json.dumps({**TINY, "n_embd": 32, "n_layer": 2}))
    for method in ("doge", "doremi"):
        flags = [
            "--batch_size", "16", "--lr_schedule", "constant", "--warmup_steps", "5", "--max_steps", "80",
            "--save_steps", "1000", "--num_seeds", "1",
        ]  # fmt: skip
        assert main(flags_for(tmp_path, tmp_path / method, method, *flags)) == 0
    doge, doremi = (weights_in(tmp_path / name / "w.json")["weights"] for name in ("doge", "doremi"))
    assert max(doge, key=doge.__getitem__) == "helper"
    assert doge["helper"] > 0.5
    assert doge["noise"] < 0.1
    assert doremi["noise"] < 0.25


def test_all_methods_in_one_table(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({"weights": {"law": 0.2, "code": 0.3, "cooking": 0.5}}))
    flags = ["--num_runs", "6", "--num_simulated", "500", "--num_seeds", "1", "--regressor", "loglinear"]
    assert main(flags_for(place, tmp_path, "all", *flags, "--beside", str(tmp_path / "mine.json"))) == 0
    said = capsys.readouterr().out
    heads = said.splitlines()[0].split()
    assert heads == ["domain", "mine", "uniform", "natural", "temperature", "regmix", "doremi", "doge"]
    assert "cost" in said
    contents = {each.stem: weights_in(each) for each in (tmp_path / "r").glob("weights_*.json")}
    assert len(contents) == 6
    assert {frozenset(each["weights"]) for each in contents.values()} == {frozenset(WORDS)}
    # RegMix's runs take DoReMi's steps together: a reference's five and a proxy's five, over six runs.
    assert contents["weights_regmix"]["settings"]["max_steps"] == 10 // 6
    assert (tmp_path / "r" / "weights.png").exists()


def test_seeds_that_disagree_are_told(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags_for(place, tmp_path, "doremi", "--step_size", "50")) == 0
    assert "doremi is unstable here: weights of two seeds are" in capsys.readouterr().err
    content = weights_in(tmp_path / "w.json")
    seeds = [np.array(list(each.values())) for each in content["diagnostics"]["seeds"].values()]
    assert content["diagnostics"]["seeds_apart"] == pytest.approx(np.abs(seeds[0] - seeds[1]).sum() / 2)
    assert content["notices"]
    for place_of, name in enumerate(content["weights"]):
        error = abs(seeds[0][place_of] - seeds[1][place_of]) / 2
        assert content["domains"][name]["standard_error"] == pytest.approx(error)


def test_targets_out_of_domain_have_no_weight(place: Path, tmp_path: Path) -> None:
    flags = ["--target_domains", "law", "--out_of_domain", "--num_seeds", "1"]
    assert main(flags_for(place, tmp_path, "doge", *flags)) == 0
    content = weights_in(tmp_path / "w.json")
    assert set(content["weights"]) == {"code", "cooking"}
    # Rows of the target take one forward and backward pass, of the others two.
    row = forward_flops(tmp_path / "r" / "doge" / "proxy-0", 32)
    rows = json.loads((tmp_path / "r" / "doge" / "proxy-0" / "training.json").read_text())["result"][
        "domains"
    ]
    passes = {name: 3 if name == "law" else 6 for name in rows}
    expected = row * sum(passes[name] * facts["tokens"] / 32 for name, facts in rows.items())
    assert content["diagnostics"]["cost"]["flops"] == pytest.approx(expected)


def test_flops_are_those_of_the_products(tmp_path: Path) -> None:
    """By hand for a GPT-2: matrices of the blocks and the head, and attention over all pairs."""
    config = GPT2Config(vocab_size=50, n_positions=16, n_embd=8, n_layer=3, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    t, d, blocks = 16, 8, 3
    expected = t * (blocks * 2 * 12 * d * d + 2 * 50 * d) + blocks * 2 * 2 * t * t * d
    assert forward_flops(tmp_path, t) == expected


def test_caps_hold_for_any_method(place: Path, tmp_path: Path) -> None:
    assert main(flags_for(place, tmp_path, "natural")) == 0
    counts = {
        name: facts["corpus_tokens"] for name, facts in weights_in(tmp_path / "w.json")["domains"].items()
    }
    budget = str(sum(counts.values()))
    assert main(flags_for(place, tmp_path, "uniform", "--budget", budget, "--max_epochs", "1.2")) == 0
    content = weights_in(tmp_path / "w.json")
    assert all(facts["epochs"] <= 1.2 + 1e-9 for facts in content["domains"].values())


@pytest.mark.parametrize(
    ("method", "flags", "expected"),
    [
        ("doge", ("--target_domains", "poetry"), "there is no domain poetry (--target_domains)"),
        ("doge", ("--out_of_domain",), "--out_of_domain leaves targets out of the training"),
        (
            "doge",
            ("--out_of_domain", "--target_domains", "law,code,cooking"),
            "--out_of_domain leaves no domain to train on",
        ),
        ("doremi", ("--batch_size", "2"), "a step of 2 rows cannot hold one of each of 3 domains"),
        (
            "doremi",
            ("--gradient_accumulation_steps", "2"),
            "--gradient_accumulation_steps does not go with doremi and doge",
        ),
        (
            "all",
            ("--gradient_accumulation_steps", "2"),
            "--gradient_accumulation_steps does not go with doremi and doge",
        ),
        ("all", ("--target_domains", "poetry"), "there is no domain poetry (--target_domains)"),
        ("doremi", ("--reference_weights", "nowhere.json"), "cannot read the weights nowhere.json"),
        ("doremi", ("--picture", "x.txt"), "expected a picture's name to end in .png, .svg or .pdf"),
        ("natural", ("--token_counts", "nowhere.json"), "nowhere.json"),
    ],
)
def test_what_cannot_be_asked(
    method: str,
    flags: tuple[str, ...],
    expected: str,
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(flags_for(place, tmp_path, method, *flags)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1
    assert expected in errors[0]
    assert not (tmp_path / "w.json").exists()
