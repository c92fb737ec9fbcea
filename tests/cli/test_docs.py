"""The documentation says what the program does: its links, flags, commands and names exist."""

import json
import re
import runpy
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT
from test_architecture import FLOORS

from chameleon.__main__ import COMMANDS

DOCS = ROOT / "docs"
README = ROOT / "README.md"
BENCHMARKS = ROOT / "benchmarks" / "README.md"
PAGES = [README, BENCHMARKS, ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
# The changelog names flags that are gone, and cli.md is what flags are compared with.
PAGES_WITH_FLAGS = [page for page in PAGES if page.name not in ("CHANGELOG.md", "cli.md")]

# Flags of other programs: ray start, sbatch, torchrun, accelerate launch and a trainer's own.
FOREIGN_FLAGS = {
    *("--address", "--head"),
    *("--array", "--gpus", "--wrap"),
    *("--nnodes", "--nproc_per_node", "--rdzv_backend", "--rdzv_endpoint"),
    *("--fsdp_auto_wrap_policy", "--fsdp_state_dict_type", "--fsdp_version", "--mixed_precision"),
    *("--num_processes", "--use_fsdp"),
    *("--data-args-path", "--data-path", "--per-split-data-args-path"),
}

_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")
_FILE = re.compile(r"`((?:chameleon|tests|benchmarks|docs)/[\w./-]*)[^`]*`")
_COMMAND = re.compile(r"-m chameleon(?:\.\w+)*(?: +([\w.-]+))?")


def test_the_page_of_flags_is_what_the_parsers_print() -> None:
    page = runpy.run_path(str(DOCS / "generate_cli.py"))["page"]
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page() + "\n", "run make docs"


def test_the_readme_is_short() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200
    assert not [line for line in _outside_blocks(lines) if len(line) > 100]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    assert not list(faults_of_links(page, page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES_WITH_FLAGS, ids=lambda page: str(page.relative_to(ROOT)))
def test_flags_exist(page: Path) -> None:
    assert not list(faults_of_flags(page, page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES_WITH_FLAGS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    assert not list(faults_of_commands(page, page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    assert not list(faults_of_files(page, page.read_text(encoding="utf-8")))


def test_every_page_is_reached_from_the_index() -> None:
    pages = {page for page in DOCS.rglob("*.md") if page.name != "README.md"}
    indexes = [DOCS / "README.md", DOCS / "decisions" / "README.md"]
    linked = {
        (index.parent / target).resolve()
        for index in indexes
        for _, target in links_of(index.read_text(encoding="utf-8"))
    }
    assert not pages - linked


def test_the_page_of_the_architecture_has_the_floors() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (\d+) \| `(\w+)/?` \|", text)
    assert {room: int(floor) for floor, room in rows} == FLOORS


def test_every_row_of_the_benchmarks_names_its_results() -> None:
    text = BENCHMARKS.read_text(encoding="utf-8")
    assert not list(faults_of_benchmarks(text))
    results = {path.name for path in (BENCHMARKS.parent / "results").iterdir()}
    assert results == {target.removeprefix("results/") for _, target in links_of(text)}


def test_the_page_of_the_weights_file_has_the_keys_of_the_schema() -> None:
    properties = json.loads((DOCS / "weights.schema.json").read_text(encoding="utf-8"))["properties"]
    text = (DOCS / "weights-file.md").read_text(encoding="utf-8")
    assert keys_of_section(text, "Top level") == set(properties)
    assert keys_of_section(text, "domains") == set(
        properties["domains"]["additionalProperties"]["properties"]
    )
    for section in ("diagnostics", "settings", "provenance"):
        assert keys_of_section(text, section) == set(properties[section]["properties"])


def test_every_key_of_the_weights_file_is_in_the_file_that_writes_it() -> None:
    faults = []
    for line in (DOCS / "weights-file.md").read_text(encoding="utf-8").splitlines():
        files = [target for label, target in links_of(line) if target.endswith(".py")]
        written = [(DOCS / target).read_text(encoding="utf-8") for target in files]
        faults += [key for key in _keys_of_row(line) if written and not any(key in text for text in written)]
    assert not faults


@pytest.mark.parametrize(
    ("check", "text", "fault"),
    [
        (lambda text: faults_of_links(README, text), "[there](docs/nowhere.md)", "docs/nowhere.md"),
        (lambda text: faults_of_links(README, text), "[a part](docs/method.md#none)", "#none"),
        (lambda text: faults_of_links(README, text), "# Title\n[here](#other)", "#other"),
        (
            lambda text: faults_of_links(README, text),
            "[`no_such_name`](chameleon/__main__.py)",
            "no_such_name",
        ),
        (lambda text: faults_of_flags(README, text), "use `--no_such_flag 3`", "--no_such_flag"),
        (lambda text: faults_of_commands(README, text), "    python -m chameleon tarin", "tarin"),
        (
            lambda text: faults_of_commands(README, text),
            "python -m chameleon.training --x",
            "chameleon.training",
        ),
        (lambda text: faults_of_files(README, text), "see `chameleon/none.py`", "chameleon/none.py"),
        (lambda text: faults_of_benchmarks(text), "| `none` | ? | b | f | - |", "none"),
        (lambda text: faults_of_benchmarks(text), "| `exact` | ? | b | f | - |", "results"),
    ],
)
def test_the_checks_find_faults(check: Callable[[str], Iterable[str]], text: str, fault: str) -> None:
    assert fault in " ".join(check(text))


def faults_of_links(page: Path, text: str) -> Iterator[str]:
    """Relative links whose file or heading is missing, or whose `name` is not defined in the file."""
    for label, target in links_of(text):
        if re.match(r"[a-z]+://", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        if not path.exists():
            yield f"{page.name}: no file {target}"
        elif anchor and anchor not in anchors_of(text if not file else path.read_text(encoding="utf-8")):
            yield f"{page.name}: no heading {target}"
        elif path.suffix == ".py" and (name := re.fullmatch(r"`(\w+)`", label)) and not _has(path, name[1]):
            yield f"{page.name}: no {name[1]} in {file}"


def faults_of_flags(page: Path, text: str) -> Iterator[str]:
    """Flags that no command of this project has."""
    for flag in sorted(set(_FLAG.findall(_without_targets(text)))):
        if flag not in FOREIGN_FLAGS | flags_of_commands() | flags_of_benchmarks():
            yield f"{page.name}: no flag {flag}"


def faults_of_commands(page: Path, text: str) -> Iterator[str]:
    """Commands of `python -m chameleon` that do not exist."""
    for found in _COMMAND.finditer(text):
        name = found[1]
        if found[0].startswith("-m chameleon.") or (name not in (None, "COMMAND", "--help", *COMMANDS)):
            yield f"{page.name}: no command {found[0]}"


def faults_of_files(page: Path, text: str) -> Iterator[str]:
    """Files and folders of the repository that are named and do not exist."""
    for name in _FILE.findall(text):
        if not (ROOT / name).exists():
            yield f"{page.name}: no file {name}"


def faults_of_benchmarks(text: str) -> Iterator[str]:
    """Rows of the table of benchmarks without a module or a results file."""
    for line in text.splitlines():
        if row := re.match(r"\| `(\w+)", line):
            if not (BENCHMARKS.parent / f"{row[1]}.py").is_file():
                yield f"no benchmark {row[1]}"
            targets = [target for _, target in links_of(line)]
            if not targets or not all((BENCHMARKS.parent / target).is_file() for target in targets):
                yield f"no results of {row[1]}"


def links_of(text: str) -> list[tuple[str, str]]:
    """(label, target) of the links of a page, outside blocks of code."""
    return _LINK.findall("\n".join(_outside_blocks(text.splitlines())))


def anchors_of(text: str) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = (line for line in _outside_blocks(text.splitlines()) if re.match(r"#+ ", line))
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.lstrip("# ")) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


def keys_of_section(text: str, title: str) -> set[str]:
    """Keys in the first column of the table below a heading of the page of the weights file."""
    section = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return {key for line in section.splitlines() for key in _keys_of_row(line)}


@cache
def flags_of_commands() -> frozenset[str]:
    """Flags in docs/cli.md, which a test compares with the parsers."""
    return frozenset(_FLAG.findall((DOCS / "cli.md").read_text(encoding="utf-8")))


@cache
def flags_of_benchmarks() -> frozenset[str]:
    """Flags that the benchmarks add to their parsers."""
    sources = (path.read_text(encoding="utf-8") for path in BENCHMARKS.parent.glob("*.py"))
    return frozenset(flag for source in sources for flag in re.findall(r'add_argument\(\s*"(--\w+)"', source))


def _keys_of_row(line: str) -> list[str]:
    row = re.match(r"\| ((?:`\w+`(?:, )?)+)", line)
    return re.findall(r"`(\w+)`", row[1]) if row else []


def _has(path: Path, name: str) -> bool:
    """Whether a file defines a name, or is called so."""
    pattern = rf"(?m)^(?:    )?(?:def|class) {name}\b|^{name}\b[^=\n]*="
    return name == path.stem or re.search(pattern, path.read_text(encoding="utf-8")) is not None


def _without_targets(text: str) -> str:
    return _LINK.sub(r"\1", text)


def _outside_blocks(lines: Iterable[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            yield line
