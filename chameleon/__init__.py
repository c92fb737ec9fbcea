"""How much of each text domain to train on, from kernel ridge leverage scores.

The names below are loaded when first used, so that `import chameleon` costs nothing and never
loads torch: they need numpy and scipy alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chameleon.affinity import linear_affinity, median_sigma, rbf_affinity
    from chameleon.compute import compute_weights
    from chameleon.domain_weights import DomainWeights
    from chameleon.errors import InputError
    from chameleon.leverage import effective_dimension, leverage_scores
    from chameleon.weights import finetune_weights, pretrain_weights

__version__ = "0.1.0"

__all__ = [
    "DomainWeights",
    "InputError",
    "compute_weights",
    "effective_dimension",
    "finetune_weights",
    "leverage_scores",
    "linear_affinity",
    "median_sigma",
    "pretrain_weights",
    "rbf_affinity",
]

_HOME = {
    "DomainWeights": "chameleon.domain_weights",
    "InputError": "chameleon.errors",
    "compute_weights": "chameleon.compute",
    "effective_dimension": "chameleon.leverage",
    "finetune_weights": "chameleon.weights",
    "leverage_scores": "chameleon.leverage",
    "linear_affinity": "chameleon.affinity",
    "median_sigma": "chameleon.affinity",
    "pretrain_weights": "chameleon.weights",
    "rbf_affinity": "chameleon.affinity",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOME:
        raise AttributeError(f"module 'chameleon' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
