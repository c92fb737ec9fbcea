"""Each warning is raised where there is cause, and not where there is none."""

import numpy as np
import pytest

from chameleon.common.arrays import Array
from chameleon.confidence.diagnostics import warnings_of
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula
from chameleon.weights.options import FormulaSettings
from chameleon.weights.sample import Sample, samples_of


def warned(means: Array, formula: Formula) -> str:
    samples = samples_of({f"domain {i}": mean for i, mean in enumerate(means)})
    said, _ = warnings_of(samples, formula, solve(samples, formula))
    return "\n".join(said)


def apart(k: int = 6) -> Array:
    """Domains at different distances, none near another."""
    return np.asarray(np.diag(np.linspace(1.0, 2.0, k)) + np.linspace(0, 0.8, k)[:, None])


def test_domains_that_lie_apart_raise_no_warning() -> None:
    assert warned(apart(), Formula.of(6, FormulaSettings(pt_temperature=1.5))) == ""


def test_a_collapse_names_the_domain_and_its_share() -> None:
    formula = Formula.of(6, FormulaSettings(pt_temperature=0.02))
    said = warned(apart(), formula)
    top = solve(samples_of({f"domain {i}": mean for i, mean in enumerate(apart())}), formula).weights
    assert f"domain {int(np.argmax(top))} has {top.max():.0%} of all" in said
    assert "--pt_temperature" in said


def test_the_warning_of_flat_weights_names_the_cause() -> None:
    assert "though scores lie between" in warned(
        apart(), Formula.of(6, FormulaSettings(pt_temperature=1000.0))
    )
    assert "since all scores lie between" in warned(np.eye(6), Formula.of(6))
    linear = Formula.of(6, FormulaSettings(mode="finetune", kernel="linear", lambda_reg=1e-4))
    assert "does not fit the kernel's scale" in warned(np.diag(np.linspace(1.0, 1.05, 6)), linear)


def test_weights_that_are_sensitive_to_lambda_raise_a_warning() -> None:
    sensitive = Formula.of(6, FormulaSettings(kernel="linear", lambda_reg=0.2, pt_temperature=0.3))
    assert "weights are sensitive to lambda" in warned(apart(), sensitive)
    assert "sensitive to lambda" not in warned(apart(), Formula.of(6))


def test_near_duplicates_are_named_with_what_one_of_them_would_have() -> None:
    means = np.diag(np.linspace(1.0, 6.0, 5))
    means = np.vstack([means, means[:1] + 0.01])
    samples = samples_of({f"domain {i}": mean for i, mean in enumerate(means)})
    weights = solve(samples, Formula.of(6)).weights
    alone = solve(samples[:5], Formula.of(5)).weights
    said = warned(means, Formula.of(6))
    assert "domain 0, domain 5 are near duplicates" in said
    assert f"together they have {weights[[0, 5]].sum():.3f} of all" in said
    assert f"with domain 0 alone of them it would have {alone[0]:.3f}" in said


@pytest.mark.parametrize(("count", "expected"), [(15, True), (16, False)])
def test_few_windows_raise_a_warning(count: int, expected: bool) -> None:
    generator = np.random.default_rng(0)
    samples = [Sample.of(name, generator.normal(size=(count, 4)) + 9 * i) for i, name in enumerate("abc")]
    said, _ = warnings_of(samples, Formula.of(3), solve(samples, Formula.of(3)))
    assert any("too few windows: a (15)" in each for each in said) == expected


def test_few_documents_raise_a_warning_unless_all_windows_are_embedded() -> None:
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(40, 4))
    for available, expected in ((400, True), (40, False)):
        samples = [
            Sample.of(name, rows + 9 * i, np.arange(40) % 3, available) for i, name in enumerate("abc")
        ]
        said, _ = warnings_of(samples, Formula.of(3), solve(samples, Formula.of(3)))
        assert any("too few documents: a (3), b (3), c (3)" in each for each in said) == expected
