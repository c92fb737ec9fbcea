"""Embedded domains to weights, how sure they are, and what there is to warn of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from chameleon.confidence.diagnostics import sensitivity_facts, warnings_of
from chameleon.confidence.pca import Plane
from chameleon.confidence.stopping import estimated_error, next_windows
from chameleon.confidence.verdict import Confidence, assess, with_confidence
from chameleon.embeddings.store import DomainEmbeddings
from chameleon.pipeline.options import DEFAULT_TARGET_SE, Options
from chameleon.weights.compute import solve, weights_of
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.kept_ratios import KeptRatios
from chameleon.weights.many_domains.blocks import is_many
from chameleon.weights.sample import Sample

Embedded = Mapping[str, DomainEmbeddings]


# Of more domains than this a bootstrap takes too long to be had after each round.
ASSESSED_EVERY_ROUND = 100


# Of embeddings that do not say how many windows their domain has.
_ENDLESS = 1 << 40


@dataclass(frozen=True, eq=False)
class Scored:
    """What was found for some domains.

    Attributes:
        samples: Of the k domains.
        formula: From their means to weights.
        solution: What it gave.
        plane: Where the domains that are shown lie by their affinity.
        confidence: How sure the weights are; None where that cannot be said.
        weights: The same, as domain weights.
    """

    samples: list[Sample]
    formula: Formula
    solution: Solution
    plane: Plane
    confidence: Confidence | None
    weights: DomainWeights

    @property
    def shown(self) -> list[int]:
        """The domains that pictures show, in order: all, or of many the heaviest and others at random."""
        return self.solution.displayed


def score_samples(
    samples: list[Sample], available: Mapping[str, int], options: Options, kept: KeptRatios | None = None
) -> Scored:
    """Weights of samples, how sure they are, and warnings as notices.

    Args:
        samples: Of the domains.
        available: Windows that each has in all.
        options: What is asked for.
        kept: Shares to keep from before, if any are to be.

    Raises:
        InputError: The samples or what is asked for cannot be used.
    """
    formula = Formula.of(len(samples), options)
    solution = solve(samples, formula, with_gradients=True)
    weights = weights_of(samples, formula, solution)
    if kept is not None:
        own = weights.by_name()
        facts = {name: {**weights.domains[name], "weight_of_its_own": own[name]} for name in weights.names}
        weights = replace(weights, weights=kept.mixed(weights.weights), domains=facts)
    plane = Plane.of(solution.affinity)
    target = target_of(options)
    confidence = assess(
        samples,
        available,
        formula,
        solution,
        target,
        plane=None if options.report is None else plane,
        kept=kept,
    )
    weights = with_confidence(weights, confidence, samples, target)
    warned, moved = warnings_of(samples, formula, solution)
    weights = replace(
        weights,
        diagnostics={
            **weights.diagnostics,
            "sensitivity": sensitivity_facts(weights.names, solution, moved),
        },
        notices=(*weights.notices, *warned),
    )
    if solution.many is not None:  # frees what derivatives take, gigabytes perhaps
        solution = replace(solution, many=replace(solution.many, gradients=None))
    return Scored(samples, formula, solution, plane, confidence, weights)


def windows_wanted(samples: list[Sample], available: Mapping[str, int], options: Options) -> dict[str, int]:
    """Windows to have of each domain after the next round; empty where there are enough.

    The estimate by which rounds go is quick, and with few windows it may be too low. So where it says that
    there are enough, the errors that will be told are looked at too: where one is over the target, the
    estimate must fall by as much.
    """
    formula, target = Formula.of(len(samples), options), target_of(options)
    wanted = next_windows(samples, available, formula, target)
    if wanted or len(samples) > ASSESSED_EVERY_ROUND:
        return wanted
    confidence = assess(samples, available, formula, solve(samples, formula), target)
    largest = 0.0 if confidence is None else float(confidence.weights.errors.max())
    if largest <= target:
        return {}
    lower = estimated_error(samples, available, formula) * target / largest
    return next_windows(samples, available, formula, lower)


def samples_by_name(embedded: Embedded) -> tuple[dict[str, Sample], dict[str, int]]:
    """The domains as samples, and how many windows each has in all.

    Of many domains the embeddings, which may be more than fits in memory, are read when they are wanted.
    """
    samples, available = {}, {}
    for name, stored in embedded.items():
        known = bool((stored.documents >= 0).all())
        sample = Sample.of(
            name,
            stored.embeddings,
            stored.documents if known else None,
            stored.available if known else None,
        )
        if is_many(len(embedded)):
            sample = sample.read_by(partial(_embeddings_of, embedded, name))
        samples[name] = sample
        available[name] = stored.available if known else _ENDLESS
    return samples, available


def _embeddings_of(embedded: Embedded, name: str) -> npt.NDArray[np.float32]:
    return embedded[name].embeddings


def target_of(options: Options) -> float:
    """The standard error that is asked for."""
    return DEFAULT_TARGET_SE if options.target_se is None else options.target_se
