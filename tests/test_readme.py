"""The README tells the truth about flags and files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SCRIPT

COMMANDS = ("training", "evaluation", "export", "check", "compare", "rivals")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [[SCRIPT], *(["-m", f"chameleon.{name}"] for name in COMMANDS)])
def test_all_flags_stand_in_the_readme_as_help_gives_them(command: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, *command, "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "110"},
        check=True,
    )
    assert run.stdout.strip() in README


def test_the_file_tree_is_that_of_the_repository() -> None:
    tree = README.partition("## Files")[2].partition("```\n")[2].partition("```")[0]
    named = {line.split()[0].rstrip("/") for line in tree.splitlines()}
    tops = {"docs", "tests", "benchmarks", "checkpoints", "embeddings", "chameleon", "requirements.txt"}
    tops |= {"Makefile", "pyproject.toml", SCRIPT.name, ".ci/run"}
    modules = {path.name for path in (ROOT / "chameleon").rglob("*.py")} | {
        "corpora",
        "engines",
        "export",
        "many",
        "training",
        "evaluation",
        "confidence",
        "report",
        "rivals",
        "regmix",
    }
    assert named == tops | modules
    assert all(Path(ROOT, top).exists() for top in tops)
