"""What the command lines share: kinds of values, the flags that say how text is read, and what goes where.

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

from chameleon.errors import InputError
from chameleon.options import DEFAULT_PACKED_DIR

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        """Exit with the code of bad input."""
        self.exit(BAD_INPUT, f"error: {message}; --help shows what each flag takes\n")


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


def add_domains_flag(group: argparse._ArgumentGroup) -> None:
    """--domains."""
    group.add_argument(
        "--domains",
        type=names,
        metavar="A,B,...",
        help="domains to use, in this order (default: all). Give it to leave some out",
    )


def add_packed_dir_flag(group: argparse._ArgumentGroup) -> None:
    """--packed_dir."""
    group.add_argument(
        "--packed_dir",
        type=directory,
        default=Path(DEFAULT_PACKED_DIR),
        metavar="DIR",
        help=f"where packed tokens are kept, 2 or 4 bytes each (default: {DEFAULT_PACKED_DIR}). Change it "
        "for a larger disk, in training and evaluation alike",
    )


def add_dtype_flag(group: argparse._ArgumentGroup, what: str) -> None:
    """--dtype; `what` is computed in it."""
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help=f"what {what} in (default: auto, bfloat16 where the device has it in hardware). "
        "Change it to float32 to compare across machines",
    )


def add_trust_flag(group: argparse._ArgumentGroup) -> None:
    """--trust_remote_code."""
    group.add_argument(
        "--trust_remote_code",
        action="store_true",
        help="run Python files that the checkpoint brings (default: never). Give it only for checkpoints "
        "whose code you have read",
    )


def add_reading_flags(parser: argparse.ArgumentParser, tokenizer: bool = True) -> None:
    """The flags by which a corpus is read (`chameleon.options.READING`), but for --tokenizer if need be."""
    group = parser.add_argument_group("reading text")
    group.add_argument(
        "--text_column",
        type=named,
        metavar="NAME",
        help="column or field with the document; dots lead into structures (default: text). Change it to "
        "what yours is called",
    )
    group.add_argument(
        "--domain_column",
        type=named,
        metavar="NAME",
        help="column or field that tells domains apart, where files hold them mixed (default: "
        "meta.redpajama_set_name where it is there, else none: a domain a file or sub-directory, subset or "
        "split). Change it to what yours is called",
    )
    group.add_argument(
        "--domain_names",
        type=labels,
        metavar="LABEL=NAME,...",
        help="what to call the domains of that column (default: the names usual for SlimPajama, else the "
        "labels themselves). Change it for names of your own; several labels of one name are joined",
    )
    _add_flags_of_hub_and_arrays(group, tokenizer)
    group.add_argument(
        "--skip_bad_lines",
        action="store_true",
        help="leave out and count JSONL lines that cannot be used (default: the first one is an error). "
        "Give it once you have seen what is wrong with them",
    )


def _add_flags_of_hub_and_arrays(group: argparse._ArgumentGroup, tokenizer: bool) -> None:
    group.add_argument(
        "--subset",
        type=named,
        metavar="NAME",
        help="subset of a hub dataset (default: its only one, or each as a domain). Give it to use "
        "one of several",
    )
    group.add_argument(
        "--split",
        type=named,
        metavar="NAME",
        help="split to read, where files or a hub dataset have several (default: train). Change it to look "
        "at another",
    )
    group.add_argument(
        "--revision",
        type=named,
        metavar="COMMIT",
        help="commit, branch or tag of a hub dataset (default: its newest; recorded). Give it to repeat a "
        "run",
    )
    group.add_argument(
        "--download",
        action="store_true",
        help="bring a hub dataset whole into the hub's cache first (default: read only the parts that "
        "windows lie in). Give it to work offline afterwards",
    )
    if tokenizer:
        group.add_argument(
            "--tokenizer",
            type=named,
            metavar="PATH",
            help="checkpoint with the tokenizer that made token arrays (default: none). Give it where the "
            "corpus has such arrays (.bin, .npy), which do not say it themselves",
        )
    group.add_argument(
        "--token_dtype",
        choices=("uint16", "uint32"),
        help="items of flat token arrays (default: uint16). Change it for vocabularies over 65,536",
    )


def carry_out(work: Callable[[], None], kept: str) -> int:
    """Do what a command is for; the exit code is 0, 2 for bad input or 130 for an interrupt.

    Args:
        work: It.
        kept: What an interrupt leaves, such as "windows embedded so far are kept".
    """
    try:
        work()
    except InputError as error:
        tell(f"error: {error}")
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
        raise InputError("--output - was given, but stdout is closed; name a file")
    try:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except OSError as error:
        _silence(sys.stdout)
        raise InputError(f"cannot write the result to stdout: {error.strerror}; name a file") from None


def draws(stream: TextIO | None) -> bool:
    """Whether block characters can be drawn there."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def _shown(text: str, stream: TextIO | None) -> str:
    """The text with what the stream cannot hold written as escapes."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    return text.encode(encoding, errors="backslashreplace").decode(encoding)


def _silence(stream: TextIO) -> None:
    """Let what is still held for a stream go nowhere, so that the exit does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
