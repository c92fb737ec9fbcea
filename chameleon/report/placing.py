"""Where names stand on a picture of dots, so that none covers another."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from chameleon.affinity import Array
from chameleon.report.labels import fitted, width_of

_LETTERS = 12.0
# Up to so many dots all are named, above those for which there is room, and no more than twice as many.
_ALL_NAMED = 20
_MOST_NAMED = 40
# Beside a dot, under and over it, then at its corners; the better places first.
_SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (0.75, -0.75), (0.75, 0.75), (-0.75, -0.75), (-0.75, 0.75))
# Pixels further out, from which a line leads to the dot.
_FURTHER = (0.0, 14.0, 28.0)


@dataclass(frozen=True)
class Box:
    """A rectangle that something takes up, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """How much of it another takes up too."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0)


@dataclass(frozen=True)
class Dot:
    """What is named.

    Attributes:
        name: In full.
        x, y: Its middle in pixels.
        radius: Which nothing may cover.
        across, down: How far from its middle its own name keeps.
    """

    name: str
    x: float
    y: float
    radius: float
    across: float
    down: float


@dataclass(frozen=True)
class Label:
    """Where a name stands: its text, the anchor of that, and whether a line leads to its dot."""

    text: str
    x: float
    y: float
    anchor: str
    box: Box
    is_led: bool


def labels_of(dots: Sequence[Dot], order: Sequence[int], frame: Box) -> list[tuple[int, Label]]:
    """Names beside their dots, none over another or over a dot: of few dots all, of many some.

    Args:
        dots: What is named.
        order: Numbers of the dots, those that matter most first.
        frame: Within which names stand.
    """
    around = [(d.x - d.radius, d.y - d.radius, d.x + d.radius, d.y + d.radius) for d in dots]
    taken = np.array(around).reshape(len(dots), 4)
    room = 0.3 * (frame.right - frame.left)
    placed: list[tuple[int, Label]] = []
    for i in order:
        if len(placed) >= _MOST_NAMED:
            break
        candidates = _candidates(dots[i], fitted(dots[i].name, room, _LETTERS))
        costs = [_cost(each, taken, frame) for each in candidates]
        best = min(range(len(costs)), key=costs.__getitem__)
        if len(dots) > _ALL_NAMED and (costs[best] > 0 or candidates[best].is_led):
            continue
        placed.append((i, candidates[best]))
        taken = np.vstack([taken, astuple(candidates[best].box)])
    return placed


def _cost(label: Label, taken: Array, frame: Box) -> float:
    """What a label covers of (n, 4) boxes, and ten times what of it is outside of the frame."""
    box = label.box
    across = np.minimum(taken[:, 2], box.right) - np.maximum(taken[:, 0], box.left)
    down = np.minimum(taken[:, 3], box.bottom) - np.maximum(taken[:, 1], box.top)
    covered = float((np.maximum(across, 0.0) * np.maximum(down, 0.0)).sum())
    outside = (box.right - box.left) * (box.bottom - box.top) - box.overlap(frame)
    return covered + 10 * max(outside, 0.0)


def _candidates(dot: Dot, text: str) -> list[Label]:
    long, found = width_of(text, _LETTERS), []
    for further in _FURTHER:
        for right, below in _SIDES:
            x = dot.x + right * (dot.across + 4 + further)
            # Beside a dot a name's middle is level with it; over and under it, its edge is beyond it.
            y = dot.y + below * (dot.down + 4 + further) + (4 if below == 0 else 0 if below < 0 else 9)
            anchor = "start" if right > 0 else "end" if right < 0 else "middle"
            left = x - {"start": 0.0, "middle": long / 2, "end": long}[anchor]
            box = Box(left - 1, y - 10, left + long + 1, y + 4)
            found.append(Label(text, x, y, anchor, box, further > 0))
    return found
