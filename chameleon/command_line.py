"""How the commands behave: what goes where, how they end, and with which exit code.

Results go to stdout; notes, progress and the one line of an error to stderr.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

from chameleon.errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        """Exit with the code of bad input."""
        self.exit(BAD_INPUT, f"error: {_on_one_line(message)}; --help shows what each flag takes\n")


def carry_out(work: Callable[[], None], kept: str) -> int:
    """Do what a command is for; the exit code is 0, 2 for bad input or 130 for an interrupt.

    Args:
        work: It.
        kept: What an interrupt leaves, such as "windows embedded so far are kept".
    """
    try:
        work()
    except InputError as error:
        tell(f"error: {_on_one_line(str(error))}")
        return BAD_INPUT
    except KeyboardInterrupt:
        tell(f"interrupted; {kept}")
        return INTERRUPTED
    return 0


def leave_on_termination() -> None:
    """A cluster that takes the machine back says so: leave by the ordinary way, which keeps what is done."""

    def leave(_signal: int, _frame: object) -> NoReturn:
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, leave)


def tell(text: str) -> None:
    """Print on stderr, if anybody listens there."""
    if sys.stderr is not None:
        try:
            print(_shown(text, sys.stderr), file=sys.stderr, flush=True)
        except OSError:
            _silence(sys.stderr)


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


def draws(stream: TextIO | None) -> bool:
    """Whether block characters can be drawn there."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


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
