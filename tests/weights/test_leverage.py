"""Leverage scores against an eigendecomposition, exact fractions and their invariants."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.weights.affinity import linear_affinity
from chameleon.weights.compute import compute_weights
from chameleon.weights.leverage import effective_dimension, leverage_scores

seeded = settings(derandomize=True, deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)
lambdas = st.floats(-4, 4).map(lambda power: 10**power)


def affinity_of(seed: int) -> Array:
    """(k, k) positive semi-definite, of a rank from 1 to k, its domains of very different sizes."""
    rng = np.random.default_rng(seed)
    k = rng.integers(1, 15)
    factors = rng.normal(size=(k, rng.integers(1, k + 1))) * 10.0 ** rng.uniform(-2, 1, size=(k, 1))
    return np.asarray(factors @ factors.T)


def scores_by_eigenvalues(affinity: Array, lambda_reg: float) -> Array:
    """S_i = sum over j of e_j / (e_j + k lambda) U_ij^2."""
    values, vectors = np.linalg.eigh(affinity)
    values = np.maximum(values, 0)
    return np.asarray(vectors**2 @ (values / (values + len(affinity) * lambda_reg)))


def scores_by_fractions(affinity: Array, lambda_reg: float) -> list[float]:
    """[(K + k lambda I)^-1 K]_ii by elimination without any rounding."""
    k = len(affinity)
    K = [[Fraction(float(value)) for value in row] for row in affinity]
    ridge = k * Fraction(lambda_reg)
    rows = [[K[i][j] + ridge * (i == j) for j in range(k)] + K[i] for i in range(k)]
    for i in range(k):
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for other in range(k):
            if other != i:
                factor = rows[other][i]
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[i], strict=True)]
    return [float(rows[i][k + i]) for i in range(k)]


@seeded
@given(seeds, lambdas)
def test_scores_are_those_of_an_eigendecomposition(seed: int, lambda_reg: float) -> None:
    K = affinity_of(seed)
    np.testing.assert_allclose(
        leverage_scores(K, lambda_reg), scores_by_eigenvalues(K, lambda_reg), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 1), (1, 1e-4, 1, 1e-8), (1e-9, 1e-9, 1e-9, 1), (1e-150, 1, 1, 1)]
)
def test_small_scores_keep_their_digits(sizes: Sequence[float]) -> None:
    factors = np.array([[3, -1], [1, 2], [-2, 5], [1, 1]]) * np.array(sizes)[:, None]
    K = factors @ factors.T
    exact = scores_by_fractions(K, 0.5)
    assert min(exact) > 0
    np.testing.assert_allclose(leverage_scores(K, 0.5), exact, rtol=1e-13)


def test_scores_of_orthogonal_domains_depend_on_themselves_alone() -> None:
    sizes = np.array([1e-300, 1e-9, 0.0, 2.0, 1e9])
    np.testing.assert_allclose(leverage_scores(np.diag(sizes), 0.3), sizes / (sizes + 1.5), rtol=1e-14)


@seeded
@given(seeds, lambdas)
def test_scores_are_in_zero_to_below_one(seed: int, lambda_reg: float) -> None:
    scores = leverage_scores(affinity_of(seed), lambda_reg)
    assert ((scores >= 0) & (scores < 1)).all()


@seeded
@given(seeds, lambdas)
def test_effective_dimension_is_that_of_the_eigenvalues_and_below_the_rank(
    seed: int, lambda_reg: float
) -> None:
    K = affinity_of(seed)
    values = np.maximum(np.linalg.eigvalsh(K), 0)
    dimension = effective_dimension(leverage_scores(K, lambda_reg))
    assert dimension == pytest.approx((values / (values + len(K) * lambda_reg)).sum(), rel=1e-9, abs=1e-9)
    assert dimension < np.linalg.matrix_rank(K)


@seeded
@given(seeds, lambdas, st.floats(-6, 6).map(lambda power: 10**power))
def test_scores_depend_on_the_affinity_in_units_of_lambda(
    seed: int, lambda_reg: float, factor: float
) -> None:
    K = affinity_of(seed)
    np.testing.assert_allclose(
        leverage_scores(factor * K, factor * lambda_reg), leverage_scores(K, lambda_reg), atol=1e-10
    )


@seeded
@given(seeds, lambdas)
def test_scores_fall_as_lambda_grows(seed: int, lambda_reg: float) -> None:
    K = affinity_of(seed)
    assert (leverage_scores(K, 2 * lambda_reg) < leverage_scores(K, lambda_reg)).all()


@seeded
@given(seeds, lambdas)
def test_scores_follow_the_order_of_the_domains(seed: int, lambda_reg: float) -> None:
    K = affinity_of(seed)
    order = np.random.default_rng(seed).permutation(len(K))
    moved = leverage_scores(K[np.ix_(order, order)], lambda_reg)
    np.testing.assert_allclose(moved, leverage_scores(K, lambda_reg)[order], rtol=1e-8, atol=1e-11)


@seeded
@given(seeds, st.floats(0.1, 10))
def test_another_domain_raises_no_score_at_the_same_ridge_and_a_copy_lowers_it(
    seed: int, ridge: float
) -> None:
    K = affinity_of(seed)
    k = len(K)
    with_copy = np.block([[K, K[:, :1]], [K[:1], K[:1, :1]]])
    before, after = leverage_scores(K, ridge / k), leverage_scores(with_copy, ridge / (k + 1))
    assert (after[:-1] <= before + 1e-10).all()
    assert after[0] < before[0]
    assert after[-1] == pytest.approx(after[0], rel=1e-8)


def test_linear_scores_of_huge_embeddings_tend_to_the_projection_on_their_span() -> None:
    affinity = linear_affinity(np.random.default_rng(0).normal(size=(7, 50)) * 1e5)
    np.testing.assert_allclose(leverage_scores(affinity, 10.0), 6 / 7, atol=1e-4)


@seeded
@given(seeds, st.floats(0.5, 5))
def test_a_copy_of_a_domain_lowers_its_score_in_the_default_recipe(seed: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    domains = {str(i): row for i, row in enumerate(rng.normal(size=(rng.integers(2, 12), 3)))}
    before = compute_weights(domains, rbf_sigma=sigma).domains
    after = compute_weights(domains | {"copy": domains["1"]}, rbf_sigma=sigma).domains
    assert after["1"]["score"] < before["1"]["score"] - 1e-3
    assert after["copy"]["score"] == pytest.approx(after["1"]["score"], rel=1e-9)


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_an_isolated_domain_scores_two_thirds_in_the_default_recipe_and_copies_share(copies: int) -> None:
    crowd = np.random.default_rng(copies).normal(size=(8, 5))
    domains = {f"crowd {i}": row for i, row in enumerate(crowd)}
    domains |= {f"copy {i}": np.full(5, 100.0) for i in range(copies)}
    found = compute_weights(domains).domains
    for i in range(copies):
        assert found[f"copy {i}"]["score"] == pytest.approx(1 / (copies + 0.5), rel=1e-12)


@pytest.mark.parametrize("copies", [1, 2, 3, 10])
def test_exact_copies_share_one_score(copies: int) -> None:
    scores = leverage_scores(np.ones((copies, copies)), 0.5 / copies)
    np.testing.assert_allclose(scores, 1 / (copies + 0.5), rtol=1e-12)


def test_a_zero_affinity_scores_zero() -> None:
    np.testing.assert_array_equal(leverage_scores(np.zeros((3, 3)), 1.0), np.zeros(3))


def test_affinity_is_not_modified() -> None:
    K = affinity_of(1)
    before = K.copy()
    K.flags.writeable = False
    leverage_scores(K, 0.1)
    np.testing.assert_array_equal(K, before)


def test_lists_and_low_precision_are_computed_in_float64() -> None:
    K = [[1.0, 0.5], [0.5, 2.0]]
    expected = leverage_scores(np.array(K), 0.1)
    assert expected.dtype == np.float64
    np.testing.assert_array_equal(leverage_scores(K, 0.1), expected)
    np.testing.assert_array_equal(leverage_scores(np.array(K, dtype=np.float16), 0.1), expected)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 2), ()])
def test_matrices_that_are_not_square_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="square affinity matrix") as caught:
        leverage_scores(np.ones(shape), 1.0)
    assert str(caught.value).endswith(f"got shape {shape}")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="not finite"):
        leverage_scores([[1.0, value], [value, 1.0]], 1.0)


@pytest.mark.parametrize("K", [[[1, 2], [0, 1]], [[1e-9, 1e-10], [0, 1e-9]], [[1, 1e-7], [0, 1]]])
def test_an_affinity_that_is_not_symmetric_is_refused(K: npt.ArrayLike) -> None:
    with pytest.raises(InputError, match="not symmetric"):
        leverage_scores(K, 1.0)


def test_an_affinity_symmetric_but_for_rounding_is_accepted() -> None:
    assert np.isfinite(leverage_scores([[1.0, 0.3], [0.3 * (1 + 1e-12), 1.0]], 1.0)).all()


@pytest.mark.parametrize("lambda_reg", [0.0, -1.0, math.nan, math.inf])
def test_a_lambda_that_is_not_a_positive_number_is_refused(lambda_reg: float) -> None:
    with pytest.raises(InputError, match=f"lambda must be a positive number, got {lambda_reg}"):
        leverage_scores(np.eye(2), lambda_reg)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e20])
def test_a_lambda_lost_in_rounding_is_refused_with_one_that_is_large_enough(size: float) -> None:
    K = size * linear_affinity(np.random.default_rng(0).normal(size=(7, 50)))
    with pytest.raises(InputError, match=r"lambda 1e-16 is too small .*trace .*; give [0-9.e+-]+ or more"):
        leverage_scores(K / size, 1e-16)
    with pytest.raises(InputError, match="or more") as caught:
        leverage_scores(K, size * 1e-16)
    enough = float(str(caught.value).split()[-3])
    np.testing.assert_allclose(leverage_scores(K, enough), 6 / 7, atol=2e-4)
    with pytest.raises(InputError, match="too small"):
        leverage_scores(K, enough / 10)


@pytest.mark.parametrize("factor", [1e3, 1e4, 1e5, 1e6, 1e7, 1e8])
def test_scores_of_huge_embeddings_are_right_or_refused(factor: float) -> None:
    affinity = linear_affinity(np.random.default_rng(0).normal(size=(7, 50)) * factor)
    try:
        scores = leverage_scores(affinity, 10.0)
    except InputError:
        assert factor > 1e5
    else:
        np.testing.assert_allclose(scores, scores_by_fractions(affinity, 10.0), atol=1e-4)


@pytest.mark.parametrize("lambda_reg", [1e-9, 1e-11])
def test_no_score_reaches_one_however_small_lambda(lambda_reg: float) -> None:
    scores = leverage_scores(np.eye(5), lambda_reg)
    assert (scores < 1).all()
    np.testing.assert_allclose(scores, 1.0, atol=1e-8)


@pytest.mark.parametrize("K", [-np.eye(3), [[0, 1], [1, 0]], [[1, 9], [9, 1]], np.diag([1, -1e-9])])
@pytest.mark.parametrize("lambda_reg", [0.05, 1.0, 10.0])
def test_an_indefinite_affinity_is_refused(K: npt.ArrayLike, lambda_reg: float) -> None:
    with pytest.raises(InputError, match="not positive semi-definite"):
        leverage_scores(K, lambda_reg)


@pytest.mark.parametrize("K", [[["a"]], [[1j]], [[1, 2], [3]], [[None]]])
def test_affinities_other_than_real_numbers_are_refused(K: npt.ArrayLike) -> None:
    with pytest.raises(InputError, match="affinities must be"):
        leverage_scores(K, 1.0)
