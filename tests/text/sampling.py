"""What tests of windows share: uneven texts, cutting windows by visits, and joining chunks."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import BytesTokenizer

from chameleon.text.corpora.spool import UnitsText
from chameleon.text.grid import Grid, WindowRecipe, lay_grid
from chameleon.text.protocols import Text, Tokenizer
from chameleon.text.windows import VisitRange, Windows, pending_windows, windows_from

BYTES = BytesTokenizer()


def cut_visits(grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, first: int, last: int) -> Windows:
    """The windows of visits `first` to `last` - 1, in one chunk."""
    visits = VisitRange(first, last, max(1, grid.num_visits))
    return joined([pending.windows() for pending in pending_windows(grid, tokenizer, recipe, visits)])


def joined(parts: list[Windows]) -> Windows:
    """Chunks of windows as one."""
    names = ("tokens", "lengths", "positions", "documents")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return dataclasses.replace(parts[-1], **arrays)


T = 20


def uneven_texts() -> list[str]:
    """Documents from 3 to 3,000 bytes, the number of each in its name: long ones come late."""
    rng = random.Random(5)
    lengths = [rng.randint(3, 60) for _ in range(400)] + [rng.randint(100, 300) for _ in range(60)]
    lengths += [3000, 2500, 2000, 1500]
    return [f"{i:03d}" + "x" * (length - 3) for i, length in enumerate(lengths)]


TEXTS = uneven_texts()


def write_parquet(path: Path, texts: list[str], group: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts}), path, row_group_size=group)


def cut(text: Text, seed: int, n: int, at_once: int = 64, unit_budget: int | None = None) -> Windows:
    if unit_budget is not None and isinstance(text, UnitsText):
        text = dataclasses.replace(text, unit_budget=unit_budget)
    recipe = WindowRecipe(seed, T)
    return joined(list(windows_from(lay_grid(text, BYTES, recipe), BYTES, recipe, 0, 0, n, at_once)))
