"""The value that every method makes and every consumer takes, and its JSON file.

docs/weights.schema.json is the file's schema.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from chameleon.errors import InputError
from chameleon.files import write_atomically

FORMAT = "chameleon-weights/1"
UNIT = "share of tokens"


@dataclass(frozen=True)
class DomainWeights:
    """How much of each domain to train on.

    Attributes:
        names: The k domains, each once.
        weights: (k,) float64, not negative, summing to 1.
        method: What made them: "chameleon", or a rival's name.
        mode: "pretrain", "finetune", or None for methods without the distinction.
        unit: What a weight counts: a share of the training tokens.
        domains: Facts about each domain by name: its score, windows and tokens looked at, ...
        diagnostics: Facts about the whole, such as the effective dimension.
        settings: Every setting that was in force.
        provenance: Where the numbers came from: corpus, proxy, versions.
        notices: What a reader must know before using them, in words.
    """

    names: tuple[str, ...]
    weights: npt.NDArray[np.float64]
    method: str
    mode: str | None = None
    unit: str = UNIT
    domains: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise InputError(f"each domain must be named once, got {', '.join(self.names)}")
        if self.weights.shape != (len(self.names),):
            raise InputError(f"{len(self.names)} domains have weights of shape {self.weights.shape}")
        total = float(self.weights.sum())
        if not np.isfinite(total) or (self.weights < 0).any() or abs(total - 1) > 1e-6:
            raise InputError(f"weights must be shares that sum to 1, none negative; these sum to {total:g}")

    def by_name(self) -> dict[str, float]:
        """Weight of each domain as plain Python numbers, in the order of `names`."""
        return {name: float(weight) for name, weight in zip(self.names, self.weights, strict=True)}

    def to_dict(self, date: datetime | None = None) -> dict[str, Any]:
        """The content of the weights file: JSON types only. `date` is now by default."""
        return {
            "weights": self.by_name(),
            "format": FORMAT,
            "method": self.method,
            "mode": self.mode,
            "unit": self.unit,
            "domains": {name: dict(self.domains.get(name, {})) for name in self.names},
            "scores": {name: facts["score"] for name, facts in self.domains.items() if "score" in facts},
            "diagnostics": dict(self.diagnostics),
            "settings": dict(self.settings),
            "provenance": dict(self.provenance),
            "notices": list(self.notices),
            "date": (date or datetime.now(UTC)).isoformat(timespec="seconds"),
        }

    def to_json(self) -> str:
        """The text of the weights file."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; only `weights` must be there.

        Raises:
            InputError: There is no object `weights` from names to numbers.
        """
        weights = content.get("weights")
        if not isinstance(weights, Mapping) or not all(
            isinstance(w, int | float) and not isinstance(w, bool) for w in weights.values()
        ):
            raise InputError('expected an object "weights" from domain names to numbers at the top')
        return cls(
            names=tuple(weights),
            weights=np.array(list(weights.values()), dtype=np.float64),
            method=content.get("method", "unknown"),
            mode=content.get("mode"),
            unit=content.get("unit", UNIT),
            domains=content.get("domains", {}),
            diagnostics=content.get("diagnostics", {}),
            settings=content.get("settings", {}),
            provenance=content.get("provenance", {}),
            notices=tuple(content.get("notices", ())),
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the weights file, whole or not at all.

        Raises:
            InputError: The file cannot be written.
        """
        write_atomically(Path(path), self.to_json().encode())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a weights file.

        Raises:
            InputError: The file cannot be read or is no weights file.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_bytes()))
        except OSError as error:
            raise InputError(f"cannot read the weights file {path}: {error.strerror}") from None
        except (ValueError, AttributeError) as error:
            raise InputError(f"{path} is not a weights file: {error}") from None
