"""Windows as a sample: means, noise, units and merged domains, against brute force."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon.common.errors import InputError
from chameleon.weights.affinity import median_sigma, rbf_affinity, usable_noise
from chameleon.weights.formula import Formula
from chameleon.weights.options import FormulaSettings
from chameleon.weights.sample import LEAST_UNITS, Sample, means_of, noise_of, samples_of

seeded = settings(derandomize=True, deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)


def covariance_of_mean(sample: Sample) -> np.ndarray:
    influences = sample.influences().astype(np.float64)
    return np.asarray(influences.T @ influences)


def test_independent_windows_have_the_textbook_variance() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3)) + 100
    sample = Sample.of("a", rows)
    np.testing.assert_allclose(covariance_of_mean(sample), np.cov(rows.T) / 40, rtol=1e-4, atol=1e-6)
    assert sample.noise == pytest.approx(np.trace(np.cov(rows.T)) / 40, rel=1e-4)


def test_noise_shrinks_with_the_part_of_the_domain_that_is_embedded() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3))
    half, whole = Sample.of("a", rows, available=80), Sample.of("a", rows, available=40)
    assert half.noise == pytest.approx(Sample.of("a", rows).noise / 2)
    np.testing.assert_allclose(
        covariance_of_mean(half), covariance_of_mean(Sample.of("a", rows)) / 2, rtol=1e-4
    )
    assert whole.noise == 0
    assert not covariance_of_mean(whole).any()


def test_windows_of_one_document_count_as_one_unit() -> None:
    """Copies of a document's only window say nothing new."""
    rows = np.random.default_rng(0).normal(size=(20, 3))
    documents = np.arange(20) * 1000
    once = Sample.of("a", rows, documents)
    thrice = Sample.of("a", np.repeat(rows, 3, axis=0), np.repeat(documents, 3))
    assert (once.num_units, thrice.num_units) == (20, 20)
    np.testing.assert_allclose(covariance_of_mean(thrice), covariance_of_mean(once), rtol=1e-4)


def test_with_few_documents_windows_are_the_units() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 2))
    sample = Sample.of("a", rows, np.arange(30) % (LEAST_UNITS - 1))
    assert (sample.num_documents, sample.num_units) == (LEAST_UNITS - 1, 30)


@pytest.mark.parametrize("copies", [1, 3])
def test_many_units_in_groups_have_the_same_variance_on_average(copies: int) -> None:
    generator = np.random.default_rng(1)
    traces = []
    for _ in range(30):
        rows = np.repeat(generator.normal(size=(1000, 4)), copies, axis=0)
        sample = Sample.of("a", rows, np.repeat(generator.permutation(1000), copies))
        assert sample.num_units == 256
        traces.append(np.trace(covariance_of_mean(sample)))
    assert np.mean(traces) == pytest.approx(4 / 1000, rel=0.03)


def test_merged_domains_are_the_union_of_their_parts_by_size() -> None:
    generator = np.random.default_rng(2)
    a, b = (Sample.of(name, generator.normal(size=(30, 3)) + 5 * (name == "b")) for name in "ab")
    merged = Sample.merged("ab", {a: 300.0, b: 100.0})
    np.testing.assert_allclose(merged.mean, 0.75 * a.mean + 0.25 * b.mean)
    assert merged.noise == pytest.approx(0.75**2 * a.noise + 0.25**2 * b.noise)
    expected = 0.75**2 * covariance_of_mean(a) + 0.25**2 * covariance_of_mean(b)
    np.testing.assert_allclose(covariance_of_mean(merged), expected, rtol=1e-4)
    assert len(merged) == 60


@pytest.mark.parametrize(
    ("embeddings", "expected"),
    [
        ({"a": [[1.0]]}, "at least 2 domains"),
        ({"a": [[1.0]], "b": [[1.0, 2.0]]}, "one width"),
        ({"a": [[1.0]], "b": np.zeros((0, 1))}, r"domain b: expected \(n, d\)"),
        ({"a": [[1.0]], "b": [[np.nan]]}, "domain b: the embedding of window 0 is not finite"),
        ({"a": [[1.0]], "b": [["x"]]}, "domain b"),
    ],
)
def test_embeddings_that_are_not_a_sample_are_refused(
    embeddings: dict[str, np.ndarray], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        samples_of(embeddings)


def test_distances_with_noise_taken_off_are_unbiased() -> None:
    """Squared distances between means of 10 windows, and what their average is without and with noise."""
    generator = np.random.default_rng(3)
    centres = generator.normal(size=(3, 50))
    sigma, raw, freed = 5.0, [], []
    for _ in range(400):
        samples = [
            Sample.of(str(i), centre + generator.normal(size=(10, 50))) for i, centre in enumerate(centres)
        ]
        means, noise = means_of(samples), noise_of(samples)
        raw.append(-2 * sigma**2 * np.log(rbf_affinity(means, sigma)[0, 1]))
        freed.append(-2 * sigma**2 * np.log(rbf_affinity(means, sigma, noise)[0, 1]))
    truth = float(np.square(centres[0] - centres[1]).sum())
    assert np.mean(raw) == pytest.approx(truth + 2 * 50 / 10, rel=0.02)
    assert np.mean(freed) == pytest.approx(truth, rel=0.02)


@seeded
@given(seeds)
def test_with_any_noise_the_kernel_and_its_ridge_are_positive_definite(seed: int) -> None:
    generator = np.random.default_rng(seed)
    k = int(generator.integers(2, 12))
    means = generator.normal(size=(k, 4)) * generator.choice([1e-3, 1.0, 1e3])
    means[: k // 2] = means[0] + 1e-9 * means[: k // 2]
    noise = np.exp(generator.normal(size=k) * 4) * generator.choice([1e-6, 1.0, 1e6])
    given_sigma = generator.choice([True, False]) or k < 4
    formula = Formula.of(k, FormulaSettings(rbf_sigma=1.3 if given_sigma else None))
    usable = formula.usable(means, noise)
    assert (usable <= noise).all()
    solution = formula.solve(means, usable)
    assert np.linalg.eigvalsh(solution.affinity + 0.5 * np.eye(k)).min() > 0.2
    assert solution.scores.min() >= 1 / (k + 0.5) - 1e-12
    assert solution.scores.max() < 1
    assert (solution.affinity.diagonal() == 1).all()


def test_noise_that_is_small_beside_distances_is_all_taken_off() -> None:
    means = np.random.default_rng(0).normal(size=(7, 30)) * 10
    noise = np.full(7, 1.0)
    sigma = median_sigma(means)
    np.testing.assert_array_equal(usable_noise(noise, sigma, 0.5, True), noise)


@pytest.mark.parametrize(("n", "documents"), [(7, False), (40, True), (3000, False)])
def test_a_sample_that_reads_its_rows_is_the_same(n: int, documents: bool) -> None:
    rng = np.random.default_rng(n)
    rows = rng.standard_normal((n, 5)).astype(np.float32)
    kept = Sample.of("d", rows, np.sort(rng.integers(0, 12, n)) if documents else None, 2 * n)
    reads: list[int] = []

    def read() -> np.ndarray[Any, Any]:
        reads.append(1)
        return rows

    on_disk = kept.read_by(read)
    assert (on_disk.mean == kept.mean).all()
    assert on_disk.noise == kept.noise
    assert (len(on_disk), on_disk.width, on_disk.num_units) == (n, 5, kept.num_units)
    assert not reads
    for _ in range(2):
        np.testing.assert_array_equal(on_disk.influences(), kept.influences())
    assert len(reads) == 2  # it keeps none of it
    assert on_disk.rows is rows
