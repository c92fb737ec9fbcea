"""How a domain is measured and cut into cells, and which cells each visit of a unit takes.

A domain's text lies in units (row groups, files, or one unit for all of it). Each unit is a circle that is
cut into cells of one length, as many as windows of t tokens fill, the first cut at random. Visits of units
take the unit's cells in a random order, in proportion to its text. A window is the t tokens from where a
cell begins, across ends of cells and documents; behind its unit's end it goes on in the unit visited next.

    unit A  |  4  |  1  |  5  |  2  |  3  |   the number of a cell is its place in the unit's random order;
    unit B  |  2  |  1  |                     all cells are about as long as t tokens
    unit C  |  1  |  3  |  2  |  4  |

    sweep       0            1            2            3            4
    visit       0  1  2      3  4  5      6  7  8      9 10 11     12 13 14
    unit        C  A  B      C  A  B      C  A  B      C  A  B      C  A  B     the schedule of a sweep: C A B
    cell       C1 A1  -     C2 A2 B1     C3 A3  -      - A4  -     C4 A5 B2     5, 2 and 4 cells in 5 visits

    windows     1  2         3  4  5      6  7         8           9 10 11      the first n windows are the
                                                                                same in any larger number
    where units are slow to read, in sections of 2 visits, each repeated 3 times before the next begins:
    unit        C  A  C  A  C  A  B  B  B ...

A visit is a function of the seed and its number alone, so any worker can cut any windows without the others.

Shapes: u units of a domain.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.common.permutation import fractions, permuted, ranks
from chameleon.text.excerpts import MARGIN_BYTES, Start, encode, read_stretch
from chameleon.text.protocols import Text, Tokenizer
from chameleon.text.schedule import VisitSchedule, random_sweep

# The density of a domain in tokens is measured on this many stretches of this many bytes.
_PROBES = 32
_PROBE_BYTES = 4096

# Positions tried for a probe, where files hold other things than text.
_TRIES = 16

# Pilot units: the first ones of a domain, which are read to measure it.
_PILOTS = 8


@dataclass(frozen=True)
class WindowRecipe:
    """What decides, besides text and tokenizer, which windows are cut.

    Attributes:
        seed: Seed of the order of units and cells and of the first cuts.
        sample_length: t, tokens of a window.
    """

    seed: int
    sample_length: int

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON types, with the scheme of sampling."""
        return asdict(self) | {"scheme": f"circle/3, margin {MARGIN_BYTES} bytes"}


class Estimate(NamedTuple):
    """A measured number and its standard error, 0 where it is exact."""

    value: float
    standard_error: float


