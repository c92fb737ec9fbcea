"""What reading a trainer's file gives, and the checks that all readers share."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chameleon.errors import InputError


@dataclass(frozen=True)
class Found:
    """What a trainer's file says.

    Attributes:
        numbers: By path or name, as the trainer reads them, in its order.
        problems: What is wrong with the file as it stands, in words.
        epoch_size: Rows of an epoch, where the file says it.
        stopping: What ends the draws: "first_exhausted" and so on, where the file says it.
        stages: Further stages: step and numbers.
        repetition: How often a domain may be seen, where the file bounds it.
        must_sum_to_1: Whether the trainer refuses numbers that do not.
    """

    numbers: Mapping[str, float]
    problems: tuple[str, ...] = ()
    epoch_size: int | None = None
    stopping: str | None = None
    stages: tuple[tuple[int, Mapping[str, float]], ...] = ()
    repetition: Mapping[str, float] | None = None
    must_sum_to_1: bool = False


def numbers_of(pairs: Iterable[tuple[Any, Any]], what: str = "the file") -> dict[str, float]:
    """Numbers by key, each key once.

    Raises:
        InputError: A key stands twice, or something is no number of at least 0.
    """
    numbers: dict[str, float] = {}
    for key, value in pairs:
        if not isinstance(key, str) or not key:
            raise InputError(f"{what}: expected a path or name beside each weight, got {key!r:.80}")
        if key in numbers:
            raise InputError(f"{what} names {key} twice")
        numbers[key] = _number(value, f"{what}: the weight of {key}")
    if not numbers:
        raise InputError(f"{what} holds no weights")
    return numbers


def mapping_of(content: Any, *keys: str) -> dict[str, Any]:  # noqa: ANN401
    """The object in an object, by the keys that lead to it.

    Raises:
        InputError: There is none.
    """
    for depth, key in enumerate(keys):
        if not isinstance(content, dict) or key not in content:
            raise InputError(f"the file has no {'.'.join(keys[: depth + 1])}")
        content = content[key]
    if not isinstance(content, dict):
        raise InputError(f"expected an object{' in ' + '.'.join(keys) if keys else ''}, got {content!r:.80}")
    return content


def json_of(text: str) -> Any:  # noqa: ANN401
    """The content of a JSON file.

    Raises:
        InputError: It is none, or a key stands twice in an object.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            raise InputError(f"the file names {repeated[0]} twice")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"the file is not JSON: {error}") from None


def written_number(value: float) -> float:
    """A number of twelve digits: the same in every format, and short."""
    return float(f"{value:.12g}")


def _number(value: Any, place: str) -> float:  # noqa: ANN401
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise InputError(f"{place} is {value!r:.40}; expected a number of at least 0")
    return number
