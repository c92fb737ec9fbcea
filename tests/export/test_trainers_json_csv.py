"""JSON and CSV: schedules for training, and the order that DoGE reads."""

import json
from pathlib import Path

import numpy as np
import pytest
from export_cases import (
    LONG,
    PLAIN,
    export_text,
    require_ab,
    require_refused,
    sources_of_names,
    weights_file,
    weights_of,
)

from chameleon.export.command import main as export_main
from chameleon.export.formats import FORMATS
from chameleon.export.trainers.json_csv import DOGE_ORDER
from chameleon.training.options import TrainingOptions
from chameleon.training.schedule import schedule_for_run
from chameleon.weights.domain_weights import DomainWeights


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainWeights:
    """Weights in a file w.json in an empty working directory."""
    return weights_file(tmp_path, monkeypatch)


def test_training_takes_a_schedule_that_is_exported(stored: DomainWeights) -> None:
    later = weights_of(PLAIN, 2)
    later.write("later.json")
    flags = ["--format", "chameleon", "--then", "later.json", "--at", "700", "--output", "s.json"]
    assert export_main(["w.json", *flags]) == 0
    options = TrainingOptions(dataset="corpus", weights="s.json")
    first, second = schedule_for_run(options, dict(zip(PLAIN[::-1], (5, 6, 7), strict=True)))
    assert (first.step, second.step, second.over) == (0, 700, 0)
    np.testing.assert_allclose(first.weights, [stored.by_name()[name] for name in PLAIN[::-1]], atol=1e-9)
    np.testing.assert_allclose(second.weights, [later.by_name()[name] for name in PLAIN[::-1]], atol=1e-9)


def test_doge_gets_its_own_order_and_an_entry_for_mix() -> None:
    names = ("wikipedia", "c4", "cc", "book", "arxiv", "stackexchange", "github")
    weights = weights_of(names)
    content = json.loads(export_text(weights, "doge", sources_of_names(names)))
    assert content["train_domains"] == ",".join(DOGE_ORDER)
    numbers = [float(each) for each in content["train_dw"].split(",")]
    assert numbers == pytest.approx([*(weights.by_name()[name] for name in DOGE_ORDER[:-1]), 0.0])
    swapped = ["arxiv", "book", "cc", "c4", "github", "stackexchange", "wikipedia"]
    text = json.dumps({"train_domains": ",".join(swapped), "train_dw": ",".join(map(str, numbers[:-1]))})
    assert "numbers reach other domains" in FORMATS["doge"].read(text).problems[0]


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        ("chameleon", '{"schedule": [{"step": 0, "weights": {"a": 0.3, "b": 0.7}}]}'),
    ],
)  # fmt: skip
def test_json_files_written_by_hand_are_read(format_name: str, text: str) -> None:
    require_ab(format_name, text)


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        ("csv", f"domain,share_of_tokens\na,{LONG}\n"),
        ("doremi", f'{{"train_domain_weights": {{"a": {LONG}}}}}'),
        ("chameleon", '{"schedule": [{"step": true, "weights": {"a": 1}}]}'),
    ],
)
def test_malformed_json_and_csv_files_are_refused(format_name: str, text: str) -> None:
    require_refused(format_name, text)
