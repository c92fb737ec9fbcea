"""Kernels between domains, against kernels computed pair by pair and their invariants."""

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.weights.affinity import linear_affinity, median_sigma, rbf_affinity

KERNELS = [linear_affinity, rbf_affinity]
Kernel = Callable[[npt.ArrayLike], Array]
seeded = settings(derandomize=True, deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)


def means_of(seed: int) -> Array:
    """(k, d) domains in multiples of 1/1024, so that moving them by whole numbers is exact."""
    rng = np.random.default_rng(seed)
    k, d = rng.integers(2, 12), rng.integers(1, 20)
    return np.asarray(np.round(rng.normal(size=(k, d)) * 1024) / 1024 + np.arange(k)[:, None])


def squared_pair_by_pair(x: Array) -> Array:
    return np.array([[math.fsum((a - b) ** 2) for b in x] for a in x])


def median_of_pairs(x: Array) -> float:
    squared = sorted(math.fsum((a - b) ** 2) for a, b in combinations(x, 2))
    return (squared[(len(squared) - 1) // 2] + squared[len(squared) // 2]) / 2


@seeded
@given(seeds)
def test_linear_is_the_doubly_centred_gram_matrix(seed: int) -> None:
    x = means_of(seed)
    centring = np.eye(len(x)) - 1 / len(x)
    np.testing.assert_allclose(linear_affinity(x), centring @ (x @ x.T) @ centring, rtol=1e-10, atol=1e-10)


@seeded
@given(seeds, st.floats(0.3, 30))
def test_rbf_is_the_gaussian_of_each_pair(seed: int, sigma: float) -> None:
    x = means_of(seed)
    squared = squared_pair_by_pair(x)
    np.testing.assert_allclose(rbf_affinity(x, sigma), np.exp(-squared / (2 * sigma**2)), atol=1e-11)
    np.testing.assert_allclose(rbf_affinity(x), np.exp(-squared / (2 * median_of_pairs(x))), atol=1e-11)


@seeded
@given(seeds)
def test_median_sigma_is_the_median_over_pairs_of_different_domains(seed: int) -> None:
    x = means_of(seed)
    assert median_sigma(x) ** 2 == pytest.approx(median_of_pairs(x), rel=1e-11)


def test_rbf_of_two_points_at_a_known_distance() -> None:
    affinity = rbf_affinity([[0.0, 0.0], [3.0, 4.0]], sigma=2.0)
    np.testing.assert_allclose(affinity, [[1, math.exp(-25 / 8)], [math.exp(-25 / 8), 1]], rtol=1e-14)


def test_the_median_width_of_two_domains_is_their_distance() -> None:
    x = [[1.0, 1.0], [4.0, 5.0]]
    assert median_sigma(x) == pytest.approx(5, rel=1e-14)
    assert rbf_affinity(x)[0, 1] == pytest.approx(math.exp(-0.5), rel=1e-14)


@pytest.mark.parametrize("kernel", KERNELS)
@seeded
@given(seeds)
def test_affinity_is_symmetric_positive_semi_definite(kernel: Kernel, seed: int) -> None:
    affinity = kernel(means_of(seed))
    np.testing.assert_array_equal(affinity, affinity.T)
    assert np.linalg.eigvalsh(affinity)[0] > -1e-12 * np.trace(affinity)


@seeded
@given(seeds)
def test_rbf_lies_between_zero_and_one_with_a_diagonal_of_exactly_one(seed: int) -> None:
    x = means_of(seed)
    almost_copies = x * (1 + 1e-12)  # the distance is lost in the rounding of the product
    affinity = rbf_affinity(np.concatenate([x, almost_copies]), sigma=1e-6)
    np.testing.assert_array_equal(np.diag(affinity), 1.0)
    assert ((affinity >= 0) & (affinity <= 1)).all()


@pytest.mark.parametrize("kernel", KERNELS)
@seeded
@given(seeds)
def test_moving_all_domains_together_changes_nothing(kernel: Kernel, seed: int) -> None:
    x = means_of(seed)
    np.testing.assert_allclose(kernel(x + 2.0**24), kernel(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@seeded
@given(seeds)
def test_rotating_all_domains_together_changes_nothing(kernel: Kernel, seed: int) -> None:
    x = means_of(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(x.shape[1], x.shape[1])))[0]
    np.testing.assert_allclose(kernel(x @ turn), kernel(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@seeded
@given(seeds)
def test_rows_and_columns_follow_the_order_of_the_domains(kernel: Kernel, seed: int) -> None:
    x = means_of(seed)
    order = np.random.default_rng(seed).permutation(len(x))
    np.testing.assert_allclose(kernel(x[order]), kernel(x)[np.ix_(order, order)], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e6])
@seeded
@given(seeds)
def test_linear_scales_with_the_square_of_the_embeddings_and_rbf_not_at_all(factor: float, seed: int) -> None:
    x = means_of(seed)
    tiny = 1e-12 * factor**2 * np.trace(linear_affinity(x))
    np.testing.assert_allclose(linear_affinity(factor * x), factor**2 * linear_affinity(x), atol=tiny)
    np.testing.assert_allclose(rbf_affinity(factor * x), rbf_affinity(x), atol=1e-11)
    assert median_sigma(factor * x) == pytest.approx(factor * median_sigma(x), rel=1e-11)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16])
def test_low_precision_input_is_computed_in_float64(kernel: Kernel, dtype: type[np.number]) -> None:
    x = (np.random.default_rng(0).normal(size=(5, 8)) * 100 + 1000).astype(dtype)
    affinity = kernel(x)
    assert affinity.dtype == np.float64
    np.testing.assert_array_equal(affinity, kernel(x.astype(np.float64)))


@pytest.mark.parametrize("function", [linear_affinity, rbf_affinity, median_sigma])
def test_embeddings_are_not_modified(function: Callable[[Array], object]) -> None:
    x = means_of(3)
    before = x.copy()
    x.flags.writeable = False
    function(x)
    np.testing.assert_array_equal(x, before)


def test_coinciding_domains_have_an_affinity_of_one_at_a_given_width() -> None:
    np.testing.assert_array_equal(rbf_affinity(np.full((4, 3), 0.1), sigma=0.5), np.ones((4, 4)))


@pytest.mark.parametrize("function", [rbf_affinity, median_sigma])
@pytest.mark.parametrize("different", [0, 1, 2])
def test_domains_that_mostly_coincide_have_no_median_width(
    function: Callable[[Array], object], different: int
) -> None:
    x = np.full((9, 3), 0.1)
    x[:different] = np.random.default_rng(0).normal(size=(different, 3))
    with pytest.raises(InputError, match=r"more than half of the pairs .* same embedding.*--rbf_sigma"):
        function(x)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_a_width_that_is_not_a_positive_number_is_refused(sigma: float) -> None:
    with pytest.raises(InputError, match=f"sigma must be a positive number, got {sigma}"):
        rbf_affinity(np.eye(3), sigma)


@pytest.mark.parametrize("function", [linear_affinity, rbf_affinity, median_sigma])
@pytest.mark.parametrize("shape", [(), (3,), (1, 4), (0, 4), (3, 0), (2, 3, 4)])
def test_arrays_of_another_shape_are_refused(
    function: Callable[[Array], object], shape: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match="at least 2 domains") as caught:
        function(np.ones(shape))
    assert str(caught.value).endswith(f"got shape {shape}")


@pytest.mark.parametrize("function", [linear_affinity, rbf_affinity, median_sigma])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_are_named(function: Callable[[Array], object], value: float) -> None:
    x = np.ones((5, 3))
    x[1, 2] = x[3, 0] = value
    with pytest.raises(InputError, match=r"rows \[1, 3\] are not"):
        function(x)


@pytest.mark.parametrize("function", [linear_affinity, rbf_affinity, median_sigma])
@pytest.mark.parametrize("means", [[[1, 2], [3]], [["a"], ["b"]], [[1j], [2]], [None, None], {"a": 1}])
def test_values_other_than_real_numbers_are_refused(function: Callable[[Any], object], means: object) -> None:
    with pytest.raises(InputError, match="domain embeddings must be"):
        function(means)


@pytest.mark.parametrize("far", [1e3, 1e7, 1e12])
def test_one_domain_far_away_does_not_change_the_affinities_of_the_others(far: float) -> None:
    x = np.random.default_rng(0).normal(size=(6, 20))
    x[5] *= far
    affinity = rbf_affinity(x, sigma=3.0)
    np.testing.assert_allclose(affinity[:5, :5], rbf_affinity(x[:5], sigma=3.0), rtol=1e-12)
    np.testing.assert_array_equal(affinity[5, :5], 0.0)


@pytest.mark.parametrize("sigma", [5e-324, 1e-200, 1e-160])
def test_at_a_vanishing_width_domains_have_no_affinity(sigma: float) -> None:
    np.testing.assert_array_equal(rbf_affinity(np.eye(4), sigma), np.eye(4))
    np.testing.assert_array_equal(rbf_affinity(np.ones((4, 2)), sigma), np.ones((4, 4)))


@pytest.mark.parametrize("sigma", [1e160, 1e200, 1e308])
def test_at_a_huge_width_all_affinities_are_one(sigma: float) -> None:
    np.testing.assert_array_equal(rbf_affinity(np.eye(4), sigma), np.ones((4, 4)))


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e160, 1e300])
def test_rbf_accepts_embeddings_whose_squares_overflow(size: float) -> None:
    x = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(rbf_affinity(size * x), rbf_affinity(x), rtol=1e-12)
    assert median_sigma(size * x) == pytest.approx(size * median_sigma(x), rel=1e-12)


@pytest.mark.parametrize("size", [1e160, 1.7e308])
def test_linear_refuses_embeddings_whose_squares_overflow(size: float) -> None:
    with pytest.raises(InputError, match=r"of up to 1.*e\+\d+ are too large for a linear kernel"):
        linear_affinity(size * np.eye(3))
