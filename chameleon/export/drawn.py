"""What a trainer's file asks for and what is drawn by it, side by side.

Shapes: k domains.
"""

import numpy as np

from chameleon.affinity import Array
from chameleon.domain_weights import DomainWeights
from chameleon.export.draws import Counts, Read
from chameleon.export.formats import Format
from chameleon.long_tables import (
    ALL_SHOWN,
    decimals_of,
    ends_of,
    heaviest_first,
    left_out,
    share_text,
    shown_name,
    width_of,
)


def table_of_draws(
    weights: DomainWeights, row: Format, read: Read, drawn: Counts, epochs: Array | None
) -> list[str]:
    """Lines of a table: shares that were asked for, that a file means, and that were drawn.

    Of very many domains it has the heaviest and the lightest.

    Args:
        weights: Of the k domains.
        row: The file's format.
        read: What it says of them.
        drawn: (k + 1,) rows of each, and of what is no domain of these.
        epochs: (k,) how often each is seen, where that is known.
    """
    tokens = drawn * np.append(read.lengths, read.mean_length)
    achieved = tokens / tokens.sum()
    k, decimals = len(weights.names), decimals_of(len(weights.names))
    order = list(range(k)) if k <= ALL_SHOWN else heaviest_first(weights.names, weights.weights)
    rows = ends_of(order)
    width = width_of((shown_name(weights.names[i]) for i in rows if i is not None), 8)

    def numbers(*shares: float) -> str:
        return "  ".join(f"{share_text(float(each), decimals):>{decimals + 2}}" for each in shares)

    heads = "  ".join(f"{each:>{decimals + 2}}" for each in ("asked", "file", "drawn"))
    lines = [
        f"Shares of tokens with {row.trainer}",
        "",
        f"{'domain':<{width}}  {heads}" + ("   epochs" if epochs is not None else ""),
    ]
    for i in rows:
        if i is None:
            lines.append(left_out(order, weights.weights))
            continue
        shares = numbers(weights.weights[i], read.shares[i], achieved[i])
        epoch = f"  {epochs[i]:7.2f}" if epochs is not None else ""
        lines.append(f"{shown_name(weights.names[i]):<{width}}  {shares}{epoch}")
    if read.elsewhere:
        lines.append(f"{'(others)':<{width}}  {numbers(0, 1 - float(read.shares.sum()), achieved[-1])}")
    distance = float(np.abs(achieved - np.append(weights.weights, 0.0)).sum() / 2)
    what = "rows" if row.counts == "rows" else "sequences"
    of_another = f"{distance:.4f} of the tokens are of another domain than asked"
    return [*lines, "", f"drawn      {int(drawn.sum()):,} {what}; {of_another}"]
