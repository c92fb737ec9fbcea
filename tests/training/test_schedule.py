"""From --weights to the weights of the domains over a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chameleon import DomainWeights, InputError
from chameleon.training.options import TrainingOptions
from chameleon.training.schedule import ScheduledWeights, schedule_for_run


def read_schedule(weights: str, rename: dict[str, str] | None = None) -> list[ScheduledWeights]:
    options = TrainingOptions(dataset="my_corpus", weights=weights, rename=rename)
    return schedule_for_run(options, {"law": 600, "code": 300, "cooking": 100})


def written(path: Path, content: Any) -> str:  # noqa: ANN401
    path.write_text(json.dumps(content))
    return str(path)


def test_uniform_and_natural() -> None:
    assert read_schedule("uniform")[0].weights.tolist() == pytest.approx([1 / 3] * 3)
    assert read_schedule("natural")[0].weights.tolist() == [0.6, 0.3, 0.1]


def test_a_weights_file_is_matched_by_name_and_not_by_position(tmp_path: Path) -> None:
    weights = DomainWeights(("cooking", "law", "code"), np.array([0.5, 0.2, 0.3]), method="x")
    weights.write(tmp_path / "w.json")
    (point,) = read_schedule(str(tmp_path / "w.json"))
    assert (point.step, point.over) == (0, 0)
    assert point.weights.tolist() == pytest.approx([0.2, 0.3, 0.5])
    plain = written(tmp_path / "plain.json", {"code": 0.3, "cooking": 0.5, "law": 0.2})
    assert read_schedule(plain)[0].weights.tolist() == pytest.approx([0.2, 0.3, 0.5])


def test_a_renaming_map(tmp_path: Path) -> None:
    path = written(tmp_path / "w.json", {"github": 0.3, "cooking": 0.5, "law": 0.2})
    assert read_schedule(path, {"github": "code"})[0].weights.tolist() == pytest.approx([0.2, 0.3, 0.5])
    with pytest.raises(InputError, match=r"--rename names gitlab, but .* has github, cooking, law"):
        read_schedule(path, {"gitlab": "code"})
    with pytest.raises(InputError, match="two weights are for law"):
        read_schedule(path, {"github": "law"})


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (
            {"law": 0.5, "code": 0.5},
            "weights for law, code, but my_corpus has the domains law, code, cooking",
        ),
        (
            {"law": 0.5, "code": 0.2, "cooking": 0.2, "x": 0.1},
            "weights for law, code, cooking, x, but my_corpus",
        ),
        ({"law": 0.5, "code": 0.2, "cooking": 0.2}, "sum to 1, these sum to 0.9"),
        ({"law": 1.2, "code": -0.1, "cooking": -0.1}, "the weight of law is 1.2; expected a share"),
        ({"law": 0.6, "code": -0.1, "cooking": 0.5}, "the weight of code is -0.1"),
        ([0.5, 0.5], "expected a JSON object"),
        ({"weights": {"law": "a"}}, "from domain names to numbers"),
        ({}, 'expected an object "weights"'),
    ],
)
def test_files_without_weights_of_these_domains_are_errors(
    tmp_path: Path,
    weights: Any,  # noqa: ANN401
    expected: str,
) -> None:
    with pytest.raises(InputError, match=expected):
        read_schedule(written(tmp_path / "w.json", weights))


def test_unreadable_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the weights .*nowhere.*uniform, natural or"):
        read_schedule(str(tmp_path / "nowhere.json"))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json is not a weights file"):
        read_schedule(str(tmp_path / "bad.json"))


def test_a_schedule(tmp_path: Path) -> None:
    written(tmp_path / "late.json", {"law": 0.2, "code": 0.3, "cooking": 0.5})
    schedule = [
        {"step": 0, "weights": "uniform"},
        {"step": 100, "weights": "late.json", "over": 50},
        {"step": 200, "weights": {"law": 1, "code": 0, "cooking": 0}},
    ]
    points = read_schedule(written(tmp_path / "s.json", {"schedule": schedule}))
    assert [(point.step, point.over) for point in points] == [(0, 0), (100, 50), (200, 0)]
    assert points[1].weights.tolist() == pytest.approx([0.2, 0.3, 0.5])
    assert points[2].weights.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ([], "a list of objects"),
        ([{"step": 0}], "entry 1 of the schedule: expected an object with step, weights"),
        ([{"step": 0, "weights": "uniform", "ovr": 1}], "expected an object with step, weights"),
        ([{"step": 5, "weights": "uniform"}], "the first entry must have step 0"),
        ([{"step": 0, "weights": "uniform"}, {"step": -1, "weights": "uniform"}], "whole numbers of steps"),
        (
            [{"step": 0, "weights": "uniform"}, {"step": 5, "over": 9, "weights": "natural"},
             {"step": 10, "weights": "uniform"}],
            "entry 3 of the schedule: step 10 is not after the previous entry, which ends at step 14",
        ),
        ([{"step": 0, "weights": 3}], "expected uniform, natural, a weights file or an object"),
        ([{"step": 0, "weights": {"law": 1}}], "entry 1 of the schedule has weights for law, but"),
    ],
)  # fmt: skip
def test_malformed_schedules_are_errors(tmp_path: Path, schedule: Any, expected: str) -> None:  # noqa: ANN401
    with pytest.raises(InputError, match=expected):
        read_schedule(written(tmp_path / "s.json", {"schedule": schedule}))
