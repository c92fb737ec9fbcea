"""The other commands: python -m chameleon COMMAND, one for each thing done with weights."""

import sys
from collections.abc import Sequence
from importlib import import_module

from chameleon.common.command_line import BAD_INPUT, exit_on_sigterm, print_stderr

# Command: the module whose main(argv) runs it, and what it does.
COMMANDS = {
    "weights": ("compute_chameleon_weights", "compute weights, as compute_chameleon_weights.py does"),
    "export": ("chameleon.export.command", "write weights in a trainer's format"),
    "check": ("chameleon.export.check", "read a trainer's file back and simulate what the trainer draws"),
    "compare": ("chameleon.report.compare", "print several weights files side by side"),
    "train": ("chameleon.training.command", "train a proxy or base model on a mixture of domains"),
    "evaluate": ("chameleon.training.evaluation.command", "measure the held-out loss of models by domain"),
    "methods": ("chameleon.methods.command", "compute weights by other methods: RegMix, DoReMi, DoGE, ..."),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is the command's, or 2 where there is no such command."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if not arguments or arguments[0] not in COMMANDS:
        came = f"got {arguments[0]!r}" if arguments else "got none"
        print_stderr(
            f"error: expected a command, one of {', '.join(COMMANDS)}, {came}; see python -m chameleon --help"
        )
        return BAD_INPUT
    code: int = import_module(COMMANDS[arguments[0]][0]).main(arguments[1:])
    return code


def _usage() -> str:
    rows = [f"  {name:<10}{does}" for name, (_, does) in COMMANDS.items()]
    ask = "python -m chameleon COMMAND --help shows the flags of a command."
    return "\n".join(["usage: python -m chameleon COMMAND [flags]", "", "commands:", *rows, "", ask])


if __name__ == "__main__":
    exit_on_sigterm()
    sys.exit(main())
