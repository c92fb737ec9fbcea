"""Weights within epochs, floors and a prior: the water-filling against a solver, and its properties."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon.common.errors import InputError
from chameleon.export.budget import Limits, apply_limits, format_tokens, project_shares
from chameleon.weights.domain_weights import DomainWeights


def weights_of(*shares: float) -> DomainWeights:
    return DomainWeights(tuple("abcdefgh"[: len(shares)]), np.array(shares), "test")


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    k = draw(st.integers(2, 12))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    wanted = rng.dirichlet(np.full(k, draw(st.sampled_from([0.2, 1.0, 5.0]))))
    if draw(st.booleans()):
        wanted[rng.integers(k)] = 0
        wanted /= wanted.sum()
    least = rng.random(k) * draw(st.sampled_from([0.0, 0.9])) / k
    most = np.maximum(least, rng.random(k) * draw(st.sampled_from([1.0, 3.0])))
    if most.sum() < 1:
        most *= draw(st.sampled_from([1.0, 1.3])) / most.sum()
    return wanted, least, most


@given(problems())
@settings(max_examples=300, deadline=None)
def test_shares_sum_to_1_within_floors_and_caps(
    problem: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    wanted, least, most = problem
    shares = project_shares(wanted, least, most)
    assert shares.sum() == pytest.approx(1, abs=1e-9)
    assert (shares >= least - 1e-9).all()
    assert (shares <= most + 1e-9).all()
    # Shares at neither floor nor cap are scaled by one factor.
    free = (shares > least + 1e-9) & (shares < most - 1e-9) & (wanted > 1e-9)
    ratios = shares[free] / wanted[free]
    if len(ratios) > 1:
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_shares_are_the_nearest_that_a_solver_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(3, 8))
    wanted = rng.dirichlet(np.ones(k)) * 0.98 + 0.02 / k
    least = rng.random(k) * 0.5 / k
    most = np.maximum(rng.random(k) * 2.5 / k, least + 0.01)
    most *= max(1.0, 1.1 / most.sum())
    solved = scipy.optimize.minimize(  # type: ignore[call-overload]
        lambda w: float((w * np.log(np.maximum(w, 1e-300) / wanted)).sum()),
        np.clip(wanted, least, most),
        jac=lambda w: np.log(np.maximum(w, 1e-300) / wanted) + 1,
        bounds=list(zip(np.maximum(least, 1e-12), most, strict=True)),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(k)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(project_shares(wanted, least, most), solved.x, atol=1e-5)


@given(problems(), st.floats(1.0, 5.0))
@settings(max_examples=100, deadline=None)
def test_looser_caps_bring_weights_closer(
    problem: tuple[np.ndarray, np.ndarray, np.ndarray], factor: float
) -> None:
    wanted, _, most = problem
    least = np.zeros_like(wanted)
    near, far = (
        project_shares(wanted, least, np.minimum(most * factor, 1)),
        project_shares(wanted, least, most),
    )
    assert np.abs(near - wanted).sum() <= np.abs(far - wanted).sum() + 1e-9


def test_a_budget_caps_what_would_be_seen_too_often() -> None:
    counts = {"a": 10.0, "b": 100.0, "c": 1000.0}
    raw = weights_of(0.5, 0.3, 0.2)
    seen = []
    for budget in (10, 100, 200, 1000, 4000):
        capped = apply_limits(raw, Limits(budget=budget, counts=counts, max_epochs={"": 4}))
        epochs = [capped.domains[name]["epochs"] for name in "abc"]
        assert max(epochs) <= 4 + 1e-9
        assert epochs == pytest.approx([w * budget / counts[n] for n, w in capped.by_name().items()])
        seen.append(capped.by_name()["a"])
    assert seen[0] == 0.5
    assert seen == sorted(seen, reverse=True)
    # By hand: of 100 tokens 40 may be of a; the other 60 are divided 3 to 2.
    capped = apply_limits(raw, Limits(budget=100, counts=counts, max_epochs={"": 4}))
    assert capped.by_name() == pytest.approx({"a": 0.4, "b": 0.36, "c": 0.24})
    assert capped.domains["a"]["raw_weight"] == 0.5
    assert capped.settings["max_epochs"] == {"": 4}
    # One domain alone: c may be seen but 0.1 times, which a and b make up for.
    capped = apply_limits(raw, Limits(budget=1000, counts={**counts, "a": 1e4}, max_epochs={"c": 0.1}))
    assert capped.by_name() == pytest.approx({"a": 0.5625, "b": 0.3375, "c": 0.1})


def test_a_prior_pulls_to_natural_shares_and_a_floor_holds() -> None:
    raw = weights_of(0.7, 0.2, 0.1)
    counts = {"a": 100.0, "b": 300.0, "c": 600.0}
    half = apply_limits(raw, Limits(counts=counts, prior_strength=0.5))
    assert half.by_name() == pytest.approx({"a": 0.4, "b": 0.25, "c": 0.35})
    assert apply_limits(raw, Limits(counts=counts, prior_strength=1.0)).by_name() == pytest.approx(
        {"a": 0.1, "b": 0.3, "c": 0.6}
    )
    floor = apply_limits(raw, Limits(min_weight=0.15))
    assert floor.by_name() == pytest.approx({"a": 0.7 * 0.85 / 0.9, "b": 0.2 * 0.85 / 0.9, "c": 0.15})
    same = apply_limits(raw, Limits())
    assert same.by_name() == raw.by_name()
    assert "raw_weight" not in same.domains["a"]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(min_weight=0.4), "--min_weight 0.4 for 3 domains sums to 1.2; give at most 0.3333"),
        (
            Limits(budget=1e9, counts={"a": 1e8, "b": 1e8, "c": 1e8}, max_epochs={"": 2}),
            "the budget of 1B tokens is over what the domains give within --max_epochs: 600M; 400M are "
            "missing",
        ),
        (
            Limits(budget=1e9, counts={"a": 1e7, "b": 1e9, "c": 1e9}, max_epochs={"": 2}, min_weight=0.1),
            "the least share of a (0.1, --min_weight) is over what --max_epochs leaves of it (0.02): 80M "
            "tokens",
        ),
        (Limits(max_epochs={"": 2}), "--max_epochs needs --budget"),
        (Limits(budget=1e9, max_epochs={"": 2}), "--max_epochs needs --token_counts"),
        (Limits(prior_strength=0.5), "--prior_strength needs the tokens of each domain"),
        (Limits(budget=1e9, counts={"a": 1, "b": 2}), "--token_counts lacks c"),
        (Limits(budget=1e9, counts={"a": 1, "b": 2, "c": 0}), "c has 0 available tokens"),
        (Limits(budget=9, counts={"a": 1, "b": 2, "c": 3}, max_epochs={"d": 1}), "--max_epochs names d"),
    ],
)
def test_limits_that_cannot_be_met_report_by_how_much(limits: Limits, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        apply_limits(weights_of(0.5, 0.3, 0.2), limits)
    assert expected in str(caught.value)


def test_numbers_of_tokens_are_abbreviated() -> None:
    assert [format_tokens(n) for n in (12, 1500, 2.5e6, 3e11, 1.234e13)] == [
        "12",
        "1.5k",
        "2.5M",
        "300B",
        "12.34T",
    ]
