"""Weights of several files side by side."""

import json
from pathlib import Path

import numpy as np
import pytest

from chameleon.report.compare import main as compare_main
from chameleon.report.side_by_side import aligned, distance, labels_of
from chameleon.weights.domain_weights import DomainWeights

FILES = {
    "a": {"weights": {"web": 0.5, "books": 0.3, "code": 0.2}, "method": "chameleon", "mode": "pretrain"},
    "b": {"weights": {"code": 0.4, "web": 0.5, "books": 0.1}, "method": "regmix"},
    "c": {"weights": {"web": 0.9, "law": 0.1}, "method": "regmix"},
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        Path(f"{name}.json").write_text(json.dumps(content))
    return [f"{name}.json" for name in FILES]


def test_files_stand_side_by_side_by_name(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_main(files) == 0
    table = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line}
    assert rows["domain"] == ["a", "b", "c"]  # two are of one method, so files' names tell them apart
    assert rows["web"] == ["0.5000", "0.5000", "0.9000"]
    assert rows["books"] == ["0.3000", "0.1000", "-"]
    assert rows["law"] == ["-", "-", "0.1000"]
    pairs = {tuple(line.split()[:2]): line.split()[2:] for line in table.splitlines()[-3:]}
    assert pairs["a", "b"][0] == "0.2000"
    assert {*" ".join(pairs["a", "b"][1:]).split(", ")} == {"books -0.2000", "code +0.2000"}
    assert pairs["a", "c"][0] == "0.5000"
    assert compare_main(files[:2]) == 0
    assert "chameleon pretrain" in capsys.readouterr().out


def test_the_distance_is_of_mixtures() -> None:
    weights = [DomainWeights.from_dict(content) for content in FILES.values()]
    names, table, is_known = aligned(weights)
    assert names == ["web", "books", "code", "law"]
    assert is_known.tolist() == [
        [True, True, True],
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]
    for i in range(3):
        assert distance(table[:, i], table[:, i]) == 0
        for j in range(3):
            overlap = np.minimum(table[:, i], table[:, j]).sum()
            assert distance(table[:, i], table[:, j]) == pytest.approx(1 - overlap)


def test_labels_tell_files_apart() -> None:
    one = DomainWeights(("a", "b"), np.array([0.5, 0.5]), "m")
    assert labels_of([Path("x/w.json"), Path("y/w.json")], [one, one]) == ["x/w.json", "y/w.json"]
    assert labels_of([Path("w.json"), Path("w.json")], [one, one]) == ["w.json (1)", "w.json (2)"]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_picture(files: list[str], suffix: str) -> None:
    Path("d.json").write_text(json.dumps({"weights": {"$x$": 0.5, "größe": 0.5}}))
    assert compare_main([*files, "d.json", "--picture", f"p{suffix}"]) == 0
    content = Path(f"p{suffix}").read_bytes()
    assert content.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.json"], "at least two"),
        (["a.json", "none.json"], "cannot read the weights file none.json"),
        (
            ["a.json", "b.json", "--picture", "p.xyz"],
            "name to end in .png, .svg or .pdf",
        ),
        (["a.json", "b.json", "--picture", "p"], "name to end in .png, .svg or .pdf"),
        (["a.json", "b.json", "--picture", "d.png"], "it is a directory"),
    ],
)
def test_what_cannot_be_compared(
    files: list[str], arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("d.png").mkdir()
    assert compare_main(arguments) == 2
    assert expected in capsys.readouterr().err
