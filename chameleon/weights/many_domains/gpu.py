"""Exact RBF leverage scores on a GPU, within one (k, k) matrix of memory.

The numbers agree with `chameleon.weights.many_domains.exact` to a few units in the tenth digit; all
arithmetic is float64. Columns of an inverse are solved for some at a time, so that no second matrix of that
size is needed.

Shapes: k domains, d width of an embedding, r some of the domains.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chameleon.common.arrays import Array, Floats, blocks_of_rows
from chameleon.common.machine import gibibytes
from chameleon.weights.affinity import sigma_of_median, usable_noise
from chameleon.weights.leverage import clipped, least_score, ridge_of

if TYPE_CHECKING:
    import torch

# Fewer domains than this are solved on the CPU before a GPU is ready.
WORTH_IT = 4000

# As on the CPU, smaller scores are solved for without cancellation, and distances below this share of
# |x|^2 + |y|^2 are computed from differences.
_CANCELLED_SCORE, _CANCELLED_DISTANCE = 1e-4, 1e-3

# Numbers of the columns processed at once: 512 MiB.
_AT_ONCE = 1 << 26
_LEADING_BITS = 20


@dataclass(frozen=True, eq=False)
class GpuScores:
    """Exact scores from a GPU, and what their gradients need.

    Attributes:
        x: (k, d) float64 embeddings about their centroid, in multiples of `unit`, on the device.
        unit: Power of two.
        sigma: Width in the unit of the means.
        noise: (k,) noise that was taken off squared distances.
        factor: (k, k) lower Cholesky factor of K + mu I, on the device.
        scores: (k,) float64 scores in [0, 1), on the CPU.
    """

    x: "torch.Tensor"
    unit: float
    sigma: float
    noise: Array
    factor: "torch.Tensor"
    scores: Array

    def gradients(self, rows: slice) -> Array:
        """(r, d) derivatives of the scores of some rows by their own means. See `ExactScores.gradients`."""
        import torch

        gradients = []
        less = torch.as_tensor(self.noise / self.sigma**2, device=self.x.device)
        begin, end, _ = rows.indices(len(self.x))
        for block in blocks_of_rows(end - begin, len(self.x), _AT_ONCE):
            some = slice(begin + block.start, begin + block.stop)
            solved, affinity = _columns(self.factor, self.x, some, self.sigma / self.unit, less)
            affinity[some.start : some.stop].diagonal().zero_()
            pulls = solved * affinity
            towards = pulls.sum(dim=0)[:, None] * self.x[some] - pulls.mT @ self.x
            remaining = torch.as_tensor(1 - self.scores[some], device=self.x.device)
            gradients.append((remaining[:, None] * towards).cpu().numpy())
        return np.asarray(-2 * self.unit / self.sigma**2 * np.concatenate(gradients))


def gpu_of(device: str) -> str | None:
    """The CUDA device that --device names or, with auto, finds; else None."""
    if device != "auto" and not device.startswith("cuda"):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return "cuda" if device == "auto" else device


def lacking_on(device: str, k: int, d: int) -> str | None:
    """Why the exact scores of k domains do not fit on a CUDA device, in words; None where they do."""
    import torch

    free, _ = torch.cuda.mem_get_info(torch.device(device))
    needed = 8 * k * k + 16 * k * d + 12 * 8 * _AT_ONCE
    if needed <= free:
        return None
    return f"they need {gibibytes(needed)} of {device}'s memory, of which {gibibytes(free)} are free"


def gpu_scores(
    means: Floats, lambda_reg: float, sigma: float | None, noise: Array | None, device: str
) -> GpuScores:
    """Exact scores with the RBF kernel, computed on a CUDA device.

    Args:
        means: (k, d) domain embeddings.
        lambda_reg: Regularisation lambda > 0; the ridge is k lambda.
        sigma: Width; None for the median distance over all pairs.
        noise: (k,) noise to take off squared distances where possible; None for none.
        device: torch's name of the device.

    Raises:
        InputError: See `chameleon.weights.many_domains.exact.exact_scores`.
    """
    import torch

    k = len(means)
    ridge, rounding = ridge_of(lambda_reg, k, float(k))
    x = torch.as_tensor(np.asarray(means, dtype=np.float64), device=device)
    largest = float(x.abs().max())
    unit = float(2.0 ** np.floor(np.log2(largest))) if largest else 1.0
    x = x / unit
    x -= x.mean(dim=0)
    matrix = torch.empty((k, k), dtype=torch.float64, device=device)
    for rows in blocks_of_rows(k, k, _AT_ONCE):
        matrix[rows] = _squared(x, rows).mT
    taken, less = None, torch.zeros(k, dtype=torch.float64, device=device)
    if noise is not None and noise.any():
        whole = sigma_of_median(_median(matrix, less), unit) if sigma is None else sigma
        taken = usable_noise(noise, whole, ridge, from_median=sigma is None)
        less = torch.as_tensor(taken, device=device) / unit / unit
    if sigma is None:
        sigma = sigma_of_median(_median(matrix, less), unit)
    less = less * (unit / sigma) ** 2
    for rows in blocks_of_rows(k, k, _AT_ONCE):
        matrix[rows] = _affinity(matrix[rows].mT, rows, sigma / unit, less).mT
    matrix.diagonal().add_(ridge)
    # The factorisation works in column order, in which the transpose is the same symmetric matrix.
    factor = matrix.mT
    info = torch.empty((), dtype=torch.int32, device=device)
    torch.linalg.cholesky_ex(factor, out=(factor, info))
    if int(info):
        raise ArithmeticError(f"an affinity matrix with its ridge is not positive definite ({int(info)})")
    scores = _scores(factor, x, ridge, sigma / unit, less)
    clipped(scores, rounding, None if taken is None else least_score(k, ridge))
    return GpuScores(x, unit, sigma, np.zeros(k) if taken is None else taken, factor, scores)


def _scores(
    factor: "torch.Tensor", x: "torch.Tensor", ridge: float, sigma: float, less: "torch.Tensor"
) -> Array:
    """(k,) scores: 1 - mu |L^-1 e_i|^2, or where one is small, all from columns of (K + mu I)^-1 K."""
    k = len(factor)
    scores = np.empty(k)
    for rows in blocks_of_rows(k, k, _AT_ONCE):
        scores[rows] = 1 - ridge * _halves(factor, rows).square().sum(dim=0).cpu().numpy()
    if scores.min() >= _CANCELLED_SCORE:
        return scores
    for rows in blocks_of_rows(k, k, _AT_ONCE):
        solved, affinity = _columns(factor, x, rows, sigma, less)
        scores[rows] = (solved * affinity).sum(dim=0).cpu().numpy()
    return scores


def _halves(factor: "torch.Tensor", rows: slice) -> "torch.Tensor":
    """(k, r) some columns of the factor's inverse."""
    import torch

    units = torch.zeros((len(factor), rows.stop - rows.start), dtype=torch.float64, device=factor.device)
    units[rows].diagonal().fill_(1.0)
    halves: torch.Tensor = torch.linalg.solve_triangular(factor, units, upper=False)
    return halves


