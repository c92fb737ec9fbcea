"""The plane on which the report places domains."""

import numpy as np
from simulated_samples import centres_of, samples_from

from chameleon.confidence.bootstrap import replicate
from chameleon.confidence.pca import Plane, spreads_of
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula


def test_a_plane_holds_the_principal_components_of_the_affinity() -> None:
    samples = samples_from(centres_of(6), 400, np.random.default_rng(6))
    formula = Formula.of(7)
    solution = solve(samples, formula)
    plane = Plane.of(solution.affinity)
    np.testing.assert_allclose(plane.place(solution.affinity), plane.places, atol=1e-9)
    centring = np.eye(7) - 1 / 7
    values = np.linalg.eigvalsh(centring @ solution.affinity @ centring)[::-1]
    np.testing.assert_allclose(np.square(plane.places).sum(axis=0), values[:2])
    np.testing.assert_allclose(plane.explained, values[:2] / values.sum())
    places = replicate(samples, formula, plane=plane).places
    assert np.abs(places.mean(axis=0) - plane.places).max() < 0.02
    assert np.linalg.eigvalsh(spreads_of(places)).min() > 0
