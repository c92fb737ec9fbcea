"""What a report tells of.

Shapes: k domains, m of them (or sources) on pictures, f settings along a path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.tables import heaviest_first
from chameleon.confidence.sensitivity import WeightPath
from chameleon.weights.domain_weights import DomainWeights

# Of more domains than this, pictures of affinity are of some, and tables have the heaviest and the lightest.
ALL_PICTURED = 1000


@dataclass(frozen=True, eq=False)
class PlottedDomains:
    """What affinity, plane and paths are of.

    Attributes:
        names: Of m domains, or of sources.
        weights: (m,) theirs.
        words: What they are, in a sentence; empty where they are all domains.
        kind: "domains" or "sources".
    """

    names: Sequence[str]
    weights: Array
    words: str = ""
    kind: str = "domains"

    @cached_property
    def by_weight(self) -> list[int]:
        """Their places in `names`, the heaviest first."""
        return heaviest_first(self.names, self.weights)


@dataclass(frozen=True, eq=False)
class Report:
    """Domain weights and all that a reader may want to see beside them.

    Attributes:
        weights: The k weights with their facts, settings, provenance and notices.
        affinity: (m, m) symmetric, of what is pictured: by default the k domains. With the RBF kernel its
            diagonal is 1, with the linear one of any scale.
        places: (m, 2) these on the first two principal components of the affinity.
        explained: (2,) shares of the variance that the two components hold.
        spreads: (m, 2, 2) covariances of the places by sampling; 0 where they are not known.
        paths: (f, m) weights along each setting.
        examples: Texts of a few windows of each domain, by its name; of any domains or none.
        others: Weights by other blocks or seeds, each with a label such as "block 2".
        before: The weights before domains came or went, where they did.
        moved_by: For each domain that came or went, in words such as "without cc", by how much each
            weight moves because of it.
        only: What is pictured, where it is not all domains.
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
    only: PlottedDomains | None = None

    def __post_init__(self) -> None:
        k = len(self.pictured.names)
        expected = {"affinity": (k, k), "places": (k, 2), "explained": (2,), "spreads": (k, 2, 2)}
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise InputError(f"{k} domains need {name} of shape {shape}, got {array.shape}")
            if not np.isfinite(array).all():
                raise InputError(f"{name} must be finite numbers, some are not")

    @cached_property
    def pictured(self) -> PlottedDomains:
        """What affinity, plane and paths are of."""
        return self.only or PlottedDomains(self.weights.names, self.weights.weights)

    @cached_property
    def by_weight(self) -> list[int]:
        """The domains' places in `names`, the heaviest first."""
        return heaviest_first(self.weights.names, self.weights.weights)
