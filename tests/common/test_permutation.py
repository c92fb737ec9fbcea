"""The keyed permutation: a bijection, computed in parts, and as good as random."""

import hashlib

import numpy as np
import pytest

from chameleon.common.permutation import permuted

SIZES = [1, 2, 3, 4, 15, 16, 17, 100, 255, 256, 257, 1000, 1023, 1024, 1025, 65_536, 65_537, 100_000]
KEYS = [0, 1, 2**32, 2**63, 2**64 - 1]


def key_of(number: int) -> int:
    """As windows get theirs: 64 bits of a digest."""
    return int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:8], "little")


def excess(values: list[int], kinds: int) -> float:
    """Chi-square of equal chances for all kinds, in standard deviations above what chance gives."""
    expected = len(values) / kinds
    chi_square = ((np.bincount(values, minlength=kinds) - expected) ** 2 / expected).sum()
    return float((chi_square - (kinds - 1)) / np.sqrt(2 * (kinds - 1)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", KEYS)
def test_every_index_has_one_image(size: int, key: int) -> None:
    images = permuted(np.arange(size), size, key)
    assert images.dtype == np.int64
    np.testing.assert_array_equal(np.sort(images), np.arange(size))


@pytest.mark.parametrize("size", [3, 255, 1000, 10**12])
def test_any_part_agrees_with_the_whole(size: int) -> None:
    indices = np.arange(min(size, 2000))
    whole = permuted(indices, size, 7)
    for part in (slice(0, 1), slice(1, 3), slice(100, 700), slice(None, None, -3), slice(0, 0)):
        np.testing.assert_array_equal(permuted(indices[part], size, 7), whole[part])
    assert permuted(np.array([2, 2, 0]), size, 7).tolist() == [whole[2], whole[2], whole[0]]


def test_indices_are_not_modified() -> None:
    indices = np.arange(50)
    indices.flags.writeable = False
    permuted(indices, 60, 7)
    np.testing.assert_array_equal(indices, np.arange(50))


@pytest.mark.parametrize("key", [0, 12345, 2**64 - 8])
@pytest.mark.parametrize("change", [1, 2, 2**32, 2**63])
def test_different_keys_give_different_orders(key: int, change: int) -> None:
    one, other = permuted(np.arange(2000), 2000, key), permuted(np.arange(2000), 2000, key ^ change)
    assert (one == other).sum() < 10  # 1 by chance
    np.testing.assert_array_equal(one, permuted(np.arange(2000), 2000, key))


@pytest.mark.parametrize("size", [10**6 + 1, 10**12, 2**40, 2**62, 2**63 - 1])
def test_large_sizes_stay_in_range_and_reach_all_of_it(size: int) -> None:
    images = permuted(np.arange(5000), size, 3)
    assert len(np.unique(images)) == 5000
    tenths = (images.astype(np.float64) / size * 10).astype(np.int64)
    assert images.min() >= 0
    assert images.max() < size
    assert excess(tenths.tolist(), 10) < 5
    last = permuted(np.array([size - 1]), size, 3)
    assert 0 <= last[0] < size


@pytest.mark.parametrize("size", [10, 100, 256])
@pytest.mark.parametrize("index", [0, 9])
def test_an_image_is_uniform_over_keys(size: int, index: int) -> None:
    images = [int(permuted(np.array([index]), size, key_of(i))[0]) for i in range(15 * size)]
    assert excess(images, size) < 5


@pytest.mark.parametrize("step", [1, 2, 256, 512])
def test_images_of_neighbouring_indices_are_unrelated(step: int) -> None:
    indices = np.arange(0, 2**16, 2 * step)
    near, far = permuted(indices, 2**16, key_of(1)), permuted(indices + step, 2**16, key_of(1))
    differences = near ^ far
    if step < 256:
        assert excess((differences & 255).tolist(), 256) < 5
    assert excess((differences >> 12).tolist(), 16) < 5
    assert excess((differences & 15).tolist(), 16) < 5


def test_orders_are_stable_across_versions() -> None:
    # Stored embeddings are of windows in this order: another one must come with another window scheme.
    assert permuted(np.arange(6), 1000, 12345).tolist() == [29, 479, 466, 696, 340, 620]
    assert permuted(np.arange(3), 10**12, 2**64 - 1).tolist() == [146768832504, 338638339776, 414079205616]
    assert permuted(np.arange(5), 5, 3).tolist() == [1, 0, 3, 2, 4]
