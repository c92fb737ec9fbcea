"""Where a trainer finds each domain: its paths and the tokens of its rows, as --sources says."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.export.parse import parse_number, read_json_object

_EXTRA_KEYS = ("valid", "test", "remote", "local", "split", "name")
_KEYS = ("paths", "tokens", "tokens_per_row", *_EXTRA_KEYS)

# The least tokens of a path, or of a row on average; less is a mistake.
_LEAST = 1e-3


@dataclass(frozen=True)
class TrainerSource:
    """Where a trainer finds a domain.

    Attributes:
        paths: Paths, prefixes or names, as the trainer takes them; at least one.
        tokens: Tokens of each path, which divide the domain's weight; equal parts where empty.
        tokens_per_row: Mean tokens of a row, for trainers that count rows; None where unknown.
        extra: Keys that some trainers take: `remote`, `local`, `split` and `name`, which are texts, and
            `valid` and `test`, which may be lists of texts.
    """

    paths: tuple[str, ...]
    tokens: tuple[float, ...] = ()
    tokens_per_row: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The only path.

        Raises:
            InputError: There are several.
        """
        if len(self.paths) > 1:
            raise InputError(f"this format takes one path a domain, got {', '.join(self.paths)[:200]}")
        return self.paths[0]

    def path_shares(self) -> list[tuple[str, float]]:
        """Each path with its share of the domain's weight."""
        tokens = self.tokens or (1.0,) * len(self.paths)
        total = math.fsum(tokens)
        return [(path, each / total) for path, each in zip(self.paths, tokens, strict=True)]

    def held_out(self, split: str) -> list[str]:
        """The paths of `valid` or `test` data."""
        paths = self.extra.get(split, [])
        return [paths] if isinstance(paths, str) else paths


def read_sources(
    names: Sequence[str], path: Path | None, tokens_per_row: float | Path | None
) -> dict[str, TrainerSource]:
    """The source of each domain.

    Args:
        names: (k,) domain names.
        path: JSON file of --sources: by domain a path, a list of paths, or an object with `paths` and other
            keys of `TrainerSource`; None for the domain's own name.
        tokens_per_row: --tokens_per_row, one number or a JSON file of numbers by domain; it overrides the
            number in --sources.

    Raises:
        InputError: A file cannot be read or lacks a domain, or a number is not above 0.
    """
    content = {name: name for name in names} if path is None else read_json_object(path, "--sources")
    if missing := [name for name in names if name not in content]:
        raise InputError(
            f"{path} has no source for {listed(missing)} (--sources); it has {listed([*content])}"
        )
    sources = {name: _source(name, content[name], f"{path or 'the weights file'}, {name}") for name in names}
    owners: dict[str, str] = {}
    for name, source in sources.items():
        for each in source.paths:
            if owners.setdefault(each, name) != name:
                raise InputError(f"{path}: {each} is a source of {owners[each]} and of {name}")
    if tokens_per_row is None:
        return sources
    lengths: Mapping[str, Any] = dict.fromkeys(names, tokens_per_row)
    if isinstance(tokens_per_row, Path):
        lengths = read_json_object(tokens_per_row, "--tokens_per_row")
        if missing := [name for name in names if name not in lengths]:
            raise InputError(f"--tokens_per_row has no number for {listed(missing)}")
    return {
        name: replace(
            source, tokens_per_row=parse_number(lengths[name], f"--tokens_per_row: that of {name}", _LEAST)
        )
        for name, source in sources.items()
    }


def _source(name: str, value: Any, where: str) -> TrainerSource:  # noqa: ANN401
    if isinstance(value, str | list):
        value = {"paths": value}
    if not isinstance(value, dict) or not value.keys() <= set(_KEYS):
        raise InputError(f"{where}: expected a path, a list of paths, or an object of {', '.join(_KEYS)}")
    paths = value.get("paths", name)
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not paths or not all(isinstance(each, str) and each for each in paths):
        raise InputError(f"{where}: expected a path or a list of paths, got {paths!r:.80}")
    if len(set(paths)) < len(paths):
        raise InputError(f"{where}: {paths!r:.200} repeats a path")
    tokens = value.get("tokens", [])
    tokens = tokens if isinstance(tokens, list) else [tokens]
    if len(tokens) != len(paths) and (tokens or len(paths) > 1):
        raise InputError(
            f'{where}: {len(paths)} paths have {len(tokens)} numbers of "tokens"; give one for each path, to '
            "divide the domain's weight among them"
        )
    per_row = value.get("tokens_per_row")
    extra = {key: each for key, each in value.items() if key in _EXTRA_KEYS and each is not None}
    for key, each in extra.items():
        texts = each if isinstance(each, list) and key in ("valid", "test") else [each]
        if not texts or not all(isinstance(text, str) and text for text in texts):
            raise InputError(f"{where}: {key} is {each!r:.80}; expected a text")
    return TrainerSource(
        tuple(paths),
        tuple(parse_number(each, f"{where}: a number of tokens", _LEAST) for each in tokens),
        None if per_row is None else parse_number(per_row, f"{where}: tokens_per_row", _LEAST),
        extra,
    )
