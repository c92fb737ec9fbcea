"""Weights with other blocks of the proxy and other seeds of the windows (--sensitivity)."""

from collections.abc import Mapping
from dataclasses import replace

from chameleon.embeddings.store import EmbeddedCorpus
from chameleon.pipeline.merge import merge_domains
from chameleon.pipeline.options import Options
from chameleon.pipeline.score import samples_by_name
from chameleon.pipeline.split import split
from chameleon.weights.compute import solve, weights_of
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula

# Weights by label, such as "block 2" or "seed 1".
Variants = tuple[tuple[str, DomainWeights], ...]


def variants_of(options: Options, embedded: EmbeddedCorpus, formula: Formula) -> Variants:
    """Weights with up to two other blocks and two other seeds, on as many windows.

    The embeddings are stored, so that a second time takes no embedding.

    Args:
        options: Of the run.
        embedded: The run's domains before splits.
        formula: From means to weights.

    Raises:
        InputError: See `embed_corpus`.
    """
    proxy, settings = embedded.record.provenance["proxy"], embedded.record.settings
    seed = int(settings["seed"])
    varied = {
        f"block {block}": replace(options, block=block)
        for block in other_blocks(int(proxy["block"]), int(proxy["num_blocks"]))
    } | {f"seed {other}": replace(options, seed=other) for other in (seed + 1, seed + 2)}
    return tuple((label, _weights(other, embedded, formula)) for label, other in varied.items())


def _weights(options: Options, embedded: EmbeddedCorpus, formula: Formula) -> DomainWeights:
    """Weights with one setting changed, on as many windows of each domain."""
    from chameleon.embeddings.embed import embed_corpus

    wanted = {name: len(stored) for name, stored in embedded.domains.items()}

    def more(other: EmbeddedCorpus) -> Mapping[str, int]:
        stored = other.domains.items()
        is_complete = all(len(rows) >= min(wanted[name], rows.available) for name, rows in stored)
        return {} if is_complete else wanted

    other = embed_corpus(options, min(wanted.values()), more, lambda text: None, is_recorded=False)
    other = split(other, options.split_domains or {})
    samples, _ = merge_domains(*samples_by_name(other.domains), other, options.merge_domains or {})
    in_use = list(samples.values())
    return weights_of(in_use, formula, solve(in_use, formula))


def other_blocks(block: int, num_blocks: int) -> list[int]:
    """The blocks half way from the one in use to the first and to the last, where they are others."""
    return sorted({(block + 1) // 2, (block + num_blocks + 1) // 2} - {block})
