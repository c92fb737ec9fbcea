"""From what a run found to what a report tells."""

import numpy as np

from chameleon.confidence.plane import spreads_of
from chameleon.confidence.sensitivity import PATH, paths
from chameleon.pipeline import Outcome
from chameleon.report.content import Report
from chameleon.sample import means_of, noise_of


def report_of(outcome: Outcome) -> Report:
    """The report of a run that was asked for one."""
    judged, change = outcome.judged, outcome.change
    k = len(judged.samples)
    replicates = None if judged.confidence is None else judged.confidence.replicates
    placed = replicates is not None and replicates.places.shape[2] == 2
    means, noise = means_of(judged.samples), noise_of(judged.samples)
    stored = outcome.embedded.domains
    return Report(
        weights=outcome.weights,
        affinity=judged.solution.affinity,
        places=judged.plane.places,
        explained=judged.plane.explained,
        spreads=spreads_of(replicates.places) if replicates is not None and placed else np.zeros((k, 2, 2)),
        paths=paths(means, noise, judged.formula, judged.solution, PATH),
        examples={name: stored[name].examples for name in outcome.weights.names if name in stored},
        others=outcome.variants,
        before=None if change is None else change.before,
        moved_by=() if change is None else change.moved_by,
    )
