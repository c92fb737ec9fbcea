"""A trainer's file, read beside the plan that it should follow, and what its trainer draws by it.

Shapes: k domains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.export.draws import Counts, draw
from chameleon.export.formats import FormatSpec
from chameleon.export.mixture import row_lengths
from chameleon.export.options import ExportRequest
from chameleon.export.parse import ParsedFile, fact_number, fact_numbers, read_text
from chameleon.export.plan import ExportPlan, plan_export
from chameleon.export.sources import TrainerSource
from chameleon.weights.domain_weights import DomainWeights

_MOST_DRAWS = 10**8


@dataclass(frozen=True, eq=False)
class FileShares:
    """The numbers of a trainer's file, by domain.

    Attributes:
        numbers: (k,) the file's numbers, as shares; 0 for a domain that the file lacks.
        elsewhere: The share of entries that belong to none of the domains.
        lengths: (k,) tokens of a row; 1 where numbers count tokens.
        problems: What is wrong with the file's entries, a sentence each.
    """

    numbers: Array
    elsewhere: float
    lengths: Array
    problems: tuple[str, ...]

    @cached_property
    def mean_length(self) -> float:
        """Mean tokens of a drawn row."""
        return float((self.numbers * self.lengths).sum() / self.numbers.sum())

    @cached_property
    def shares(self) -> Array:
        """(k,) shares of tokens; rows that belong to no domain count as of mean length."""
        tokens = self.numbers * self.lengths
        return np.asarray(tokens / (tokens.sum() + self.elsewhere * self.mean_length))


@dataclass(frozen=True, eq=False)
class CheckedFile:
    """A trainer's file beside the plan that it should follow.

    Attributes:
        plan: What was requested.
        parsed: What the file says.
        read: The same by domain.
        drawn: (k + 1,) rows drawn of each domain, and of entries that belong to none.
        is_whole_run: Whether the run is known to draw no more rows than these.
    """

    plan: ExportPlan
    parsed: ParsedFile
    read: FileShares
    drawn: Counts
    is_whole_run: bool

    @cached_property
    def budget(self) -> float | None:
        """Tokens to train on, where known."""
        return fact_number(self.plan.weights.settings, "budget", "settings")

    @cached_property
    def epochs(self) -> Array | None:
        """(k,) how often each domain is seen, where the available tokens and the budget are known."""
        at_hand = fact_numbers(self.plan.weights, "tokens_at_hand")
        if self.budget is None or None in at_hand:
            return None
        return self.read.shares * self.budget / np.array(at_hand, dtype=np.float64)


def check_file(request: ExportRequest, weights: DomainWeights, path: Path, draws: int) -> CheckedFile:
    """Read a trainer's file and draw by it, as its trainer draws, `draws` rows or the whole run if shorter.

    Raises:
        InputError: A file cannot be read, or something needed to understand it is missing.
    """
    if draws > _MOST_DRAWS:
        raise InputError(f"expected --draws up to {_MOST_DRAWS:,}, got {draws:,}")
    plan = plan_export(request, weights)
    text = read_text(path, "--file")
    try:
        parsed = plan.spec.read(text)
    except InputError as error:
        raise InputError(f"{path} ({plan.spec.trainer}): {error}") from None
    read = shares_in_file(parsed.numbers, plan.spec, plan.weights.names, plan.weights.weights, plan.sources)
    run_rows = parsed.epoch_size
    lengths = [source.tokens_per_row for source in plan.sources.values()]
    if request.budget is not None and None not in lengths:
        mean = float((read.numbers * np.array(lengths, dtype=np.float64)).sum() / read.numbers.sum())
        run_rows = max(1, round(request.budget / mean))
    rows = draws if run_rows is None else min(run_rows, draws)
    drawn = draw(np.append(read.numbers, read.elsewhere), rows, plan.spec.draws, request.seed)
    return CheckedFile(plan, parsed, read, drawn, run_rows == rows)


def shares_in_file(
    numbers: Mapping[str, float],
    spec: FormatSpec,
    names: Sequence[str],
    requested: Array,
    sources: Mapping[str, TrainerSource],
) -> FileShares:
    """The numbers of a file by domain.

    Args:
        numbers: By path or name, as parsed.
        spec: The file's format.
        names: (k,) domain names.
        requested: (k,) their weights.
        sources: Where the trainer finds each domain.

    Raises:
        InputError: Numbers count rows and the tokens of a row are unknown, or no number is above 0.
    """
    keys = {name: [(name, 1.0)] for name in names}
    if spec.key == "path":
        keys = {
            name: [(spec.key_of(path), part) for path, part in sources[name].path_shares()] for name in names
        }
    by_domain = np.array([sum(numbers.get(key, 0.0) for key, _ in keys[name]) for name in names])
    if by_domain.sum() <= 0:
        raise InputError(f"the file gives no weight to any of {listed(names)}")
    known = {key for parts in keys.values() for key, _ in parts}
    others = {key: number for key, number in numbers.items() if key not in known and number > 0}
    what = "source" if spec.key == "path" else "domain"
    problems = [f"it has {key}, which is no {what} of these weights" for key in others]
    for name, number, weight in zip(names, by_domain.tolist(), requested.tolist(), strict=True):
        if weight > 0 and not any(key in numbers for key, _ in keys[name]):
            problems.append(f"it lacks {name}, which has a weight of {weight:.4g}")
        elif number > 0:
            problems += [
                f"{key} has {numbers.get(key, 0.0) / number:.4g} of {name}, and of its tokens {part:.4g}"
                for key, part in keys[name]
                if abs(numbers.get(key, 0.0) / number - part) > 1e-6 + 0.01 * part
            ]
    lengths = np.ones(len(names))
    if spec.counts == "rows":
        lengths = row_lengths(names, [sources[name] for name in names])
    elsewhere = sum(others.values())
    total = float(by_domain.sum()) + elsewhere
    return FileShares(by_domain / total, elsewhere / total, lengths, tuple(problems))
