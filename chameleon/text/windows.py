"""Windows of a domain: cut from its text by the visits of a grid, encoded, nested in their number.

- Every byte of a domain is as likely as any other to begin a window: long documents give many windows and
  short ones few, in proportion to their text. A token is seen in proportion to the bytes that the t tokens
  before it span: equally often where tokens have the same number of bytes all over the domain, and exactly
  equally where positions are tokens.
- What lies between documents in a file (field names, other fields) begins no window.
- A visit is a function of the seed and its number alone: n windows are the first n of any larger number, and
  any worker can cut any part of them (`chameleon.text.grid` has a picture).
- A window's tokens are those of its documents. They are encoded with a margin before the window, so that it
  begins where a token of the document begins; encoded text is never decoded again.

Shapes: n windows, t tokens of a window.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from chameleon.text.excerpts import Excerpt, Start, encode, read_stretch
from chameleon.text.grid import Grid, WindowRecipe
from chameleon.text.protocols import Tokenizer, TokenUnit

# Text read for a window, relative to what it needs at the domain's mean density, to rarely read twice.
_AMPLE = 1.2

# Units read before they are wanted.
_UNITS_AHEAD = 4

# A place in a domain is its unit's index times this, and the position in the unit.
UNIT_STEP = 1 << 40

# Sources are read by one thread at a time, also when encoding finds that a window lacks text.
_READING = Lock()


@dataclass(frozen=True)
class Windows:
    """Windows of a domain.

    Attributes:
        tokens: (n, t) int32 ids; beyond a row's length, end-of-text tokens.
        lengths: (n,) int64, tokens in each row: t, unless the whole domain has fewer.
        positions: (n,) int64, the place in the domain where each window begins.
        documents: (n,) int64, the place in the domain of the document in which it begins.
        next_visit: The visit after the last of these windows.
    """

    tokens: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    next_visit: int


class PendingWindows(NamedTuple):
    """Windows whose text is read and that any thread can encode.

    Attributes:
        num_windows: How many there are.
        next_visit: The visit after the last of them.
        windows: Encodes them; reads on where the text of a window was too short.
    """

    num_windows: int
    next_visit: int
    windows: Callable[[], Windows]


def windows_from(
    grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, first: int, visit: int, last: int, at_once: int
) -> Iterator[Windows]:
    """Windows `first` to `last` - 1 of a domain, chunk by chunk, until they or the domain end.

    Args:
        grid: Grid of the domain.
        tokenizer: Tokenizer of the proxy.
        recipe: The recipe that the grid was laid with.
        first: Number of windows before these.
        visit: The visit after those: `next_visit` of the last of them.
        last: Number of windows to have in the end. There are a few more where the last visit gives more.
        at_once: Windows of a chunk, on average.

    Raises:
        InputError: The text cannot be read.
    """
    while first < last and visit < grid.num_visits:
        visits = VisitRange.of(grid, first, visit, last, at_once)
        for pending in pending_windows(grid, tokenizer, recipe, visits):
            first += pending.num_windows
            visit = pending.next_visit
            yield pending.windows()


class VisitRange(NamedTuple):
    """A range of visits, in chunks that are cut at once.

    Chunks end at multiples of `chunk`, so they are the same whether one worker cuts them in order or several
    workers cut one each.

    Attributes:
        begin, end: The first visit, and the one after the last.
        chunk: Visits of a chunk.
    """

    begin: int
    end: int
    chunk: int

    @classmethod
    def of(cls, grid: Grid, have: int, visit: int, wanted: int, at_once: int) -> "VisitRange":
        """The visits from `visit` on that on average give `wanted` windows in all, after `have` before them.

        Visits may give no window, so there may be too few; then another range has to follow.
        """
        visits = grid.num_visits / grid.num_windows
        end = round(wanted * visits)
        if end <= visit:
            end = visit + max(1, round((wanted - have) * visits))
        end = min(end, grid.num_visits)
        return cls(visit, end if wanted > have else visit, max(1, round(at_once * visits)))

    @property
    def num_pieces(self) -> int:
        """Pieces that it is made of."""
        return -(-self.end // self.chunk) - self.begin // self.chunk if self.end > self.begin else 0

    def piece(self, number: int) -> "VisitRange":
        """A piece, by its number from 0 on: a chunk, in the same place whatever span it is of."""
        first = (self.begin // self.chunk + number) * self.chunk
        return VisitRange(max(first, self.begin), min(first + self.chunk, self.end), self.chunk)

    @property
    def place(self) -> int:
        """Of a piece: its place among all pieces of the domain."""
        return self.begin // self.chunk


def pending_windows(
    grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, visits: VisitRange
) -> Iterator[PendingWindows]:
    """The windows of a range of visits, chunk by chunk.

    Raises:
        InputError: The text cannot be read.
    """
    visit = visits.begin
    while visit < visits.end:
        stop = min((visit // visits.chunk + 1) * visits.chunk, visits.end)
        if len(grid.order) > 1:
            ahead = _UNITS_AHEAD if stop < visits.end else 0
            grid.text.prefetch(grid.units(visit, stop + ahead))
        pending = _pending(grid, tokenizer, recipe, grid.starts(visit, stop), stop)
        if visit == 0 and stop == grid.num_visits and pending.num_windows == 0:
            # Less than a window in all, and chance gave it to none of the units.
            pending = _pending(grid, tokenizer, recipe, [Start(grid.text, grid.order, 0, 0)], stop)
        visit = stop
        yield pending


def _pending(
    grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, starts: Sequence[Start], next_visit: int
) -> PendingWindows:
    if grid.text.tokenizer_digest == tokenizer.digest:
        windows = _cut_tokens(starts, tokenizer, recipe, next_visit)
        return PendingWindows(len(windows.tokens), next_visit, lambda: windows)
    cuts = [_Cut(start) for start in starts]
    _read_on(cuts, recipe.sample_length, grid)
    cuts = [cut for cut in cuts if cut.document is not None]
    return PendingWindows(len(cuts), next_visit, partial(_encoded, cuts, grid, tokenizer, recipe, next_visit))


@dataclass(eq=False)
class _Cut:
    """A window that is being cut.

    Attributes:
        start: Where it begins.
        distance: How far the walk from there has been read, in bytes.
        has_ended: Whether the walk has ended.
        excerpts: What was read last, to be encoded.
        document: Number, within its unit, of the document in which it begins; None where there is no text.
        tokens: Its tokens so far.
        length: How many there are.
    """

    start: Start
    distance: int = 0
    has_ended: bool = False
    excerpts: Sequence[Excerpt] = ()
    document: int | None = None
    tokens: list[npt.NDArray[np.int32]] = field(default_factory=list)
    length: int = 0


def _read_on(cuts: Sequence[_Cut], sample_length: int, grid: Grid) -> None:
    """Read the text that each window lacks, in the order of the text, so that neighbours share reads."""
    bytes_per_token = _AMPLE / grid.density.value
    with _READING:
        for cut in sorted(cuts, key=lambda cut: (cut.start.rank, cut.start.position)):
            missing = math.ceil((sample_length - cut.length) * bytes_per_token) + 256
            cut.excerpts, length, cut.document = read_stretch(cut.start, cut.distance, cut.distance + missing)
            cut.distance += length
            cut.has_ended = length < missing


def _encoded(
    cuts: Sequence[_Cut], grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, next_visit: int
) -> Windows:
    t = recipe.sample_length
    unfinished = cuts
    while unfinished:
        encoded = encode(tokenizer, [cut.excerpts for cut in unfinished])
        for cut, ids in zip(unfinished, encoded, strict=True):
            cut.tokens.append(ids[: t - cut.length])
            cut.length += len(cut.tokens[-1])
        unfinished = [cut for cut in unfinished if cut.length < t and not cut.has_ended]
        _read_on(unfinished, t, grid)
    return _windows(cuts, tokenizer, recipe, next_visit)


def _cut_tokens(
    starts: Sequence[Start], tokenizer: Tokenizer, recipe: WindowRecipe, next_visit: int
) -> Windows:
    """Windows of a source that holds the proxy's own tokens."""
    cuts = []
    for start in starts:
        unit = cast("TokenUnit", start.text.unit(start.unit))
        cut = _Cut(start, document=unit.document_at(start.position))
        total = sum(start.text.unit(index).length for index in range(len(start.order)))
        missing, at, rank = min(recipe.sample_length, total), start.position, start.rank
        while missing:
            cut.tokens.append(unit.ids(at, missing))
            missing -= len(cut.tokens[-1])
            at, rank = 0, (rank + 1) % len(start.order)
            unit = cast("TokenUnit", start.text.unit(int(start.order[rank])))
        cuts.append(cut)
    return _windows(cuts, tokenizer, recipe, next_visit)


def _windows(cuts: Sequence[_Cut], tokenizer: Tokenizer, recipe: WindowRecipe, next_visit: int) -> Windows:
    rows = [np.concatenate(cut.tokens) for cut in cuts]
    tokens = np.full((len(rows), recipe.sample_length), tokenizer.end_of_text, dtype=np.int32)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = ids
    lengths = np.array([len(ids) for ids in rows], dtype=np.int64)
    units = np.array([cut.start.unit for cut in cuts], dtype=np.int64) * UNIT_STEP
    positions = units + np.array([cut.start.position for cut in cuts], dtype=np.int64)
    documents = units + np.array([cut.document for cut in cuts], dtype=np.int64)
    return Windows(tokens, lengths, positions, documents, next_visit)
