"""The whole way: corpus, windows, embeddings, affinity, leverage scores, weights, and how sure they are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import absolute_paths
from chameleon.confidence.stopping import FIRST_WINDOWS, MOST_WINDOWS, require_reachable
from chameleon.embeddings.from_disk import stored_embeddings
from chameleon.embeddings.store import EmbeddedCorpus
from chameleon.embeddings.workers.start import workers_for
from chameleon.pipeline.changes import Change, change_from, weights_before
from chameleon.pipeline.domains import (
    facts_of,
    merge,
    more_of_scarce,
    require_mergeable,
    require_splittable,
    sizes_of,
    split,
    wholes_wanted,
)
from chameleon.pipeline.judge import (
    Scored,
    samples_by_name,
    score_samples,
    target_of,
    windows_wanted,
)
from chameleon.pipeline.nested import (
    Levels,
    nested_windows_wanted,
    require_fitting,
    score_nested,
    with_sources,
)
from chameleon.pipeline.options import Options
from chameleon.pipeline.variants import Variants, variants_of, with_variants
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula
from chameleon.weights.kept_ratios import KeptRatios


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run found.

    Attributes:
        weights: The answer, with scores, settings, provenance and all that is said of it.
        judged: What it is from.
        embedded: What that is from.
        change: What domains that came or went did, where any did.
        variants: Weights by other blocks and seeds, where they were asked for.
    """

    weights: DomainWeights
    judged: Scored
    embedded: EmbeddedCorpus
    change: Change | None
    variants: Variants


def run(options: Options, notify: Notify = lambda text: None) -> Outcome:
    """Weights of a corpus's domains and what there is to know of them.

    Args:
        options: What is asked for.
        notify: Told, in a sentence each and at once, what the user should know. The result holds it too.

    Raises:
        InputError: Something asked for cannot be had or used; the message says what and what to do.
    """
    require_fitting(options)
    is_nested = options.hierarchy == "nested"
    previous = None if options.previous is None else DomainWeights.read(options.previous)
    whole = _reuse(options, notify) if options.skip_embedding_generation else _embed(options, notify)
    splits = options.split_domains or {}
    embedded = split(whole, splits)
    samples, available = samples_by_name(embedded.domains)
    # Weights that were not nested are not those of before.
    compares = previous is not None or not is_nested
    before = weights_before(options, previous, samples, embedded) if compares else None
    merges = options.merge_domains or {}
    if merges:
        require_mergeable(list(samples), merges)
        samples = merge(samples, sizes_of(embedded, merges), merges)
        available |= {new: sum(available[part] for part in parts) for new, parts in merges.items()}
    kept = None
    if options.keep_ratios:
        if before is None:
            raise InputError(
                "--keep_ratios needs weights of before: add, remove or merge domains whose windows are "
                "stored, or name a weights file by --previous"
            )
        kept = KeptRatios.of(list(samples), before.weights, before.replicated)
    if is_nested:
        judged = score_nested(Levels.of(samples, available, embedded, merges), options)
    else:
        judged = score_samples(list(samples.values()), available, options, kept)
    change = None
    if before is not None and is_nested:
        change = Change(before.weights, [])
    elif before is not None:
        formula_for = partial(Formula.of, settings=options)
        others = [*merges, *splits, *(part for parts in splits.values() for part in parts)]
        change = change_from(before.weights, samples, embedded, others, formula_for)
    variants = variants_of(options, whole, judged.formula) if options.sensitivity else ()
    weights = with_sources(with_variants(judged.weights, variants))
    for notice in weights.notices:
        notify(notice)
    return Outcome(_described(weights, options, embedded), judged, embedded, change, variants)


def _described(weights: DomainWeights, options: Options, embedded: EmbeddedCorpus) -> DomainWeights:
    """Weights with what they are from."""
    record = embedded.record
    changes = {
        "remove_domains": list(options.remove_domains),
        "split_domains": options.split_domains,
        "merge_domains": {new: list(parts) for new, parts in (options.merge_domains or {}).items()},
        "keep_ratios": options.keep_ratios,
        "hierarchy": options.hierarchy if options.hierarchy != "flat" else None,
    }
    return replace(
        weights,
        domains=facts_of(weights, embedded, options.merge_domains or {}),
        settings={
            **weights.settings,
            **record.settings,
            "num_samples": options.num_samples or record.num_samples,
            "target_se": target_of(options),
            **{name: value for name, value in changes.items() if value},
        },
        provenance=record.provenance,
        notices=(*record.notices, *weights.notices),
    )


def _reuse(options: Options, notify: Notify) -> EmbeddedCorpus:
    asked = {
        "dataset": options.dataset,
        "checkpoint_path": options.checkpoint_path,
        "sample_length": options.sample_length,
        "seed": options.seed,
        "dtype": None if options.dtype == "auto" else options.dtype,
        "block": options.block,
        "add_domains": absolute_paths(options.add_domains),
        **options.text_settings(),
    }
    if options.sensitivity:
        raise InputError(
            "--sensitivity embeds with other blocks and seeds, which --skip_embedding_generation does not; "
            "leave one of them out"
        )
    embedded = stored_embeddings(
        options.embeddings_dir, asked, options.num_samples, options.domains, options.remove_domains
    )
    for notice in embedded.record.notices:
        notify(notice)
    return embedded


def _embed(options: Options, notify: Notify) -> EmbeddedCorpus:
    splits = options.split_domains or {}

    def more(embedded: EmbeddedCorpus) -> Mapping[str, int]:
        if options.num_samples is not None:
            return {}
        require_splittable(list(embedded.domains), splits)
        if scarce := more_of_scarce(embedded, splits, MOST_WINDOWS):
            return scarce
        parts = split(embedded, splits)
        samples, available = samples_by_name(parts.domains)
        if options.hierarchy == "nested":
            wanted = nested_windows_wanted(samples, available, parts, options)
            return wholes_wanted(wanted, embedded, parts, splits, MOST_WINDOWS) if wanted else {}
        if options.target_se is not None:
            formula = Formula.of(len(samples), options)
            require_reachable(list(samples.values()), available, formula, options.target_se)
        wanted = windows_wanted(list(samples.values()), available, options)
        return wholes_wanted(wanted, embedded, parts, splits, MOST_WINDOWS) if wanted else {}

    with workers_for(options) as driver:
        # Loads what opens corpora, which a run on stored embeddings does without.
        from chameleon.embeddings.embed import embed_corpus

        first = options.num_samples or FIRST_WINDOWS
        return embed_corpus(options, first, more, notify, driver=driver)
