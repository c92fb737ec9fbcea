"""A text in one unit, which is itself."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt


class SingleUnit(ABC):
    """What a text and its only unit have in common where they are one: see `chameleon.text`."""

    visits_wanted = 1 << 30

    @property
    @abstractmethod
    def length(self) -> int:
        """Its positions are 0 to length - 1."""

    @property
    def size(self) -> float:
        """The length."""
        return self.length

    @property
    def tokenizer_digest(self) -> str | None:
        """None: it holds text."""
        return None

    @property
    def unit_keys(self) -> npt.NDArray[np.uint64]:
        """One, of no meaning."""
        return np.zeros(1, dtype=np.uint64)

    @property
    def unit_sizes(self) -> npt.NDArray[np.float64]:
        """The length."""
        return np.array([self.length], dtype=np.float64)

    def unit(self, index: int) -> Self:
        """Itself."""
        return self

    def expect(self, indices: Sequence[int]) -> None:  # noqa: B027
        """Nothing: it is read where it is asked for."""
