"""How the commands behave: what goes where, how they end, and with which exit code.

Results go to stdout; notes, progress and the one line of an error to stderr.
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


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return number


def nonempty(text: str) -> str:
    """A name that is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got an empty one; or leave the flag out")
    return text


def nonempty_path(text: str) -> Path:
    """A path."""
    return Path(nonempty(text))


def name_list(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"expected names with commas between, each once, got {text!r}")
    return names


def mapping(text: str) -> dict[str, str]:
    """Names by what they stand for: LABEL=NAME,..."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(label and sign and name for label, sign, name in pairs):
        raise argparse.ArgumentTypeError(f"expected LABEL=NAME with commas between, got {text!r}")
    return {label.strip(): name.strip() for label, _, name in pairs}


def merges(text: str) -> dict[str, tuple[str, ...]]:
    """What names stand for together: NEW=A+B,..."""
    pairs = mapping(text)
    unions = {new.strip(): tuple(part.strip() for part in parts.split("+")) for new, parts in pairs.items()}
    for new, parts in unions.items():
        if len(parts) < 2 or not all(parts):
            raise argparse.ArgumentTypeError(
                f"expected NEW=A+B with commas between, got {new}={'+'.join(parts)}"
            )
    return unions


def splits(text: str) -> dict[str, dict[str, str]]:
    """Patterns by the parts that they make of what is named: OLD=PART:PATTERN+PART:PATTERN,..."""
    partitions = {}
    for old, parts in mapping(text).items():
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


def nonnegative_int(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, not negative, got {text!r}")
    return int(text)


def nonnegative_number(text: str) -> float:
    """A number of at least 0."""
    return _number(text, 0, math.inf, "a number of at least 0")


def fraction(text: str) -> float:
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


def positive_number(text: str) -> float:
    """A number above 0."""
    return _number(text, math.ulp(0), math.inf, "a number above 0")


# Receives the notes of a long computation, one sentence each.
Notify = Callable[[str], None]

BAD_INPUT = 2


INTERRUPTED = 130


TERMINATED = 143


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        """Exit with the code of bad input."""
        self.exit(BAD_INPUT, f"error: {_on_one_line(message)}; --help shows what each flag takes\n")


def run_command(work: Callable[[], None], kept: str) -> int:
    """Do what a command is for; the exit code is 0, 2 for bad input or 130 for an interrupt.

    Args:
        work: It.
        kept: What an interrupt leaves, such as "windows embedded so far are kept".
    """
    try:
        work()
    except InputError as error:
        print_stderr(f"error: {_on_one_line(str(error))}")
        return BAD_INPUT
    except KeyboardInterrupt:
        print_stderr(f"interrupted; {kept}")
        return INTERRUPTED
    return 0


def exit_on_sigterm() -> None:
    """A cluster that takes the machine back says so: leave by the ordinary way, which keeps what is done."""

    def leave(_signal: int, _frame: object) -> NoReturn:
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, leave)


def print_stderr(text: str) -> None:
    """Print on stderr, if anybody listens there."""
    if sys.stderr is not None:
        try:
            print(_shown(text, sys.stderr), file=sys.stderr, flush=True)
        except OSError:
            _silence(sys.stderr)


def note(text: str) -> None:
    """Print a note on stderr."""
    print_stderr(f"note: {text}")


def print_table(table: str, kept: str) -> None:
    """Print on stdout.

    Args:
        table: What.
        kept: Where the results are besides, such as "the weights are in weights.json".

    Raises:
        InputError: It cannot be written there.
    """
    try:
        print(_shown(table, sys.stdout), flush=True)
    except BrokenPipeError:
        _silence(sys.stdout)  # its reader has seen enough
    except OSError as error:
        _silence(sys.stdout)
        raise InputError(f"{kept}, but stdout cannot be written: {error.strerror}") from None


def print_json(text: str) -> None:
    """A result on stdout, in UTF-8 whatever the terminal's encoding, delivered or an error."""
    if sys.stdout is None:
        raise InputError("stdout is closed; name a file (--output)")
    try:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except OSError as error:
        _silence(sys.stdout)
        raise InputError(f"cannot write the result to stdout: {error.strerror}; name a file") from None


def can_draw_blocks(stream: TextIO | None) -> bool:
    """Whether block characters can be drawn there."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def terminal_width(stream: TextIO | None) -> int | None:
    """Characters of a line on a terminal; None where a stream goes to a file or a pipe."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None if stream is not None else None
    except (OSError, ValueError):  # no terminal, no file, closed
        return None


def _on_one_line(text: str) -> str:
    """A message with the line ends that names in it may have as escapes."""
    return "".join(
        repr(each)[1:-1] if each in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029" else each for each in text
    )


def _shown(text: str, stream: TextIO | None) -> str:
    """The text with what the stream cannot hold written as escapes."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    return text.encode(encoding, errors="backslashreplace").decode(encoding)


def _silence(stream: TextIO) -> None:
    """Let what is still held for a stream go nowhere, so that the exit does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
