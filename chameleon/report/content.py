"""What a report tells of.

Shapes: k domains, f settings along a path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from chameleon.affinity import Array
from chameleon.confidence.sensitivity import WeightPath
from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError


@dataclass(frozen=True, eq=False)
class Report:
    """Domain weights and all that a reader may want to see beside them.

    Attributes:
        weights: The k weights with their facts, settings, provenance and notices.
        affinity: (k, k) symmetric. With the RBF kernel its diagonal is 1, with the linear one of any scale.
        places: (k, 2) the domains on the first two principal components of the affinity.
        explained: (2,) shares of the variance that the two components hold.
        spreads: (k, 2, 2) covariances of the places by sampling; 0 where they are not known.
        paths: Weights along each setting.
        examples: Texts of a few windows of each domain, by its name; of any domains or none.
        others: Weights by other blocks or seeds, each with a label such as "block 2".
        before: The weights before domains came or went, where they did.
        moved_by: For each domain that came or went, in words such as "without cc", by how much each
            weight moves because of it.
    """

    weights: DomainWeights
    affinity: Array
    places: Array
    explained: Array
    spreads: Array
    paths: Sequence[WeightPath] = ()
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    others: Sequence[tuple[str, DomainWeights]] = ()
    before: DomainWeights | None = None
    moved_by: Sequence[tuple[str, Mapping[str, float]]] = ()

    def __post_init__(self) -> None:
        k = len(self.weights.names)
        expected = {"affinity": (k, k), "places": (k, 2), "explained": (2,), "spreads": (k, 2, 2)}
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise InputError(f"{k} domains need {name} of shape {shape}, got {array.shape}")
            if not np.isfinite(array).all():
                raise InputError(f"{name} must be finite numbers, some are not")

    @property
    def by_weight(self) -> list[int]:
        """The domains' places in `names`, the heaviest first."""
        names, weights = self.weights.names, self.weights.weights
        return sorted(range(len(names)), key=lambda i: (-weights[i], names[i]))
