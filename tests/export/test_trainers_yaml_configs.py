"""YAML: files as users of each trainer write them, and what the trainers cannot take."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from export_cases import (
    LONG,
    PLAIN,
    export_text,
    read_back,
    require_ab,
    require_refused,
    weights_file,
    weights_of,
)

from chameleon.export.command import main as export_main
from chameleon.export.draws import draw
from chameleon.export.sources import TrainerSource
from chameleon.weights.domain_weights import DomainWeights


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainWeights:
    """Weights in a file w.json in an empty working directory."""
    return weights_file(tmp_path, monkeypatch)


def test_regmix_takes_names_with_and_without_its_prefix() -> None:
    weights = weights_of(PLAIN)
    sources = {
        "web": TrainerSource(("train_web",)),
        "books_2": TrainerSource(("b",)),
        "code.v1": TrainerSource(("train_c",)),
    }
    text = export_text(weights, "regmix", sources)
    assert list(yaml.safe_load(text)["train"]) == ["train_web", "train_b", "train_c"]
    np.testing.assert_allclose(read_back(text, "regmix", weights, sources), weights.weights, atol=1e-9)


def test_a_share_that_levanter_never_draws_is_reported(
    stored: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    DomainWeights(PLAIN, np.array([0.2, 0.7996, 0.0004]), "test").write("small.json")
    assert export_main(["small.json", "--format", "levanter"]) == 0
    assert "will never draw code.v1" in capsys.readouterr().err
    # By hand: of 2048 the floors are 409, 1637 and 0; the rest goes to the largest.
    assert draw(np.array([0.2, 0.7996, 0.0004]), 2048, "blocks").tolist() == [409, 1639, 0]


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        (
            "mosaicml",
            "model: {x: 1}\ntrain_loader:\n  name: text\n  dataset:\n    epoch_size: 10\n    streams:\n"
            "      a: &d {local: x, proportion: 0.3}\n      b: {<<: *d, proportion: 0.7}\n"),
        ("llamafactory", "dataset: a, b\ninterleave_probs: [0.3, 0.7]\nmix_strategy: interleave_over"),
    ],
)  # fmt: skip
def test_yaml_files_written_by_hand_are_read(format_name: str, text: str) -> None:
    require_ab(format_name, text)


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        ("levanter", f"train_weights: {{a: {LONG}}}"),
        ("levanter", "data: 2001-99-99"),
        ("levanter", "data: !!int foo"),
        ("levanter", "data: !!timestamp foo"),
        ("levanter", "data: !!map abc"),
        ("levanter", f"data: {'9' * 5000}"),
        ("levanter", "train_weights: [[true, {a: 1}]]"),
        ("levanter", "train_weights: [[-3, {a: 1}]]"),
        ("mosaicml", "streams: {a: {local: x, proportion: 1}}\nepoch_size: -5"),
    ],
)
def test_malformed_yaml_files_are_refused(format_name: str, text: str) -> None:
    require_refused(format_name, text)
