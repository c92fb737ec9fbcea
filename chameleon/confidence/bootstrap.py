"""The bootstrap: weights with other windows of the same domains, and the standard errors that follow.

A replicate draws each domain's units (documents where they are known, else windows) with replacement, as many
as there are, and moves the domain's mean by the sum of their influences. The spread is unbiased whatever the
number of units, and shrinks with the part of the domain that was embedded. Where distances are corrected for
sampling noise, those of replicates are corrected twice, because replicates lie around means that are
themselves samples.

Shapes: k domains, b replicates, d width of an embedding.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array, blocks_of_rows, expit, logit
from chameleon.confidence.delta_method import variances_by_domain
from chameleon.confidence.pca import Plane
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.sample import Sample, means_of, noise_of

REPLICATES = 1000

# Above 100 domains fewer replicates are drawn, down to this many, so that a thousand domains take a minute.
_FEWEST = 200

# Size of the means, and of the affinities, of the replicates computed at once.
_BYTES_AT_ONCE = 1 << 26

# Random directions that stand for all those in which domains do not differ.
_FURTHER = 32

# scipy.stats takes a second to import, so these are the quantiles of Student's t at 0.975, by one over the
# degrees of freedom.
_T_INVERSES = (0, 1 / 60, 1 / 30, 1 / 20, 1 / 15, 1 / 10, 1 / 8, 1 / 6, 1 / 5, 1 / 4, 1 / 3, 1 / 2, 1)
_T_QUANTILES = (
    *(1.95996, 2.00030, 2.04227, 2.08596, 2.13145, 2.22814, 2.30600),
    *(2.44691, 2.57058, 2.77645, 3.18245, 4.30265, 12.7062),
)


@dataclass(frozen=True, eq=False)
class Replicates:
    """Scores and weights of b replicates of k domains.

    Attributes:
        scores: (b, k) leverage scores.
        weights: (b, k) weights.
        places: (b, k, 2) places of the domains on the plane; (b, k, 0) without a plane.
    """

    scores: Array
    weights: Array
    places: Array


@dataclass(frozen=True, eq=False)
class Spread:
    """Standard errors and intervals of k numbers.

    Attributes:
        errors: (k,) standard errors.
        intervals: (k, 2) ends of 95 % intervals.
    """

    errors: Array
    intervals: Array


def replicate(
    samples: list[Sample],
    formula: Formula,
    *,
    replicates: int | None = None,
    seed: int = 0,
    plane: Plane | None = None,
) -> Replicates:
    """Scores and weights of bootstrap replicates.

    Args:
        samples: k samples, one for each domain; exact ones do not move.
        formula: From means to weights.
        replicates: Number of replicates b; by default 1000, above 100 domains down to 200.
        seed: Seed of the draws. A domain's draws depend only on this and its name.
        plane: Plane on which to place the replicates of each domain, if any.
    """
    means = means_of(samples)
    noise = noise_of(samples)
    if replicates is None:
        replicates = min(REPLICATES, max(_FEWEST, 100 * REPLICATES // len(means)))
    centred = means - means.mean(axis=0)
    directions = _directions(centred)
    places = np.asarray(centred if directions is None else centred @ directions, dtype=np.float32)
    k, d = places.shape
    generators = [np.random.default_rng(_entropy(sample.name, seed)) for sample in samples]
    scores = np.empty((replicates, k))
    on_plane = np.empty((replicates, k, 0 if plane is None else 2))
    for some in blocks_of_rows(replicates, 4 * k * d, _BYTES_AT_ONCE):
        moved = np.empty((some.stop - some.start, k, d), dtype=np.float32)
        drawn = np.zeros(k)
        for i, (sample, generator) in enumerate(zip(samples, generators, strict=True)):
            influences = sample.influences()
            if directions is not None:
                influences = influences @ directions
            drawn[i] = np.vdot(influences, influences)
            moved[:, i] = places[i] + _moves(influences, generator, len(moved))
        usable = formula.usable(means, noise + drawn)
        # (b, k, k) arrays of some replicates at a time take little memory.
        parts = [moved[rows] for rows in blocks_of_rows(len(moved), 32 * k * k, _BYTES_AT_ONCE)]
        scores[some] = np.concatenate([formula.scores_of_many(part, usable) for part in parts])
        if plane is not None:
            less = np.where(np.eye(k, dtype=bool), drawn[:, None], usable[:, None] + noise)
            affinities = (formula.affinities_to(part, places, less, means) for part in parts)
            on_plane[some] = np.concatenate([plane.place(each) for each in affinities])
    return Replicates(scores, formula.weights(scores), on_plane)


def _directions(centred: Array) -> npt.NDArray[np.float32] | None:
    """(d, r) directions that replicates are projected on; None to use all d coordinates.

    The directions in which domains differ are kept. The others matter only by the squared moves of samples in
    them, and a few random ones, stretched, stand for all.
    """
    k, d = centred.shape
    if k + _FURTHER >= d:
        return None
    random = np.random.default_rng(0).standard_normal((d, _FURTHER))
    _, sizes, rows = np.linalg.svd(centred, full_matrices=False)
    differing = rows[sizes > 1e-12 * max(sizes[0], 1e-300)].T
    others, _ = np.linalg.qr(random - differing @ (differing.T @ random))
    others *= np.sqrt((d - differing.shape[1]) / _FURTHER)
    return np.asarray(np.hstack([differing, others]), dtype=np.float32)


def spread_of(values: Array, replicated: Array, degrees: Array) -> Spread:
    """Standard errors and intervals of shares or scores from their replicates.

    Intervals are symmetric on the scale of the logit, so that they stay within 0 and 1, with the quantile of
    Student's t for the degrees of freedom.

    Args:
        values: (k,) estimates, from 0 to 1.
        replicated: (b, k) replicates of the estimates.
        degrees: (k,) degrees of freedom of their variances, at least 1.
    """
    errors = replicated.std(axis=0, ddof=1)
    spreads = logit(replicated).std(axis=0, ddof=1)
    return Spread(errors, intervals_of(values, errors, spreads, degrees))


def intervals_of(values: Array, errors: Array, spreads: Array, degrees: Array) -> Array:
    """(k, 2) ends of 95 % intervals. See `spread_of`.

    Args:
        values: (k,) estimates, from 0 to 1.
        errors: (k,) standard errors; where one is 0 both ends are the estimate.
        spreads: (k,) standard errors of the logits.
        degrees: (k,) degrees of freedom, at least 1.
    """
    quantiles = np.interp(1 / degrees, _T_INVERSES, _T_QUANTILES)
    centre, half = logit(values), quantiles * spreads
    ends = np.stack([expit(centre - half), expit(centre + half)], axis=1)
    return np.where(errors[:, None] == 0, values[:, None], ends)


def degrees_of_freedom(samples: list[Sample], formula: Formula, solution: Solution) -> Array:
    """(k,) degrees of freedom of the weights' variances, by Satterthwaite's rule.

    Each domain has its units less one, weighted by how much of the variance comes from it.
    """
    parts = variances_by_domain(samples, formula, solution)
    units = np.array([max(sample.num_units - 1, 1) for sample in samples])
    totals = parts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = totals**2 / (parts**2 / units).sum(axis=1)
    return np.where(totals > 0, np.maximum(degrees, 1.0), float(units.sum()))


def order_probabilities(replicated: Array, reach: int) -> Array:
    """(k, reach) share of replicates in which domain i weighs more than domain i + j, at [i, j].

    Ties count half. Beyond the last domain the share is 1.

    Args:
        replicated: (b, k) weights of replicates.
        reach: Number of j, from 0.
    """
    k = replicated.shape[1]
    above = np.ones((k, reach))
    for i in range(k):
        others = replicated[:, i : i + reach]
        mine = replicated[:, i : i + 1]
        above[i, : others.shape[1]] = (mine > others).mean(axis=0) + 0.5 * (mine == others).mean(axis=0)
    return above


def _moves(
    influences: npt.NDArray[np.float32], generator: np.random.Generator, count: int
) -> npt.NDArray[np.float32]:
    """(count, r) differences of replicates of a domain's mean from it."""
    u = len(influences)
    if u == 0:
        return np.zeros((count, influences.shape[1]), dtype=np.float32)
    draws = generator.integers(u, size=(count, u), dtype=np.uint16) + np.arange(count)[:, None] * u
    counts = np.bincount(draws.ravel(), minlength=count * u).reshape(count, u)
    return np.asarray(counts.astype(np.float32) @ influences)


def _entropy(name: str, seed: int) -> list[int]:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return [seed, int.from_bytes(digest[:8], "little")]
