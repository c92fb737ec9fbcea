"""How trainers draw rows by weights, and what comes of it.

Shapes: k domains.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon.errors import InputError
from chameleon.export.formats import Format
from chameleon.export.mixture import Source
from chameleon.export.reading import Found

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def draw(numbers: Array, rows: int, how: str, seed: int = 0) -> Counts:
    """(k,) rows that a trainer takes of each domain.

    Args:
        numbers: (k,) weights, at least one above 0; they need not sum to 1.
        rows: How many it takes in all.
        how: "quota" (each its part, rounded down, and the rest to the largest remainders), "even" (always the
            domain that is furthest behind, as Megatron-LM blends) or "random" (each row by itself).
        seed: Of random draws.
    """
    shares = numbers / numbers.sum()
    if how == "random":
        return np.asarray(np.random.default_rng(seed).multinomial(rows, shares))
    parts = shares * rows
    counts: Counts = np.floor(parts).astype(np.int64)
    if how == "quota":
        counts[np.argsort(counts - parts, kind="stable")[: rows - int(counts.sum())]] += 1
        return counts
    counts = np.zeros(len(shares), dtype=np.int64)
    for row in range(rows):
        counts[int(np.argmax(shares * max(row, 1.0) - counts))] += 1
    return counts


@dataclass(frozen=True, eq=False)
class Read:
    """A trainer's file, as it is understood for the domains of a weights file.

    Attributes:
        numbers: (k,) what the trainer goes by, normalised; 0 for a domain that the file lacks.
        lengths: (k,) tokens of a row: 1 where numbers count tokens.
        problems: What is wrong with the names in it.
    """

    numbers: Array
    lengths: Array
    problems: tuple[str, ...]

    @property
    def shares(self) -> Array:
        """(k,) shares of tokens that the numbers mean."""
        tokens = self.numbers * self.lengths
        return np.asarray(tokens / tokens.sum())


def understood(
    numbers: Mapping[str, float],
    row: Format,
    names: tuple[str, ...],
    asked: Array,
    sources: Mapping[str, Source],
) -> Read:
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
    by_domain = dict.fromkeys(names, 0.0)
    domain_of = {name: name for name in names}
    if row.key == "path":
        domain_of = {row.key_of(path): name for name in names for path in sources[name].paths}
    problems = [
        f"it has {key}, which is no {'source' if row.key == 'path' else 'domain'} of these weights"
        for key, number in numbers.items()
        if key not in domain_of and number > 0
    ]
    for key, number in numbers.items():
        if key in domain_of:
            by_domain[domain_of[key]] += number
    there = {domain_of[key] for key in numbers if key in domain_of}
    problems += [
        f"it lacks {name}, which has a weight of {weight:.4g}"
        for name, weight in zip(names, asked.tolist(), strict=True)
        if name not in there and weight > 0
    ]
    found = np.array(list(by_domain.values()))
    if found.sum() <= 0:
        raise InputError(f"the file gives no weight to any of {', '.join(names)[:300]}")
    lengths = np.ones(len(names))
    if row.counts == "rows":
        unknown = [name for name in names if sources[name].tokens_per_row is None]
        if unknown:
            raise InputError(
                f"{row.trainer} counts rows, and how many tokens a row of {unknown[0]} has is not known; "
                "give --tokens_per_row"
            )
        lengths = np.array([sources[name].tokens_per_row for name in names], dtype=np.float64)
    return Read(found / found.sum(), lengths, tuple(problems))


def faults_of_numbers(read: Read, found: Found, names: tuple[str, ...], asked: Array) -> list[str]:
    """What is wrong with the numbers of a file, in words, with what may have gone wrong.

    Args:
        read: They, by domain.
        found: The file as it was read.
        names: The domains.
        asked: (k,) weights as shares of tokens.
    """
    faults = []
    total = sum(found.numbers.values())
    if found.must_sum_to_1 and abs(total - 1) > 1e-6:
        faults.append(f"its numbers sum to {total:.6g}; the trainer wants shares that sum to 1")
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
    for i in np.flatnonzero(off):
        faults.append(f"{names[i]}: {read.shares[i]:.4g} of tokens, asked for {asked[i]:.4g}")
    return faults


def _off(shares: Array, asked: Array) -> npt.NDArray[np.bool_]:
    """Which shares are off by more than one in a hundred, and more than what six digits lose."""
    return np.abs(shares - asked) > 1e-6 + 0.01 * asked
