"""What every exporter takes: domains with shares of tokens, and where their data is.

Shapes: k domains.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.export.parse import fact_number
from chameleon.export.serialization import twelve_digits
from chameleon.export.sources import TrainerSource
from chameleon.weights.domain_weights import DomainWeights


class Stage(NamedTuple):
    """Weights from training step `step` on."""

    step: int
    weights: DomainWeights


@dataclass(frozen=True, eq=False)
class TrainerMixture:
    """Domains with shares of tokens, as an exporter takes them.

    Attributes:
        names: (k,) the domains of the weights that the file is to hold.
        sources: (k,) where the trainer finds them.
        stages: Their weights: one stage or, where the trainer takes a schedule, several.
        comment: Lines that say where the numbers are from.
        seed: Seed of the trainer's draws.
    """

    names: tuple[str, ...]
    sources: tuple[TrainerSource, ...]
    stages: tuple[Stage, ...]
    comment: tuple[str, ...] = ()
    seed: int = 0

    @property
    def budget(self) -> float | None:
        """Tokens to train on, where known."""
        return fact_number(self.stages[0].weights.settings, "budget", "settings")

    def shares(self, stage: int = 0) -> Array:
        """(k,) shares of tokens."""
        by_name = self.stages[stage].weights.by_name()
        return np.array([by_name[name] for name in self.names])

    def by_name(self, stage: int = 0) -> dict[str, float]:
        """Every domain with its share of tokens, to twelve digits."""
        return self._named(self.shares(stage))

    def by_path(self, stage: int = 0) -> list[tuple[str, float]]:
        """Every path with its share of tokens, to twelve digits."""
        return [
            (path, twelve_digits(float(share) * part))
            for share, source in zip(self.shares(stage), self.sources, strict=True)
            for path, part in source.path_shares()
        ]

    def rows_by_name(self) -> dict[str, float]:
        """Every domain with its share of rows, to twelve digits.

        Raises:
            InputError: The tokens of a row are unknown.
        """
        return self._named(self.rows_per_token() / self.rows_per_token().sum())

    def rows_per_token(self) -> Array:
        """(k,) rows of each domain in a token of training: its share by the length of its rows.

        Raises:
            InputError: The tokens of a row are unknown.
        """
        return np.asarray(self.shares() / row_lengths(self.names, self.sources))

    def paths_by_name(self) -> dict[str, str]:
        """Every domain with its only path.

        Raises:
            InputError: A domain has several.
        """
        return {name: source.path for name, source in zip(self.names, self.sources, strict=True)}

    @property
    def header(self) -> str:
        """The comment, for formats in which comments begin with #."""
        return "".join(f"# {line}\n" for line in self.comment)

    def _named(self, shares: Array) -> dict[str, float]:
        return dict(zip(self.names, map(twelve_digits, shares.tolist()), strict=True))


def row_lengths(names: Iterable[str], sources: Iterable[TrainerSource]) -> Array:
    """(k,) mean tokens of a row of each domain.

    Raises:
        InputError: They are unknown.
    """
    lengths = {name: source.tokens_per_row for name, source in zip(names, sources, strict=True)}
    for name, length in lengths.items():
        if length is None:
            raise InputError(
                f"this trainer counts rows, and how many tokens a row of {name} has is not known; give "
                "--tokens_per_row: one number for all rows, or a JSON file of numbers by domain"
            )
    return np.array([*lengths.values()], dtype=np.float64)
