"""Which windows of a domain are looked at: seeded, uniform over its text, nested in their number.

A domain's text lies in units (`text.py`). Each unit is a circle that is cut into cells of one length,
as many as windows of t tokens fill, with a first cut chosen by chance. The units are visited in a
random order, again and again, and each visit takes the next few cells of the unit's own random
order, in proportion to the text in it (where reading is dear, some units again and again, and then
the next ones); a window is the `sample_length` tokens from the beginning of
a cell on. Where the whole domain is one unit, a visit takes one cell (`grid.py`). So

- every byte of the domain is as likely as any other to begin a window: long documents give many
  windows and short ones few, in proportion to their text. A token is looked at in proportion to
  the bytes that the t tokens before it span: equally, so far as tokens have the same number of
  bytes all over the domain (docs/decisions.md has figures where they have not), and equally
  without exception where positions are tokens;
- what lies between documents in a file (names of fields, other fields) begins no window;
- a visit is a function of the seed and its number alone: n windows are the first n of any larger
  number, and any worker can make any part of them;
- a window that reaches its unit's end goes on in the unit that is visited next.

A window's tokens are those of its document. They are encoded from a margin before the window, so
that it begins where a token of the document begins, and what is encoded is never decoded again.

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

from chameleon.text.excerpts import Excerpt, Start, encode, stretch_from
from chameleon.text.grid import Grid, WindowRecipe
from chameleon.text.protocols import Tokenizer, TokenUnit

# What is read for a window beyond its share at the domain's density, to have it whole in one go.
_AMPLE = 1.2


# Units read before they are wanted.
_UNITS_AHEAD = 4


# Chunks of a piece, which is what one worker makes of a domain while others make others.
CHUNKS_PER_PIECE = 1


# A place in a domain is its unit's index times this, and the position in the unit.
UNIT_STEP = 1 << 40


# Sources are read by one thread at a time; what encodes may lack some text of a window.
_READING = Lock()


@dataclass(frozen=True)
class Windows:
    """Windows of a domain.

    Attributes:
        tokens: (n, t) int32 ids; those beyond a row's length are end-of-text tokens.
        lengths: (n,) int64, tokens in each row: t, but for a domain that has fewer in all.
        positions: (n,) int64, the place in the domain that each was cut at.
        documents: (n,) int64, the place in the domain of the document that it begins in.
        next_visit: The visit after the last of these windows.
    """

    tokens: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    next_visit: int


class PendingWindows(NamedTuple):
    """Windows of which the text is read, to be encoded by any thread.

    Attributes:
        num_windows: How many they are.
        next_visit: The visit after the last of them.
        windows: Encodes them; reads on where a window's text was not enough.
    """

    num_windows: int
    next_visit: int
    windows: Callable[[], Windows]


def windows_from(
    grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, first: int, visit: int, last: int, at_once: int
) -> Iterator[Windows]:
    """Windows `first` to `last` - 1 of a domain, some at a time, until they or the domain end.

    Args:
        grid: Of the domain.
        tokenizer: Of the proxy.
        recipe: What the grid was laid with.
        first: The number of windows before these.
        visit: The visit after those: `next_visit` of the last of them.
        last: How many there are to be in the end. There are a few more where the last visit gives more.
        at_once: About so many at a time.

    Raises:
        InputError: The text cannot be read.
    """
    return (
        draft.windows()
        for draft in pending_windows_from(grid, tokenizer, recipe, first, visit, last, at_once)
    )


def pending_windows_from(
    grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, first: int, visit: int, last: int, at_once: int
) -> Iterator[PendingWindows]:
    """As `windows_from`, with the text read and the encoding left to be done beside the next reading."""
    found = first
    while found < last and visit < grid.num_visits:
        for draft in pending_windows(
            grid, tokenizer, recipe, VisitRange.of(grid, found, visit, last, at_once)
        ):
            found += draft.num_windows
            visit = draft.next_visit
            yield draft


class VisitRange(NamedTuple):
    """Visits that are gone through to have so many windows more, in chunks that are cut at once.

    Chunks end at multiples of `chunk`, so that they are the same for whoever cuts them: one after the
    other, or pieces of some chunks apart.

    Attributes:
        begin, end: The first visit, and that after the last.
        chunk: Visits of a chunk.
    """

    begin: int
    end: int
    chunk: int

    @classmethod
    def of(cls, grid: Grid, have: int, visit: int, wanted: int, at_once: int) -> "VisitRange":
        """From `visit` on to where there are the windows wanted on average, wherever it goes on.

        Some visits may give none; so there may be too few, and then another span is to follow.
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
        size = CHUNKS_PER_PIECE * self.chunk
        return -(-self.end // size) - self.begin // size if self.end > self.begin else 0

    def piece(self, number: int) -> "VisitRange":
        """A piece, by its number from 0 on: a few chunks, in the same places whatever span it is of."""
        size = CHUNKS_PER_PIECE * self.chunk
        first = self.begin // size * size + number * size
        return VisitRange(max(first, self.begin), min(first + size, self.end), self.chunk)

    @property
    def place(self) -> int:
        """Of a piece: its place among all pieces of the domain."""
        return self.begin // (CHUNKS_PER_PIECE * self.chunk)


def pending_windows(
    grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, span: VisitRange
) -> Iterator[PendingWindows]:
    """The windows of a span of visits, chunk by chunk."""
    visit = span.begin
    while visit < span.end:
        stop = min((visit // span.chunk + 1) * span.chunk, span.end)
        draft = _draft_visits(grid, tokenizer, recipe, visit, stop, _UNITS_AHEAD if stop < span.end else 0)
        if visit == 0 and stop == grid.num_visits and draft.num_windows == 0:
            # Less than a window in all, and chance gave it to none of the units.
            draft = _draft(grid, tokenizer, recipe, [Start(grid.text, grid.order, 0, 0)], stop)
        visit = stop
        yield draft


def cut_windows(
    grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, first: int, last: int, ahead: int = 0
) -> Windows:
    """The windows of visits `first` to `last` - 1; `last` is at most `grid.num_visits`.

    The units of so many visits `ahead` are read meanwhile.

    Raises:
        InputError: The text cannot be read.
    """
    return _draft_visits(grid, tokenizer, recipe, first, last, ahead).windows()


def _draft_visits(
    grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, first: int, last: int, ahead: int
) -> PendingWindows:
    if len(grid.order) > 1:
        grid.text.expect(grid.units_of(first, last + ahead))
    places = grid.places(first, last)
    return _draft(grid, tokenizer, recipe, places, last)


def _draft(
    grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, places: Sequence[Start], next_visit: int
) -> PendingWindows:
    if grid.text.tokenizer_digest == tokenizer.digest:
        windows = _cut_tokens(places, tokenizer, recipe, next_visit)
        return PendingWindows(len(windows.tokens), next_visit, lambda: windows)
    pending = [_Pending(place) for place in places]
    _read_on(pending, recipe.sample_length, grid)
    pending = [each for each in pending if each.document is not None]
    return PendingWindows(
        len(pending), next_visit, partial(_encoded, pending, grid, tokenizer, recipe, next_visit)
    )


@dataclass(eq=False)
class _Pending:
    """A window that is being cut.

    Attributes:
        place: Where.
        reached: How much of the walk from there has been read.
        has_ended: Whether there is no more.
        pieces: What was read last, to be encoded.
        document: Number, within its unit, of the document in which it begins, or None where there is no text.
        found: Its tokens so far.
        length: How many those are.
    """

    place: Start
    reached: int = 0
    has_ended: bool = False
    pieces: Sequence[Excerpt] = ()
    document: int | None = None
    found: list[npt.NDArray[np.int32]] = field(default_factory=list)
    length: int = 0


def _read_on(pending: Sequence[_Pending], sample_length: int, grid: Grid) -> None:
    """Read for each window what it lacks, in the order of the text, so that neighbours share what is read."""
    bytes_a_token = _AMPLE / grid.density[0]
    with _READING:
        for each in sorted(pending, key=lambda each: (each.place.visited, each.place.position)):
            missing = math.ceil((sample_length - each.length) * bytes_a_token) + 256
            each.pieces, length, each.document = stretch_from(
                each.place, each.reached, each.reached + missing
            )
            each.reached += length
            each.has_ended = length < missing


def _encoded(
    drafted: Sequence[_Pending], grid: Grid, tokenizer: Tokenizer, recipe: WindowRecipe, next_visit: int
) -> Windows:
    t = recipe.sample_length
    pending = drafted
    while pending:
        for each, ids in zip(pending, encode(tokenizer, [each.pieces for each in pending]), strict=True):
            each.found.append(ids[: t - each.length])
            each.length += len(each.found[-1])
        pending = [each for each in pending if each.length < t and not each.has_ended]
        _read_on(pending, t, grid)
    tokens = np.full((len(drafted), t), tokenizer.end_of_text, dtype=np.int32)
    for row, each in zip(tokens, drafted, strict=True):
        row[: each.length] = np.concatenate(each.found)
    places = [each.place for each in drafted]
    return Windows(
        tokens,
        np.array([each.length for each in drafted], dtype=np.int64),
        _numbers(places, [place.position for place in places]),
        _numbers(places, [each.document or 0 for each in drafted]),
        next_visit,
    )


def _cut_tokens(
    places: Sequence[Start], tokenizer: Tokenizer, recipe: WindowRecipe, next_visit: int
) -> Windows:
    """Windows of a source that holds the proxy's own tokens."""
    t = recipe.sample_length
    tokens = np.full((len(places), t), tokenizer.end_of_text, dtype=np.int32)
    lengths = np.zeros(len(places), dtype=np.int64)
    documents = []
    for row, place in enumerate(places):
        unit = cast("TokenUnit", place.text.unit(place.unit))
        documents.append(unit.document_at(place.position))
        whole = sum(place.text.unit(index).length for index in range(len(place.order)))
        wanted, at, visited = min(t, whole), place.position, place.visited
        while lengths[row] < wanted:
            ids = unit.ids(at, int(wanted - lengths[row]))
            tokens[row, lengths[row] : lengths[row] + len(ids)] = ids
            lengths[row] += len(ids)
            at, visited = 0, (visited + 1) % len(place.order)
            unit = cast("TokenUnit", place.text.unit(int(place.order[visited])))
    positions = _numbers(places, [place.position for place in places])
    return Windows(tokens, lengths, positions, _numbers(places, documents), next_visit)


def _numbers(places: Sequence[Start], within: Sequence[int]) -> npt.NDArray[np.int64]:
    """Places in the domain of places within units."""
    return np.array(
        [place.unit * UNIT_STEP + at for place, at in zip(places, within, strict=True)], dtype=np.int64
    )
