"""Options that are declared once: a dataclass field gives the name, type, default and help of a flag.

    @dataclass(frozen=True, kw_only=True)
    class ReadingOptions:
        split: str | None = flag(None, "split to read (default: train)")

    add_flags(parser, ReadingOptions, {"reading text": "split"})
    options = ReadingOptions(**vars(parser.parse_args()))

Fields without `flag` are not asked for on the command line.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from chameleon.common.command_line import (
    mapping,
    name_list,
    nonempty,
    nonempty_path,
    positive_int,
    positive_number,
)

# How an argument is converted and what stands for it in the help, by the type of the field.
_BY_TYPE: Mapping[Any, tuple[Callable[[str], object], str]] = {
    str: (nonempty, "NAME"),
    int: (positive_int, "N"),
    float: (positive_number, "X"),
    Path: (nonempty_path, "FILE"),
    tuple[str, ...]: (name_list, "A,B,..."),
    dict[str, str]: (mapping, "A=B,..."),
}


def flag(
    default: Any,  # noqa: ANN401
    help: str,
    *,
    type: Callable[[str], object] | None = None,
    metavar: str | None = None,
    choices: Sequence[str] | None = None,
) -> Any:  # noqa: ANN401
    """A dataclass field with a flag of its name: a switch if bool, choices if Literal, else an argument.

    Args:
        default: Value if the flag is not given; `dataclasses.MISSING` if it must be given.
        help: What the flag does, then its default.
        type: Converts the argument, or raises `argparse.ArgumentTypeError`; None for the usual one of the
            field's type: a positive number, a non-empty str or Path, names, or a mapping of names.
        metavar: What stands for the argument in the help; None for the usual one.
        choices: The accepted arguments.
    """
    return field(
        default=default, metadata={"help": help, "type": type, "metavar": metavar, "choices": choices}
    )


def add_flags(parser: argparse.ArgumentParser, options: type, layout: Mapping[str, str]) -> None:
    """Add flags of an options class to a parser.

    Args:
        parser: Gets a group for each title, unless it has one of that title.
        options: A dataclass with fields made by `flag`.
        layout: Names of the flags of each group, by the group's title, with spaces between; names joined by
            `|` exclude each other.
    """
    by_name, hints = {each.name: each for each in fields(options)}, get_type_hints(options)
    for title, names in layout.items():
        existing = [group for group in parser._action_groups if group.title == title]
        group = existing[0] if existing else parser.add_argument_group(title)
        for alternatives in names.split():
            target = group.add_mutually_exclusive_group() if "|" in alternatives else group
            for name in alternatives.split("|"):
                target.add_argument(f"--{name}", **_settings(by_name[name], hints[name]))


def _settings(option: "Field[Any]", hint: Any) -> dict[str, Any]:  # noqa: ANN401
    """What `argparse` is to know of a flag."""
    given = {name: value for name, value in option.metadata.items() if value is not None}
    given |= {"required": True} if option.default is MISSING else {"default": option.default}
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not NoneType)
    if hint is bool:
        return given | {"action": "store_true"}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint), **given}
    if "choices" in given or hint not in _BY_TYPE:
        return given
    convert, metavar = _BY_TYPE[hint]
    return {"type": convert, "metavar": metavar, **given}
