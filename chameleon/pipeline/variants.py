"""Weights by other blocks of the proxy and other seeds of the windows: how far they hang on these."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from chameleon.confidence.sensitivity import largest_move
from chameleon.embeddings.store import EmbeddedCorpus
from chameleon.pipeline.domains import merge, sizes_of, split
from chameleon.pipeline.judge import samples_by_name
from chameleon.pipeline.options import Options
from chameleon.weights.compute import solve, weights_of
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.formula import Formula

Variants = tuple[tuple[str, DomainWeights], ...]


def variants_of(options: Options, embedded: EmbeddedCorpus, formula: Formula) -> Variants:
    """Weights by up to two other blocks and two other seeds, on as many windows: what is embedded is kept.

    Args:
        options: What the run is asked for.
        embedded: What it has embedded, not split.
        formula: From means to weights.

    Raises:
        InputError: As of embedding.
    """
    from chameleon.embeddings.embed import embed_corpus

    proxy, settings = embedded.record.provenance["proxy"], embedded.record.settings
    blocks = other_blocks(int(proxy["block"]), int(proxy["num_blocks"]))
    seeds = (int(settings["seed"]) + 1, int(settings["seed"]) + 2)
    wanted = {name: len(stored) for name, stored in embedded.domains.items()}

    def more(there: EmbeddedCorpus) -> Mapping[str, int]:
        found = there.domains.items()
        complete = all(len(stored) >= min(wanted[name], stored.available) for name, stored in found)
        return {} if complete else wanted

    found: list[tuple[str, DomainWeights]] = []
    for varied in [
        *(replace(options, block=each) for each in blocks),
        *(replace(options, seed=each) for each in seeds),
    ]:
        other = embed_corpus(varied, min(wanted.values()), more, lambda text: None, is_recorded=False)
        other = split(other, options.split_domains or {})
        samples, _ = samples_by_name(other.domains)
        if options.merge_domains:
            samples = merge(samples, sizes_of(other, options.merge_domains), options.merge_domains)
        label = f"block {varied.block}" if len(found) < len(blocks) else f"seed {varied.seed}"
        in_use = list(samples.values())
        found.append((label, weights_of(in_use, formula, solve(in_use, formula))))
    return tuple(found)


def other_blocks(block: int, num_blocks: int) -> list[int]:
    """The blocks half way from the one in use to the first and to the last, so far as they are others."""
    return sorted({(block + 1) // 2, (block + num_blocks + 1) // 2} - {block})


def with_variants(weights: DomainWeights, variants: Variants) -> DomainWeights:
    """Weights with how far the furthest one moves with the block and the seed."""
    facts = dict(weights.diagnostics.get("sensitivity", {}))
    for kind in ("block", "seed"):
        found = [other.weights for label, other in variants if label.startswith(kind)]
        if found:
            at, by = largest_move(weights.weights, np.array(found))
            facts[kind] = {"largest_move": by, "domain": weights.names[at]}
    return replace(weights, diagnostics={**weights.diagnostics, "sensitivity": facts})
