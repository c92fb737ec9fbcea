"""How alike domains are: kernels between domain embeddings.

Shapes: k domains, d width of an embedding. All arithmetic is float64.
"""

import numpy as np
import numpy.typing as npt

from chameleon.errors import InputError

Array = npt.NDArray[np.float64]


def linear_affinity(means: npt.ArrayLike) -> Array:
    """Centred linear kernel, K = (X - mean)(X - mean)^T.

    Centring both rows and columns of X X^T gives the same matrix: it is the linear affinity of the
    method's published code. It has the scale of the embeddings squared, and so has its ridge.

    Args:
        means: (k, d) domain embeddings X, any real dtype.

    Returns:
        (k, k) symmetric positive semi-definite matrix.

    Raises:
        InputError: `means` is no finite (k, d) array with k >= 2 and d >= 1.
    """
    centred = _centred(means)
    return np.asarray(centred @ centred.T)


def rbf_affinity(means: npt.ArrayLike, sigma: float | None = None) -> Array:
    """Gaussian kernel, K_ij = exp(-|x_i - x_j|^2 / (2 sigma^2)).

    Args:
        means: (k, d) domain embeddings, any real dtype.
        sigma: Width in the unit of the embeddings; by default `median_sigma(means)`.

    Returns:
        (k, k) symmetric positive semi-definite matrix with a diagonal of exactly 1.

    Raises:
        InputError: `means` is no finite (k, d) array with k >= 2 and d >= 1, or `sigma` is not
            a positive number, or no width can be derived because most domains coincide.
    """
    squared = _squared_distances(means)
    if sigma is None:
        sigma = _median_sigma(squared)
    if not (np.isfinite(sigma) and sigma > 0):
        raise InputError(f"sigma must be a positive number, got {sigma}")
    squared *= -0.5 / sigma**2
    return np.exp(squared, out=squared)


def median_sigma(means: npt.ArrayLike) -> float:
    """Square root of the median squared distance over pairs of domains (the median heuristic).

    Args:
        means: (k, d) domain embeddings, any real dtype.

    Raises:
        InputError: `means` is no finite (k, d) array with k >= 2 and d >= 1, or at least half of
            the pairs of domains coincide, so that the median distance is zero.
    """
    return _median_sigma(_squared_distances(means))


def _median_sigma(squared: Array) -> float:
    sigma = float(np.sqrt(np.median(squared[np.triu_indices_from(squared, 1)])))
    if sigma == 0.0:
        raise InputError(
            "at least half of the pairs of domains have the same embedding, so no RBF width can be "
            "derived from their distances: remove duplicate domains or give the width (--rbf_sigma)"
        )
    return sigma


def _squared_distances(means: npt.ArrayLike) -> Array:
    """(k, k) squared distances, exactly symmetric, never negative, zero on the diagonal."""
    # Distances do not change with centring, and the cancellation in |x|^2 + |y|^2 - 2 xy then
    # works on the size of the differences between domains rather than on that of their embeddings.
    centred = _centred(means)
    gram = centred @ centred.T
    norms = np.diag(gram).copy()
    squared = norms[:, None] + norms[None, :] - (gram + gram.T)
    np.fill_diagonal(squared, 0.0)
    return np.maximum(squared, 0.0, out=squared)


def _centred(means: npt.ArrayLike) -> Array:
    x = np.asarray(means, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 1:
        raise InputError(f"expected embeddings of at least 2 domains as a (k, d) array, got shape {x.shape}")
    if not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        raise InputError(f"domain embeddings must be finite numbers, those in rows {bad.tolist()} are not")
    return np.asarray(x - x.mean(axis=0))
