"""Kinds of values that flags take: from what stands on the command line to what it means."""

import argparse
import math
from pathlib import Path


def whole(text: str) -> int:
    """A whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return number


def named(text: str) -> str:
    """A name that is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got an empty one; or leave the flag out")
    return text


def directory(text: str) -> Path:
    """A path."""
    return Path(named(text))


def names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"expected names with commas between, each once, got {text!r}")
    return names


def labels(text: str) -> dict[str, str]:
    """Names by what they stand for: LABEL=NAME,..."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(label and sign and name for label, sign, name in pairs):
        raise argparse.ArgumentTypeError(f"expected LABEL=NAME with commas between, got {text!r}")
    return {label.strip(): name.strip() for label, _, name in pairs}


def unions(text: str) -> dict[str, tuple[str, ...]]:
    """What names stand for together: NEW=A+B,..."""
    pairs = labels(text)
    unions = {new.strip(): tuple(part.strip() for part in parts.split("+")) for new, parts in pairs.items()}
    for new, parts in unions.items():
        if len(parts) < 2 or not all(parts):
            raise argparse.ArgumentTypeError(
                f"expected NEW=A+B with commas between, got {new}={'+'.join(parts)}"
            )
    return unions


def partitions(text: str) -> dict[str, dict[str, str]]:
    """Patterns by the parts that they make of what is named: OLD=PART:PATTERN+PART:PATTERN,..."""
    partitions = {}
    for old, parts in labels(text).items():
        pairs = [part.partition(":") for part in parts.split("+")]
        named = {name.strip(): pattern.strip() for name, _, pattern in pairs}
        if (
            len(named) < len(pairs)
            or len(pairs) < 2
            or not all(name and pattern for name, pattern in named.items())
        ):
            raise argparse.ArgumentTypeError(
                "expected OLD=PART:PATTERN+PART:PATTERN with commas between, each part once, got "
                f"{old}={parts}"
            )
        partitions[old] = named
    return partitions


def count(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, not negative, got {text!r}")
    return int(text)


def not_negative(text: str) -> float:
    """A number of at least 0."""
    return _number(text, 0, math.inf, "a number of at least 0")


def share(text: str) -> float:
    """A number from 0 to 1."""
    return _number(text, 0, math.nextafter(1, 2), "a share from 0 to 1")


def _number(text: str, least: float, below: float, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number < below:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return number


def positive(text: str) -> float:
    """A number above 0."""
    return _number(text, math.ulp(0), math.inf, "a number above 0")
