"""Options declared once: what the parser makes of the fields of a dataclass."""

import argparse
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Literal

import pytest

from chameleon.common.command_line import positive_number
from chameleon.common.flags import add_flags, flag


@dataclass(frozen=True, kw_only=True)
class Base:
    names: tuple[str, ...] | None = flag(None, "names (default: all)")
    seed: int = flag(3, "seed (default: 3)", metavar="S")
    untold: int = 7


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    file: Path | None = flag(None, "file (default: none)")
    text: str = flag("a", "text (default: a)")
    renamed: dict[str, str] | None = flag(None, "renamed (default: none)")
    size: float = flag(0.5, "size (default: 0.5)", type=positive_number, metavar="X")
    quick: bool = flag(False, "quick (default: no)")
    mode: Literal["one", "two"] = flag("one", "mode (default: one)")
    kind: str | None = flag(None, "kind (default: none)", choices=("b", "c"))
    must: str = flag(MISSING, "required")


LAYOUT = {"first": "must names text|file", "second": "quick seed size mode kind renamed"}


def parser_of(layout: dict[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_flags(parser, Options, layout)
    return parser


def parsed(*arguments: str) -> Options:
    return Options(**vars(parser_of(LAYOUT).parse_args(["--must", "m", *arguments])))


def test_defaults_are_those_of_the_class() -> None:
    assert parsed() == Options(must="m")


def test_arguments_are_converted_by_the_type_of_the_field() -> None:
    flags = "--names a,b --seed 5 --file x/y --renamed p=q --size 2 --quick --mode two --kind c"
    assert parsed(*flags.split()) == Options(
        must="m", names=("a", "b"), seed=5, file=Path("x/y"), renamed={"p": "q"}, size=2.0, quick=True,
        mode="two", kind="c",
    )  # fmt: skip


@pytest.mark.parametrize(
    "flags", ["--seed 0", "--size -1", "--mode three", "--kind a", "--text a --file b", "--untold 1"]
)
def test_bad_arguments_are_refused(flags: str) -> None:
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        parsed(*flags.split())


def test_a_required_flag_must_be_given() -> None:
    with pytest.raises(SystemExit):
        parser_of(LAYOUT).parse_args([])


def test_flags_stand_in_the_groups_and_order_of_the_layout() -> None:
    parser = parser_of({"second": "quick", "first": "seed"})
    add_flags(parser, Options, {"second": "text"})
    groups = {group.title: [a.dest for a in group._group_actions] for group in parser._action_groups[2:]}
    assert groups == {"second": ["quick", "text"], "first": ["seed"]}
    assert "--seed S" in parser.format_help()


def test_a_flag_that_is_not_declared_is_an_error() -> None:
    with pytest.raises(KeyError):
        parser_of({"first": "unknown"})
