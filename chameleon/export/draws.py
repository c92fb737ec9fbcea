"""How trainers draw rows by weights, and what comes of it.

Shapes: k domains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.tables import (
    ALL_SHOWN,
    column_width,
    describe_hidden_rows,
    display_name,
    format_share,
    heaviest_first,
    rows_to_show,
    share_decimals,
)
from chameleon.export.formats import Draws, FormatSpec
from chameleon.export.mixture import TrainerSource
from chameleon.export.parse import ParsedFile
from chameleon.weights.domain_weights import DomainWeights

Counts = npt.NDArray[np.int64]


# Levanter's mixture_block_size, unless a run sets another.
_BLOCK = 2048


def draw(numbers: Array, rows: int, how: Draws, seed: int = 0) -> Counts:
    """(k,) rows that a trainer takes of each domain.

    Args:
        numbers: (k,) weights, at least one above 0; they need not sum to 1.
        rows: How many it takes in all.
        how: "quota" (each its part, rounded down, and the rest to the largest remainders), "even" (always the
            domain that is furthest behind, as Megatron-LM blends), "random" (each row by itself) or "blocks"
            (of each 2048 its part, rounded down, and the rest to the largest, as Levanter does).
        seed: Of random draws.
    """
    shares = numbers / numbers.sum()
    if how == "random":
        return np.asarray(np.random.default_rng(seed).multinomial(rows, shares))
    if how == "even":
        taken, behind = np.zeros(len(shares)), np.empty(len(shares))
        for row in range(rows):
            np.multiply(shares, max(row, 1.0), out=behind)
            behind -= taken
            taken[behind.argmax()] += 1
        return taken.astype(np.int64)
    if how == "blocks":
        whole, rest = divmod(rows, _BLOCK)
        block = _rounded_down(shares, _BLOCK)
        block[int(np.argmax(block))] += _BLOCK - int(block.sum())
        return whole * block + draw(block.astype(np.float64), rest, "quota")
    counts = _rounded_down(shares, rows)
    counts[np.argsort(counts - shares * rows, kind="stable")[: rows - int(counts.sum())]] += 1
    return counts


def undrawn_domains(numbers: Array, how: Draws) -> npt.NDArray[np.bool_]:
    """(k,) which domains with a number above 0 are not drawn however long a run is."""
    if how != "blocks":
        return np.zeros(len(numbers), dtype=bool)
    return np.asarray((draw(numbers, _BLOCK, how) == 0) & (numbers > 0))


def _rounded_down(shares: Array, rows: int) -> Counts:
    # A share that is a whole number of rows is not one less for its last digit.
    return np.floor(shares * rows + 1e-9).astype(np.int64)


@dataclass(frozen=True, eq=False)
class FileShares:
    """A trainer's file, as it is understood for the domains of a weights file.

    Attributes:
        numbers: (k,) what the trainer goes by, as shares; 0 for a domain that the file lacks.
        elsewhere: The share of what is no domain of these.
        lengths: (k,) tokens of a row: 1 where numbers count tokens.
        problems: What is wrong with the names in it.
    """

    numbers: Array
    elsewhere: float
    lengths: Array
    problems: tuple[str, ...]

    @cached_property
    def mean_length(self) -> float:
        """Tokens of a row that is drawn, on average."""
        return float((self.numbers * self.lengths).sum() / self.numbers.sum())

    @cached_property
    def shares(self) -> Array:
        """(k,) shares of tokens that the numbers mean; rows of what is elsewhere are taken to be of "
        "mean length."""
        tokens = self.numbers * self.lengths
        return np.asarray(tokens / (tokens.sum() + self.elsewhere * self.mean_length))


def shares_in_file(
    numbers: Mapping[str, float],
    row: FormatSpec,
    names: Sequence[str],
    asked: Array,
    sources: Mapping[str, TrainerSource],
) -> FileShares:
    """Numbers of a file by domain.

    Args:
        numbers: By path or name, as read.
        row: The file's format.
        names: The k domains.
        asked: (k,) their weights.
        sources: Where each is.

    Raises:
        InputError: Numbers count rows, and the tokens of a row are not known; or none is above 0.
    """
    keys = {name: [(name, 1.0)] for name in names}
    if row.key == "path":
        keys = {name: [(row.key_of(path), part) for path, part in sources[name].parts()] for name in names}
    found = np.array([sum(numbers.get(key, 0.0) for key, _ in keys[name]) for name in names])
    if found.sum() <= 0:
        raise InputError(f"the file gives no weight to any of {', '.join(names)[:300]}")
    known = {key for parts in keys.values() for key, _ in parts}
    others = {key: number for key, number in numbers.items() if key not in known and number > 0}
    what = "source" if row.key == "path" else "domain"
    problems = [f"it has {key}, which is no {what} of these weights" for key in others]
    for name, number, weight in zip(names, found.tolist(), asked.tolist(), strict=True):
        there = [key for key, _ in keys[name] if key in numbers]
        if not there and weight > 0:
            problems.append(f"it lacks {name}, which has a weight of {weight:.4g}")
        elif number > 0:
            problems += _faults_of_parts(name, number, keys[name], numbers)
    total = float(found.sum()) + sum(others.values())
    return FileShares(
        found / total, sum(others.values()) / total, _lengths(row, names, sources), tuple(problems)
    )


