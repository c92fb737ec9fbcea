"""Fits the affinity law to losses of runs: the posterior distribution of its slopes.

    L_l(w_r) = c_l - b_l ln e_l(w_r) + u_rl        for run r and loss l; e as in `transfer`
    b_l ~ N(b, nu sigma^2),   u_r ~ N(0, sigma^2 (D + rho / m 1 1^T))

Slopes b_l share a mean b, from which few runs move them little. The deviations u of a run's m losses have a
part in common, without which their mean would look m times as certain as one; between runs their covariances,
and how they grow with the distance from uniform weights, are those of `deviation`. D is diagonal: a loss on
few held-out documents varies more. c_l and b have flat priors and sigma^2 an inverse gamma prior, so that for
given T, nu and rho the posterior is known in closed form. These three are taken from grids, and each
combination is weighted by its marginal likelihood. Runs are replaced by n - 1 independent contrasts between
them, which have no c_l.

Shapes: n runs, m losses, k domains, h transfer matrices, c combinations, d draws, b replicates of the losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular

from chameleon.common.arrays import Array
from chameleon.methods.law.deviation import Deviations
from chameleon.methods.law.transfer import Transfer, transfers

_NU = np.geomspace(0.3, 3e4, 9)
_RHO = np.array([0.0, 1.0, 4.0, 16.0])

# The prior of sigma^2 counts as two observations of this many nats.
_NOISE = 0.01
_PRIOR_SHAPE = 1.0

# Shares that differ by less are the same.
_SAME = 1e-6

# Combinations less probable than this, relative to the most probable, or beyond this number are left out.
_NEGLIGIBLE, _MOST_COMBINATIONS = 1e-4, 300


@dataclass(frozen=True, eq=False)
class LawData:
    """What a law is fitted to.

    Attributes:
        mixtures: (n, k) shares of the runs, rows summing to 1.
        losses: (n, m) in nats per token.
        is_own: (m, k) whether the loss is on the domain's own held-out text.
        affinities: (m, k) affinity of each loss's text and each domain, from 0 to 1; None if unknown.
        variances: (m,) of the deviations of each loss, relative to one on many documents; None if alike.
    """

    mixtures: Array
    losses: Array
    is_own: npt.NDArray[np.bool_]
    affinities: Array | None = None
    variances: Array | None = None

    @property
    def precisions(self) -> Array:
        """(m,) inverses of the variances."""
        return np.ones(self.losses.shape[1]) if self.variances is None else 1 / self.variances


@dataclass(frozen=True, eq=False)
class Draws:
    """d draws from a posterior.

    Attributes:
        matrices: (h, m, k) transfer matrices.
        transfer: (d,) index of each draw's.
        slopes: (d, m) in nats per unit of ln e.
        variances: (d,) sigma^2, in square nats.
        relative: (m,) variances of the losses, relative to sigma^2.
        rho: (d,) rho.
        residuals: (d, n - 1, m) what the law leaves of the contrasts between runs.
        deviations: Of the runs.
    """

    matrices: Array
    transfer: npt.NDArray[np.int64]
    slopes: Array
    variances: Array
    relative: Array
    rho: Array
    residuals: Array
    deviations: Deviations

    def gains(
        self, weights: Array, baseline: Array, importance: Array, random: np.random.Generator
    ) -> tuple[Array, Array]:
        """(d,) gains in nats over a baseline: of the mixtures themselves, and of two runs on them.

        Args:
            weights, baseline: (k,) shares.
            importance: (m,) weights of the losses, summing to 1.
            random: Draws the deviations from the law.
        """
        shares = np.log(self.matrices @ weights) - np.log(self.matrices @ baseline)
        by_law = (self.slopes * shares[self.transfer]) @ importance
        difference = self.deviations.between(weights, baseline)
        # What the deviations of the runs say of that between the two mixtures, and what is left open.
        expected = (self.residuals @ importance) @ difference.covariances
        left = max(difference.smooth - float(np.square(difference.covariances).sum()), 0.0)
        scale = self.variances * (np.square(importance) @ self.relative + self.rho / len(importance))
        normal = random.standard_normal((2, len(by_law)))
        gains = by_law - expected + np.sqrt(scale * left) * normal[0]
        return gains, gains + np.sqrt(scale * difference.chance) * normal[1]


@dataclass(frozen=True, eq=False)
class _Combination:
    """A transfer matrix with nu and rho, and what follows from the mixtures alone.

    Attributes:
        transfer: Index of the transfer matrix.
        rho: rho.
        covariates: (n - 1, m) contrasts of -ln e.
        precisions: (m,) of the losses, in units of sigma^-2.
        shared: Factor of the outer product that common deviations take off these.
        factor: lower Cholesky factor of the (m, m) precision of the slopes, in units of sigma^-2.
        evidence: What of the log marginal likelihood does not depend on the losses.
    """

    transfer: int
    rho: float
    covariates: Array
    precisions: Array
    shared: float
    factor: Array
    evidence: float

    def fit(self, losses: Array) -> tuple[Array, Array]:
        """(b, m) means of slopes and (b,) sums of squares, for (b, n - 1, m) contrasts of losses."""
        weighted = losses * self.precisions
        sums = weighted.sum(axis=2)
        weighted_less_common = weighted - self.shared * sums[:, :, None] * self.precisions
        right = np.einsum("nm,bnm->bm", self.covariates, weighted_less_common)
        means = cho_solve((self.factor, True), right.T).T
        squares = (weighted_less_common * losses).sum(axis=(1, 2))
        return means, np.maximum(squares - (right * means).sum(axis=1), 0.0)


@dataclass(frozen=True, eq=False)
class Posterior:
    """A law fitted to runs.

    Attributes:
        data: What it was fitted to.
        constants: The h transfers.
        matrices: (h, m, k) their matrices.
        combinations: What is probable: transfers with nu and rho.
        probabilities: (c,) of each combination.
        slopes: (c, m) posterior means given each.
        noises: (c,) posterior means of sigma^2, in square nats.
        deviations: Of the runs.
    """

    data: LawData
    constants: Sequence[Transfer]
    matrices: Array
    combinations: Sequence[_Combination]
    probabilities: Array
    slopes: Array
    noises: Array
    deviations: Deviations

    @cached_property
    def terms(self) -> tuple[Array, Array]:
        """(h, m) slopes times the probability of their transfer matrix, and the (h, m, k) matrices.

        The expected loss at w is, but for a constant, minus their sum over slope * ln (T w).
        """
        expected = np.zeros((len(self.constants), self.slopes.shape[1]))
        indices = [each.transfer for each in self.combinations]
        np.add.at(expected, indices, self.probabilities[:, None] * self.slopes)
        used = sorted(set(indices))
        return expected[used], self.matrices[used]

    @property
    def mean_slopes(self) -> Array:
        """(m,) posterior means of the slopes."""
        return np.asarray(self.probabilities @ self.slopes)

    @property
    def noise(self) -> float:
        """Standard deviation of one loss about the law, in nats."""
        return float(np.sqrt((self.probabilities * self.noises).sum()))

    def most_probable(self) -> Transfer:
        """The transfer that has the largest probability, over nu and rho."""
        totals = np.zeros(len(self.constants))
        np.add.at(totals, [each.transfer for each in self.combinations], self.probabilities)
        return self.constants[int(totals.argmax())]

    def gains(self, mixtures: Array, baseline: Array) -> Array:
        """(n, m) expected gains of (n, k) mixtures over a (k,) baseline in each loss, in nats."""
        coefficients, matrices = self.terms
        shares = np.log(np.einsum("nk,hmk->hnm", mixtures, matrices))
        shares -= np.log(matrices @ baseline)[:, None]
        return np.asarray(np.einsum("hm,hnm->nm", coefficients, shares))

    def draw(self, number: int, random: np.random.Generator, replicates: Array | None = None) -> Draws:
        """Draws from the posterior.

        Args:
            number: d.
            random: Source of randomness.
            replicates: (b, n, m) losses on resampled documents, in turn; None for the losses themselves.
        """
        losses = self.data.losses[None] if replicates is None else replicates
        contrasts = self.deviations.contrasts @ losses
        fits = [each.fit(contrasts) for each in self.combinations]
        means, squares = (np.stack(part) for part in zip(*fits, strict=True))  # (c, b, m) and (c, b)
        shape, scales = _shape(self.data.losses), _scales(squares)
        logs = np.array([each.evidence for each in self.combinations])[:, None] - shape * np.log(scales)
        replicate = np.arange(number) % len(losses)
        chosen = (logs.T[replicate] + random.gumbel(size=(number, len(logs)))).argmax(axis=1)
        variances = scales[chosen, replicate] / random.gamma(shape, size=number)
        m = losses.shape[2]
        slopes, normal = means[chosen, replicate], random.standard_normal((number, m))
        for draw, at in enumerate(chosen.tolist()):
            factor = self.combinations[at].factor
            deviation = solve_triangular(factor, normal[draw], lower=True, trans="T")
            slopes[draw] += np.sqrt(variances[draw]) * deviation
        rho = np.array([each.rho for each in self.combinations])[chosen]
        covariates = np.stack([self.combinations[at].covariates for at in chosen])
        residuals = contrasts[replicate] - covariates * slopes[:, None]
        transfer = np.array([each.transfer for each in self.combinations])[chosen]
        relative = 1 / self.data.precisions
        return Draws(self.matrices, transfer, slopes, variances, relative, rho, residuals, self.deviations)


def is_determined(mixtures: Array, is_own: npt.NDArray[np.bool_]) -> bool:
    """Whether a law can be fitted to runs: at least two, in which the share of a domain with a loss differs.

    Args:
        mixtures: (n, k) shares.
        is_own: (m, k) see `LawData`; a loss on no domain's own text is of all domains.
    """
    matters = is_own.any(axis=0) | (not is_own.any(axis=1).all())
    return len(mixtures) >= 2 and bool(np.ptp(mixtures[:, matters], axis=0).max() > _SAME)


def fit_law(data: LawData) -> Posterior:
    """Fit the law to runs, for which `is_determined` must hold."""
    constants = transfers(data.affinities, data.is_own)
    matrices = np.stack([each.matrix(data.affinities, data.is_own) for each in constants])
    deviations = Deviations.of(data.mixtures, data.affinities, data.is_own)
    losses = deviations.contrasts @ data.losses
    fits = [
        _Fits.of(-deviations.contrasts @ np.log(data.mixtures @ matrix.T), losses, data.precisions)
        for matrix in matrices
    ]
    shape = _shape(data.losses)
    logs = np.stack([each.evidence - shape * np.log(_scales(each.squares)) for each in fits])
    likely = np.argsort(-logs, axis=None, kind="stable")[:_MOST_COMBINATIONS]
    likely = likely[logs.ravel()[likely] > logs.max() + np.log(_NEGLIGIBLE)]
    places = [tuple(int(i) for i in np.unravel_index(each, logs.shape)) for each in likely]
    probabilities = np.exp(logs.ravel()[likely] - logs.max())
    return Posterior(
        data,
        constants,
        matrices,
        [fits[index].combination(index, *at) for index, *at in places],
        probabilities / probabilities.sum(),
        np.array([fits[index].means[*at] for index, *at in places]),
        np.array([_scales(fits[index].squares[*at]) for index, *at in places]) / max(shape - 1, 0.5),
        deviations,
    )


@dataclass(frozen=True, eq=False)
class _Fits:
    """The fits with one transfer matrix, for each nu (rows) and rho (columns).

    Attributes:
        covariates: (n - 1, m) contrasts of -ln e.
        precisions: (m,) see `_Combination`.
        shared: (columns,) likewise.
        factors: (rows, columns, m, m) likewise.
        evidence: (rows, columns) likewise.
        means: (rows, columns, m) posterior means of the slopes.
        squares: (rows, columns) residual sums of squares.
    """

    covariates: Array
    precisions: Array
    shared: Array
    factors: Array
    evidence: Array
    means: Array
    squares: Array

    @classmethod
    def of(cls, covariates: Array, losses: Array, precisions: Array) -> "_Fits":
        """The fits to (n - 1, m) contrasts of losses with (m,) precisions."""
        n, m = covariates.shape[0] + 1, covariates.shape[1]
        # The inverse of diag(1 / precisions) + rho / m 1 1^T is diag(precisions) - shared precisions^2.
        common = 1 + _RHO / m * precisions.sum()
        shared = _RHO / m / common
        weighted = covariates * precisions
        products = shared[:, None, None] * (weighted.T @ weighted)
        prior = (np.eye(m) - 1 / m) / _NU[:, None, None]
        own = np.diag((weighted * covariates).sum(axis=0)) - products
        factors = np.linalg.cholesky(own[None] + prior[:, None])
        sums = losses @ precisions
        right = (weighted * losses).sum(axis=0) - shared[:, None] * (sums @ weighted)  # (columns, m)
        halves = np.linalg.solve(factors, np.broadcast_to(right, factors.shape[:-1])[..., None])
        means = np.linalg.solve(factors.swapaxes(2, 3), halves)[..., 0]
        squares = (np.square(losses) @ precisions).sum() - shared * np.square(sums).sum()
        squares = squares - np.square(halves).sum((2, 3))
        determinants = 2 * np.log(np.diagonal(factors, axis1=2, axis2=3)).sum(axis=2)
        evidence = -0.5 * (determinants + (m - 1) * np.log(_NU)[:, None] + (n - 1) * np.log(common))
        return cls(covariates, precisions, shared, factors, evidence, means, np.maximum(squares, 0.0))

    def combination(self, transfer: int, row: int, column: int) -> _Combination:
        """One of the fits, for the transfer matrix of an index."""
        factor, rho = self.factors[row, column], float(_RHO[column])
        evidence = float(self.evidence[row, column])
        shared = float(self.shared[column])
        return _Combination(transfer, rho, self.covariates, self.precisions, shared, factor, evidence)


def _scales(squares: npt.ArrayLike) -> Array:
    """Scales of the inverse gamma posteriors of sigma^2, for residual sums of squares."""
    return np.asarray(_PRIOR_SHAPE * _NOISE**2 + np.asarray(squares) / 2)


def _shape(losses: Array) -> float:
    """The shape of the inverse gamma posterior of sigma^2 for (n, m) losses."""
    n, m = losses.shape
    return float((m * (n - 1) - 1) / 2 + _PRIOR_SHAPE)
