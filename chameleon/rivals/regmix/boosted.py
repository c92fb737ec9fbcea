"""Gradient-boosted trees from a mixture to a loss, by the library LightGBM.

Shapes: n runs, k domains.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from chameleon.errors import InputError
from chameleon.rivals.regmix.runs import Array

# As published: the rest are the library's own defaults. Nothing is stopped early: that needs data to watch.
_SETTINGS = {
    "objective": "regression",
    "learning_rate": 0.01,
    "seed": 42,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_ROUNDS = 1000
# The library's least number of runs in a leaf; a tree needs two leaves.
_LEAF = 20
LEAST_RUNS = 2 * _LEAF


def fit_boosted(mixtures: Array, losses: Array) -> Callable[[Array], Array]:
    """What predicts (n,) losses of (n, k) mixtures.

    Args:
        mixtures: (n, k).
        losses: (n,).

    Raises:
        InputError: The library is not installed.
    """
    lightgbm = library()
    data = lightgbm.Dataset(mixtures, losses)
    model = lightgbm.train(_SETTINGS, data, _ROUNDS)

    def predict(mixtures: Array) -> Array:
        return np.asarray(model.predict(mixtures), dtype=np.float64)

    return predict


def library() -> Any:  # noqa: ANN401
    """LightGBM.

    Raises:
        InputError: It is not installed.
    """
    try:
        import lightgbm
    except ImportError:
        raise InputError(
            '--regressor lightgbm needs the library LightGBM: pip install "chameleon[regmix]"; or name '
            "loglinear"
        ) from None
    return lightgbm
