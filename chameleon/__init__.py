"""How much of each text domain to train on, from kernel ridge leverage scores.

`import chameleon` loads nothing: public names are loaded when first used, and need numpy and scipy only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # type checkers and editors do not follow `__getattr__`
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

# Modules of the public names, those that load least first.
_MODULES = (
    "common.errors",
    "weights.domain_weights",
    "weights.softmax",
    "weights.affinity",
    "weights.leverage",
    "weights.compute",
)


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in __all__:
        for module in (import_module(f"{__name__}.{each}") for each in _MODULES):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
