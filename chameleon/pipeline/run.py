"""A run of the main command, from options to weights.

    embed or reuse ──► split, merge ──► score ──► describe ──► Outcome
       ▲                                  │
       └── more windows, until the errors are within the target

Splits, merges and weights before a change use the embeddings that exist. `describe` puts together what the
weights file says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import absolute_paths
from chameleon.confidence.stopping import FIRST_WINDOWS, MOST_WINDOWS, require_reachable
from chameleon.embeddings.from_disk import stored_embeddings
from chameleon.embeddings.store import EmbeddedCorpus
from chameleon.pipeline.amounts import amounts_of
from chameleon.pipeline.changes import Change, PreviousWeights, change_from, weights_before
from chameleon.pipeline.describe import describe
from chameleon.pipeline.merge import merge_domains
from chameleon.pipeline.nested import Levels, NestedScores, score_nested
from chameleon.pipeline.nested_rounds import nested_windows_wanted
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import Scored, samples_by_name, score_samples, windows_wanted
from chameleon.pipeline.split import more_of_scarce, require_splittable, split, wholes_wanted
from chameleon.pipeline.variants import Variants, variants_of
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula
from chameleon.weights.kept_ratios import KeptRatios
from chameleon.weights.sample import Sample


@dataclass(frozen=True, eq=False)
class Outcome:
    """The results of a run.

    Attributes:
        weights: What goes into the weights file.
        scored: Scores of the domains, or of the sources where weights are nested.
        embedded: The embeddings of the domains in use.
        change: What adding, removing, splitting or merging domains did; None where none were.
        variants: Weights with other blocks and seeds; empty without --sensitivity.
    """

    weights: DomainWeights
    scored: Scored
    embedded: EmbeddedCorpus
    change: Change | None
    variants: Variants


def run(options: Options, notify: Notify = lambda text: None) -> Outcome:
    """Compute the weights of a corpus's domains.

    Args:
        options: Of the run; see `require_consistent`.
        notify: Receives what the user should know, in a sentence each, as soon as it is known. The
            result holds the same sentences.

    Raises:
        InputError: Something cannot be found or used; the message says what, and what to do.
    """
    previous = None if options.previous is None else DomainWeights.read(options.previous)
    whole = _reuse(options, notify) if options.skip_embedding_generation else _embed(options, notify)
    embedded = split(whole, options.split_domains or {})
    samples, available = samples_by_name(embedded.domains)
    # Flat weights of the domains before are not those that were nested.
    is_comparable = previous is not None or options.hierarchy == "flat"
    before = weights_before(options, previous, samples, embedded) if is_comparable else None
    merges = options.merge_domains or {}
    samples, available = merge_domains(samples, available, embedded, merges)
    scores: Scored | NestedScores
    if options.hierarchy == "nested":
        scores = score_nested(Levels.of(samples, available, embedded, merges), options)
        scored = scores.across
    else:
        ratios = _ratios(samples, before) if options.keep_ratios else None
        scores = scored = score_samples(list(samples.values()), available, options, ratios)
    change = None if before is None else _change(before, samples, embedded, options)
    variants = variants_of(options, whole, scored.formula) if options.sensitivity else ()
    amounts = amounts_of(scores.names, embedded, merges)
    weights = describe(scores, options, embedded.record, amounts, variants)
    for notice in scores.notices:
        notify(notice)
    return Outcome(weights, scored, embedded, change, variants)


def _ratios(samples: Mapping[str, Sample], before: PreviousWeights | None) -> KeptRatios:
    if before is None:
        raise InputError(
            "--keep_ratios needs earlier weights: add, remove or merge domains whose embeddings are stored, "
            "or name a weights file (--previous)"
        )
    return KeptRatios.of(list(samples), before.weights, before.replicates)


def _change(
    before: PreviousWeights, samples: Mapping[str, Sample], embedded: EmbeddedCorpus, options: Options
) -> Change:
    if options.hierarchy == "nested":
        return Change(before.weights, [])
    splits = options.split_domains or {}
    parts = [part for patterns in splits.values() for part in patterns]
    others = [*(options.merge_domains or {}), *splits, *parts]
    return change_from(before.weights, samples, embedded, others, partial(Formula.of, settings=options))


def _reuse(options: Options, notify: Notify) -> EmbeddedCorpus:
    """The stored embeddings of --skip_embedding_generation."""
    request = {
        "dataset": options.dataset,
        "checkpoint_path": options.checkpoint_path,
        "sample_length": options.sample_length,
        "seed": options.seed,
        "dtype": None if options.dtype == "auto" else options.dtype,
        "block": options.block,
        "add_domains": absolute_paths(options.add_domains),
        **options.text_settings(),
    }
    embedded = stored_embeddings(
        options.embeddings_dir, request, options.num_samples, options.domains, options.remove_domains
    )
    for notice in embedded.record.notices:
        notify(notice)
    return embedded


def _embed(options: Options, notify: Notify) -> EmbeddedCorpus:
    """Embed in rounds of windows: of --num_samples windows, or until the errors are within the target."""
    # Loads what opens corpora, which a run on stored embeddings does without.
    from chameleon.embeddings.workers.start import workers_for

    with workers_for(options) as driver:
        # Loads torch in a serial run; workers of an engine have been started by now.
        from chameleon.embeddings.embed import embed_corpus

        first = options.num_samples or FIRST_WINDOWS
        return embed_corpus(options, first, partial(_next_round, options), notify, driver=driver)


def _next_round(options: Options, embedded: EmbeddedCorpus) -> Mapping[str, int]:
    """Windows to have of each domain after the next round; empty where there are enough."""
    if options.num_samples is not None:
        return {}
    splits = options.split_domains or {}
    require_splittable(list(embedded.domains), splits)
    if scarce := more_of_scarce(embedded, splits, MOST_WINDOWS):
        return scarce
    parts = split(embedded, splits)
    by_name, available = samples_by_name(parts.domains)
    if options.hierarchy == "nested":
        wanted = nested_windows_wanted(by_name, available, parts, options)
    else:
        samples = list(by_name.values())
        if options.target_se is not None:
            require_reachable(samples, available, Formula.of(len(samples), options), options.target_se)
        wanted = windows_wanted(samples, available, options)
    return wholes_wanted(wanted, embedded, parts, splits, MOST_WINDOWS)
