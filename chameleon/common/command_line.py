"""What every command shares: how it runs, prints and exits, and the types of its flags.

Results go to stdout; notes, progress and the one line of an error to stderr. Exit codes: 0, 2 for bad input,
130 for an interrupt, 143 for SIGTERM.
"""

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

from chameleon.common.errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143

_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}

# Receives the notes of a long computation, one sentence each.
Notify = Callable[[str], None]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with the code of bad input."""
        self.exit(BAD_INPUT, f"error: {_escape_line_ends(message)}; --help shows what each flag takes\n")


def run_command(work: Callable[[], None], saved: str) -> int:
    """Run a command and return its exit code: 0, 2 for bad input or 130 for an interrupt.

    Args:
        work: The command.
        saved: What is on disk after an interrupt, such as "windows embedded so far are kept".
    """
    try:
        work()
    except InputError as error:
        print_stderr(f"error: {_escape_line_ends(str(error))}")
        return BAD_INPUT
    except KeyboardInterrupt:
        print_stderr(f"interrupted; {saved}")
        return INTERRUPTED
    return 0


def exit_on_sigterm() -> None:
    """Exit by SystemExit on SIGTERM, which a cluster sends to take a machine back, so that work is saved."""

    def leave(_signal: int, _frame: object) -> NoReturn:
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, leave)


def print_stderr(text: str) -> None:
    """Print on stderr, unless it is closed."""
    if sys.stderr is not None:
        try:
            print(_encodable(text, sys.stderr), file=sys.stderr, flush=True)
        except OSError:
            _discard_rest(sys.stderr)


def note(text: str) -> None:
    """Print a note on stderr."""
    print_stderr(f"note: {text}")


def print_table(table: str, saved: str) -> None:
    """Print a table on stdout.

    Args:
        table: Lines of the table.
        saved: Where the results are on disk, such as "the weights are in weights.json".

    Raises:
        InputError: stdout cannot be written.
    """
    try:
        print(_encodable(table, sys.stdout), flush=True)
    except BrokenPipeError:
        _discard_rest(sys.stdout)  # its reader has seen enough
    except OSError as error:
        _discard_rest(sys.stdout)
        raise InputError(f"{saved}, but stdout cannot be written: {error.strerror}") from None


def print_json(text: str) -> None:
    """Print a JSON result on stdout, in UTF-8 whatever the terminal's encoding.

    Raises:
        InputError: stdout is closed or cannot be written.
    """
    if sys.stdout is None:
        raise InputError("stdout is closed; name a file (--output)")
    try:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except OSError as error:
        _discard_rest(sys.stdout)
        raise InputError(f"cannot write the result to stdout: {error.strerror}; name a file") from None


def can_draw_blocks(stream: TextIO | None) -> bool:
    """Whether a stream can hold block characters."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def terminal_width(stream: TextIO | None) -> int | None:
    """Characters in a line of the terminal; None where a stream goes to a file or a pipe."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None if stream is not None else None
    except (OSError, ValueError):  # no terminal, no file, closed
        return None


# Types of flags, for argparse


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return number


def nonnegative_int(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, not negative, got {text!r}")
    return int(text)


def positive_number(text: str) -> float:
    """A number above 0."""
    return _number(text, math.ulp(0), math.inf, "a number above 0")


def nonnegative_number(text: str) -> float:
    """A number of at least 0."""
    return _number(text, 0, math.inf, "a number of at least 0")


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    return _number(text, 0, math.nextafter(1, 2), "a share from 0 to 1")


def token_count(text: str) -> float:
    """A number of tokens, such as 300B."""
    unit = _UNITS.get(text[-1:].upper())
    try:
        number = float(text if unit is None else text[:-1]) * (unit or 1.0)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 1):
        raise argparse.ArgumentTypeError(f"expected a number of tokens such as 300B, got {text!r}")
    return number


def whole_tokens(text: str) -> int:
    """A whole number of tokens, such as 20M."""
    return round(token_count(text))


def nonempty(text: str) -> str:
    """A name that is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got an empty one; or leave the flag out")
    return text


def nonempty_path(text: str) -> Path:
    """A path that is not empty."""
    return Path(nonempty(text))


def name_list(text: str) -> tuple[str, ...]:
    """Comma-separated names, each once: A,B,..."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"expected comma-separated names, each once, got {text!r}")
    return names


def mapping(text: str) -> dict[str, str]:
    """Values by name: NAME=VALUE,..."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(name and sign and value for name, sign, value in pairs):
        raise argparse.ArgumentTypeError(f"expected comma-separated LABEL=NAME, got {text!r}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def numbers_by_name(text: str, convert: Callable[[str], float]) -> dict[str, float]:
    """Numbers by name, "" for all that are not named: X,NAME=X,...

    Args:
        text: The argument.
        convert: The type of the numbers, such as `positive_number`.
    """
    numbers: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.rpartition("=")
        if name.strip() in numbers:
            raise argparse.ArgumentTypeError(f"two numbers for {name.strip() or 'all domains'} in {text!r}")
        numbers[name.strip()] = convert(number)
    return numbers


def merges(text: str) -> dict[str, tuple[str, ...]]:
    """Names to merge, by the new name: NEW=A+B,..."""
    merged = {new: tuple(part.strip() for part in parts.split("+")) for new, parts in mapping(text).items()}
    for new, parts in merged.items():
        if len(parts) < 2 or not all(parts):
            raise argparse.ArgumentTypeError(f"expected comma-separated NEW=A+B, got {new}={'+'.join(parts)}")
    return merged


def splits(text: str) -> dict[str, dict[str, str]]:
    """Patterns of the parts to split a name into, by that name: OLD=PART:PATTERN+PART:PATTERN,..."""
    split = {}
    for old, parts in mapping(text).items():
        pairs = [part.partition(":") for part in parts.split("+")]
        patterns = {name.strip(): pattern.strip() for name, _, pattern in pairs}
        are_whole = all(name and pattern for name, pattern in patterns.items())
        if len(patterns) < len(pairs) or len(pairs) < 2 or not are_whole:
            raise argparse.ArgumentTypeError(
                f"expected comma-separated OLD=PART:PATTERN+PART:PATTERN, each part once, got {old}={parts}"
            )
        split[old] = patterns
    return split


def _number(text: str, least: float, below: float, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number < below:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return number


def _escape_line_ends(text: str) -> str:
    """The message on one line: line ends in names that it quotes become escapes."""
    return "".join(
        repr(each)[1:-1] if each in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029" else each for each in text
    )


def _encodable(text: str, stream: TextIO | None) -> str:
    """The text with characters that the stream's encoding lacks as escapes."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    return text.encode(encoding, errors="backslashreplace").decode(encoding)


def _discard_rest(stream: TextIO) -> None:
    """Send what is still buffered for a stream nowhere, so that the exit does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
