"""What tests of windows share: cutting them by visits, and joining chunks."""

import dataclasses
from typing import Any

import numpy as np
from conftest import BytesTokenizer

from chameleon.text.grid import Grid, WindowRecipe
from chameleon.text.protocols import Tokenizer
from chameleon.text.windows import VisitRange, Windows, pending_windows

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