@dataclass(frozen=True, eq=False)
class Grid:
    """The cells of a domain and the visits that take them; the module's docstring has a picture.

    Attributes:
        text: Text of the domain.
        key: Seed of the order of cells in a unit.
        order: (u,) units in the order in which they are first visited; a unit's place in it is its rank.
        schedule: Which unit each visit is of.
        cell: Length of a cell in positions.
        density: Tokens per position of text; the standard error is relative.
        share: Part of the positions that is text.
        num_windows: Windows in the whole domain as estimated, at least 1.
        is_short: Whether the domain has less text than one window; it is then read from its beginning.
    """

    text: Text
    key: int
    order: npt.NDArray[np.int64]
    schedule: VisitSchedule
    cell: float
    density: Estimate
    share: Estimate
    num_windows: int
    is_short: bool

    @property
    def num_visits(self) -> int:
        """Visits until all windows are cut."""
        return self.schedule.num_visits

    def starts(self, first: int, last: int) -> list[Start]:
        """Where the windows of visits `first` to `last` - 1 begin; some of these starts may hold no text."""
        if len(self.order) == 1:  # a visit is a cell
            return self._cells(0, first, last, self.num_visits)
        return [start for visit in range(first, last) for start in self._cells_of_visit(visit)]

    def units(self, first: int, last: int) -> list[int]:
        """The units of visits `first` to `last` - 1, each once."""
        visits = range(first, min(last, self.num_visits))
        return list(dict.fromkeys(int(self.order[self.schedule.rank(visit)]) for visit in visits))

    def amount(self, visits: int) -> Estimate:
        """Tokens of the domain as estimated from the units of its first visits and its pilot units."""
        pilots = np.arange(min(_PILOTS, len(self.order)))
        read = np.union1d(self.schedule.first_ranks(visits), pilots)
        positions, error = _text_positions(self.text, self.order[read], self.share)
        tokens = positions * self.density.value
        relative = np.hypot(error / max(positions, 1.0), self.density.standard_error)
        return Estimate(tokens, float(tokens * relative))

    def _cells_of_visit(self, visit: int) -> list[Start]:
        rank = self.schedule.rank(visit)
        done, visits = self.schedule.progress(visit)
        index = int(self.order[rank])
        unit = self.text.unit(index)
        chance = float(fractions(self.text.unit_keys[[index]], self.key)[0])
        size = unit.size / self.cell
        first, last = (int(size * each / visits + chance) for each in (done, done + 1))
        # A unit of which only a sample is stored has fewer cells than its size would give.
        num_cells = max(1, int((size if unit.length >= unit.size else unit.length / self.cell) + chance))
        return self._cells(rank, first, min(last, num_cells), num_cells)

    def _cells(self, rank: int, first: int, last: int, num_cells: int) -> list[Start]:
        """Cells `first` to `last` - 1 of a unit, in their random order."""
        index = int(self.order[rank])
        length = self.text.unit(index).length
        if length == 0:
            return []
        unit_key = self.key ^ int(ranks(self.text.unit_keys[[index]], self.key)[0])
        cells = permuted(np.arange(first, last), num_cells, unit_key)
        whole, rest = divmod(length, num_cells)
        first_cut = 0 if self.is_short else unit_key % length
        positions = (first_cut + cells * whole + cells * rest // num_cells) % length
        return [Start(self.text, self.order, rank, position) for position in positions.tolist()]


def lay_grid(text: Text, tokenizer: Tokenizer, recipe: WindowRecipe) -> Grid:
    """Measure a domain's density in tokens and cut the domain into cells.

    Raises:
        InputError: The text cannot be read, or there is none.
    """
    # Domains that share units must visit them in one order, so their order depends on the seed alone.
    seed_key = _key(f"{recipe.seed}")
    order = np.argsort(ranks(text.unit_keys, seed_key), kind="stable")
    key = _key(f"{recipe.seed} {text.fingerprint}")
    pilots = order[:_PILOTS]
    if text.tokenizer_digest == tokenizer.digest:
        density, share = Estimate(1.0, 0.0), Estimate(1.0, 0.0)
    else:
        density, share = _measure(text, tokenizer, order, key)
    positions, _ = _text_positions(text, pilots, share)
    if positions <= 0:
        raise InputError("no text in it; remove what is empty, or give it text")
    windows = positions * density.value / recipe.sample_length
    sweep, earlier = random_sweep(text.unit_sizes[order], text.unit_keys[order], seed_key)
    if len(order) == 1:
        cell = recipe.sample_length / (density.value * share.value)
        sweeps = int(text.unit(0).length / cell)
    else:
        cell = recipe.sample_length / density.value
        # Enough sweeps that even a large unit gives one window per visit.
        sizes = np.array([text.unit(index).size for index in pilots.tolist()])
        sweeps = round(windows / len(sweep) * float((sizes**2).mean() / sizes.mean() ** 2))
    schedule = VisitSchedule(sweep, earlier, max(1, sweeps), min(len(sweep), text.unit_budget))
    return Grid(text, key, order, schedule, cell, density, share, max(1, int(windows)), windows < 1)


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")


def _measure(
    text: Text, tokenizer: Tokenizer, order: npt.NDArray[np.int64], key: int
) -> tuple[Estimate, Estimate]:
    """Tokens per position of text (with a relative error), and the share of positions that is text."""
    pilots = order[:_PILOTS]
    text.prefetch(pilots.tolist())
    lengths, tokens, shares = [], [], []
    is_sample = len(pilots) < len(order)
    for rank, index in enumerate(pilots.tolist()):
        unit = text.unit(index)
        probes = min(max(1, _PROBES // len(pilots)), -(-unit.length // _PROBE_BYTES))
        cuts = [i * unit.length // probes for i in range(probes + 1)] if probes else []
        is_part = unit.length > probes * _PROBE_BYTES
        is_sample |= is_part
        excerpts = []
        for number, (begin, end) in enumerate(pairwise(cuts)):
            # At random distances: lines may have regular ones.
            chances = fractions(np.arange(_TRIES, dtype=np.uint64), key + number)
            positions = [begin + int(each * (end - begin)) for each in chances] if is_part else [begin]
            shares.append(unit.text_share(positions[0]))
            for position in positions:
                stretch = read_stretch(Start(text, order, rank, position), 0, min(_PROBE_BYTES, end - begin))
                if stretch.length:
                    excerpts.append(stretch.excerpts)
                    lengths.append(stretch.length)
                    break
        tokens += [len(ids) for ids in encode(tokenizer, excerpts)]
    if not lengths:
        raise InputError("no text in it; remove what is empty, or give it text")
    density = max(sum(tokens), 1) / sum(lengths)
    residuals = np.array(tokens) - density * np.array(lengths)
    error = _standard_error(residuals) / float(np.mean(lengths)) / density if is_sample else 0.0
    return Estimate(density, error), Estimate(float(np.mean(shares)), _standard_error(shares))


def _standard_error(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _text_positions(text: Text, read: npt.NDArray[np.int64], share: Estimate) -> Estimate:
    """Positions of text in a domain, estimated from the units `read`."""
    sizes = np.array([text.unit(index).size for index in read.tolist()], dtype=np.float64)
    known = text.unit_sizes
    if len(read) == len(known):
        total, error = float(sizes.sum()), 0.0
    else:
        ratio = float(sizes.sum() / known[read].sum())
        total = ratio * float(known.sum())
        unread = 1 - len(read) / len(known)
        spread = _standard_error(sizes - ratio * known[read]) * np.sqrt(unread)
        error = spread / float(known[read].mean()) * float(known.sum())
    return Estimate(total * share.value, float(np.hypot(error * share.value, total * share.standard_error)))
