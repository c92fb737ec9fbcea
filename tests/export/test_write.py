"""`export`: what is written, and what is refused in one line."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from export_cases import (
    LONG,
    PLAIN,
    weights_file,
    write_file,
)

from chameleon.export import check
from chameleon.export.command import main as export_main
from chameleon.weights.domain_weights import DomainWeights


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainWeights:
    """Weights in a file w.json in an empty working directory."""
    return weights_file(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--format", "mds"], "there is no format mds; there are chameleon, megatron"),
        (["--format", "csv", "--sources", "none.json"], "cannot read none.json (--sources)"),
        (
            ["--format", "csv", "--sources", "two.json"],
            "two.json has no source for code.v1 (--sources); it has web",
        ),
        (["--format", "csv", "--sources", "shared.json"], "x is a source of web and of books_2"),
        (["--format", "csv", "--sources", "many.json"], '2 paths have 0 numbers of "tokens"'),
        (["--format", "csv", "--sources", "bad.json"], "bad.json (--sources) is not JSON"),
        (
            ["--format", "csv", "--sources", "odd.json"],
            "expected a path, a list of paths, or an object of paths",
        ),
        (
            ["--format", "litdata", "--tokens_per_row", "0"],
            "that of web is 0.0; expected a number from 0.001",
        ),
        (
            ["--format", "litdata", "--tokens_per_row", "two.json"],
            "--tokens_per_row has no number for code.v1",
        ),
        (
            ["--format", "csv", "--then", "w.json", "--at", "5"],
            "csv takes no schedule (--then); these do: chameleon",
        ),
        (["--format", "levanter", "--then", "w.json"], "--then and --at belong together"),
        (["--format", "levanter", "--then", "v.json", "--at", "5"], "both must be of the same domains"),
        (["--format", "csv", "--budget", "1B", "--token_counts", "two.json"], "--token_counts lacks code.v1"),
        (["--format", "csv", "--budget", "90B", "--max_epochs", "2"], "70B are missing"),
        (["--format", "csv", "--output", "directory"], "cannot write directory"),
        (["--format", "mosaicml", "--tokens_per_row", "9"], "give --budget"),
    ],
)
def test_what_cannot_be_exported_is_reported_in_one_line(
    stored: DomainWeights, flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_file("two.json", {"web": "x", "books_2": "y"})
    write_file("shared.json", {"web": "x", "books_2": "x", "code.v1": "z"})
    write_file("many.json", {"web": ["x", "y"], "books_2": "a", "code.v1": "z"})
    write_file("odd.json", {"web": 3, "books_2": "a", "code.v1": "z"})
    write_file("bad.json", "{")
    Path("directory").mkdir()
    write_file("v.json", {"weights": {"a": 0.5, "b": 0.5}})
    if "two.json" in flags and "--budget" in flags:
        write_file("two.json", {"web": 5, "books_2": 6})
    assert export_main(["w.json", *flags]) == 2
    written = capsys.readouterr()
    errors = [line for line in written.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]
    assert written.out == ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"weights": {"web": 0.5, "books_2": 0.6}}, "sum to 1.1"),
        ({"weights": {"web": 1.5, "books_2": -0.5}}, "that of books_2 is -0.5"),
        ('{"weights": {"web": 0.5, "web": 0.5}}', '"web" stands twice'),
        ({"weights": {"a": 0.5, "b": 0.5}, "domains": {"a": {"corpus_tokens": "x"}}}, "corpus_tokens is 'x'"),
        ({"weights": {"a": 0.5, "b": 0.5}, "domains": {"a": {"corpus_tokens": 0}}}, "corpus_tokens is 0;"),
        ({"weights": {"a": 0.5, "b": 0.5}, "unit": "documents"}, 'expected "unit" to be "share of tokens"'),
    ],
)
def test_a_weights_file_edited_by_hand_is_refused(
    stored: DomainWeights,
    content: object,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert export_main([write_file("hand.json", content), "--format", "csv", "--budget", "1B"]) == 2
    assert expected in capsys.readouterr().err


def test_token_counts_of_another_tokenizer_give_a_warning(
    stored: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"web": 6e9, "books_2": 1e9, "code.v1": 3e9}
    for digest, warned in (("abc", False), ("other", True)):
        write_file("counts.json", {"tokenizer_digest": digest, "tokens": counts})
        flags = ["--format", "csv", "--budget", "1B", "--token_counts", "counts.json"]
        assert export_main(["w.json", *flags]) == 0
        assert ("of another tokenizer than the proxy's" in capsys.readouterr().err) == warned


def test_the_weights_file_is_not_overwritten(
    stored: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_main(["w.json", "--format", "csv", "--output", "./w.json"]) == 2
    assert "w.json is an input and would be overwritten" in capsys.readouterr().err
    assert DomainWeights.read("w.json").by_name() == stored.by_name()


@pytest.mark.parametrize(
    ("weights", "flags"),
    [
        ("a.weights.json", ["--output", "a"]),
        ("w.json", ["--then", "a.then.weights.json", "--at", "3", "--output", "a"]),
        ("w.json", ["--sources", "s.json", "--output", "s.json"]),
        ("w.json", ["--token_counts", "s.json", "--output", "link.json"]),
        ("w.json", ["--tokens_per_row", "s.json", "--output", "s.json"]),
        ("w.json", ["--output", "x" * 245]),
    ],
)
def test_inputs_are_not_overwritten_and_nothing_is_half_written(
    stored: DomainWeights, weights: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.weights.json", "a.then.weights.json"):
        stored.write(name)
    write_file(
        "s.json",
        {"web": 3, "books_2": 4, "code.v1": 5} if "--sources" not in flags else dict.fromkeys(PLAIN, "x"),
    )
    if "--sources" in flags:
        write_file("s.json", {name: f"{name}/x" for name in PLAIN})
    Path("link.json").symlink_to("s.json")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    assert export_main([weights, "--format", "chameleon", *flags]) == 2
    assert {path: path.read_bytes() for path in Path().iterdir()} == before
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_new_limits_replace_earlier_ones(stored: DomainWeights, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--budget", "10B", "--max_epochs", "4"]
    assert export_main(["w.json", "--format", "csv", "--output", "cap", *flags]) == 0
    capped = DomainWeights.read("cap.weights.json")
    assert capped.domains["books_2"]["raw_weight"] == 0.5
    capsys.readouterr()
    assert export_main(["cap.weights.json", "--format", "olmo-core", "--min_weight", "0.3"]) == 0
    written = capsys.readouterr()
    assert "max_repetition_ratio" not in written.out
    assert "available" not in written.err
    rows = {line.split()[0]: line.split()[1:] for line in written.err.splitlines()}
    assert rows["books_2"][0] == "0.4000"  # what came in, not what was before that
    # What a floor takes is not missing; the available tokens do not depend on the weights.
    assert export_main(["w.json", "--format", "csv", "--budget", "2B", "--min_weight", "0.25"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().err.splitlines()}
    assert rows["books_2"][2:] == ["937.5M", "1B", "0.94"]


def test_huge_numbers_and_half_surrogates_give_one_line(
    stored: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = ", ".join(f'"{name}": {LONG}' for name in PLAIN)
    write_file("long.json", f"{{{counts}}}")
    sources = ", ".join(f'"{name}": {{"tokens_per_row": {LONG}}}' for name in PLAIN)
    write_file("sources.json", f"{{{sources}}}")
    write_file(
        "two.json", {name: {"paths": [f"{name}0", f"{name}1"], "tokens": [1e308, 1e308]} for name in PLAIN}
    )
    write_file("half.json", '{"weights": {"a\\ud800": 0.5, "b": 0.5}}')
    write_file("lines.json", '{"weights": {"a\\nb": 0.5, "b": 0.5}}')
    write_file("twice.json", '{"web": "x", "web": "y"}')
    write_file("x.csv", "domain,share_of_tokens\nweb,1\n")
    for command in (
        ["w.json", "--format", "csv", "--budget", "1B", "--token_counts", "long.json"],
        ["w.json", "--format", "litdata", "--tokens_per_row", "long.json"],
        ["w.json", "--format", "litdata", "--sources", "sources.json"],
        ["w.json", "--format", "litdata", "--sources", "twice.json"],
        ["w.json", "--format", "litdata", "--tokens_per_row", "1e-310"],
        ["w.json", "--format", "megatron", "--sources", "two.json"],
        ["half.json", "--format", "csv"],
        ["half.json", "--format", "chameleon", "--output", "y"],
        ["lines.json", "--format", "litdata"],
        ["w.json", "--format", "x\ny"],
        ["no\nfile", "--format", "csv"],
    ):
        assert export_main(command) == 2
        written = capsys.readouterr()
        assert written.out == ""
        assert len(written.err.splitlines()) == 1, command
    assert check.main(["w.json", "--format", "csv", "--file", "x.csv", "--draws", "1" + "0" * 19]) == 2
    Path("loop").symlink_to("loop")
    assert export_main(["w.json", "--format", "csv", "--output", "loop"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_notes_are_printed_only_with_a_result(
    stored: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    write_file("s.json", {name: {"paths": [f"{name}0", f"{name}1"], "tokens": [1, 2]} for name in PLAIN})
    flags = ["--budget", "1B", "--tokens_per_row", "5", "--sources", "s.json"]
    assert export_main(["w.json", "--format", "litdata", *flags]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_output_reaches_a_terminal_of_any_encoding(stored: DomainWeights) -> None:
    write_file("u.json", {"weights": {"größe": 0.5, "漢字": 0.5}})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    for module, further in (("export", ["--format", "csv"]), ("compare", ["w.json"])):
        command = [sys.executable, "-m", "chameleon", module, "u.json", *further]
        run = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert run.returncode == 0, run.stderr
    Path("x.csv").write_bytes(b"domain,share_of_tokens\n\xc3\xa4,1\n")
    command = [sys.executable, "-m", "chameleon", "check", "u.json", "--format", "csv", "--file", "x.csv"]
    run = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert run.returncode == 2
    assert b"gives no weight to any of" in run.stderr


def test_a_format_without_comments_has_the_weights_beside_it(stored: DomainWeights) -> None:
    assert export_main(["w.json", "--format", "csv", "--output", "x.csv"]) == 0
    assert DomainWeights.read("x.csv.weights.json").by_name() == stored.by_name()
    with open("x.csv", newline="") as file:  # noqa: PTH123
        assert [row["domain"] for row in csv.DictReader(file)] == list(PLAIN)
    assert export_main(["w.json", "--format", "olmo-core", "--output", "x.yaml"]) == 0
    assert not Path("x.yaml.weights.json").exists()
