"""Scores to weights, and embeddings to weights, against the formulas written out and known numbers."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.weights.compute import compute_weights
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.options import Mode
from chameleon.weights.sample import means_of, samples_of
from chameleon.weights.softmax import finetune_weights, pretrain_weights, scaled_temperature

DATA = ROOT / "tests" / "data"
MODES: tuple[Mode, ...] = ("pretrain", "finetune")
SOFTMAXES = [pretrain_weights, finetune_weights]
Softmax = Callable[..., Array]
seeded = settings(derandomize=True, deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)
# So much of the median squared distance, with a ridge of 1/2.
_NOISE_BOUND = math.log(1.25) / (1 + 2 * math.log(1.25))


def domains_of(seed: int) -> dict[str, Array]:
    """2 to 14 domains, some alike; the first of them as windows."""
    rng = np.random.default_rng(seed)
    k, d = rng.integers(2, 15), rng.integers(2, 20)
    means = rng.normal(size=(k, d)) + 5 * rng.integers(0, 2, size=(k, 1)) + 3
    return {f"domain {i}": mean for i, mean in enumerate(means)} | {"domain 0": rng.normal(size=(4, d))}


def scores(result: DomainWeights) -> Array:
    return np.array([result.domains[name]["score"] for name in result.names])


def softmax_written_out(exponents: Array) -> Array:
    powers = np.exp(exponents.astype(np.longdouble) - exponents.max())
    return np.asarray(powers / powers.sum(), dtype=np.float64)


def expected_weights(s: Array, mode: Mode, temperature: float) -> Array:
    p = s / s.sum()
    return softmax_written_out(1 / p / temperature if mode == "pretrain" else p / temperature)


@pytest.mark.parametrize("mode", MODES)
@seeded
@given(seeds)
def test_default_recipe_is_the_formula_by_eigendecomposition(mode: Mode, seed: int) -> None:
    domains = domains_of(seed)
    x = np.array([np.atleast_2d(rows).mean(axis=0) for rows in domains.values()])
    k = len(x)
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    pairs = np.triu_indices(k, 1)
    # What sampling adds to the distances of the one domain that is given as windows, at most a bound.
    rows = domains["domain 0"]
    noise = min(rows.var(axis=0, ddof=1).sum() / len(rows), _NOISE_BOUND * np.median(squared[pairs]))
    squared[0, 1:] -= noise
    squared[1:, 0] -= noise
    values, vectors = np.linalg.eigh(np.exp(-squared / (2 * np.median(squared[pairs]))))
    s = vectors**2 @ (values / (values + 0.5))
    temperature = 5 * k / 7 if mode == "pretrain" else 0.2 * 7 / k
    result = compute_weights(domains, mode)
    np.testing.assert_allclose(scores(result), s, rtol=0, atol=1e-10)
    np.testing.assert_allclose(result.weights, expected_weights(s, mode, temperature), rtol=0, atol=1e-10)
    assert result.diagnostics["effective_dimension"] == pytest.approx(s.sum(), abs=1e-10)


@pytest.mark.parametrize(("mode", "key"), [("pretrain", "pretrain_t5"), ("finetune", "finetune_t0.2")])
@pytest.mark.parametrize("index", range(4))
def test_released_recipe_gives_the_published_numbers(mode: Mode, key: str, index: int) -> None:
    reference = json.loads((DATA / "released_formula.json").read_text())
    means = dict(zip(reference["domains"], np.load(DATA / "domain_means.npy"), strict=True))
    published = reference["results"][index]
    lambda_reg = None if published["lambda_reg"] == 10 else published["lambda_reg"]  # 10 is the default
    result = compute_weights(means, mode, recipe="released", lambda_reg=lambda_reg)
    s = scores(result)
    np.testing.assert_allclose(s / s.sum(), published["scores"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.weights, published[key], rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_released_recipe_keeps_its_temperature_whatever_the_number_of_domains(mode: Mode) -> None:
    result = compute_weights(domains_of(1), mode, recipe="released")
    assert len(result.names) != 7
    temperature = 5.0 if mode == "pretrain" else 0.2
    expected = expected_weights(scores(result), mode, temperature)
    np.testing.assert_allclose(result.weights, expected, rtol=1e-12)


@pytest.mark.parametrize("recipe", ["default", "released"])
@pytest.mark.parametrize("mode", MODES)
@seeded
@given(seeds)
def test_weights_are_positive_shares_and_scores_below_one(recipe: str, mode: Mode, seed: int) -> None:
    # A lambda below 10, at which the released temperature lets no weight vanish.
    result = compute_weights(domains_of(seed), mode, recipe=recipe, lambda_reg=0.5)
    assert result.weights.sum() == pytest.approx(1, abs=1e-12)
    assert (result.weights > 0).all()
    assert ((scores(result) >= 0) & (scores(result) < 1)).all()


@pytest.mark.parametrize("recipe", ["default", "released"])
@pytest.mark.parametrize("mode", MODES)
@seeded
@given(seeds)
def test_weights_follow_the_names_in_any_order(recipe: str, mode: Mode, seed: int) -> None:
    domains = domains_of(seed)
    order = np.random.default_rng(seed).permutation(list(domains)).tolist()
    one = compute_weights(domains, mode, recipe=recipe)
    other = compute_weights({name: domains[name] for name in order}, mode, recipe=recipe)
    assert list(other.names) == order
    assert other.by_name() == pytest.approx(one.by_name(), rel=1e-7, abs=1e-12)
    facts = {name: one.domains[name]["score"] for name in one.names}
    assert {name: other.domains[name]["score"] for name in order} == pytest.approx(facts, abs=1e-10)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
@seeded
@given(seeds)
def test_default_recipe_depends_neither_on_place_nor_on_scale(factor: float, seed: int) -> None:
    domains = domains_of(seed)
    moved = {name: factor * (rows + 1000) for name, rows in domains.items()}
    assert compute_weights(moved).by_name() == pytest.approx(compute_weights(domains).by_name(), abs=1e-7)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("recipe", ["default", "released"])
def test_two_domains_weigh_the_same(mode: Mode, recipe: str) -> None:
    result = compute_weights({"a": [1.0, 5.0], "b": [-3.0, 2.0]}, mode, recipe=recipe)
    np.testing.assert_allclose(result.weights, [0.5, 0.5], rtol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("setting", [{"kernel": "linear"}, {"rbf_sigma": 1.0}])
def test_domains_at_one_point_weigh_the_same(mode: Mode, setting: Mapping[str, Any]) -> None:
    result = compute_weights({name: [0.25, 0.5] for name in "abcd"}, mode, **setting)
    np.testing.assert_allclose(result.weights, [0.25] * 4, rtol=1e-12)


def test_domain_at_the_centroid_has_all_pretrain_weight_and_least_finetune_weight() -> None:
    domains = {"left": [1.1, 2.0], "centre": [3.1, 2.0], "right": [5.1, 2.0]}
    pretrain, finetune = (compute_weights(domains, mode, recipe="released") for mode in MODES)
    assert pretrain.by_name() == pytest.approx({"left": 0, "centre": 1, "right": 0}, abs=1e-12)
    assert min(finetune.by_name(), key=finetune.by_name().__getitem__) == "centre"


def test_hundreds_of_domains_neither_overflow_nor_collapse() -> None:
    x = np.random.default_rng(0).normal(size=(500, 16))
    for mode in MODES:
        result = compute_weights({str(i): row for i, row in enumerate(x)}, mode)
        assert np.isfinite(result.weights).all()
        assert result.weights.max() < 0.1


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_windows_of_low_precision_are_averaged_in_float64(dtype: type[np.floating]) -> None:
    rows = np.full((20_000, 1), 0.1, dtype=dtype)
    means = means_of(samples_of({"a": rows, "b": [7]}))
    assert means.dtype == np.float64
    np.testing.assert_allclose(means, np.array([[dtype(0.1)], [7]], dtype=np.float64), rtol=1e-13)


def test_inputs_are_not_modified() -> None:
    domains = domains_of(2)
    before = {name: rows.copy() for name, rows in domains.items()}
    s = np.array([0.2, 0.0, 0.7])
    for array in (*domains.values(), s):
        array.flags.writeable = False
    for mode in MODES:
        compute_weights(domains, mode)
        compute_weights(domains, mode, recipe="released")
    pretrain_weights(s)
    finetune_weights(s)
    for name, rows in before.items():
        np.testing.assert_array_equal(domains[name], rows)
    assert s.tolist() == [0.2, 0.0, 0.7]


@pytest.mark.parametrize("given_scores", [[2.0, 3.0, 5.0], [0.2, 0.3, 0.5], [2e-310, 3e-310, 5e-310]])
def test_weights_are_the_softmax_written_out(given_scores: list[float]) -> None:
    up = [math.exp(1 / p / 4) for p in (0.2, 0.3, 0.5)]
    np.testing.assert_allclose(pretrain_weights(given_scores, 4), np.array(up) / sum(up), rtol=1e-9)
    down = [math.exp(p / 0.1) for p in (0.2, 0.3, 0.5)]
    np.testing.assert_allclose(finetune_weights(given_scores, 0.1), np.array(down) / sum(down), rtol=1e-9)


@pytest.mark.parametrize("softmax", SOFTMAXES)
@seeded
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=20), st.floats(0.2, 20))
def test_weights_are_flatter_as_the_temperature_grows(
    softmax: Softmax, some: list[float], temperature: float
) -> None:
    cold, warm = softmax(some, temperature), softmax(some, 1.5 * temperature)
    assert warm.max() <= cold.max() + 1e-15
    assert warm.min() >= cold.min() - 1e-15
    np.testing.assert_allclose(softmax(some, 1e9), 1 / len(some), rtol=1e-5)


@pytest.mark.parametrize(("mode", "softmax"), list(zip(MODES, SOFTMAXES, strict=True)))
@pytest.mark.parametrize("times", [2, 5, 100])
def test_temperature_scaled_to_more_domains_keeps_their_proportions(
    mode: Mode, softmax: Softmax, times: int
) -> None:
    seven = np.array([0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.8])
    assert scaled_temperature(mode, 3.0, 7) == 3.0
    temperature = scaled_temperature(mode, 3.0, 7 * times)
    expected = np.tile(softmax(seven, 3.0), times) / times
    np.testing.assert_allclose(softmax(np.tile(seven, times), temperature), expected, rtol=1e-12)


@pytest.mark.parametrize("softmax", SOFTMAXES)
@pytest.mark.parametrize("temperature", [1e-3, 0.2, 5.0])
def test_five_thousand_scores_give_shares_without_overflow(softmax: Softmax, temperature: float) -> None:
    weights = softmax(np.random.default_rng(0).uniform(1e-6, 1, size=5000), temperature)
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("tiny", [0.0, 1e-310, 5e-324])
def test_vanishing_scores_share_the_pretrain_weight_and_have_the_least_finetune_weight(tiny: float) -> None:
    np.testing.assert_array_equal(pretrain_weights([0.5, tiny, 0.9, tiny]), [0, 0.5, 0, 0.5])
    p = np.array([0.5, 0, 0.9, 0]) / 1.4
    np.testing.assert_allclose(finetune_weights([0.5, tiny, 0.9, tiny]), softmax_written_out(p / 0.2))


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_scores_that_are_all_zero_weigh_the_same(softmax: Softmax) -> None:
    np.testing.assert_allclose(softmax([0.0] * 4), [0.25] * 4)


def test_extreme_scores_and_temperatures_give_shares() -> None:
    np.testing.assert_array_equal(finetune_weights([0.5, 0.5], 1e-310), [0.5, 0.5])
    np.testing.assert_array_equal(finetune_weights([0.4, 0.6], 1e-310), [0, 1])
    np.testing.assert_array_equal(pretrain_weights([0.4, 0.6], 1e-310), [1, 0])
    np.testing.assert_allclose(pretrain_weights([1e308, 1.7e308]), pretrain_weights([1, 1.7]), rtol=1e-14)


@pytest.mark.parametrize("softmax", SOFTMAXES)
@pytest.mark.parametrize("bad", [[0.5, -0.1], [0.5, math.nan], [math.inf, 1], [], [[]], [[0.1], [-0.1]], 0.5])
def test_values_that_are_not_scores_are_refused(softmax: Softmax, bad: npt.ArrayLike) -> None:
    with pytest.raises(InputError, match="vector of finite numbers, none negative") as caught:
        softmax(bad)
    assert str(np.asarray(bad, dtype=np.float64)) in str(caught.value)


@pytest.mark.parametrize("softmax", SOFTMAXES)
@pytest.mark.parametrize("temperature", [0.0, -2.0, math.nan, math.inf])
def test_a_temperature_that_is_not_a_positive_number_is_refused(softmax: Softmax, temperature: float) -> None:
    with pytest.raises(InputError, match=f"temperature must be a positive number, got {temperature}"):
        softmax([0.1, 0.2], temperature)
