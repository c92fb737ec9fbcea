"""The value that every method makes and every consumer takes, and its JSON file.

docs/weights.schema.json is the file's schema.
"""

import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import is_number
from chameleon.common.errors import InputError
from chameleon.common.files import write_atomically

FORMAT = "chameleon-weights/1"


UNIT = "share of tokens"


# The file of more domains than these has a line a domain, which is written quicker and is half as long; of
# objects and lists that are deeper, those of more entries have a line an entry.
_INDENTED = 1000


_ON_ONE_LINE = 100


@dataclass(frozen=True, eq=False)
class DomainWeights:
    """How much of each domain to train on. Compared by identity, since it holds an array.

    Attributes:
        names: The k domains, each once.
        weights: (k,) float64, not negative, summing to 1.
        method: What made them: "chameleon", or the name of another method.
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
        if not (usable := np.isfinite(self.weights) & (self.weights >= 0)).all():
            at = int(np.argmin(usable))
            raise InputError(
                f"each weight must be a share from 0 to 1, that of {self.names[at]} is {self.weights[at]:g}"
            )
        total = float(self.weights.sum())
        if abs(total - 1) > 1e-6:
            raise InputError(f"weights must be shares that sum to 1, these sum to {total:.9g}")

    def by_name(self) -> dict[str, float]:
        """Weight of each domain as plain Python numbers, in the order of `names`."""
        return dict(zip(self.names, self.weights.tolist(), strict=True))

    def to_dict(self, date: datetime | None = None) -> dict[str, Any]:
        """The content of the weights file: JSON types only. `date` is now by default.

        The facts of domains are not copied: of a million they would take half a gigabyte once more.
        """
        domains = {name: _as_dict(self.domains.get(name, {})) for name in self.names}
        return {
            "weights": self.by_name(),
            "format": FORMAT,
            "method": self.method,
            "mode": self.mode,
            "unit": self.unit,
            "domains": domains,
            "scores": {name: facts["score"] for name, facts in domains.items() if "score" in facts},
            "diagnostics": dict(self.diagnostics),
            "settings": dict(self.settings),
            "provenance": dict(self.provenance),
            "notices": list(self.notices),
            "date": (date or datetime.now(UTC)).isoformat(timespec="seconds"),
        }

    def to_json(self) -> str:
        """The text of the weights file."""
        return self._encoded().decode()

    def _encoded(self) -> bytes:
        """The bytes of the weights file, without any other copy of them."""
        if len(self.names) <= _INDENTED:
            return (json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
        encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
        content = io.BytesIO()
        content.writelines(piece.encode() for piece in _lines(self.to_dict(), encode))
        content.write(b"\n")
        return content.getvalue()

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; only `weights` must be there.

        Raises:
            InputError: There is no object `weights` from names to numbers that are shares, or
                something else in it is not what it must be.
        """
        if not isinstance(content, Mapping):
            raise InputError("expected a JSON object at the top")
        if content.get("format", FORMAT) != FORMAT:
            raise InputError(f"expected the format {FORMAT}, got {content['format']}")
        weights = content.get("weights")
        if not _is_mapping(weights, is_number):
            raise InputError('expected an object "weights" from domain names to numbers at the top')
        assert weights is not None
        facts = {key: value for key, value in content.items() if key in _FACTS}
        for key, value in facts.items():
            expected, is_so = _FACTS[key]
            if not is_so(value):
                raise InputError(f'expected "{key}" to be {expected}, got {value!r:.80}')
        if "notices" in facts:
            facts["notices"] = tuple(facts["notices"])
        try:
            shares = np.array(list(weights.values()), dtype=np.float64)
        except OverflowError:
            raise InputError("expected weights from 0 to 1, got one with hundreds of digits") from None
        return cls(names=tuple(weights), weights=shares, **{"method": "unknown", **facts})

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the weights file, whole or not at all.

        Raises:
            InputError: The file cannot be written.
        """
        write_atomically(Path(path), self._encoded())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a weights file.

        Raises:
            InputError: The file cannot be read or is no weights file.
        """
        try:
            content = Path(path).read_bytes()
            text = content.decode(json.detect_encoding(content), "surrogatepass")
            del content  # of a million domains half a gigabyte
            return cls.from_dict(json.loads(text, object_pairs_hook=_without_repeats))
        except OSError as error:
            raise InputError(f"cannot read the weights file {path}: {error.strerror}") from None
        except RecursionError:
            raise InputError(f"{path} is not a weights file: it is nested too deeply") from None
        except ValueError as error:
            raise InputError(f"{path} is not a weights file: {error}") from None


def _is_mapping(value: object, holds: Callable[[Any], bool] = lambda value: True) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and holds(each) for name, each in value.items()
    )


# What a weights file holds beside the weights, and what each must be.
_FACTS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "method": ("a text", lambda value: isinstance(value, str)),
    "mode": ("a text or null", lambda value: value is None or isinstance(value, str)),
    "unit": (f'"{UNIT}"', lambda value: value == UNIT),
    "domains": ("an object of an object for each domain", lambda value: _is_mapping(value, _is_mapping)),
    "diagnostics": ("an object", _is_mapping),
    "settings": ("an object", _is_mapping),
    "provenance": ("an object", _is_mapping),
    "notices": (
        "a list of texts",
        lambda value: isinstance(value, list | tuple) and all(isinstance(each, str) for each in value),
    ),
}


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in counts.items() if count > 1)
        raise InputError(f'"{repeated}" stands twice in one object')
    return content


def _as_dict(facts: Mapping[str, Any]) -> dict[str, Any]:
    return facts if isinstance(facts, dict) else dict(facts)


def _lines(value: Any, encode: Callable[[Any], str], depth: int = 0) -> Iterator[str]:  # noqa: ANN401
    """The text of a JSON value in pieces, a line for each entry of what is large or at the top."""
    if (
        not isinstance(value, dict | list | tuple)
        or not value
        or not (depth < 2 or len(value) > _ON_ONE_LINE)
    ):
        yield encode(value)
        return
    is_object = isinstance(value, dict)
    begin, indent = "{" if is_object else "[", "  " * (depth + 1)
    for entry in value:
        yield f"{begin}\n{indent}{encode(entry)}: " if is_object else f"{begin}\n{indent}"
        yield from _lines(value[entry] if is_object else entry, encode, depth + 1)
        begin = ","
    yield f"\n{'  ' * depth}{'}' if is_object else ']'}"
