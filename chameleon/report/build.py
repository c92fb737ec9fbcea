"""From what a run found to what a report tells.

Shapes: k domains (or sources, where weights are nested), m of them on pictures, f settings along a path.
"""

from dataclasses import replace

import numpy as np

from chameleon.confidence.pca import spreads_of
from chameleon.confidence.sensitivity import PATH, WeightPath, along_temperature, weight_paths
from chameleon.pipeline.run import Outcome
from chameleon.pipeline.score import Scored
from chameleon.report.content import ALL_PICTURED, PlottedDomains, Report
from chameleon.report.sections import MOST_EXAMPLES


def build_report(outcome: Outcome) -> Report:
    """The report of a run that was asked for one."""
    scored, change = outcome.scored, outcome.change
    only, shown = _pictured(outcome)
    spreads = np.zeros((len(shown), 2, 2))
    if scored.confidence is not None and scored.confidence.replicates.places.shape[1:] == (len(shown), 2):
        spreads = spreads_of(scored.confidence.replicates.places)
    stored, weights = outcome.embedded.domains, outcome.weights
    names = weights.names
    if len(names) > ALL_PICTURED:
        names = tuple(names[i] for i in np.argsort(-weights.weights, kind="stable")[:MOST_EXAMPLES])
    return Report(
        weights=weights,
        affinity=scored.solution.affinity,
        places=scored.plane.places,
        explained=scored.plane.explained,
        spreads=spreads,
        paths=_paths(scored, shown),
        examples={name: stored[name].examples for name in names if name in stored},
        others=outcome.variants,
        before=None if change is None else change.before,
        moved_by=() if change is None else change.moved_by,
        only=only,
    )


def _pictured(outcome: Outcome) -> tuple[PlottedDomains | None, list[int]]:
    """What pictures are of, None where that is all domains, and its places among what was scored."""
    scored, by_name = outcome.scored, outcome.weights.by_name()
    names = [sample.name for sample in scored.samples]
    k = len(names)
    are_sources = names[0] not in by_name
    kind = "sources" if are_sources else "domains"
    what = f"{kind}, each as one domain" if are_sources else kind
    shown = scored.solution.displayed
    if len(shown) == k and not are_sources:
        return None, shown
    words = f"Of the {k:,} {what}."
    if len(shown) < k:
        half = len(shown) // 2
        others = f"{len(shown) - half:,} others at random"
        words = f"{len(shown):,} of {k:,} {what}: the {half:,} heaviest and {others}."
    weights = scored.solution.weights if are_sources else np.array([by_name[name] for name in names])
    return PlottedDomains([names[i] for i in shown], weights[shown], words, kind), shown


def _paths(scored: Scored, shown: list[int]) -> list[WeightPath]:
    """(f, m) weights along settings; of very many domains along that which takes no solve: temperature."""
    formula, solution = scored.formula, scored.solution
    if len(scored.samples) <= ALL_PICTURED:
        return weight_paths(scored.samples, formula, solution, PATH)
    path = along_temperature(formula, solution, PATH)
    return [replace(path, weights=path.weights[:, shown])]