def _columns(
    factor: "torch.Tensor", x: "torch.Tensor", rows: slice, sigma: float, less: "torch.Tensor"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """(k, r) some columns of (K + mu I)^-1, and of K."""
    import torch

    solved = torch.linalg.solve_triangular(factor.mT, _halves(factor, rows), upper=True)
    return solved, _affinity(_squared(x, rows), rows, sigma, less)


def _squared(x: "torch.Tensor", rows: slice) -> "torch.Tensor":
    """(k, r) squared distances to some domains, from differences where the products lose digits."""
    import torch

    sizes = x.square().sum(dim=1)
    sums = sizes[:, None] + sizes[rows]
    squared = sums - 2 * (x @ x[rows].mT)
    near = (squared <= _CANCELLED_DISTANCE * sums).nonzero()
    for pairs in torch.split(near, max(1, _AT_ONCE // (4 * x.shape[1]))):
        one, other = pairs[:, 0], pairs[:, 1]
        squared[one, other] = (x[one] - x[rows][other]).square().sum(dim=1)
    return squared


def _affinity(squared: "torch.Tensor", rows: slice, sigma: float, less: "torch.Tensor") -> "torch.Tensor":
    """(k, r) affinities to some domains; `less` is the noise to take off, in units of the squared width."""
    affinity = (squared / sigma / sigma - less[:, None] - less[rows]).mul_(-0.5).exp_()
    affinity[rows].diagonal().fill_(1.0)
    return affinity


def _median(squared: "torch.Tensor", less: "torch.Tensor") -> float:
    """Median of squared distances less the noise over pairs. See `median_of_pairs`."""
    import torch

    k = len(squared)

    def values(rows: slice) -> "torch.Tensor":
        places = torch.arange(k, device=squared.device)
        is_pair = places < places[rows, None]
        return (squared[rows] - less - less[rows, None])[is_pair]

    def leading(numbers: "torch.Tensor") -> "torch.Tensor":
        bits = (numbers + 0.0).view(torch.int64)  # no negative zero
        ordered = torch.where(bits < 0, bits ^ ((1 << 63) - 1), bits)
        return (ordered >> (64 - _LEADING_BITS)) + (1 << (_LEADING_BITS - 1))

    middle = ((k * (k - 1) // 2 - 1) // 2, k * (k - 1) // 2 // 2)
    counts = torch.zeros(1 << _LEADING_BITS, dtype=torch.int64, device=squared.device)
    for rows in blocks_of_rows(k, k, _AT_ONCE):
        counts += torch.bincount(leading(values(rows)), minlength=len(counts))
    upto = counts.cumsum(0).cpu().numpy()
    first, last = (int(np.searchsorted(upto, rank, side="right")) for rank in middle)
    candidates = []
    for rows in blocks_of_rows(k, k, _AT_ONCE):
        part = values(rows)
        bins = leading(part)
        candidates.append(part[(bins >= first) & (bins <= last)])
    inside = torch.cat(candidates).sort().values
    before = int(upto[first] - counts[first])
    return float(sum(float(inside[rank - before]) for rank in middle) / 2)
