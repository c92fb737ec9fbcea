"""What reading a trainer's file gives, and the checks that all readers share."""

import json
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import yaml
from yaml.constructor import SafeConstructor

from chameleon.common.errors import InputError

# Of `interleave_datasets`.
STRATEGIES = ("first_exhausted", "all_exhausted", "all_exhausted_without_replacement")


# More than any number of tokens, and far from where sums overflow.
_MOST = 1e30


@dataclass(frozen=True)
class ParsedFile:
    """What a trainer's file says.

    Attributes:
        numbers: By path or name, as the trainer reads them, in its order.
        problems: What is wrong with the file as it stands, in words.
        epoch_size: Rows of an epoch, where the file says it; at least 1.
        stopping: Which of `interleave_datasets`' strategies ends the draws, where there is one.
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

    @classmethod
    def staged(cls, stages: Sequence[tuple[int, Mapping[str, float]]]) -> Self:
        """What a schedule says; steps that do not rise from 0 are a problem."""
        steps = [step for step, _ in stages]
        rises = steps[0] == 0 and all(one < next_ for one, next_ in pairwise(steps))
        problems = (
            () if rises else (f"its stages begin at {', '.join(map(str, steps))}; steps must rise from 0",)
        )
        return cls(stages[0][1], problems, stages=tuple(stages[1:]))

    @classmethod
    def interleaved(cls, numbers: Mapping[str, float], stopping: Any, *problems: str) -> Self:  # noqa: ANN401
        """Probabilities of `interleave_datasets` with one of its strategies."""
        found = [*problems]
        if stopping not in STRATEGIES:
            found.append(f"the strategy is {stopping!r:.40}; datasets knows {', '.join(STRATEGIES)}")
        elif stopping != "first_exhausted":
            found += [
                f"the probability of {name} is 0: it is never used up, so with {stopping} the draws never end"
                for name, number in numbers.items()
                if number == 0
            ]
        return cls(numbers, tuple(found), stopping=str(stopping), must_sum_to_1=True)


def parse_numbers(pairs: Iterable[tuple[Any, Any]], what: str = "the file") -> dict[str, float]:
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
        numbers[key] = parse_number(value, f"{what}: the number of {key}")
    if not numbers:
        raise InputError(f"{what} holds no weights")
    return numbers


def mapping_at(content: Any, *keys: str) -> dict[str, Any]:  # noqa: ANN401
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


def parse_json(text: str, what: str = "the file") -> Any:  # noqa: ANN401
    """The content of a JSON file.

    Raises:
        InputError: It is none, or a key stands twice in an object.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            raise InputError(f"{what} names {next(key for key in counts if counts[key] > 1)} twice")
        return content

    try:
        return json.loads(text, object_pairs_hook=once)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not JSON: {error}") from None


def read_json_object(path: Path, flag: str) -> dict[str, Any]:
    """The object in a JSON file that a flag names.

    Raises:
        InputError: It cannot be read or holds something else, or a key stands twice.
    """
    what = f"{path} ({flag})"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {what}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{what} is not UTF-8") from None
    content = parse_json(text, what)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{what}: expected an object with a key for each domain")
    return content


def read_token_counts(path: Path) -> tuple[dict[str, Any], Any]:
    """What --token_counts names: tokens by domain, not yet looked at, and the tokenizer's digest or None.

    Raises:
        InputError: As of `read_json_object`.
    """
    content = read_json_object(path, "--token_counts")
    digest = content.pop("tokenizer_digest", None)
    return content["tokens"] if isinstance(content.get("tokens"), dict) else content, digest


def parse_number(value: Any, place: str, least: float = 0.0) -> float:  # noqa: ANN401
    """A number that stands somewhere, as a number or, in formats of texts alone, as a text.

    Raises:
        InputError: It is none, or not from `least` to 1e30.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not least <= number <= _MOST:
        raise InputError(f"{place} is {value!r:.40}; expected a number from {least:g} to {_MOST:g}")
    return number


def parse_step(value: Any, what: str, least: int = 0) -> int:  # noqa: ANN401
    """A whole number.

    Raises:
        InputError: It is none, or below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{what} is {value!r:.40}; expected a whole number of at least {least}")
    return value


def written_number(value: float) -> float:
    """A number of twelve digits: the same in every format, and short."""
    return float(f"{value:.12g}")


_MERGE = "tag:yaml.org,2002:merge"


_HAS_LIBYAML = bool(yaml.__with_libyaml__)


# Letters from which on the library in C is worth a look at all of them.
_LONG = 100_000


class _Once(SafeConstructor):
    """Refuses an object that has a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Hashable] = set()
        for key, _ in node.value:
            # A key that is no name or number is refused below.
            if key.tag != _MERGE and isinstance(name := self.construct_object(key, deep=True), Hashable):
                if name in seen:
                    raise InputError(f"the file names {name} twice")
                seen.add(name)
        content: dict[Any, Any] = super().construct_mapping(node, deep)
        return content


class _Loader(_Once, yaml.SafeLoader):
    """Reads whatever is YAML."""


_QUICK_LOADER: Any = _Loader


if _HAS_LIBYAML:
    # Ten times as quick, and the same for texts of letters that can be seen.
    _QUICK_LOADER = type("_QuickLoader", (_Once, yaml.CSafeLoader), {})


def yaml_text(content: Any) -> str:  # noqa: ANN401
    """YAML with names quoted where they must be, in the order given, a line each.

    Raises:
        InputError: It cannot hold a text that stands in it.
    """
    how: dict[str, Any] = {"sort_keys": False, "width": 1 << 30}
    if _HAS_LIBYAML and _is_plain(content):
        quick: str = yaml.dump(content, Dumper=yaml.CSafeDumper, allow_unicode=True, **how)
        if yaml.load(quick, yaml.CSafeLoader) == content:
            return quick
    # Some of what ends lines in Unicode comes back as spaces unless it is escaped.
    for allow_unicode in (True, False):
        text: str = yaml.safe_dump(content, allow_unicode=allow_unicode, **how)
        if yaml.safe_load(text) == content:
            return text
    raise InputError("YAML cannot hold one of the names; name the domains otherwise (--sources)")


def _is_plain(content: Any) -> bool:  # noqa: ANN401
    """Whether all texts in it are of letters that can be seen, which both libraries write alike."""
    if isinstance(content, dict):
        return all(_is_plain(key) and _is_plain(value) for key, value in content.items())
    if isinstance(content, list):
        return all(map(_is_plain, content))
    return not isinstance(content, str) or (content.isprintable() and max(content, default="") < "\ud800")


def parse_yaml(text: str) -> Any:  # noqa: ANN401
    """The content of a YAML file.

    Raises:
        InputError: It is none, or a key stands twice.
    """
    try:
        is_quick = len(text) > _LONG and _is_plain(text.split("\n"))
        return yaml.load(text, _QUICK_LOADER if is_quick else _Loader)
    except InputError:
        raise
    # What the library stumbles on in values that are not what their tags say, besides its own errors.
    except (yaml.YAMLError, RecursionError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"the file is not YAML: {' '.join(str(error).split())[:200]}") from None
