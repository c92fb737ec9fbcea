"""What reading a trainer's file gives, and the checks that its readers share.

All raise InputError for what is malformed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from chameleon.common.errors import InputError
from chameleon.export.serialization import parse_json

if TYPE_CHECKING:
    from chameleon.weights.domain_weights import DomainWeights

# How draws of `datasets.interleave_datasets` end.
STRATEGIES = ("first_exhausted", "all_exhausted", "all_exhausted_without_replacement")

# More than any number of tokens, and far from where sums overflow.
_MOST = 1e30


@dataclass(frozen=True)
class ParsedFile:
    """What a trainer's file says.

    Attributes:
        numbers: Weights by path or name, in the file's order.
        problems: What is wrong with the file by itself, a sentence each.
        epoch_size: Rows of an epoch, at least 1, where the file sets it.
        strategy: One of `STRATEGIES` for `interleave_datasets`.
        stages: Further stages: step and numbers.
        repetition: The most epochs of each domain, where the file bounds them.
        must_sum_to_1: Whether the trainer refuses numbers that do not.
    """

    numbers: Mapping[str, float]
    problems: tuple[str, ...] = ()
    epoch_size: int | None = None
    strategy: str | None = None
    stages: tuple[tuple[int, Mapping[str, float]], ...] = ()
    repetition: Mapping[str, float] | None = None
    must_sum_to_1: bool = False

    @classmethod
    def from_stages(cls, stages: Sequence[tuple[int, Mapping[str, float]]]) -> Self:
        """A schedule; steps that do not increase from 0 are a problem."""
        steps = [step for step, _ in stages]
        increases = steps[0] == 0 and all(one < following for one, following in pairwise(steps))
        problem = f"its stages begin at {', '.join(map(str, steps))}; steps must increase from 0"
        return cls(stages[0][1], () if increases else (problem,), stages=tuple(stages[1:]))

    @classmethod
    def interleaved(cls, numbers: Mapping[str, float], strategy: Any) -> Self:  # noqa: ANN401
        """Probabilities of `interleave_datasets` with one of its strategies."""
        faults = []
        if strategy not in STRATEGIES:
            faults.append(f"the strategy is {strategy!r:.40}; datasets knows {', '.join(STRATEGIES)}")
        elif strategy != "first_exhausted":
            faults = [
                f"the probability of {name} is 0: it never runs out, so with {strategy} the draws never end"
                for name, number in numbers.items()
                if number == 0
            ]
        return cls(numbers, tuple(faults), strategy=str(strategy), must_sum_to_1=True)


def read_text(path: Path, flag: str) -> str:
    """The text of the file that a flag names."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path} ({flag}): {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} ({flag}) is not UTF-8") from None


def read_json_object(path: Path, flag: str) -> dict[str, Any]:
    """The object, with a key for each domain, in the JSON file that a flag names."""
    content = parse_json(read_text(path, flag), f"{path} ({flag})")
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} ({flag}): expected an object with a key for each domain")
    return content


def read_token_counts(path: Path) -> tuple[dict[str, Any], Any]:
    """The file of --token_counts: tokens by domain, unchecked, and the tokenizer's digest or None."""
    content = read_json_object(path, "--token_counts")
    digest = content.pop("tokenizer_digest", None)
    return content["tokens"] if isinstance(content.get("tokens"), dict) else content, digest


def mapping_at(content: Any, *keys: str) -> dict[str, Any]:  # noqa: ANN401
    """The object in an object, by the keys that lead to it."""
    content = _value_at(content, keys)
    if not isinstance(content, dict):
        raise InputError(f"expected an object{' in ' + '.'.join(keys) if keys else ''}, got {content!r:.80}")
    return content


def list_at(content: Any, *keys: str) -> list[Any]:  # noqa: ANN401
    """The list, not empty, in an object, by the keys that lead to it."""
    content = _value_at(content, keys)
    if not isinstance(content, list) or not content:
        raise InputError(f"expected a list in {'.'.join(keys)} that is not empty, got {content!r:.80}")
    return content


def _value_at(content: Any, keys: Sequence[str]) -> Any:  # noqa: ANN401
    for depth, key in enumerate(keys):
        if not isinstance(content, dict) or key not in content:
            raise InputError(f"the file has no {'.'.join(keys[: depth + 1])}")
        content = content[key]
    return content


def parse_numbers(pairs: Iterable[tuple[Any, Any]]) -> dict[str, float]:
    """Weights by path or name, each once."""
    numbers: dict[str, float] = {}
    for key, value in pairs:
        if not isinstance(key, str) or not key:
            raise InputError(f"expected a path or name beside each weight, got {key!r:.80}")
        if key in numbers:
            raise InputError(f"the file names {key} twice")
        numbers[key] = parse_number(value, f"the number of {key}")
    if not numbers:
        raise InputError("the file holds no weights")
    return numbers


def parse_lists(
    keys: Sequence[Any], values: Sequence[Any], key_list: str, value_list: str
) -> dict[str, float]:
    """Weights by path or name from two lists of one length; the last two arguments name the lists."""
    if len(keys) != len(values):
        raise InputError(f"{key_list} has {len(keys)} entries, but {value_list} has {len(values)}")
    return parse_numbers(zip(keys, values, strict=True))


def parse_number(value: Any, what: str, least: float = 0.0, accepts_text: bool = True) -> float:  # noqa: ANN401
    """A number from `least` to 1e30; as a text too where formats hold nothing else."""
    try:
        is_number = not isinstance(value, bool) and (accepts_text or not isinstance(value, str))
        number = float(value) if is_number else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not least <= number <= _MOST:
        raise InputError(f"{what} is {value!r:.40}; expected a number from {least:g} to {_MOST:g}")
    return number


def parse_step(value: Any, what: str, least: int = 0) -> int:  # noqa: ANN401
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{what} is {value!r:.40}; expected a whole number of at least {least}")
    return value


def fact_numbers(weights: "DomainWeights", key: str, least: float = 0.0) -> list[float | None]:
    """(k,) a fact of each domain of a weights file, or None where it has none."""
    return [
        fact_number(weights.domains.get(name, {}), key, f"domain {name}", least) for name in weights.names
    ]


def fact_number(facts: Mapping[str, Any], key: str, where: str, least: float = 0.0) -> float | None:
    """A number among the facts of a weights file, or None where it has none."""
    if facts.get(key) is None:
        return None
    return parse_number(facts[key], f"the weights file, {where}: {key}", least, accepts_text=False)
