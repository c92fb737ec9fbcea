"""Print docs/cli.md, the --help of every command; `make docs` writes the file."""

import io
import os
import sys
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chameleon.__main__ import COMMANDS

_HEAD = """# Command line

Every flag of every command, generated from the parsers by `make docs`.

Exit codes: 0 success; 1 problems found by `check`; 2 bad input, with one line on stderr that says
what was expected, what came and what to do; 130 interrupted; 143 terminated. Finished work is never
lost."""


def page() -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    for name, (module, _) in COMMANDS.items():
        title = "compute_chameleon_weights.py" if name == "weights" else f"python -m chameleon {name}"
        parts.append(f"## {title}\n\n```\n{_help_of(module)}\n```")
        if name == "methods":
            parts.append(
                f"### {title} all\n\nTakes the flags of every method.\n\n```\n{_help_of(module, 'all')}\n```"
            )
    return "\n\n".join(parts)


def _help_of(module: str, *command: str) -> str:
    os.environ["COLUMNS"] = "100"  # argparse wraps lines at this width
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        import_module(module).main([*command, "--help"])
    return printed.getvalue().strip()


if __name__ == "__main__":
    print(page())
