"""YAML, written so that it is read back the same, and read so that nothing is lost."""

from collections.abc import Hashable
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from chameleon.errors import InputError

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


def yaml_of(text: str) -> Any:  # noqa: ANN401
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
