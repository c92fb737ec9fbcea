"""From samples of domains to weights: how sure they are, what to warn of, and which windows to draw next.

Shapes: k domains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.confidence.diagnostics import warnings_of
from chameleon.confidence.pca import Plane
from chameleon.confidence.sensitivity import WeightPath
from chameleon.confidence.stopping import estimated_error, next_windows
from chameleon.confidence.verdict import Confidence, assess, confidence_notices
from chameleon.embeddings.store import DomainEmbeddings
from chameleon.pipeline.options import Options
from chameleon.weights.compute import solve, weights_of
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.kept_ratios import KeptRatios
from chameleon.weights.many_domains.subsets import is_many
from chameleon.weights.sample import Sample

# Above this many domains, the bootstrap is too slow to run every round.
ASSESSED_EVERY_ROUND = 100

# Stands for the windows of a domain whose embeddings do not say how many it has.
_ENDLESS = 1 << 40


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores and weights of k domains, and how sure they are.

    Attributes:
        samples: One for each domain.
        formula: From their means to weights.
        solution: What the formula gave.
        plane: The displayed domains in two dimensions, by their affinity.
        confidence: Errors of the weights; None where a domain has a single window.
        target: Standard error that is small enough.
        ratios: Relative shares of existing domains to keep, if any.
        paths: Weights with each setting halved and doubled.
        warnings: About the weights, in words.
    """

    samples: list[Sample]
    formula: Formula
    solution: Solution
    plane: Plane
    confidence: Confidence | None
    target: float
    ratios: KeptRatios | None
    paths: Sequence[WeightPath]
    warnings: Sequence[str]

    @property
    def names(self) -> tuple[str, ...]:
        """(k,) domain names."""
        return self.by_formula.names

    @cached_property
    def weights(self) -> Array:
        """(k,) weights: those of the formula, or mixed with the ratios to keep."""
        weights = self.solution.weights
        return weights if self.ratios is None else self.ratios.mixed(weights)

    @cached_property
    def by_formula(self) -> DomainWeights:
        """What the formula alone gives: weights, scores, settings and notices."""
        return weights_of(self.samples, self.formula, self.solution)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a reader must know of the weights, in words."""
        doubts = confidence_notices(self.names, self.confidence, self.samples, self.target)
        return (*self.by_formula.notices, *doubts, *self.warnings)


def score_samples(
    samples: list[Sample], available: Mapping[str, int], options: Options, ratios: KeptRatios | None = None
) -> Scored:
    """Score domains, assess the weights and look for what to warn of.

    Args:
        samples: One for each of the k domains.
        available: Windows that each domain has in all.
        options: Of the run.
        ratios: Relative shares of existing domains to keep, if any.

    Raises:
        InputError: A sample or a setting cannot be used.
    """
    formula = Formula.of(len(samples), options)
    solution = solve(samples, formula, with_gradients=True)
    plane = Plane.of(solution.affinity)
    shown = None if options.report is None else plane
    confidence = assess(samples, available, formula, solution, options.target, plane=shown, ratios=ratios)
    warnings, paths = warnings_of(samples, formula, solution)
    if solution.many is not None:  # frees what derivatives take, gigabytes perhaps
        solution = replace(solution, many=replace(solution.many, gradients=None))
    return Scored(samples, formula, solution, plane, confidence, options.target, ratios, paths, warnings)


def windows_wanted(samples: list[Sample], available: Mapping[str, int], options: Options) -> dict[str, int]:
    """Windows to have of each domain after the next round; empty where there are enough.

    Rounds go by a quick estimate of the error, which is too low at times while windows are few. Where it
    is within the target, the errors that will be reported are computed too: if the largest is over the
    target, the estimate has to fall by the same factor.
    """
    formula = Formula.of(len(samples), options)
    wanted = next_windows(samples, available, formula, options.target)
    if wanted or len(samples) > ASSESSED_EVERY_ROUND:
        return wanted
    confidence = assess(samples, available, formula, solve(samples, formula), options.target)
    largest = 0.0 if confidence is None else float(confidence.weights.errors.max())
    if largest <= options.target:
        return {}
    lower = estimated_error(samples, available, formula) * options.target / largest
    return next_windows(samples, available, formula, lower)


def samples_by_name(embedded: Mapping[str, DomainEmbeddings]) -> tuple[dict[str, Sample], dict[str, int]]:
    """A sample for each domain, and the windows that each domain has in all.

    Embeddings of many domains may not fit in memory together, so they are read when they are used.
    """
    samples, available = {}, {}
    for name, stored in embedded.items():
        is_known = bool((stored.documents >= 0).all())
        documents, in_all = (stored.documents, stored.available) if is_known else (None, None)
        sample = Sample.of(name, stored.embeddings, documents, in_all)
        if is_many(len(embedded)):
            sample = sample.read_by(partial(_embeddings_of, embedded, name))
        samples[name] = sample
        available[name] = _ENDLESS if in_all is None else in_all
    return samples, available


def _embeddings_of(embedded: Mapping[str, DomainEmbeddings], name: str) -> npt.NDArray[np.float32]:
    return embedded[name].embeddings
