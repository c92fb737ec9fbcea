"""What every exporter takes: domains with shares of tokens, and where their data is.

Shapes: k domains.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.export.parse import fact_number
from chameleon.export.sources import TrainerSource
from chameleon.weights.domain_weights import DomainWeights


class Stage(NamedTuple):
    """(k,) shares of tokens from training step `step` on."""

    step: int
    shares: Array


class LaterStage(NamedTuple):
    """Weights that replace the earlier ones from training step `step` on."""

    step: int
    weights: DomainWeights


@dataclass(frozen=True, eq=False)
class TrainerMixture:
    """Domains with shares of tokens, as an exporter takes them.

    Attributes:
        names: (k,) domain names.
        stages: Their shares of tokens: one stage or, where the trainer takes a schedule, several.
        sources: (k,) where each domain is.
        comment: Lines that say where the numbers are from.
        budget: Tokens to train on; None where unknown.
        epochs: (k,) epochs of each domain; None where unknown.
        seed: Seed of the trainer's draws.
    """

    names: tuple[str, ...]
    stages: tuple[Stage, ...]
    sources: tuple[TrainerSource, ...]
    comment: tuple[str, ...] = ()
    budget: float | None = None
    epochs: Array | None = None
    seed: int = 0

    @property
    def shares(self) -> Array:
        """(k,) shares of tokens in the first stage."""
        return self.stages[0].shares

    @property
    def rows_per_token(self) -> Array:
        """(k,) rows of each domain in a token of training, by its share and the length of its rows.

        Raises:
            InputError: The tokens of a row are unknown.
        """
        return np.asarray(self.shares / row_lengths(self.names, self.sources))

    def by_path(self, stage: int = 0) -> list[tuple[str, float]]:
        """Every path with its share of tokens, to twelve digits."""
        return [
            (path, twelve_digits(float(share) * part))
            for share, source in zip(self.stages[stage].shares, self.sources, strict=True)
            for path, part in source.path_shares()
        ]

    def by_name(self, stage: int = 0) -> dict[str, float]:
        """Every domain with its share of tokens, to twelve digits."""
        return self._by_name(self.stages[stage].shares)

    def rows_by_name(self) -> dict[str, float]:
        """Every domain with its share of rows, to twelve digits.

        Raises:
            InputError: The tokens of a row are unknown.
        """
        return self._by_name(self.rows_per_token / self.rows_per_token.sum())

    def _by_name(self, shares: Array) -> dict[str, float]:
        return dict(zip(self.names, map(twelve_digits, shares.tolist()), strict=True))

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


def build_mixture(
    weights: DomainWeights,
    sources: Mapping[str, TrainerSource],
    keeps_zeros: bool,
    later: Sequence[LaterStage] = (),
) -> TrainerMixture:
    """Weights with their sources.

    Args:
        weights: Weights of the first stage.
        sources: By domain.
        keeps_zeros: Whether the trainer takes weights of 0; if not, domains of no weight are left out.
        later: Further stages, of the same domains.
    """
    by_name = [weights.by_name(), *(each.weights.by_name() for each in later)]
    names = [name for name in weights.names if keeps_zeros or any(each[name] > 0 for each in by_name)]
    steps = [0, *(each.step for each in later)]
    epochs = [fact_number(weights.domains.get(name, {}), "epochs", f"domain {name}") for name in names]
    return TrainerMixture(
        tuple(names),
        tuple(
            Stage(step, np.array([each[name] for name in names]))
            for step, each in zip(steps, by_name, strict=True)
        ),
        tuple(sources[name] for name in names),
        budget=fact_number(weights.settings, "budget", "settings"),
        epochs=None if None in epochs else np.array(epochs, dtype=np.float64),
    )


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


def twelve_digits(value: float) -> float:
    """A number of twelve digits: the same in every format, and short."""
    return float(f"{value:.12g}")


def join_names(names: Iterable[str], trainer: str, remedy: str) -> str:
    """Names with commas between, for a trainer that splits them at commas and strips them.

    Raises:
        InputError: A name would not come back as it is.
    """
    for name in (names := [*names]):
        if "," in name or name != name.strip():
            raise InputError(
                f"{trainer} splits names at commas and strips them, so it cannot take {name!r}; {remedy}"
            )
    return ",".join(names)
