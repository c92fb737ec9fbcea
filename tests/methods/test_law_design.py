"""Which mixtures the affinity law runs.

Shapes: n runs, k domains.
"""

from dataclasses import replace

import numpy as np
import pytest
from law_cases import Truth

from chameleon.common.arrays import Array
from chameleon.methods.law.design import add_runs
from chameleon.methods.law.fit import LawData, fit_law
from chameleon.methods.law.transfer import USUAL

K = 6
UNIFORM = np.full(K, 1 / K)


def affinities(seed: int) -> Array:
    return Truth.of(K, seed).affinities


def random_contrast(k: int, random: np.random.Generator) -> Array:
    shares = np.where(random.permutation(k) < k // 2, 3.0, 1.0)
    return np.asarray(shares / shares.sum())


def information(mixtures: Array, of: Array | None) -> float:
    """By hand: the precision of a slope and of the discount for each loss, over their prior precisions.

    A slope of 10 and a change of its product with s of 0.7 noises of a loss are usual. The noise grows with
    the mean square of the logarithms' distances from uniform weights, once for each square of 0.7.
    """
    is_own, total = np.eye(mixtures.shape[1], dtype=bool), 0.0
    near = np.log(mixtures @ USUAL.matrix(of, is_own).T)
    middle = np.log(np.full(mixtures.shape[1], 1 / mixtures.shape[1]) @ USUAL.matrix(of, is_own).T)
    weights = (1 + np.square(near - middle).mean(axis=1) / 0.7**2) ** -2
    wider = replace(USUAL, discount=USUAL.discount + 0.05)
    far = np.log(mixtures @ wider.matrix(of, is_own).T)
    for loss in range(mixtures.shape[1]):
        columns = np.stack([near[:, loss], (far - near)[:, loss] / 0.05], axis=1)
        columns = (columns - np.average(columns, axis=0, weights=weights)) * [10, 0.5**0.5]
        total += np.log(np.linalg.det(np.eye(2) + columns.T @ np.diag(weights) @ columns))
    return float(total)


@pytest.mark.parametrize("k", [2, 3, 6, 17])
def test_mixtures_are_named_shares_and_those_given_are_kept(k: int) -> None:
    random = np.random.default_rng(k)
    given = {"uniform": np.full(k, 1 / k), "pretrain": random.dirichlet(np.full(k, 5.0))}
    for of in (None, Truth.of(k, 0).affinities):
        for number in (2, 3, 8):
            runs = add_runs(given, of, number, 0)
            assert len(runs) == (number if k > 2 else min(number, 4))  # two domains have two contrasts
            assert list(runs)[:2] == ["uniform", "pretrain"]
            for name, shares in given.items():
                np.testing.assert_array_equal(runs[name], shares)
            mixtures = np.stack(list(runs.values()))
            assert mixtures.shape == (len(runs), k)
            np.testing.assert_allclose(mixtures.sum(axis=1), 1)
            assert (mixtures > 0).all()
            for name in list(runs)[2:]:
                assert name.startswith("contrast-")
                shares = runs[name]
                assert shares.max() / shares.min() == pytest.approx(3)
                assert int((shares > 1 / k).sum()) in (k // 2, (k + 1) // 2)
    assert add_runs(given, None, 1, 0) == given


def test_the_choice_is_that_of_the_seed_and_begins_a_longer_one() -> None:
    given, of = {"uniform": UNIFORM}, affinities(0)
    four, six = (list(add_runs(given, of, number, 3).items()) for number in (4, 6))
    for (name, shares), (other, others) in zip(four, six, strict=False):
        assert name == other
        np.testing.assert_array_equal(shares, others)
    many = {"uniform": np.full(20, 0.05)}
    seeds = [np.stack(list(add_runs(many, None, 3, seed).values())) for seed in (0, 1)]
    assert not np.array_equal(seeds[0], seeds[1])


def test_no_mixture_is_run_twice() -> None:
    """A second run of equal data and seed says nothing. Three domains have but six contrasts."""
    for number, expected in ((5, 5), (7, 7), (20, 7)):
        runs = np.stack(list(add_runs({"uniform": np.full(3, 1 / 3)}, None, number, 0).values()))
        assert len(np.unique(runs, axis=0)) == len(runs) == expected


def test_each_mixture_is_the_one_that_adds_most_information() -> None:
    for seed in range(2):
        for of in (None, affinities(seed)):
            runs = add_runs({"uniform": UNIFORM}, of, 5, seed)
            mixtures = list(runs.values())
            random = np.random.default_rng(100 + seed)
            others = [random_contrast(K, random) for _ in range(100)]
            for number in range(1, 5):
                begun = mixtures[:number]
                chosen = information(np.stack([*begun, mixtures[number]]), of)
                # All 20 contrasts of six domains are among the 256 drawn, but for chance.
                new = [each for each in others if not any(np.allclose(each, old) for old in begun)]
                assert chosen >= max(information(np.stack([*begun, each]), of) for each in new) - 1e-9


def test_slopes_are_surer_than_with_contrasts_at_random() -> None:
    """The squared errors of slopes, over domains, noises and choices."""
    k, n, errors = 12, 4, []
    for seed in range(16):
        truth, random = Truth.of(k, seed), np.random.default_rng(seed)
        uniform = np.full(k, 1 / k)
        chosen = list(add_runs({"uniform": uniform}, truth.affinities, n, seed).values())
        at_random = [uniform, *(random_contrast(k, random) for _ in range(n - 1))]
        noise = random.normal(0, 0.02, (n, k))
        for mixtures in map(np.stack, (chosen, at_random)):
            losses = truth.losses(mixtures) + noise
            law = fit_law(LawData(mixtures, losses, np.eye(k, dtype=bool), truth.affinities))
            errors.append(float(np.square(law.mean_slopes - truth.slopes).mean()))
    of_chosen, of_random = np.log(errors).reshape(-1, 2).mean(axis=0)  # of some choices they are large
    assert of_chosen < of_random + np.log(0.7)
