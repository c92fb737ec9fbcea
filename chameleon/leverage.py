"""Kernel ridge leverage scores: how much of itself each domain has to explain.

With the ridge mu = k lambda, the smoother K (K + mu I)^-1 maps a function on the domains to its
ridge estimate. Its diagonal, the score S_i in [0, 1), is near 1 for a domain that no other domain
resembles and falls as others share its direction. (Alaoui & Mahoney, 2015.)
"""

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from chameleon.affinity import Array
from chameleon.errors import InputError


def leverage_scores(affinity: npt.ArrayLike, lambda_reg: float) -> Array:
    """Scores S_i = [K (K + k lambda I)^-1]_ii.

    Solved as (K + mu I)^-1 K by a Cholesky factorisation, which loses no digits in small scores
    (1 - mu [(K + mu I)^-1]_ii would: its error is the machine epsilon over the score).

    Args:
        affinity: (k, k) symmetric positive semi-definite matrix K.
        lambda_reg: Regularisation lambda > 0, in the unit of K; the ridge is k lambda.

    Returns:
        (k,) float64 scores in [0, 1).

    Raises:
        InputError: K is not square, symmetric and finite, lambda is not positive, or K + mu I is
            not positive definite in float64 (lambda too small for the size of K).
    """
    K = np.asarray(affinity, dtype=np.float64)
    if K.ndim != 2 or K.shape[0] != K.shape[1]:
        raise InputError(f"expected a square affinity matrix, got shape {K.shape}")
    if not np.isfinite(K).all():
        raise InputError("the affinity matrix holds numbers that are not finite")
    if not np.allclose(K, K.T, rtol=1e-9, atol=1e-12 * float(np.abs(K).max(initial=0.0))):
        raise InputError("the affinity matrix is not symmetric")
    if not (np.isfinite(lambda_reg) and lambda_reg > 0):
        raise InputError(f"lambda must be a positive number, got {lambda_reg}")

    regularised = K.copy()
    regularised[np.diag_indices_from(regularised)] += len(K) * lambda_reg
    try:
        factor = cho_factor(regularised, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        raise InputError(
            f"lambda {lambda_reg:g} is too small for this affinity matrix (trace {np.trace(K):g}): "
            "K + k lambda I is singular in float64; give a larger lambda"
        ) from None
    scores = np.diag(cho_solve(factor, K, check_finite=False)).copy()
    return np.maximum(scores, 0.0, out=scores)


def effective_dimension(scores: npt.ArrayLike) -> float:
    """Sum of the scores: how many different domains there are, as the kernel and ridge see it."""
    return float(np.sum(np.asarray(scores, dtype=np.float64)))
