"""What the commands print: `export` what limits changed, `check` what a file means and what is wrong.

Shapes: k domains.
"""

from collections.abc import Sequence

import numpy as np

from chameleon.common.tables import (
    ALL_SHOWN,
    Column,
    describe_hidden_rows,
    display_name,
    format_share,
    heaviest_first,
    listed,
    most_changed_rows,
    rows_to_show,
    share_decimals,
    table_lines,
)
from chameleon.export.budget import format_tokens
from chameleon.export.checked_file import CheckedFile
from chameleon.export.parse import fact_number, fact_numbers
from chameleon.weights.domain_weights import DomainWeights

_MOST_PROBLEMS = 20


def render_limits(weights: DomainWeights) -> str:
    """The table of weights within limits; "" where there is nothing to report.

    Of very many domains it shows those whose weights moved most or, where none moved, those seen most often.
    """
    budget = fact_number(weights.settings, "budget", "settings")
    raw = fact_numbers(weights, "raw_weight")
    available, epochs = fact_numbers(weights, "tokens_at_hand"), fact_numbers(weights, "epochs")
    is_moved = any(each is not None for each in raw)
    if not is_moved and budget is None:
        return ""
    shares = weights.weights
    before = np.array([share if each is None else each for share, each in zip(shares, raw, strict=True)])
    differences = np.abs(before - shares) if is_moved else np.array([each or 0.0 for each in epochs])
    rows, decimals = most_changed_rows(differences), share_decimals(len(shares))
    columns = [
        Column("domain", [display_name(weights.names[i]) for i in rows], is_text=True),
        Column("raw", [format_share(before[i], decimals) for i in rows]),
        Column("weight", [format_share(shares[i], decimals) for i in rows]),
    ]
    if budget is not None:
        caps = weights.settings.get("max_epochs") or {}

        def missing(i: int) -> str:
            # What a cap cuts off is missing; what a floor or a prior gives to others is not.
            cap, times = caps.get(weights.names[i], caps.get("")), epochs[i]
            is_capped = cap is not None and times is not None and times >= cap * (1 - 1e-9)
            is_missing = is_capped and before[i] > shares[i]
            return format_tokens((before[i] - shares[i]) * budget) if is_missing else ""

        columns += [
            Column("tokens", [format_tokens(shares[i] * budget) for i in rows]),
            Column("available", ["?" if (n := available[i]) is None else format_tokens(n) for i in rows]),
            Column("epochs", ["?" if (each := epochs[i]) is None else f"{each:.2f}" for i in rows]),
            Column("missing", [missing(i) for i in rows]),
        ]
    lines = table_lines(columns)
    if len(rows) < len(shares):
        what = "moved less" if is_moved else "are seen less often"
        lines.append(f"... {len(shares) - len(rows):,} more that {what}")
    return "\n".join(lines)


def render_check(checked: CheckedFile, problems: Sequence[str]) -> str:
    """All that `check` prints on stdout."""
    return "\n".join([*_table(checked), *_notes(checked), *_problem_lines(problems)])


def _table(checked: CheckedFile) -> list[str]:
    """Shares requested, in the file and drawn; of very many domains the heaviest and the lightest."""
    weights, read, spec = checked.plan.weights, checked.read, checked.plan.spec
    k, decimals = len(weights.names), share_decimals(len(weights.names))
    requested = np.append(weights.weights, 0.0)
    in_file = np.append(read.shares, 1 - read.shares.sum())
    tokens = checked.drawn * np.append(read.lengths, read.mean_length)
    drawn = tokens / tokens.sum()
    order = list(range(k)) if k <= ALL_SHOWN else heaviest_first(weights.names, weights.weights)
    ends = rows_to_show(order)
    rows = [*(i for i in ends if i is not None), *([k] if read.elsewhere else [])]
    columns = [
        Column("domain", [display_name((*weights.names, "(others)")[i]) for i in rows], is_text=True),
        *(
            Column(title, [format_share(float(shares[i]), decimals) for i in rows])
            for title, shares in (("weight", requested), ("file", in_file), ("drawn", drawn))
        ),
    ]
    if checked.epochs is not None:
        epochs = checked.epochs
        columns.append(Column("epochs", [f"{epochs[i]:.2f}" if i < k else "" for i in rows]))
    lines = table_lines(columns)
    if None in ends:
        lines.insert(1 + ends.index(None), describe_hidden_rows(order, weights.weights))
    distance = float(np.abs(drawn - requested).sum() / 2)
    what = "rows" if spec.counts == "rows" else "sequences"
    return [
        f"Shares of tokens with {spec.trainer}",
        "",
        *lines,
        "",
        f"drawn      {int(checked.drawn.sum()):,} {what}; {distance:.4f} of the tokens are of another domain "
        "than requested",
    ]


def _notes(checked: CheckedFile) -> list[str]:
    """Lines on what is worth knowing but no problem."""
    notes = []
    parsed, epochs = checked.parsed, checked.epochs
    unseen = [
        display_name(name)
        for i, name in enumerate(checked.plan.weights.names)
        if checked.read.numbers[i] > 0 and checked.drawn[i] == 0
    ]
    if unseen and not checked.is_whole_run:
        notes.append(f"unseen     {listed(unseen, 3)} in these draws; see --draws")
    if parsed.strategy == "all_exhausted" and epochs is not None and checked.budget is not None:
        least = float(epochs[epochs > 0].min())
        if least > 1:
            tokens = format_tokens(checked.budget / least)
            notes.append(
                f"one pass   {tokens} tokens; by then all was seen, and the trainer restarts or ends"
            )
    if parsed.stages and len(checked.plan.stages) == 1:
        steps = ", ".join(str(step) for step, _ in parsed.stages)
        notes.append(f"stages     at step {steps}, compared with nothing: give --then and --at")
    return notes


def _problem_lines(problems: Sequence[str]) -> list[str]:
    if not problems:
        return ["problems   none"]
    lines = [f"problem    {problem}" for problem in problems[:_MOST_PROBLEMS]]
    more = len(problems) - _MOST_PROBLEMS
    return [*lines, f"problems   {more:,} more like these"] if more > 0 else lines
