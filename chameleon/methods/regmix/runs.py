"""Runs of small models: on which mixtures they were trained, and what losses they came to.

Shapes: n runs, k domains, m losses.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.common.files import write_atomically

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Runs:
    """Mixtures and the losses of what was trained on them.

    Attributes:
        names: The k domains.
        mixtures: (n, k) shares of each run, rows summing to 1.
        losses_of: The m domains on whose held-out text the losses are.
        losses: (n, m) in nats a token.
        ids: (n,) what the runs are called.
        diverged: Runs that are left out, since their loss is not finite.
    """

    names: tuple[str, ...]
    mixtures: Array
    losses_of: tuple[str, ...]
    losses: Array
    ids: tuple[str, ...]
    diverged: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


# Shares that were rounded may sum to a little else.
_ROUNDED = 0.05


_NAMED = 5


def read_runs(mixtures: Path, losses: Path) -> Runs:
    """Runs by two tables, matched by the names of runs.

    Raises:
        InputError: A table cannot be read, has gaps, or has not the runs of the other.
    """
    names, shares = _table(mixtures, "--runs")
    losses_of, found = _table(losses, "--losses")
    names = tuple(name.removeprefix("train_") for name in names)
    losses_of = tuple(_undecorated(name) for name in losses_of)
    for file, columns in ((mixtures, names), (losses, losses_of)):
        if len(set(columns)) < len(columns):
            raise InputError(f"{file} has two columns of one domain; each must have one")
    _require_same(mixtures, shares, losses, found)
    ids = tuple(shares)
    table = np.array([shares[each] for each in ids])
    _require_shares(mixtures, ids, table)
    values = np.array([found[each] for each in ids])
    whole = np.isfinite(values).all(axis=1)
    if (low := values[whole] <= 0).any():
        at = ids[np.flatnonzero(whole)[int(np.argmax(low.any(axis=1)))]]
        raise InputError(f"{losses}: a loss of run {at} is not above 0; expected nats a token")
    return Runs(
        names,
        table[whole] / table[whole].sum(axis=1, keepdims=True),
        losses_of,
        values[whole],
        tuple(each for each, kept in zip(ids, whole, strict=True) if kept),
        tuple(each for each, kept in zip(ids, whole, strict=True) if not kept),
    )


def write_tables(runs: Runs, mixtures: Path, losses: Path) -> None:
    """Write runs so that `read_runs` reads them back; those that diverged are left out.

    Raises:
        InputError: A file cannot be written.
    """
    for path, names, values in (
        (mixtures, runs.names, runs.mixtures),
        (losses, runs.losses_of, runs.losses),
    ):
        lines = [_line(["run", *names])]
        lines += [_line([name, *map(repr, row)]) for name, row in zip(runs.ids, values.tolist(), strict=True)]
        write_atomically(path, "".join(lines).encode())


def _line(cells: Sequence[str]) -> str:
    quoted = ('"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n\r') else cell for cell in cells)
    return ",".join(quoted) + "\n"


def _undecorated(name: str) -> str:
    return name.removeprefix("metric/").removesuffix("_loss").removesuffix("_val")


def _table(path: Path, flag: str) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    """The columns of a table but the first, and by the first of each line the numbers of the others."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except OSError as error:
        raise InputError(f"cannot read {path} ({flag}): {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} ({flag}) is no CSV file: {error}") from None
    if len(lines) < 2 or len(lines[0]) < 2:
        raise InputError(
            f"{path} ({flag}): expected a line of column names, the first the run's and the others domains, "
            "and a line a run"
        )
    head, *rows = lines
    found: dict[str, list[float]] = {}
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise InputError(f"{path}, line {number}: expected {len(head)} cells, got {len(row)}")
        if row[0] in found:
            raise InputError(f"{path}: run {row[0]} stands there twice")
        found[row[0]] = [
            _number(cell, f"{path}, run {row[0]}, {name}")
            for name, cell in zip(head[1:], row[1:], strict=True)
        ]
    return tuple(head[1:]), found


def _number(cell: str, place: str) -> float:
    if not cell.strip():
        raise InputError(
            f"{place}: there is no number; fill the gap, leave the run out, or write nan if it diverged"
        )
    try:
        return float(cell)
    except ValueError:
        raise InputError(f"{place}: expected a number, got {cell[:40]!r}") from None


def _require_same(
    mixtures: Path, shares: Mapping[str, object], losses: Path, found: Mapping[str, object]
) -> None:
    for file, other, missing in (
        (losses, mixtures, [each for each in shares if each not in found]),
        (mixtures, losses, [each for each in found if each not in shares]),
    ):
        if missing:
            some = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
            raise InputError(
                f"{file} lacks {len(missing)} of the runs of {other} ({some}); give both the same runs, by "
                "their names in the first column"
            )


def _require_shares(path: Path, ids: Sequence[str], shares: Array) -> None:
    for name, row in zip(ids, shares, strict=True):
        total = float(row.sum())
        if not math.isfinite(total) or (row < 0).any() or abs(total - 1) > _ROUNDED:
            raise InputError(
                f"{path}: the shares of run {name} sum to {total:.4g}; expected shares from 0 to 1 that sum "
                "to 1"
            )