def _faults_of_parts(
    name: str, number: float, parts: Sequence[tuple[str, float]], numbers: Mapping[str, float]
) -> list[str]:
    """What is wrong with the way in which a domain's number is divided among its paths."""
    return [
        f"{key} has {numbers.get(key, 0.0) / number:.4g} of {name}, and of its tokens {part:.4g}"
        for key, part in parts
        if abs(numbers.get(key, 0.0) / number - part) > 1e-6 + 0.01 * part
    ]


def _lengths(row: FormatSpec, names: Sequence[str], sources: Mapping[str, TrainerSource]) -> Array:
    if row.counts == "tokens":
        return np.ones(len(names))
    if unknown := [name for name in names if sources[name].tokens_per_row is None]:
        raise InputError(
            f"{row.trainer} counts rows, and how many tokens a row of {unknown[0]} has is not known; give "
            "--tokens_per_row"
        )
    return np.array([sources[name].tokens_per_row for name in names], dtype=np.float64)


def faults_of_numbers(read: FileShares, found: ParsedFile, names: Sequence[str], asked: Array) -> list[str]:
    """What is wrong with the numbers of a file, in words, with what may have gone wrong.

    Args:
        read: They, by domain.
        found: The file as it was read.
        names: The domains.
        asked: (k,) weights as shares of tokens.
    """
    faults = []
    total = sum(found.numbers.values())
    if found.must_sum_to_1 and abs(total - 1) > 1e-8:  # numpy's bound
        faults.append(f"its numbers sum to {total:.10g}; the trainer wants shares that sum to 1")
    off = _off(read.shares, asked)
    if not off.any():
        return faults
    if not _off(read.numbers, asked).any():
        faults.append("its numbers are shares of tokens, but the trainer counts rows: long rows get too much")
    elif np.allclose(np.sort(read.shares), np.sort(asked), atol=1e-6):
        wrong = [name for name, is_off in zip(names, off, strict=True) if is_off]
        faults.append(
            f"its numbers are those that were asked for, but stand at other domains: {', '.join(wrong)}"
        )
    for i in np.flatnonzero(off).tolist():
        faults.append(f"{names[i]}: {read.shares[i]:.4g} of tokens, asked for {asked[i]:.4g}")
    return faults


def _off(shares: Array, asked: Array) -> npt.NDArray[np.bool_]:
    """Which shares are off by more than one in a hundred, and more than what six digits lose."""
    return np.abs(shares - asked) > 1e-6 + 0.01 * asked


def table_of_draws(
    weights: DomainWeights, row: FormatSpec, read: FileShares, drawn: Counts, epochs: Array | None
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
    k, decimals = len(weights.names), share_decimals(len(weights.names))
    order = list(range(k)) if k <= ALL_SHOWN else heaviest_first(weights.names, weights.weights)
    rows = rows_to_show(order)
    width = column_width((display_name(weights.names[i]) for i in rows if i is not None), 8)

    def numbers(*shares: float) -> str:
        return "  ".join(f"{format_share(float(each), decimals):>{decimals + 2}}" for each in shares)

    heads = "  ".join(f"{each:>{decimals + 2}}" for each in ("asked", "file", "drawn"))
    lines = [
        f"Shares of tokens with {row.trainer}",
        "",
        f"{'domain':<{width}}  {heads}" + ("   epochs" if epochs is not None else ""),
    ]
    for i in rows:
        if i is None:
            lines.append(describe_hidden_rows(order, weights.weights))
            continue
        shares = numbers(weights.weights[i], read.shares[i], achieved[i])
        epoch = f"  {epochs[i]:7.2f}" if epochs is not None else ""
        lines.append(f"{display_name(weights.names[i]):<{width}}  {shares}{epoch}")
    if read.elsewhere:
        lines.append(f"{'(others)':<{width}}  {numbers(0, 1 - float(read.shares.sum()), achieved[-1])}")
    distance = float(np.abs(achieved - np.append(weights.weights, 0.0)).sum() / 2)
    what = "rows" if row.counts == "rows" else "sequences"
    of_another = f"{distance:.4f} of the tokens are of another domain than asked"
    return [*lines, "", f"drawn      {int(drawn.sum()):,} {what}; {of_another}"]
