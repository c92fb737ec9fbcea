"""What every exporter takes and every reader gives: domains with shares, and where their data is.

Shapes: k domains.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.export.parse import parse_number, read_json_object, written_number
from chameleon.weights.domain_weights import DomainWeights

_FURTHER = ("valid", "test", "remote", "local", "split", "name")


_SOURCE_KEYS = ("paths", "tokens", "tokens_per_row", *_FURTHER)


# Fewer tokens are none: of a path, or of a row on average.
_LEAST = 1e-3


@dataclass(frozen=True)
class TrainerSource:
    """Where a trainer finds a domain.

    Attributes:
        paths: Paths, prefixes or names, as the trainer takes them; at least one.
        tokens: Tokens of each path, by which the domain's weight is divided among them; alike where empty.
        tokens_per_row: Tokens of a row on average, where the trainer counts rows; None where unknown.
        further: Texts that some trainers take: `remote`, `local`, `split`, `name`, and `valid` and
            `test`, which may be lists of them.
    """

    paths: tuple[str, ...]
    tokens: tuple[float, ...] = ()
    tokens_per_row: float | None = None
    further: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The only path.

        Raises:
            InputError: There are several.
        """
        if len(self.paths) > 1:
            raise InputError(f"this format takes one path a domain, got {', '.join(self.paths)[:200]}")
        return self.paths[0]

    def parts(self) -> list[tuple[str, float]]:
        """The paths with their parts of the domain's weight."""
        tokens = self.tokens or (1.0,) * len(self.paths)
        total = math.fsum(tokens)
        return [(path, each / total) for path, each in zip(self.paths, tokens, strict=True)]


class Stage(NamedTuple):
    """From training step `step` on, (k,) shares of tokens."""

    step: int
    shares: Array


class LaterStage(NamedTuple):
    """Weights that follow others, from training step `step` on."""

    step: int
    weights: DomainWeights


@dataclass(frozen=True, eq=False)
class TrainerMixture:
    """Domains with shares of tokens, as an exporter takes them.

    Attributes:
        names: The k domains.
        stages: Their shares of tokens: one stage or, where the trainer takes a schedule, several.
        sources: Where each is.
        comment: Lines that say where the numbers came from.
        budget: Tokens to train on, where that is known.
        epochs: How often each domain will be seen, where that is known.
        seed: Of the trainer's draws.
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
    def lengths(self) -> Array:
        """(k,) tokens of a row.

        Raises:
            InputError: They are not known.
        """
        unknown = [
            n for n, source in zip(self.names, self.sources, strict=True) if source.tokens_per_row is None
        ]
        if unknown:
            raise InputError(
                f"this trainer counts rows, and how many tokens a row of {unknown[0]} has is not known; give "
                "--tokens_per_row: a number where all rows are of one length, or a JSON file of numbers "
                "by domain"
            )
        return np.array([source.tokens_per_row for source in self.sources], dtype=np.float64)

    def rows(self) -> Array:
        """(k,) shares of rows.

        Raises:
            InputError: Tokens of a row are not known.
        """
        rows = self.shares / self.lengths
        return np.asarray(rows / rows.sum())

    def by_path(self, stage: int = 0) -> list[tuple[str, float]]:
        """Every path with its share of tokens, of twelve digits."""
        return [
            (path, written_number(float(share) * part))
            for share, source in zip(self.stages[stage].shares, self.sources, strict=True)
            for path, part in source.parts()
        ]

    def by_name(self, stage: int = 0) -> dict[str, float]:
        """Every domain with its share of tokens, of twelve digits."""
        shares = self.stages[stage].shares.tolist()
        return dict(zip(self.names, map(written_number, shares), strict=True))

    def rows_by_name(self) -> dict[str, float]:
        """Every domain with its share of rows, of twelve digits.

        Raises:
            InputError: Tokens of a row are not known.
        """
        return dict(zip(self.names, map(written_number, self.rows().tolist()), strict=True))

    @property
    def header(self) -> str:
        """The comment, for formats in which it begins with #."""
        return "".join(f"# {line}\n" for line in self.comment)


