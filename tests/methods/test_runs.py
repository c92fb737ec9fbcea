"""Tables of runs: reading, writing and refusing them."""

import re
from pathlib import Path

import numpy as np
import pytest

from chameleon.methods.command import main
from chameleon.methods.runs import read_runs, write_runs


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_tables_are_matched_by_name(tmp_path: Path) -> None:
    mixtures = write(tmp_path / "m.csv", "run,train_law,train_code\na,0.25,0.75\nb,0.5,0.505\nc,1,0\n")
    losses = write(tmp_path / "l.csv", "\ufeffid,metric/code_val_loss\nc,nan\nb,2.5\na,3\n")
    runs = read_runs(mixtures, losses)
    assert (runs.names, runs.loss_names, runs.ids, runs.diverged) == (
        ("law", "code"), ("code",), ("a", "b"), ("c",),
    )  # fmt: skip
    np.testing.assert_allclose(runs.mixtures, [[0.25, 0.75], [0.5 / 1.005, 0.505 / 1.005]])
    np.testing.assert_array_equal(runs.losses, [[3.0], [2.5]])
    write_runs(runs, tmp_path / "m2.csv", tmp_path / "l2.csv")
    again = read_runs(tmp_path / "m2.csv", tmp_path / "l2.csv")
    np.testing.assert_allclose(again.mixtures, runs.mixtures, rtol=1e-15)
    np.testing.assert_array_equal(again.losses, runs.losses)


@pytest.mark.parametrize(
    ("mixtures", "losses", "expected"),
    [
        ("run,a,b\n1,.5,.5\n2,1,0\n", "run,a\n1,2\n", r"l.csv lacks 1 of the runs of .*m.csv \(2\)"),
        ("run,a,b\n1,.5,.5\n", "run,a\n1,2\n9,2\n", r"m.csv lacks 1 of the runs of .*l.csv \(9\)"),
        ("run,a,b\n1,.5,.5\n", "run,a\n1,\n", r"run 1, a: the number is missing; fill the gap"),
        ("run,a,b\n1,.5,.5\n", "run,a\n1,x\n", r"run 1, a: expected a number, got 'x'"),
        ("run,a,b\n1,.5,.2\n", "run,a\n1,2\n", r"the shares of run 1 sum to 0.7"),
        (
            "run,a,b\n1,1.5,-.5\n",
            "run,a\n1,2\n",
            r"the shares of run 1 sum to 1; expected shares from 0 to 1",
        ),
        ("run,a,b\n1,.5,.5\n1,1,0\n", "run,a\n1,2\n", r"run 1 is listed twice"),
        ("run,a,a\n1,.5,.5\n", "run,a\n1,2\n", r"two columns for one domain"),
        ("run,a,b\n1,.5\n", "run,a\n1,2\n", r"line 2: expected 3 cells, got 2"),
        ("run,a,b\n", "run,a\n1,2\n", r"expected a line of column names"),
        ("run,a,b\n1,.5,.5\n", "run,a\n1,-2\n", r"run 1 has a loss that is not above 0"),
        ("run,a,b\n1,.5,.5\n", "run,a\n1,2\n", r"gp needs 5 runs for 2 domains, got 1"),
        (None, "run,a\n1,2\n", r"cannot read .*m.csv \(--runs\)"),
    ],
)
def test_unusable_tables_are_refused(
    mixtures: str | None, losses: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if mixtures is not None:
        write(tmp_path / "m.csv", mixtures)
    write(tmp_path / "l.csv", losses)
    tables = ["--runs", str(tmp_path / "m.csv"), "--losses", str(tmp_path / "l.csv")]
    assert main(["regmix", *tables, "--output", str(tmp_path / "w.json")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert re.search(expected, errors[0]), errors[0]
    assert not (tmp_path / "w.json").exists()
