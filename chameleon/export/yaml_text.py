"""YAML, written so that it is read back the same, and read so that nothing is lost."""

from typing import Any

import yaml

from chameleon.errors import InputError

_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Refuses an object that has a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        if repeated := [key for i, key in enumerate(keys) if key in keys[:i]]:
            raise InputError(f"the file names {repeated[0]} twice")
        content: dict[Any, Any] = super().construct_mapping(node, deep)
        return content


def yaml_text(content: Any) -> str:  # noqa: ANN401
    """YAML with names quoted where they must be, in the order given, a line each.

    Raises:
        InputError: It cannot hold a text that stands in it.
    """
    # Some of what ends lines in Unicode comes back as spaces unless it is escaped.
    for allow_unicode in (True, False):
        text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=allow_unicode, width=1 << 30)
        if yaml.safe_load(text) == content:
            return text
    raise InputError("YAML cannot hold one of the names; name the domains otherwise (--sources)")


def yaml_of(text: str) -> Any:  # noqa: ANN401
    """The content of a YAML file.

    Raises:
        InputError: It is none, or a key stands twice.
    """
    try:
        return yaml.load(text, _Loader)
    except InputError:
        raise
    # What the library stumbles on in values that are not what their tags say, besides its own errors.
    except (yaml.YAMLError, RecursionError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"the file is not YAML: {' '.join(str(error).split())[:200]}") from None
