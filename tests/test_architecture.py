"""The rooms of the package, which may import which, and what a command must not load.

A room is a directory or module at the top of `chameleon/`. It imports from lower floors only; modules do not
import each other in circles; and torch, transformers and numpy are loaded where they are used.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT, SCRIPT

from chameleon import DomainWeights, compute_weights
from chameleon.__main__ import COMMANDS

FLOORS: Mapping[str, int] = {
    "common": 1,
    "text": 2,
    "weights": 2,
    "confidence": 3,
    "proxy": 3,
    "export": 4,
    "training": 4,
    "embeddings": 5,
    "pipeline": 6,
    "report": 7,
    "methods": 8,
    "__init__": 9,
    "__main__": 9,
}
PACKAGE = ROOT / "chameleon"
FILES = {path: path.relative_to(ROOT).with_suffix("").parts for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = {".".join(parts).removesuffix(".__init__") for parts in FILES.values()}


@cache
def imports_of(path: Path) -> tuple[tuple[str, bool, bool], ...]:
    """Modules of the package that a file imports: (module, at import, for types only)."""
    return tuple(_imports(ast.parse(path.read_text(encoding="utf-8")), True, False))


def _imports(node: ast.AST, at_import: bool, types_only: bool) -> Iterator[tuple[str, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom) and child.module and child.module.split(".")[0] == "chameleon":
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                yield whole if whole in MODULES else child.module, at_import, types_only
        elif isinstance(child, ast.Import):
            for alias in child.names:
                if alias.name.split(".")[0] == "chameleon":
                    yield alias.name, at_import, types_only
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            typed = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from _imports(child, at_import and not inside, types_only or typed)


def room_of(parts: tuple[str, ...]) -> str:
    return parts[1]


def test_every_entry_of_the_package_is_a_room_on_a_floor() -> None:
    entries = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert entries - {"typed"} - {"py.typed"} == set(FLOORS)


def test_a_room_imports_only_from_lower_floors() -> None:
    wrong = []
    for path, parts in FILES.items():
        for module, _, _ in imports_of(path):
            target = (*module.split("."), "__init__")[1]
            if target not in (room_of(parts), "__init__") and FLOORS[target] >= FLOORS[room_of(parts)]:
                wrong.append(f"{'/'.join(parts)} imports {module}")
    assert not wrong


def test_modules_do_not_import_each_other_in_circles() -> None:
    arrows = {
        ".".join(parts).removesuffix(".__init__"): {
            module for module, at_import, types_only in imports_of(path) if at_import and not types_only
        }
        for path, parts in FILES.items()
    }
    left = dict(arrows)
    while left:
        free = [module for module, targets in left.items() if not (targets & left.keys()) - {module}]
        assert free, f"in circles: {sorted(left)}"
        for module in free:
            del left[module]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_loads_no_library(name: str) -> None:
    loaded = modules_after(
        f"sys.argv = ['chameleon', {name!r}, '--help']",
        "try: runpy.run_module('chameleon', run_name='__main__')",
        "except SystemExit as ended: assert ended.code == 0",
    )
    assert not {"numpy", "torch", "transformers", "datasets", "matplotlib", "rich"} & loaded


def test_the_package_itself_loads_nothing() -> None:
    assert not {"numpy", "torch"} & modules_after("import chameleon")


def test_stored_embeddings_need_neither_text_nor_proxy(stored_run: Path) -> None:
    loaded = modules_after(
        f"os.chdir({str(stored_run)!r})",
        "sys.argv = ['x', '--skip_embedding_generation', '--output', os.devnull]",
        f"sys.path.insert(0, {str(ROOT)!r})",
        f"try: runpy.run_path({str(SCRIPT)!r}, run_name='__main__')",
        "except SystemExit as ended: assert ended.code == 0",
    )
    assert not {"torch", "transformers", "datasets", "tokenizers", "chameleon.text.corpora"} & loaded


def test_the_driver_of_workers_loads_no_torch() -> None:
    assert not {"torch", "transformers"} & modules_after(
        "import chameleon.embeddings.workers.driver, chameleon.embeddings.workers.processes",
        "import chameleon.embeddings.workers.start, chameleon.embeddings.open_corpus",
    )


def modules_after(*lines: str) -> set[str]:
    """What is in sys.modules after lines of a program of their own."""
    program = ["import os, runpy, sys", *lines, "print('loaded', *sys.modules, file=sys.stderr)"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("loaded ")[2].split())


def test_help_and_compute_weights_load_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, contextlib, io, compute_chameleon_weights as script, chameleon\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    script.main(['--help'])\n"
        "assert 'numpy' not in sys.modules\n"
        "assert chameleon.compute_weights\n"
        "assert not {'torch', 'transformers', 'datasets', 'pyarrow'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_public_name_is_documented() -> None:
    import chameleon

    for name in chameleon.__all__:
        assert getattr(chameleon, name).__doc__
    with pytest.raises(AttributeError, match="nonsense"):
        _ = chameleon.nonsense
    assert isinstance(compute_weights({"a": [0.0, 1], "b": [1.0, 0], "c": [3.0, 3]}), DomainWeights)
