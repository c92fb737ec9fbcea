"""The objectives of DoReMi and DoGE against their formulas, written down anew."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from chameleon.methods.doge import DoGE, DoGESettings
from chameleon.methods.doremi import DoReMi
from chameleon.methods.moving_weights import MovingWeights

K, RATE = 4, 0.05


def make_model(seed: int) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=23, n_positions=8, n_embd=8, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).double()


def batches(steps: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Rows with their domains; one domain has none in the second step."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for step in range(steps):
        domains = torch.tensor([0, 1, 1, 2, 3, 3, 0, 2] if step != 1 else [0, 1, 1, 3, 3, 0, 0, 1])
        rows.append((torch.randint(23, (8, 8), generator=generator), domains))
    return rows


def loss_of(model: GPT2LMHeadModel, ids: torch.Tensor) -> torch.Tensor:
    """The library's own mean loss."""
    loss: torch.Tensor = model(input_ids=ids, labels=ids).loss
    return loss


def gradients_by_domain(
    model: GPT2LMHeadModel, ids: torch.Tensor, domains: torch.Tensor
) -> dict[int, torch.Tensor]:
    """Flat gradients of domains' mean losses, one at a time."""
    gradients = {}
    for i in sorted(set(domains.tolist())):
        model.zero_grad()
        torch.autograd.backward(loss_of(model, ids[domains == i]))
        gradients[i] = torch.cat(
            [each.grad.flatten().clone() for each in model.parameters() if each.grad is not None]
        )
    model.zero_grad()
    return gradients


def flat_gradient(model: GPT2LMHeadModel) -> torch.Tensor:
    return torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


def softmax(logits: list[float]) -> list[float]:
    parts = [math.exp(each) for each in logits]
    return [each / sum(parts) for each in parts]


def test_doremi_follows_its_formula() -> None:
    model, reference = make_model(0), make_model(1)
    eta, e = 0.7, 0.01
    objective = DoReMi(K, copy.deepcopy(reference), "r", torch.float32, eta, e)
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
def test_doge_follows_its_formula(targets: tuple[int, ...], untrained: tuple[int, ...], scale: int) -> None:
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
def test_objectives_continue_from_a_saved_state(kind: str) -> None:
    def make() -> DoReMi | DoGE:
        if kind == "doge":
            return DoGE(K, DoGESettings((0, 1, 2, 3)))
        return DoReMi(K, make_model(1), "r", torch.float32)

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


def test_trajectories_are_thinned_and_weights_may_reach_zero() -> None:
    moving = MovingWeights(3)
    generator = np.random.default_rng(0)
    sums = np.zeros(3)
    for _ in range(5000):
        sums += moving.move(0.1 * generator.normal(size=3))
    np.testing.assert_allclose(moving.mean, sums / 5000, rtol=1e-9)
    steps = [step for step, _ in moving.trajectory]
    assert 150 <= len(steps) < 400
    assert np.ptp(np.diff(steps)) == 0
    moving.move(np.array([0.0, -2000.0, 0.0]))
    moving.move(np.array([0.0, 1.0, 0.0]))
    assert moving.weights[1] == 0
    assert np.isfinite(moving.weights).all()
