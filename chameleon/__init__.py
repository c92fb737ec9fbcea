"""How much of each text domain to train on, from kernel ridge leverage scores.

The names below are loaded when first used, so that `import chameleon` costs nothing and never
loads torch: they need numpy and scipy alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chameleon.common.errors import InputError
    from chameleon.weights.affinity import linear_affinity, median_sigma, rbf_affinity
    from chameleon.weights.compute import compute_weights
    from chameleon.weights.domain_weights import DomainWeights
    from chameleon.weights.leverage import effective_dimension, leverage_scores
    from chameleon.weights.softmax import finetune_weights, pretrain_weights

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
    "DomainWeights": "chameleon.weights.domain_weights",
    "InputError": "chameleon.common.errors",
    "compute_weights": "chameleon.weights.compute",
    "effective_dimension": "chameleon.weights.leverage",
    "finetune_weights": "chameleon.weights.softmax",
    "leverage_scores": "chameleon.weights.leverage",
    "linear_affinity": "chameleon.weights.affinity",
    "median_sigma": "chameleon.weights.affinity",
    "pretrain_weights": "chameleon.weights.softmax",
    "rbf_affinity": "chameleon.weights.affinity",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOME:
        raise AttributeError(f"module 'chameleon' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
