"""Kernel ridge leverage scores: how much of itself each domain has to explain.

With the ridge mu = k lambda, the smoother K (K + mu I)^-1 maps a function on the domains to its
ridge estimate. Its diagonal, the score S_i in [0, 1), is near 1 for a domain that no other domain
resembles and falls as others share its direction. (Alaoui & Mahoney, 2015.)
"""

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from chameleon.affinity import Array, real_array
from chameleon.errors import InputError

# The most that rounding may move a score. Scores this far off still give weights to three digits.
_WORST_ROUNDING = 1e-4
_INDEFINITE = "the affinity matrix is not positive semi-definite"


def leverage_scores(affinity: npt.ArrayLike, lambda_reg: float, least: float | None = None) -> Array:
    """Scores S_i = [K (K + k lambda I)^-1]_ii.

    Solved as (K + mu I)^-1 K by a Cholesky factorisation, which loses no digits in small scores
    (1 - mu [(K + mu I)^-1]_ii would: its error is the machine epsilon over the score).

    Args:
        affinity: (k, k) symmetric positive semi-definite matrix K.
        lambda_reg: Regularisation lambda > 0, in the unit of K; the ridge is k lambda.
        least: The least that a score can be, to which those below are raised. For a K that was freed of
            noise and may be a little indefinite; by default such a K is an error.

    Returns:
        (k,) float64 scores in [0, 1).

    Raises:
        InputError: K is not square, symmetric and finite, is seen not to be positive semi-definite
            (a negative diagonal or score), or lambda is not positive, or so small that the
            rounding of K decides the scores.
    """
    K = _checked_affinity(affinity)
    if not (np.isfinite(lambda_reg) and lambda_reg > 0):
        raise InputError(f"lambda must be a positive number, got {lambda_reg}")
    ridge = len(K) * lambda_reg
    if not np.isfinite(ridge):
        raise InputError(f"lambda {lambda_reg:g} is too large: the ridge k lambda is infinite in float64")
    trace = float(np.trace(K))
    # K is known to machine epsilon times its size, and the scores to that over the ridge.
    rounding = float(np.finfo(np.float64).eps) * trace / ridge
    if not rounding <= _WORST_ROUNDING:
        enough = 2 * lambda_reg * rounding / _WORST_ROUNDING
        raise InputError(
            f"lambda {lambda_reg:g} is too small for this affinity matrix (trace {trace:g}): its rounding "
            f"in float64 would decide the scores; give {enough:.1g} or more"
        )
    regularised = K.copy()
    regularised[np.diag_indices_from(regularised)] += ridge
    try:
        factor = cho_factor(regularised, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        raise InputError(_INDEFINITE) from None
    scores = np.diag(cho_solve(factor, K, check_finite=False)).copy()
    if least is None and (scores < -10 * rounding).any():
        raise InputError(_INDEFINITE)
    return np.clip(scores, least or 0.0, np.nextafter(1.0, 0.0), out=scores)


def _checked_affinity(affinity: npt.ArrayLike) -> Array:
    K = real_array(affinity, "affinities")
    if K.ndim != 2 or K.shape[0] != K.shape[1] or not len(K):
        raise InputError(f"expected a square affinity matrix, got shape {K.shape}")
    if not np.isfinite(K).all():
        raise InputError("the affinity matrix holds numbers that are not finite")
    if not np.allclose(K, K.T, rtol=1e-9, atol=1e-12 * float(np.abs(K).max())):
        raise InputError("the affinity matrix is not symmetric")
    if (np.diag(K) < 0).any():
        raise InputError(_INDEFINITE)
    return K


def effective_dimension(scores: npt.ArrayLike) -> float:
    """Sum of the scores: how many different domains there are, as the kernel and ridge see it."""
    return float(np.sum(np.asarray(scores, dtype=np.float64)))
