"""RegMix from the command line: weights from tables of runs, and what it refuses."""

import json
from pathlib import Path

import pytest
from conftest import ROOT
from method_runs import make_corpus, regmix_flags

from chameleon.methods.command import main

DATA = ROOT / "tests" / "data"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("methods"))


def test_weights_from_tables_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = [
        "--runs", str(DATA / "regmix_train_mixtures.csv"), "--losses", str(DATA / "regmix_train_losses.csv"),
    ]  # fmt: skip
    output = tmp_path / "w.json"
    flags = ["--regressor", "gp", "--num_simulated", "5000", "--target_domains", "the_pile_pile_cc"]
    assert main(["regmix", *tables, *flags, "--output", str(output)]) == 0
    content = json.loads(output.read_text())
    assert content["method"] == "regmix"
    assert max(content["weights"], key=content["weights"].__getitem__) == "the_pile_pile_cc"
    assert content["diagnostics"]["rank_correlation"] > 0.9
    low, high = content["diagnostics"]["rank_correlation_interval"]
    assert low < content["diagnostics"]["rank_correlation"] < high
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr()
    assert "rank correlation" in printed.out
    assert "60 runs" not in printed.err  # enough for 17 domains
    assert main(["regmix", *tables, "--target_domains", "law", "--output", str(output)]) == 2
    assert "no losses on law (--target_domains)" in capsys.readouterr().err
    assert main(["regmix", tables[0], tables[1]]) == 2
    assert "--runs and --losses go together" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--target_domains", "poetry"), "no domain poetry (--target_domains); the corpus has"),
        (("--num_runs", "4"), "the regression loglinear needs 6 runs for 3 domains, got 4"),
        (("--max_epochs", "1"), "--max_epochs needs --budget"),
        (("--budget", "1B", "--max_epochs", "2"), "the budget of 1B tokens is over what the domains give"),
        (("--num_workers", "2"), "--num_workers 2 is for --engine processes or ray"),
    ],
)
def test_unusable_options_of_regmix_are_refused(
    flags: tuple[str, ...], expected: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(regmix_flags(corpus, tmp_path, *flags)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]
