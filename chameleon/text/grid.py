"""A domain measured and laid out: how many tokens it has, and where its windows can begin.

Shapes: u units of a domain, m probes.
"""

import hashlib
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.common.permutation import fractions, permuted, ranks
from chameleon.text.excerpts import MARGIN_BYTES, Start, encode, stretch_from
from chameleon.text.protocols import Text, Tokenizer

# The density of a domain in tokens is taken from this many stretches of this many bytes.
_PROBES = 32


_PROBE_BYTES = 4096


# Places tried for a stretch, where files hold other things than text.
_TRIES = 16


# Of a domain in several units, so many are measured first.
_PILOTS = 8


# A unit of twice so many times the mean size is visited twice, and so on; others once a round.
_LARGE = 2


# Windows of a usual run. Where units are dear to read, so many come from as many as are wanted.
USUAL_WINDOWS = 2048


@dataclass(frozen=True)
class WindowRecipe:
    """What decides, beside the text and tokenizer, which windows are cut.

    Attributes:
        seed: Of the order of units and cells and of the first cuts.
        sample_length: t, tokens of a window.
    """

    seed: int
    sample_length: int

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON types, with the margin that it is cut with."""
        return asdict(self) | {"scheme": f"circle/3, margin {MARGIN_BYTES} bytes"}


@dataclass(frozen=True)
class TextAmount:
    """A number of tokens, and how far off it may be: its standard error, 0 for a count."""

    tokens: float
    standard_error: float


@dataclass(frozen=True, eq=False)
class Grid:
    """The cells of a domain.

    Attributes:
        text: The domain's.
        key: Names the order of cells in a unit.
        order: (u,) units in the order in which they are first visited.
        slots: (v, 2) the visits of a round: a unit's place in `order`, and how often it was visited in the
            round before. A unit of more text than others is visited the more often.
        rounds: How often the round is gone until all cells are used.
        block: So many slots are visited `turns` times, then the next ones: fewer units are read for a window.
        turns: At least 1; the last ones of all may be fewer.
        cell: Positions of a cell.
        density: Tokens a position of text, with its relative standard error.
        share: Part of the positions that is text, with its standard error.
        num_windows: Windows that the domain has in all, so far as is known; at least 1.
        is_short: Whether it has less than one: then it is read from its beginning.
    """

    text: Text
    key: int
    order: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int64]
    rounds: int
    block: int
    turns: int
    cell: float
    density: tuple[float, float]
    share: tuple[float, float]
    num_windows: int
    is_short: bool

    @property
    def num_visits(self) -> int:
        """Visits until all windows are cut."""
        return len(self.slots) * self.rounds

    def places(self, first: int, last: int) -> list[Start]:
        """Where the windows of visits `first` to `last` - 1 begin; some of these places may hold no text."""
        if len(self.order) == 1:  # a visit is a cell
            return self._cells(0, first, last, self.rounds)
        return [place for visit in range(first, last) for place in self._cells(*self._visit(visit))]

    def _visit(self, visit: int) -> tuple[int, int, int, int]:
        """A visit: its unit by place in `order`, its cells in their random order, how many the unit has."""
        turn, slot = self._turn_and_slot(visit)
        visited, number = map(int, self.slots[slot])
        index = int(self.order[visited])
        unit = self.text.unit(index)
        chance = float(fractions(self.text.unit_keys[[index]], self.key)[0])
        size = unit.size / self.cell
        of_unit = int((self.slots[:, 0] == visited).sum())
        done, visits = turn * of_unit + number, self.rounds * of_unit
        first, last = (int(size * each / visits + chance) for each in (done, done + 1))
        kept = max(1, int((size if unit.length >= unit.size else unit.length / self.cell) + chance))
        return visited, first, min(last, kept), kept

    def _turn_and_slot(self, visit: int) -> tuple[int, int]:
        """How often the slots were gone through before a visit, and which slot it is."""
        pass_, visit = divmod(visit, len(self.slots) * self.turns)
        turns = min(self.turns, self.rounds - pass_ * self.turns)
        number, visit = divmod(visit, self.block * turns)
        turn, slot = divmod(visit, min(self.block, len(self.slots) - number * self.block))
        return pass_ * self.turns + turn, number * self.block + slot

    def units_of(self, first: int, last: int) -> list[int]:
        """The units of visits `first` to `last` - 1, each once."""
        slots = [self._turn_and_slot(visit)[1] for visit in range(first, min(last, self.num_visits))]
        return list(dict.fromkeys(int(self.order[self.slots[slot, 0]]) for slot in slots))

    def _cells(self, visited: int, first: int, last: int, kept: int) -> list[Start]:
        """Cells `first` to `last` - 1 of a unit's `kept` ones, in their random order."""
        index = int(self.order[visited])
        length = self.text.unit(index).length
        if length == 0:
            return []
        unit_key = self.key ^ int(ranks(self.text.unit_keys[[index]], self.key)[0])
        cells = permuted(np.arange(first, last), kept, unit_key)
        whole, rest = divmod(length, kept)
        first_cut = 0 if self.is_short else unit_key % length
        positions = (first_cut + cells * whole + cells * rest // kept) % length
        return [Start(self.text, self.order, visited, position) for position in positions.tolist()]

    def amount(self, visits: int) -> TextAmount:
        """Tokens of the domain, from the units of its first visits and those that it was measured by."""
        # Each turn goes on where the one before began: the furthest slot is in a block's first turn.
        whole, rest = divmod(visits, self.block * min(self.turns, self.rounds))
        reached = whole * self.block + min(rest, self.block)
        visited = np.unique(np.append(self.slots[:reached, 0], np.arange(min(_PILOTS, len(self.order)))))
        positions, error = _positions(self.text, self.order[visited], self.share)
        tokens = positions * self.density[0]
        relative = np.hypot(error / max(positions, 1.0), self.density[1])
        return TextAmount(tokens, float(tokens * relative))


def lay_grid(text: Text, tokenizer: Tokenizer, recipe: WindowRecipe) -> Grid:
    """Measure a domain's density in tokens and cut it into cells.

    Raises:
        InputError: The text cannot be read, or there is none.
    """
    # Domains that share units must visit them in one order: their key is of the seed alone.
    seed_key = _key(f"{recipe.seed}")
    order = np.argsort(ranks(text.unit_keys, seed_key), kind="stable")
    slots = _slots(text, order, seed_key)
    key = _key(f"{recipe.seed} {text.fingerprint}")
    if text.tokenizer_digest == tokenizer.digest:
        for index in order[:_PILOTS]:
            text.unit(int(index))
        density, share = (1.0, 0.0), (1.0, 0.0)
    else:
        density, share = _probe(text, tokenizer, order, key)
    total, _ = _positions(text, order[:_PILOTS], share)
    if total <= 0:
        raise InputError("no text in it; remove what is empty, or give it text")
    windows = total * density[0] / recipe.sample_length
    if len(order) == 1:
        cell = recipe.sample_length / (density[0] * share[0])
        rounds = max(1, int(text.unit(0).length / cell))
    else:
        cell = recipe.sample_length / density[0]
        # Even a unit that is larger than others gives a window at a time.
        sizes = np.array([text.unit(index).size for index in order[:_PILOTS].tolist()])
        rounds = max(1, round(windows / len(slots) * float((sizes**2).mean() / sizes.mean() ** 2)))
    block = min(len(slots), text.visits_wanted)
    turns = min(rounds, -(-USUAL_WINDOWS // block)) if block < len(slots) else 1
    number = max(1, int(windows))
    return Grid(text, key, order, slots, rounds, block, turns, cell, density, share, number, windows < 1)


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")


def _slots(text: Text, order: npt.NDArray[np.int64], key: int) -> npt.NDArray[np.int64]:
    """The visits of a round, units by chance and the larger ones several times: see `Grid.slots`."""
    sizes = text.unit_sizes[order]
    times = np.maximum(1, sizes / max(float(sizes.mean()), 1e-300) // _LARGE).astype(np.int64)
    visited = np.repeat(np.arange(len(order), dtype=np.int64), times)
    number = np.arange(len(visited), dtype=np.int64) - np.repeat(np.cumsum(times) - times, times)
    # The first visit of each unit is in the units' own order, which domains share.
    chances = ranks(text.unit_keys[order][visited] + number.astype(np.uint64), key)
    return np.stack([visited, number], axis=1)[np.argsort(chances, kind="stable")]


def _probe(
    text: Text, tokenizer: Tokenizer, order: npt.NDArray[np.int64], key: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Tokens a position of text with the relative standard error, and the share of text with its own."""
    pilots = order[:_PILOTS]
    text.expect(pilots.tolist())
    lengths, tokens, shares, partial = [], [], [], len(pilots) < len(order)
    for visited, index in enumerate(pilots.tolist()):
        unit = text.unit(index)
        most = max(1, _PROBES // len(pilots))
        probes = min(most, -(-unit.length // _PROBE_BYTES))
        cuts = [i * unit.length // probes for i in range(probes + 1)] if probes else []
        is_sample = unit.length > probes * _PROBE_BYTES
        partial |= is_sample
        pieces = []
        for number, (begin, end) in enumerate(pairwise(cuts)):
            # Not at equal distances: lines may have them too.
            chances = fractions(np.arange(_TRIES, dtype=np.uint64), key + number)
            ats = [begin + int(each * (end - begin)) for each in chances] if is_sample else [begin]
            shares.append(unit.share(ats[0]))
            for at in ats:
                place = Start(text, order, visited, at)
                found, length, _ = stretch_from(place, 0, min(_PROBE_BYTES, end - begin))
                if length:
                    pieces.append(found)
                    lengths.append(length)
                    break
        tokens += [len(ids) for ids in encode(tokenizer, pieces)]
    if not lengths:
        raise InputError("no text in it; remove what is empty, or give it text")
    density = max(sum(tokens), 1) / sum(lengths)
    spread = np.array(tokens) - density * np.array(lengths)
    error = _standard_error(spread) / float(np.mean(lengths)) / density if partial else 0.0
    return (density, error), (float(np.mean(shares)), _standard_error(np.array(shares)))


def _standard_error(values: npt.NDArray[np.float64]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _positions(text: Text, read: npt.NDArray[np.int64], share: tuple[float, float]) -> tuple[float, float]:
    """Positions of text in a domain and their standard error, from the units `read`."""
    sizes = np.array([text.unit(index).size for index in read.tolist()], dtype=np.float64)
    hints = text.unit_sizes
    if len(read) == len(hints):
        total, error = float(sizes.sum()), 0.0
    else:
        ratio = float(sizes.sum() / hints[read].sum())
        total = ratio * float(hints.sum())
        unread = 1 - len(read) / len(hints)
        spread = _standard_error(sizes - ratio * hints[read]) * np.sqrt(unread)
        error = spread / float(hints[read].mean()) * float(hints.sum())
    return total * share[0], float(np.hypot(error * share[0], total * share[1]))
