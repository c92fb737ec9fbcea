"""What every exporter takes and every reader gives: domains with shares, and where their data is.

Shapes: k domains.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError

Array = npt.NDArray[np.float64]

_SOURCE_KEYS = ("paths", "valid", "test", "tokens", "tokens_per_row", "remote", "local", "split", "name")


@dataclass(frozen=True)
class Source:
    """Where a trainer finds a domain.

    Attributes:
        paths: Paths, prefixes or names, as the trainer takes them; at least one.
        tokens: Tokens of each path, by which the domain's weight is divided among them; alike where empty.
        tokens_per_row: Tokens of a row on average, where the trainer counts rows; None where unknown.
        further: Other keys that a trainer takes: `valid`, `test`, `remote`, `local`, `split`, `name`.
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


@dataclass(frozen=True, eq=False)
class Mixture:
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
    sources: tuple[Source, ...]
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

    def by_path(self) -> list[tuple[str, float]]:
        """Every path with its share of tokens."""
        return [
            (path, float(share) * part)
            for share, source in zip(self.shares, self.sources, strict=True)
            for path, part in source.parts()
        ]


def mixture_of(
    weights: DomainWeights, sources: Mapping[str, Source], keeps_zeros: bool, further: Sequence[Stage] = ()
) -> Mixture:
    """Weights with their sources, domains of no weight left out unless they are kept.

    Args:
        weights: They.
        sources: By domain.
        keeps_zeros: Whether the trainer takes weights of 0.
        further: Stages after the first, in the order of the weights' names.
    """
    stages = (Stage(0, weights.weights), *further)
    kept = np.flatnonzero(
        [keeps_zeros or any(stage.shares[i] > 0 for stage in stages) for i in range(len(weights.names))]
    )
    names = tuple(weights.names[i] for i in kept)
    epochs = [number_in(weights.domains.get(name, {}), "epochs", f"domain {name}") for name in names]
    budget = number_in(weights.settings, "budget", "settings")
    return Mixture(
        names,
        tuple(Stage(stage.step, np.asarray(stage.shares[kept])) for stage in stages),
        tuple(sources[name] for name in names),
        budget=budget,
        epochs=None if None in epochs else np.array(epochs, dtype=np.float64),
    )


def number_in(facts: Mapping[str, Any], key: str, place: str) -> float | None:
    """A number among the facts of a weights file, or None.

    Raises:
        InputError: It is something else.
    """
    value = facts.get(key)
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (math.isfinite(value) and value >= 0)
    ):
        raise InputError(
            f"the weights file says {key} {value!r:.40} ({place}); expected a number: mend it, or take it out"
        )
    return float(value)


def sources_of(
    names: Sequence[str], given: Path | None, tokens_per_row: float | Mapping[str, float] | None
) -> dict[str, Source]:
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
            f"{given} has no source for {', '.join(missing)[:400]} (--sources); it has {_some(content)}"
        )
    if isinstance(tokens_per_row, Mapping) and (lacking := [n for n in names if n not in tokens_per_row]):
        raise InputError(f"--tokens_per_row has no number for {', '.join(lacking)[:400]}")
    sources = {name: _source(name, content[name], f"{given}, {name}") for name in names}
    claimed: dict[str, str] = {}
    for name, source in sources.items():
        for path in source.paths:
            if claimed.setdefault(path, name) != name:
                raise InputError(f"{given}: {path} is a source of {claimed[path]} and of {name}")
    if tokens_per_row is None:
        return sources
    of = tokens_per_row if isinstance(tokens_per_row, Mapping) else dict.fromkeys(names, tokens_per_row)
    return {
        name: Source(
            source.paths, source.tokens, _above_0(of[name], f"--tokens_per_row, {name}"), source.further
        )
        for name, source in sources.items()
    }


def read_json_object(path: Path, flag: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        InputError: It cannot be read or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path} ({flag}): {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} ({flag}) is not JSON: {error}") from None
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} ({flag}): expected an object with a key for each domain")
    return content


def _source(name: str, value: Any, place: str) -> Source:  # noqa: ANN401
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
    further = {key: each for key, each in value.items() if key not in ("paths", "tokens", "tokens_per_row")}
    return Source(
        tuple(paths),
        tuple(_above_0(each, f"{place}, tokens") for each in tokens),
        None if per_row is None else _above_0(per_row, f"{place}, tokens_per_row"),
        further,
    )


def _above_0(value: Any, place: str) -> float:  # noqa: ANN401
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (math.isfinite(value) and value > 0)
    ):
        raise InputError(f"{place}: expected a number above 0, got {value!r:.40}")
    return float(value)


def _some(content: Mapping[str, Any]) -> str:
    return ", ".join(content)[:400]
