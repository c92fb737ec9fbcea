"""Weights from token counts: uniform, natural and temperature."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from method_runs import flags_for, make_corpus, read_weights

from chameleon.methods.command import main
from chameleon.methods.rules import temperature_shares


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("methods"))


def test_temperature_lies_between_natural_and_uniform() -> None:
    counts = np.array([8.0, 4.0, 1.0, 0.0])
    np.testing.assert_allclose(temperature_shares(counts, 1), counts / 13)
    np.testing.assert_allclose(temperature_shares(counts, 2), np.sqrt(counts) / np.sqrt(counts).sum())
    np.testing.assert_allclose(temperature_shares(counts, math.inf), 0.25)


@pytest.mark.parametrize(("method", "power"), [("uniform", 0.0), ("natural", 1.0), ("temperature", 0.5)])
def test_rules_weigh_by_a_power_of_the_tokens(
    method: str, power: float, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags_for(corpus, tmp_path, method)) == 0
    content = read_weights(tmp_path / "w.json")
    counts = {name: facts["corpus_tokens"] for name, facts in content["domains"].items()}
    total = sum(count**power for count in counts.values())
    assert content["weights"] == pytest.approx({name: n**power / total for name, n in counts.items()})
    assert "cost" in capsys.readouterr().out
    (tmp_path / "counts.json").write_text(json.dumps({"tokens": counts}))
    assert (
        main([method, "--token_counts", str(tmp_path / "counts.json"), "--output", str(tmp_path / "c.json")])
        == 0
    )
    assert read_weights(tmp_path / "c.json")["weights"] == pytest.approx(content["weights"])


def test_epochs_are_capped(corpus: Path, tmp_path: Path) -> None:
    assert main(flags_for(corpus, tmp_path, "natural")) == 0
    counts = {
        name: facts["corpus_tokens"] for name, facts in read_weights(tmp_path / "w.json")["domains"].items()
    }
    budget = str(sum(counts.values()))
    assert main(flags_for(corpus, tmp_path, "uniform", "--budget", budget, "--max_epochs", "1.2")) == 0
    content = read_weights(tmp_path / "w.json")
    assert all(facts["epochs"] <= 1.2 + 1e-9 for facts in content["domains"].values())
