"""Scores described as a run describes them, without a corpus."""

from chameleon.embeddings.store import EmbeddingRecord
from chameleon.pipeline.describe import describe
from chameleon.pipeline.nested import NestedScores
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import Scored
from chameleon.weights.domain_weights import DomainWeights


def described(scores: Scored | NestedScores, options: Options) -> DomainWeights:
    """What the weights file of a run says, of 24 windows of each domain."""
    counts = dict.fromkeys(scores.names, 24)
    record = EmbeddingRecord("made", {"dataset": "made"}, 24, counts, {}, {}, {}, (), "")
    return describe(scores, options, record, {})
