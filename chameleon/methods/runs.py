"""Runs of small models: the mixtures they were trained on and their losses, in CSV tables.

Shapes: n runs, k domains, m losses.
"""

import csv
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.files import write_atomically
from chameleon.common.tables import listed

# Shares in a table may be rounded: their sum may differ from 1 by this much.
_ROUNDING = 0.05

# Runs for each coefficient of a law with k + 1 (Olmix, arXiv 2602.12237).
_RUNS_PER_COEFFICIENT = 3


@dataclass(frozen=True, eq=False)
class Runs:
    """Mixtures, and the losses of models trained on them.

    Attributes:
        names: The k domains.
        mixtures: (n, k) shares of each run, rows summing to 1.
        loss_names: The m domains on whose held-out text the losses are.
        losses: (n, m) in nats per token.
        ids: (n,) names of the runs.
        diverged: Names of runs left out because a loss is not finite.
    """

    names: tuple[str, ...]
    mixtures: Array
    loss_names: tuple[str, ...]
    losses: Array
    ids: tuple[str, ...]
    diverged: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


def recommended_runs(k: int) -> int:
    """The number of runs for k domains below which results are unreliable."""
    return _RUNS_PER_COEFFICIENT * (k + 1)


def read_runs(mixtures: Path, losses: Path) -> Runs:
    """Read runs from two tables, matched by the names of runs.

    Raises:
        InputError: A table cannot be read, has gaps, or has other runs than the other table.
    """
    names, shares_by_run = _read_table(mixtures, "--runs")
    loss_names, losses_by_run = _read_table(losses, "--losses")
    names = tuple(name.removeprefix("train_") for name in names)
    # RegMix's published tables name columns such as metric/code_val_loss.
    loss_names = tuple(
        name.removeprefix("metric/").removesuffix("_loss").removesuffix("_val") for name in loss_names
    )
    for path, columns in ((mixtures, names), (losses, loss_names)):
        if len(set(columns)) < len(columns):
            raise InputError(f"{path} has two columns for one domain; expected one for each")
    _require_runs_of(losses, losses_by_run, mixtures, shares_by_run)
    _require_runs_of(mixtures, shares_by_run, losses, losses_by_run)
    ids = tuple(shares_by_run)
    shares = np.array([shares_by_run[each] for each in ids])
    for name, row in zip(ids, shares, strict=True):
        total = float(row.sum())
        if not abs(total - 1) <= _ROUNDING or (row < 0).any():
            raise InputError(
                f"{mixtures}: the shares of run {name} sum to {total:.4g}; expected shares from 0 to 1 that "
                "sum to 1"
            )
    values = np.array([losses_by_run[each] for each in ids])
    is_finite = np.isfinite(values).all(axis=1)
    for name in compress(ids, is_finite & (values <= 0).any(axis=1)):
        raise InputError(f"{losses}: run {name} has a loss that is not above 0; expected nats per token")
    return Runs(
        names,
        shares[is_finite] / shares[is_finite].sum(axis=1, keepdims=True),
        loss_names,
        values[is_finite],
        tuple(compress(ids, is_finite)),
        tuple(compress(ids, ~is_finite)),
    )


def write_runs(runs: Runs, mixtures: Path, losses: Path) -> None:
    """Write runs to two tables that `read_runs` reads; those that diverged are left out.

    Raises:
        InputError: A file cannot be written.
    """
    tables = ((mixtures, runs.names, runs.mixtures), (losses, runs.loss_names, runs.losses))
    for path, names, values in tables:
        rows = ([name, *row] for name, row in zip(runs.ids, values.tolist(), strict=True))
        write_csv(path, ["run", *names], rows)


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file, whole or not at all.

    Raises:
        InputError: The file cannot be written.
    """
    write_atomically(path, "".join(map(_csv_line, [head, *rows])).encode())


def _csv_line(cells: Sequence[Any]) -> str:
    # csv.writer leaves a carriage return unquoted, and csv.reader ends the line at it.
    quoted = (
        '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n\r') else cell for cell in map(str, cells)
    )
    return ",".join(quoted) + "\n"


def _read_table(path: Path, flag: str) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    """The names of all columns but the first, and the numbers of each line by the run in its first."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except OSError as error:
        raise InputError(f"cannot read {path} ({flag}): {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} ({flag}) is not a CSV file: {error}") from None
    if len(lines) < 2 or len(lines[0]) < 2:
        raise InputError(
            f"{path} ({flag}): expected a line of column names (the run, then the domains) and a line for "
            "each run"
        )
    head, *rows = lines
    numbers: dict[str, list[float]] = {}
    for line, (run, *cells) in enumerate(rows, 2):
        if len(cells) + 1 != len(head):
            raise InputError(f"{path}, line {line}: expected {len(head)} cells, got {len(cells) + 1}")
        if run in numbers:
            raise InputError(f"{path}: run {run} is listed twice")
        cells_by_name = zip(head[1:], cells, strict=True)
        numbers[run] = [_number(cell, f"{path}, run {run}, {name}") for name, cell in cells_by_name]
    return tuple(head[1:]), numbers


def _number(cell: str, place: str) -> float:
    if not cell.strip():
        raise InputError(
            f"{place}: the number is missing; fill the gap, leave the run out, or write nan if it diverged"
        )
    try:
        return float(cell)
    except ValueError:
        raise InputError(f"{place}: expected a number, got {cell[:40]!r}") from None


def _require_runs_of(path: Path, runs: Collection[str], other: Path, others: Collection[str]) -> None:
    if missing := [each for each in others if each not in runs]:
        raise InputError(
            f"{path} lacks {len(missing)} of the runs of {other} ({listed(missing)}); give both the same "
            "runs, by their names in the first column"
        )
