"""Exceptions for faults in the user's input."""


class InputError(ValueError):
    """Input that cannot be used.

    The message is one line: what is wrong, what was expected and what to do. Commands print it on stderr and
    exit with code 2; any other exception that escapes is a fault of the program.
    """


class NotFiniteError(InputError):
    """A training run diverged."""


def one_line(error: Exception, most: int = 200) -> str:
    """An exception's message in one line of at most `most` characters."""
    return " ".join(str(error).split())[:most]
