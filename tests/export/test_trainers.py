"""Exports read by trainers' own libraries: what they draw has the requested shares of tokens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from trainer_runs import DRAWN, NAMES, ROW_LENGTHS, SEQUENCE

from chameleon.export import check
from chameleon.export.command import main as export_main
from chameleon.export.draws import draw
from chameleon.weights.domain_weights import DomainWeights

LIBRARIES = ROOT / ".venv" / "trainers"
SHARES = (0.13, 0.42, 0.35, 0.10)


@pytest.mark.parametrize(
    ("library", "format_name", "prefix", "tolerance"),
    [
        ("megatron", "megatron-file", "data_", 0.001),
        ("megatron", "megatron-splits", "data_", 0.001),
        ("nemo", "nemo", "data_", 0.001),
        ("mosaicml", "mosaicml", "mds_", 0.005),
        ("litdata", "litdata", "lit_", 0.04),
        ("huggingface", "huggingface", "hf_", 0.03),
        ("huggingface", "huggingface-json", "hf_", 0.03),
        ("olmo", "olmo-core", "olmo_", 0.002),
        ("torchtitan", "torchtitan", "tt_", 0.03),
    ],
)
def test_a_trainers_own_library_draws_the_requested_shares(
    library: str,
    format_name: str,
    prefix: str,
    tolerance: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if library != "huggingface" and not (LIBRARIES / "ready").exists():
        pytest.fail("the trainers' libraries are missing: make test installs them")
    monkeypatch.chdir(tmp_path)
    weights = DomainWeights(
        NAMES, np.array(SHARES), "test", domains={n: {"corpus_tokens": 20_000} for n in NAMES}
    )
    weights.write("weights.json")
    suffix = {"hf_": ".jsonl", "olmo_": ".npy"}.get(prefix, "")
    sources = {name: f"{prefix}{i}{suffix}" for i, name in enumerate(NAMES)}
    Path("sources.json").write_text(json.dumps(sources))
    Path("lengths.json").write_text(json.dumps(dict(zip(NAMES, ROW_LENGTHS, strict=True))))
    output = Path(
        f"out{'.json' if format_name in ('megatron-splits', 'nemo', 'huggingface-json') else '.txt'}"
    )
    flags = ["--sources", "sources.json", "--tokens_per_row", "lengths.json", "--budget", "64000"]
    assert export_main(["weights.json", "--format", format_name, "--output", str(output), *flags]) == 0
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "export" / "trainer_runs.py"), library, str(output)],
        env={
            **os.environ,
            "PYTHONPATH": str(LIBRARIES),
            "HF_HOME": str(tmp_path / "hub"),
            "PYTHONWARNINGS": "ignore",
        },
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    tokens = json.loads(run.stdout.splitlines()[-1])
    achieved = np.array([tokens[name] for name in NAMES]) / sum(tokens.values())
    np.testing.assert_allclose(achieved, SHARES, atol=tolerance)
    if library in ("megatron", "nemo"):
        sequences = draw(np.array(SHARES), DRAWN, "even")
        assert [tokens[name] // SEQUENCE for name in NAMES] == sequences.tolist()
    if library == "mosaicml":
        rows = np.array([tokens[name] for name in NAMES]) / ROW_LENGTHS
        shares = np.array(SHARES) / ROW_LENGTHS
        assert np.abs(rows - draw(shares, int(rows.sum()), "quota")).max() <= 1
    # check agrees.
    code = check.main(["weights.json", "--format", format_name, "--file", str(output), *flags[:4]])
    assert code == 0


def test_wrong_units_would_be_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The comparison above can fail: shares of tokens written where rows are counted are far off."""
    tokens = np.array(SHARES) * np.array(ROW_LENGTHS)
    assert np.abs(tokens / tokens.sum() - SHARES).max() > 0.05
