"""How trainers' files hold content: JSON, YAML, names with commas between, numbers of twelve digits."""

import json
from collections.abc import Hashable, Iterable
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from chameleon.common.errors import InputError
from chameleon.common.files import unique_keys

_MERGE = "tag:yaml.org,2002:merge"

# libyaml is ten times as fast, and the same for printable text. Below so many characters the look at all of
# them takes longer than it saves.
_LONG = 100_000


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


def json_text(content: object) -> str:
    """The text of a JSON file for people."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def parse_json(text: str, what: str = "the file") -> Any:  # noqa: ANN401
    """The content of a JSON text.

    Raises:
        InputError: The text is malformed or repeats a key; `what` names it.
    """
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except InputError as error:
        raise InputError(f"in {what} {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not JSON: {error}") from None


def yaml_text(content: Any) -> str:  # noqa: ANN401
    """YAML with names quoted where they must be, in the order given, each entry on a line.

    Raises:
        InputError: YAML cannot hold a text in the content.
    """
    style: dict[str, Any] = {"sort_keys": False, "width": 1 << 30}
    if yaml.__with_libyaml__ and _is_printable(content):
        fast: str = yaml.dump(content, Dumper=yaml.CSafeDumper, allow_unicode=True, **style)
        if yaml.load(fast, yaml.CSafeLoader) == content:
            return fast
    # Some of Unicode's line ends come back as spaces unless they are escaped.
    for allow_unicode in (True, False):
        text: str = yaml.safe_dump(content, allow_unicode=allow_unicode, **style)
        if yaml.safe_load(text) == content:
            return text
    raise InputError("YAML cannot hold one of the names; rename the domain or its source (--sources)")


def parse_yaml(text: str) -> Any:  # noqa: ANN401
    """The content of a YAML text.

    Raises:
        InputError: The text is malformed or repeats a key.
    """
    try:
        is_fast = len(text) > _LONG and _is_printable(text.split("\n"))
        return yaml.load(text, _FastLoader if is_fast else _Loader)
    except InputError:
        raise
    # Besides its own errors, PyYAML raises these for values that do not fit their tags.
    except (yaml.YAMLError, RecursionError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"the file is not YAML: {' '.join(str(error).split())[:200]}") from None


def _is_printable(content: Any) -> bool:  # noqa: ANN401
    """Whether all its texts are printable, so that both libraries write and read them in the same way."""
    if isinstance(content, dict):
        return all(_is_printable(key) and _is_printable(value) for key, value in content.items())
    if isinstance(content, list):
        return all(map(_is_printable, content))
    return not isinstance(content, str) or (content.isprintable() and max(content, default="") < "\ud800")


class _UniqueKeys(SafeConstructor):
    """Refuses an object that repeats a key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Hashable] = set()
        for key, _ in node.value:
            # super() refuses keys that are not hashable.
            if key.tag != _MERGE and isinstance(name := self.construct_object(key, deep=True), Hashable):
                if name in seen:
                    raise InputError(f"the file names {name} twice")
                seen.add(name)
        content: dict[Any, Any] = super().construct_mapping(node, deep)
        return content


class _Loader(_UniqueKeys, yaml.SafeLoader):
    """Reads all of YAML."""


_FastLoader: Any = _Loader
if yaml.__with_libyaml__:
    _FastLoader = type("_FastLoader", (_UniqueKeys, yaml.CSafeLoader), {})
