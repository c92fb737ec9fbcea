"""Affinity, leverage scores and weights, against independent ways to the same numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from chameleon import (
    InputError,
    compute_weights,
    effective_dimension,
    finetune_weights,
    leverage_scores,
    linear_affinity,
    median_sigma,
    pretrain_weights,
    rbf_affinity,
)
from chameleon.weights import Mode

Array = npt.NDArray[np.float64]
DATA = Path(__file__).parent / "data"
SEEDS = range(8)


def random_means(seed: int, k: int = 7, d: int = 30) -> Array:
    return np.random.default_rng(seed).normal(size=(k, d)) * 3 + 100


def named(means: npt.ArrayLike) -> dict[str, Array]:
    return {f"domain {i}": row for i, row in enumerate(np.asarray(means))}


def scores_by_eigenvalues(affinity: Array, ridge: float) -> Array:
    values, vectors = np.linalg.eigh(affinity)
    return np.asarray((vectors**2 * (values / (values + ridge))).sum(axis=1))


@pytest.mark.parametrize("seed", SEEDS)
def test_rbf_is_the_kernel_pair_by_pair(seed: int) -> None:
    x = random_means(seed)
    squared = np.array([[((a - b) ** 2).sum() for b in x] for a in x])
    sigma = np.sqrt(np.median(squared[np.triu_indices(7, 1)]))
    assert median_sigma(x) == pytest.approx(sigma, rel=1e-12)
    np.testing.assert_allclose(rbf_affinity(x), np.exp(-squared / (2 * sigma**2)), rtol=1e-10)
    np.testing.assert_allclose(rbf_affinity(x, 2.5), np.exp(-squared / 12.5), rtol=1e-10)
    assert (np.diag(rbf_affinity(x)) == 1).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_is_the_doubly_centred_product(seed: int) -> None:
    x = random_means(seed)
    centring = np.eye(7) - 1 / 7
    np.testing.assert_allclose(linear_affinity(x), centring @ (x @ x.T) @ centring, atol=1e-8)


def test_distances_keep_their_digits_far_from_the_origin() -> None:
    x = random_means(0)
    np.testing.assert_allclose(rbf_affinity(x + 1e6), rbf_affinity(x), rtol=1e-7)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lambda_reg", [1e-3, 0.07, 10.0])
@pytest.mark.parametrize("kernel", [rbf_affinity, linear_affinity])
def test_scores_are_those_of_an_eigendecomposition(
    seed: int, lambda_reg: float, kernel: Callable[[Array], Array]
) -> None:
    affinity = kernel(random_means(seed))
    before = affinity.copy()
    scores = leverage_scores(affinity, lambda_reg)
    np.testing.assert_allclose(scores, scores_by_eigenvalues(affinity, 7 * lambda_reg), rtol=1e-9, atol=1e-12)
    assert ((scores >= 0) & (scores < 1)).all()
    assert effective_dimension(scores) == pytest.approx(scores.sum())
    np.testing.assert_array_equal(affinity, before)


def test_small_scores_keep_their_digits() -> None:
    # One domain lies 1e5 times nearer to the centre than the others: its score is about 1e-10.
    affinity = np.diag([1.0, 1.0, 1e-10])
    scores = leverage_scores(affinity, 1 / 3)
    np.testing.assert_allclose(scores, [0.5, 0.5, 1e-10 / (1 + 1e-10)], rtol=1e-12)


@pytest.mark.parametrize("mode", ["pretrain", "finetune"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_default_recipe_end_to_end(seed: int, mode: Mode) -> None:
    k = 5 + seed
    x = random_means(seed, k)
    scores = scores_by_eigenvalues(rbf_affinity(x), 0.5)
    p = scores / scores.sum()
    exponent = 1 / p / (5 * k / 7) if mode == "pretrain" else p / (0.2 * 7 / k)
    expected = np.exp(exponent) / np.exp(exponent).sum()
    result = compute_weights(named(x), mode)
    np.testing.assert_allclose(result.weights, expected, atol=1e-10)
    assert result.settings["ridge"] == pytest.approx(0.5)


@pytest.mark.parametrize("index", range(4))
def test_the_released_recipe_gives_the_published_numbers(index: int) -> None:
    reference = json.loads((DATA / "released_formula.json").read_text())
    means = dict(zip(reference["domains"], np.load(DATA / "domain_means.npy"), strict=True))
    expected = reference["results"][index]
    for mode, key in (("pretrain", "pretrain_t5"), ("finetune", "finetune_t0.2")):
        lambda_reg = expected["lambda_reg"]
        result = compute_weights(means, mode, recipe="released", lambda_reg=lambda_reg)  # type: ignore[arg-type]
        scores = np.array([result.domains[name]["score"] for name in result.names])
        np.testing.assert_allclose(scores / scores.sum(), expected["scores"], atol=1e-5)
        np.testing.assert_allclose(result.weights, expected[key], atol=1e-5)
    assert compute_weights(means, recipe="released").settings["lambda_reg"] == 10


@pytest.mark.parametrize("copies", [2, 3, 5])
def test_an_isolated_domain_scores_two_thirds_and_copies_share(copies: int) -> None:
    far = np.eye(6) * 1e3
    x = np.concatenate([far, np.repeat(far[:1], copies - 1, axis=0)])
    scores = [f["score"] for f in compute_weights(named(x), rbf_sigma=1.0).domains.values()]
    np.testing.assert_allclose(scores[1:6], 2 / 3)
    np.testing.assert_allclose([scores[0], *scores[6:]], 1 / (copies + 0.5))


@pytest.mark.parametrize("mode", ["pretrain", "finetune"])
@pytest.mark.parametrize("seed", SEEDS)
def test_weights_go_with_their_domains(seed: int, mode: Mode) -> None:
    x, order = random_means(seed), np.random.default_rng(seed).permutation(7)
    one = compute_weights(named(x), mode).by_name()
    other = compute_weights({f"domain {i}": x[i] for i in order}, mode).by_name()
    assert list(other) == [f"domain {i}" for i in order]
    assert one == pytest.approx(other, abs=1e-12)
    moved = compute_weights(named(x * 1e-3 + 5), mode).by_name()
    assert one == pytest.approx(moved, abs=1e-9)  # neither place nor scale matters to the default recipe


@pytest.mark.parametrize("weights", [pretrain_weights, finetune_weights])
def test_a_higher_temperature_is_flatter(weights: Callable[[npt.ArrayLike, float], Array]) -> None:
    scores = np.array([0.1, 0.5, 0.3, 0.9])
    spread = [np.ptp(weights(scores, t)) for t in (0.1, 1.0, 10.0, 100.0)]
    assert spread == sorted(spread, reverse=True)
    np.testing.assert_allclose(weights(scores, 3.0), weights(scores * 7, 3.0))


def test_pretrain_and_finetune_order_domains_oppositely() -> None:
    scores = np.array([0.1, 0.5, 0.3, 0.9])
    assert pretrain_weights(scores).argsort().tolist() == scores.argsort()[::-1].tolist()
    assert finetune_weights(scores).argsort().tolist() == scores.argsort().tolist()


@pytest.mark.parametrize("scores", [[0.5, 0.0, 0.0], [0.5, 1e-310, 1e-310]])
def test_scores_that_vanish_share_all_pretrain_weight(scores: list[float]) -> None:
    np.testing.assert_array_equal(pretrain_weights(scores), [0, 0.5, 0.5])


def test_thousands_of_domains_are_finite_and_neither_flat_nor_collapsed() -> None:
    scores = np.random.default_rng(0).uniform(0.05, 0.9, 5000)
    for mode in ("pretrain", "finetune"):
        temperature = 5 * 5000 / 7 if mode == "pretrain" else 0.2 * 7 / 5000
        weights = (pretrain_weights if mode == "pretrain" else finetune_weights)(scores, temperature)
        assert np.isfinite(weights).all()
        assert weights.sum() == pytest.approx(1)
        assert 1.5 < weights.max() * 5000 < 1000
    domain_at_centre = np.array([[1.0, 0], [-1, 0], [0, 0]])
    result = compute_weights(named(domain_at_centre), kernel="linear")
    np.testing.assert_allclose(result.weights, [0, 0, 1])


def test_windows_are_averaged_in_double_precision() -> None:
    rows = np.full((3000, 2), 0.1, dtype=np.float32)
    rows[:, 1] = 10_000.1
    exact = rows.astype(np.float64).mean(axis=0)
    one = compute_weights({"a": rows, "b": [1.0, 2], "c": [5.0, -3]})
    other = compute_weights({"a": exact, "b": [1.0, 2], "c": [5.0, -3]})
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-12)


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: compute_weights({"only": [1.0, 2]}), "at least 2 domains, got 1: only"),
    (lambda: compute_weights({"a": [1.0], "b": [1.0, 2]}), "one width, got {'a': 1, 'b': 2}"),
    (lambda: compute_weights({"a": [[1.0], [np.nan]], "b": [2.0]}), "domain a: the embedding of window 1"),
    (lambda: compute_weights({"a": np.zeros((0, 3)), "b": [1.0, 2, 3]}), r"domain a: .* got shape \(0, 3\)"),
    (lambda: compute_weights(named(random_means(0)), "train"), "mode must be one of .* got 'train'"),  # type: ignore[arg-type]
    (lambda: compute_weights(named(random_means(0)), recipe="best"), "recipe must be one of .* got 'best'"),
    (
        lambda: compute_weights(named(random_means(0)), kernel="linear", rbf_sigma=1.0),
        "linear kernel has none",
    ),
    (
        lambda: compute_weights(named(random_means(0)), rbf_sigma=0.0),
        "sigma must be a positive number, got 0",
    ),
    (lambda: compute_weights(named(random_means(0)), lambda_reg=0.0), "lambda must be a positive .* got 0"),
    (lambda: compute_weights(named(random_means(0)), temperature=0.0), "temperature must be .* got 0"),
    (lambda: median_sigma(np.ones((4, 2))), "half of the pairs of domains have the same embedding"),
    (lambda: leverage_scores(np.ones((2, 3)), 1.0), r"square affinity matrix, got shape \(2, 3\)"),
    (lambda: leverage_scores([[1, 2], [0, 1]], 1.0), "not symmetric"),
    (lambda: leverage_scores([[1, np.inf], [np.inf, 1]], 1.0), "not finite"),
    (lambda: leverage_scores([[1.0, 1e9], [1e9, 1.0]], 1e-9), "too small for this affinity matrix"),
    (lambda: pretrain_weights([0.1, -0.1]), "none negative"),
    (lambda: finetune_weights([0.1, np.nan]), "finite"),
]


@pytest.mark.parametrize(("call", "expected"), BAD, ids=[expected[:30] for _, expected in BAD])
def test_what_cannot_be_used_is_told(call: Callable[[], object], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        call()