def mixture_of(
    weights: DomainWeights,
    sources: Mapping[str, TrainerSource],
    keeps_zeros: bool,
    later: Sequence[LaterStage] = (),
) -> TrainerMixture:
    """Weights with their sources, domains of no weight left out unless they are kept.

    Args:
        weights: They.
        sources: By domain.
        keeps_zeros: Whether the trainer takes weights of 0.
        later: Weights that follow, of the same domains.
    """
    by_name = [weights.by_name(), *(each.weights.by_name() for each in later)]
    kept = [name for name in weights.names if keeps_zeros or any(each[name] > 0 for each in by_name)]
    steps = [0, *(each.step for each in later)]
    epochs = [fact_number(weights.domains.get(name, {}), "epochs", f"domain {name}") for name in kept]
    return TrainerMixture(
        tuple(kept),
        tuple(
            Stage(step, np.array([each[name] for name in kept]))
            for step, each in zip(steps, by_name, strict=True)
        ),
        tuple(sources[name] for name in kept),
        budget=fact_number(weights.settings, "budget", "settings"),
        epochs=None if None in epochs else np.array(epochs, dtype=np.float64),
    )


def fact_number(facts: Mapping[str, Any], key: str, place: str, least: float = 0.0) -> float | None:
    """A number among the facts of a weights file, or None.

    Raises:
        InputError: It is something else.
    """
    value = facts.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        raise InputError(f"the weights file, {place}: {key} is {value!r:.40}; expected a number")
    return parse_number(value, f"the weights file, {place}: {key}", least)


def read_sources(
    names: Sequence[str], given: Path | None, tokens_per_row: float | Mapping[str, float] | None
) -> dict[str, TrainerSource]:
    """The source of each domain: from a JSON file, or its own name.

    Args:
        names: The domains.
        given: A JSON file: by domain a path, a list of paths, or an object with `paths` and further keys.
        tokens_per_row: Of all rows, or by domain; it goes before what the file says.

    Raises:
        InputError: The file cannot be read or lacks a domain, or a number is not above 0.
    """
    content = {name: name for name in names} if given is None else read_json_object(given, "--sources")
    missing = [name for name in names if name not in content]
    if missing:
        raise InputError(
            f"{given} has no source for {', '.join(missing)[:400]} (--sources); it has "
            f"{', '.join(content)[:400]}"
        )
    if isinstance(tokens_per_row, Mapping) and (lacking := [n for n in names if n not in tokens_per_row]):
        raise InputError(f"--tokens_per_row has no number for {', '.join(lacking)[:400]}")
    sources = {name: _source(name, content[name], f"{given or 'the weights file'}, {name}") for name in names}
    claimed: dict[str, str] = {}
    for name, source in sources.items():
        for path in source.paths:
            if claimed.setdefault(path, name) != name:
                raise InputError(f"{given}: {path} is a source of {claimed[path]} and of {name}")
    if tokens_per_row is None:
        return sources
    of = tokens_per_row if isinstance(tokens_per_row, Mapping) else dict.fromkeys(names, tokens_per_row)
    return {
        name: replace(source, tokens_per_row=_tokens_per_row(of[name], f"--tokens_per_row: that of {name}"))
        for name, source in sources.items()
    }


def _source(name: str, value: Any, place: str) -> TrainerSource:  # noqa: ANN401
    if isinstance(value, str | list):
        value = {"paths": value}
    if not isinstance(value, dict) or not value.keys() <= set(_SOURCE_KEYS):
        raise InputError(
            f"{place}: expected a path, a list of paths, or an object of {', '.join(_SOURCE_KEYS)}"
        )
    paths = value.get("paths", name)
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not paths or not all(isinstance(each, str) and each for each in paths):
        raise InputError(f"{place}: expected a path or a list of paths, got {paths!r:.80}")
    if len(set(paths)) < len(paths):
        raise InputError(f"{place}: a path stands twice in {paths!r:.200}")
    tokens = value.get("tokens", [])
    tokens = tokens if isinstance(tokens, list) else [tokens]
    if tokens and len(tokens) != len(paths):
        raise InputError(f"{place}: {len(paths)} paths have {len(tokens)} numbers of tokens")
    if len(paths) > 1 and not tokens:
        raise InputError(
            f"{place}: {len(paths)} paths, and which part of the weight each takes is not known; give "
            '"tokens": a number for each path'
        )
    per_row = value.get("tokens_per_row")
    further = {key: each for key, each in value.items() if key in _FURTHER and each is not None}
    for key, each in further.items():
        texts = each if isinstance(each, list) and key in ("valid", "test") else [each]
        if not texts or not all(isinstance(text, str) and text for text in texts):
            raise InputError(f"{place}: {key} is {each!r:.80}; expected a text")
    return TrainerSource(
        tuple(paths),
        tuple(parse_number(each, f"{place}: a number of tokens", _LEAST) for each in tokens),
        None if per_row is None else _tokens_per_row(per_row, f"{place}: tokens_per_row"),
        further,
    )


def _tokens_per_row(value: Any, place: str) -> float:  # noqa: ANN401
    return parse_number(value, place, _LEAST)
