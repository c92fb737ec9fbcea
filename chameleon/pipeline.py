"""The whole way: corpus, windows, embeddings, affinity, leverage scores, weights."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chameleon.domain_weights import DomainWeights
from chameleon.options import READING, Options
from chameleon.reuse import stored_embeddings
from chameleon.store import DomainEmbeddings, EmbeddedCorpus
from chameleon.weights import compute_weights

Notify = Callable[[str], None]


def run(options: Options, notify: Notify = lambda text: None) -> DomainWeights:
    """Weights of a corpus's domains, with scores, settings and provenance.

    Args:
        options: What is asked for.
        notify: Told, in a sentence each and at once, what the user should know. The result holds it too.

    Raises:
        InputError: Something asked for cannot be had or used; the message says what and what to do.
    """
    embedded = _reuse(options, notify) if options.skip_embedding_generation else _embed(options, notify)
    weights = compute_weights(
        {name: stored.embeddings for name, stored in embedded.domains.items()},
        options.mode,
        recipe=options.recipe,
        kernel=options.kernel,
        rbf_sigma=options.rbf_sigma,
        lambda_reg=options.lambda_reg,
        temperature=options.pt_temperature if options.mode == "pretrain" else options.ft_temperature,
    )
    for notice in weights.notices:
        notify(notice)
    record = embedded.record
    return replace(
        weights,
        domains=_facts(weights, embedded),
        settings={
            **weights.settings,
            **record.settings,
            "num_samples": options.num_samples or record.num_samples,
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
        **{name: getattr(options, name) for name in READING},
    }
    embedded = stored_embeddings(options.embeddings_dir, asked, options.num_samples, options.domains)
    for notice in embedded.record.notices:
        notify(notice)
    return embedded


def _embed(options: Options, notify: Notify) -> EmbeddedCorpus:
    # Loads torch and transformers: seconds that a run on stored embeddings does without.
    from chameleon.embedding_stage import embed_corpus

    return embed_corpus(options, notify)


def _facts(weights: DomainWeights, embedded: EmbeddedCorpus) -> dict[str, dict[str, Any]]:
    """What the weights file says of each domain."""
    facts = {}
    for name, stored in embedded.domains.items():
        said = embedded.record.facts.get(name, {})
        facts[name] = {**weights.domains[name], **_counts(stored), **said}
        if "corpus_tokens" in said:  # somebody's count
            facts[name]["corpus_tokens_standard_error"] = 0
    if all("corpus_tokens" in each for each in facts.values()):
        total = sum(each["corpus_tokens"] for each in facts.values())
        for each in facts.values():
            each["natural_share"] = each["corpus_tokens"] / total
    return facts


def _counts(stored: DomainEmbeddings) -> dict[str, Any]:
    counts: dict[str, Any] = {"windows": len(stored), "windows_available": stored.available}
    if (stored.tokens >= 0).all():
        counts["tokens"] = int(stored.tokens.sum())
    if stored.corpus_tokens is not None:
        tokens, error = stored.corpus_tokens
        counts["corpus_tokens"] = max(1, round(tokens))
        counts["corpus_tokens_standard_error"] = round(error)
    return counts
