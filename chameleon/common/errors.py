"""The exceptions that tell a user about a fault in what they gave."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what was expected, what came and what to do. Command lines
    print it on stderr and exit with code 2; anything else that escapes is a fault of the program.
    """


class NotFiniteError(InputError):
    """A training that diverged."""
