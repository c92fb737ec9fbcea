"""Many domains: scores against the formula, gradients against differences, errors against the bootstrap."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from conftest import ROOT
from described import described

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.machine import available_memory
from chameleon.confidence.analytic_errors import analytic_errors
from chameleon.confidence.bootstrap import replicate
from chameleon.confidence.diagnostics import near_duplicates
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import score_samples, windows_wanted
from chameleon.weights.affinity import linear_affinity, median_sigma, rbf_affinity, usable_noise
from chameleon.weights.compute import compute_weights, solve
from chameleon.weights.formula import Formula
from chameleon.weights.leverage import least_score, leverage_scores
from chameleon.weights.many_domains import fourier, subsets
from chameleon.weights.many_domains import fourier as approximate
from chameleon.weights.many_domains import gpu as on_gpu
from chameleon.weights.many_domains.exact import exact_scores, linear_scores
from chameleon.weights.many_domains.features import RandomFeatures, width_of_pairs
from chameleon.weights.many_domains.fourier import approximate_scores, errors_of, fourier_scores
from chameleon.weights.many_domains.gpu import gpu_scores
from chameleon.weights.many_domains.solve import solve_many
from chameleon.weights.options import FormulaSettings, Kernel
from chameleon.weights.sample import Sample, means_of, noise_of

SCHEMA = json.loads((ROOT / "docs" / "weights.schema.json").read_text())
ENDLESS = 1 << 40


def means_in_groups(k: int, d: int, groups: int = 30, seed: int = 0, within: float = 0.4) -> Array:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, d))
    return np.asarray(centres[rng.integers(groups, size=k)] + within * rng.normal(size=(k, d)))


def samples_in_groups(k: int, windows: int = 24, d: int = 32, spread: float = 2.0) -> list[Sample]:
    rng = np.random.default_rng(1)
    scales = np.exp(-np.arange(d) / 8)
    scales *= spread / np.sqrt(np.square(scales).sum())
    means = means_in_groups(k, d) * 4 / np.sqrt(d)
    return [
        Sample.of(f"domain {i}", (mean + rng.normal(size=(windows, d)) * scales).astype("f"))
        for i, mean in enumerate(means)
    ]


def derivative(scores_of: Any, means: Array, domain: int, along: Array) -> float:  # noqa: ANN401
    ends = []
    for sign in (-1, 1):
        moved = means.copy()
        moved[domain] += sign * 1e-5 * along
        ends.append(scores_of(moved)[domain])
    return float(ends[1] - ends[0]) / 2e-5


def test_linear_scores_are_those_of_the_matrix_of_all_pairs() -> None:
    means = means_in_groups(1500, 20)
    expected = leverage_scores(linear_affinity(means), 0.01)
    np.testing.assert_allclose(linear_scores(means, 0.01).scores, expected, rtol=1e-10)


def test_linear_scores_are_refused_where_rounding_would_decide_them() -> None:
    means = means_in_groups(1500, 20)
    with pytest.raises(InputError, match=r"lambda 1e-18 is too small .* give .* or more"):
        linear_scores(means, 1e-18)
    with pytest.raises(InputError, match="too large for a linear kernel"):
        linear_scores(means * 1e200, 1.0)
    means[3, 2] = np.nan
    with pytest.raises(InputError, match="those in rows 3 are not"):
        linear_scores(means, 1.0)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("lambda_reg", [1e-5, 1e-2, 50.0])
def test_exact_scores_in_place_are_those_of_the_formula(lambda_reg: float, noisy: bool) -> None:
    """With lambda 50 they are below 1e-4, where they are solved for without cancellation."""
    means = means_in_groups(600, 20)
    noise = np.random.default_rng(2).uniform(size=600) if noisy else None
    ridge = 600 * lambda_reg
    taken = None if noise is None else usable_noise(noise, median_sigma(means), ridge, True)
    expected = leverage_scores(
        rbf_affinity(means, None, taken), lambda_reg, None if taken is None else least_score(600, ridge)
    )
    on_cpu = exact_scores(means, lambda_reg, None, noise, with_gradients=True)
    np.testing.assert_allclose(on_cpu.scores, expected, rtol=1e-12)
    assert on_cpu.sigma == pytest.approx(median_sigma(means, taken), rel=1e-14)
    in_torch = gpu_scores(means, lambda_reg, None, noise, "cpu")
    np.testing.assert_allclose(in_torch.scores, expected, rtol=1e-9, atol=1e-10)
    some = slice(100, 110)
    np.testing.assert_allclose(in_torch.gradients(some), on_cpu.gradients(some), rtol=1e-6, atol=1e-12)


@pytest.mark.gpu
def test_exact_scores_on_a_gpu_are_those_of_the_cpu() -> None:
    means = means_in_groups(4500, 64)
    noise = np.random.default_rng(2).uniform(size=4500)
    one = exact_scores(means, 1e-2, None, noise, with_gradients=False)
    other = gpu_scores(means, 1e-2, None, noise, "cuda")
    np.testing.assert_allclose(other.scores, one.scores, rtol=0, atol=1e-10)
    assert on_gpu.lacking_on("cuda", 4500, 64) is None


@pytest.mark.parametrize("noisy", [False, True])
def test_gradients_are_those_by_finite_differences(noisy: bool) -> None:
    k, d, sigma, lambda_reg = 300, 8, 3.0, 0.01
    means = means_in_groups(k, d)
    noise = np.full(k, 0.5) * np.random.default_rng(3).uniform(size=k) if noisy else np.zeros(k)
    along = np.random.default_rng(4).normal(size=d)
    features = RandomFeatures.of(400, sigma, means.mean(axis=0))

    def by_features(moved: Array) -> Any:  # noqa: ANN401
        return fourier_scores(moved, features, lambda_reg, sigma, noise, np.float64)

    def by_pairs(moved: Array) -> Any:  # noqa: ANN401
        return exact_scores(moved, lambda_reg, sigma, noise, with_gradients=True)

    for way, tolerance in ((by_features, 1e-5), (by_pairs, 1e-5)):
        gradient = way(means).gradients(slice(7, 8))[0]
        numerical = derivative(lambda moved, way=way: way(moved).scores, means, 7, along)
        assert gradient @ along == pytest.approx(numerical, rel=tolerance)
    linear = linear_scores(means, 0.1)
    numerical = derivative(lambda moved: linear_scores(moved, 0.1).scores, means, 7, along)
    assert linear.gradients(slice(7, 8))[0] @ along == pytest.approx(numerical, rel=3 / k)


def test_approximate_scores_converge_to_exact_ones_as_features_are_added() -> None:
    means = means_in_groups(1200, 20)
    expected = exact_scores(means, 1e-2, 4.0, None, with_gradients=False).scores
    errors = []
    for count in (200, 1000, 5000):
        features = RandomFeatures.of(count, 4.0, means.mean(axis=0))
        scores = fourier_scores(means, features, 1e-2, 4.0, np.zeros(1200)).scores
        errors.append(errors_of(scores, expected)["median_relative_error"])
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]
    assert errors[2] < 0.01


@pytest.mark.parametrize("noisy", [False, True])
def test_streamed_scores_are_those_of_a_dense_solve_with_the_features(
    noisy: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    k, sigma, lambda_reg = 500, 3.0, 1e-3
    means, ridge = means_in_groups(k, 10), k * lambda_reg
    noise = usable_noise(np.random.default_rng(5).uniform(size=k) * noisy, sigma, ridge, False)
    features = RandomFeatures.of(300, sigma, means.mean(axis=0))
    z = features.values(means, slice(0, k), np.float64)
    freed = np.exp(noise / sigma**2 / 2)
    affinity = freed[:, None] * (z @ z.T) * freed
    np.fill_diagonal(affinity, 1.0)
    expected = 1 - ridge * np.diag(np.linalg.inv(affinity + ridge * np.eye(k)))
    expected = np.maximum(expected, least_score(k, ridge) if noisy else 0.0)
    one = fourier_scores(means, features, lambda_reg, sigma, noise, np.float64).scores
    np.testing.assert_allclose(one, expected, rtol=1e-8)
    monkeypatch.setattr(fourier, "_AT_ONCE", 300 * 37)
    np.testing.assert_allclose(
        fourier_scores(means, features, lambda_reg, sigma, noise, np.float64).scores, one, rtol=1e-10
    )
    on_disk = np.memmap(tmp_path / "means", dtype=np.float32, mode="w+", shape=means.shape)
    on_disk[:] = means
    stored = fourier_scores(on_disk, features, lambda_reg, sigma, noise)
    np.testing.assert_allclose(stored.scores, one, rtol=1e-3)
    again = fourier_scores(on_disk, features, lambda_reg, sigma, noise)
    np.testing.assert_array_equal(stored.scores, again.scores)


def test_float32_is_used_only_where_its_rounding_is_small() -> None:
    assert fourier.dtype_for(1e-2) is np.float32
    assert fourier.dtype_for(1e-5) is np.float64


def test_approximate_scores_report_their_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "CHECKED_ON", 600)
    means = means_in_groups(2000, 20)
    good = approximate_scores(means, 1e-2, None, None, None)
    assert 512 <= good.facts["features"] <= 4096
    assert good.facts["features"] % 2 == 0
    assert good.facts["checked_on"] == 600
    assert good.facts["median_relative_error"] < 0.05
    assert good.scores.sigma == pytest.approx(median_sigma(means), rel=0.01)
    assert good.sigma_from == "median distance of 1,048,576 random pairs"
    assert good.notice.startswith("scores are approximate: ")
    assert "raise" not in good.notice
    poor = approximate_scores(means, 1e-3, None, None, 20)
    assert "raise --num_features to" in poor.notice
    hopeless = approximate_scores(means, 1e-6, None, None, 100)
    assert "too many for random features: raise --lambda_reg, or merge domains" in hopeless.notice
    np.testing.assert_array_equal(
        approximate_scores(means, 1e-2, None, None, None).scores.scores, good.scores.scores
    )


def test_random_pairs_that_mostly_coincide_have_no_median_width() -> None:
    with pytest.raises(InputError, match="more than half of the pairs"):
        width_of_pairs(np.ones((50, 3)), None, 1.0)


def test_the_rank_correlation_is_spearmans() -> None:
    facts = errors_of(np.array([0.1, 0.2, 0.2, 0.4]), np.array([0.1, 0.3, 0.2, 0.4]))
    assert facts["rank_correlation"] == pytest.approx(0.9486832980505138)


def test_a_matrix_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chameleon.weights.many_domains.solve.available_memory", lambda: 3 << 30)
    formula = Formula.of(25_000)
    with pytest.raises(
        InputError, match=r"25,000 domains need 5.4 GiB .* 3.0 GiB are free: lower --exact_up"
    ):
        solve_many(np.zeros((25_000, 2)), None, formula)
    assert available_memory() is not None


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_analytic_errors_are_close_to_those_of_the_bootstrap(
    kernel: Kernel,
) -> None:
    samples = samples_in_groups(300)
    formula = Formula.of(300, FormulaSettings(kernel=kernel, lambda_reg=1e-2))
    drawn = replicate(samples, formula, replicates=200)
    solution = solve_many(means_of(samples), noise_of(samples), formula, with_gradients=True)
    weights, scores, how = analytic_errors(samples, formula, solution)
    assert how.endswith("by a bootstrap of 300 domains")
    for spread, replicated in ((weights, drawn.weights), (scores, drawn.scores)):
        expected = np.median(replicated.std(axis=0, ddof=1))
        assert np.median(spread.errors) == pytest.approx(expected, rel=0.25)
    assert (weights.intervals[:, 0] < solution.weights).all()
    assert (weights.intervals[:, 1] > solution.weights).all()


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_many_domains_are_scored_like_few(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    k = 400
    samples = samples_in_groups(k)
    available = {sample.name: ENDLESS for sample in samples}
    options = Options(kernel=kernel, lambda_reg=1e-2, target_se=1e-9)
    few = score_samples(samples, available, options)
    assert few.solution.displayed == list(range(k))
    monkeypatch.setattr(subsets, "FEW", 100)
    many = score_samples(samples, available, options)
    np.testing.assert_allclose(many.solution.scores, few.solution.scores, rtol=1e-9)
    np.testing.assert_allclose(many.weights, few.weights, rtol=1e-9)
    assert few.confidence is not None
    assert many.confidence is not None
    ours, theirs = many.confidence.weights.errors, few.confidence.weights.errors
    assert np.median(ours) == pytest.approx(np.median(theirs), rel=0.3)
    assert ours.max() == pytest.approx(theirs.max(), rel=0.3)
    weights = described(many, options)
    assert set(weights.diagnostics["sensitivity"]) == {"temperature"}
    assert len(weights.diagnostics["order"]) == k - 1
    assert min(weights.diagnostics["windows_needed"].values()) > 24
    wanted = windows_wanted(samples, available, options)
    assert set(wanted.values()) == {48}
    assert windows_wanted(samples, available, replace(options, target_se=1.0)) == {}
    jsonschema.validate(weights.to_dict(), SCHEMA)


def test_many_domains_by_random_features_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_in_groups(1200, windows=4)
    available = {sample.name: ENDLESS for sample in samples}
    monkeypatch.setattr(subsets, "HEAVIEST_DISPLAYED", 250)
    options = Options(lambda_reg=1e-2, exact_up_to=1100, num_features=600)
    scored = score_samples(samples, available, options)
    weights = described(scored, options)
    assert len(scored.solution.displayed) == 500
    assert scored.solution.displayed == sorted(set(scored.solution.displayed))
    assert scored.solution.affinity.shape == (500, 500)
    assert scored.plane.places.shape == (500, 2)
    heaviest = np.argsort(-scored.weights)[:250]
    assert set(heaviest.tolist()) <= set(scored.solution.displayed)
    diagnostics = weights.diagnostics
    assert diagnostics["approximation"]["features"] == 600
    assert diagnostics["errors"].startswith("analytic")
    assert any(notice.startswith("scores are approximate: 600") for notice in weights.notices)
    jsonschema.validate(weights.to_dict(), SCHEMA)
    exactly = compute_weights({sample.name: sample for sample in samples}, lambda_reg=1e-2)
    scores = np.array([facts["score"] for facts in exactly.domains.values()])
    assert errors_of(scored.solution.scores, scores)["rank_correlation"] > 0.98
    assert "approximation" not in exactly.diagnostics


def test_near_duplicates_of_many_are_found_in_groups() -> None:
    means = np.random.default_rng(6).normal(size=(700, 60))
    means[100:110] = means[0] + 1e-3 * means[100:110]
    means[600] = means[599]
    groups = near_duplicates(means, np.zeros(700), 0.95)
    assert groups == [[0, *range(100, 110)], [599, 600]]


def test_up_to_a_thousand_domains_are_few() -> None:
    assert not subsets.is_many(1000)
    assert subsets.is_many(1001)
    samples = samples_in_groups(50)
    solution = solve(samples, Formula.of(50), with_gradients=True)
    assert solution.many is None
    assert solution.displayed == list(range(50))
