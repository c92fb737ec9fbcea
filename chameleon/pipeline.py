"""The whole way: corpus, windows, embeddings, affinity, leverage scores, weights."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chameleon.domain_weights import DomainWeights
from chameleon.options import Options
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
        domains={
            name: {**weights.domains[name], **_facts(stored)} for name, stored in embedded.domains.items()
        },
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
    }
    embedded = stored_embeddings(options.embeddings_dir, asked, options.num_samples)
    for notice in embedded.record.notices:
        notify(notice)
    return embedded


def _embed(options: Options, notify: Notify) -> EmbeddedCorpus:
    # Loads torch and transformers: seconds that a run on stored embeddings does without.
    from chameleon.embedding_stage import embed_corpus

    return embed_corpus(options, notify)


def _facts(stored: DomainEmbeddings) -> dict[str, Any]:
    """What the weights file says of a domain beside its score."""
    facts: dict[str, Any] = {"windows": len(stored), "windows_available": stored.available}
    if (stored.tokens >= 0).all():
        facts["tokens"] = int(stored.tokens.sum())
    return facts
