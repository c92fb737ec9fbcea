"""The documentation says what the program does."""

import runpy

from conftest import ROOT


def test_the_page_of_flags_is_what_the_parsers_print() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))["page"]
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == page() + "\n", "run make docs"
