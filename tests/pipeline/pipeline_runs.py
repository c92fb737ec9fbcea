"""The command in this process, and the windows that it has had embedded."""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import ROOT, make_texts, write_jsonl

import compute_chameleon_weights
from chameleon.proxy.model import Proxy

SCHEMA = json.loads((ROOT / "docs" / "weights.schema.json").read_text())


class Runs:
    """The command in this process, and the windows that it has had embedded."""

    def __init__(self, corpus: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.flags = ["--dataset", str(corpus), "--checkpoint_path", str(checkpoint), "--sample_length", "32"]
        self.flags += ["--device", "cpu", "--dtype", "float32"]
        self.capsys = capsys
        self.windows = 0
        self.table = ""
        self.stderr = ""

    def __call__(self, *flags: str, code: int = 0, skip: bool = False) -> dict[str, Any]:
        """The weights file of a run, or nothing where it ends with another code."""
        source = ["--skip_embedding_generation"] if skip else self.flags
        assert compute_chameleon_weights.main([*source, "--output", "w.json", *flags]) == code
        self.table, self.stderr = self.capsys.readouterr()
        if code:
            return {}
        content: dict[str, Any] = json.loads(Path("w.json").read_text())
        jsonschema.validate(content, SCHEMA)
        return content


@pytest.fixture(name="runs")
def runs_of_the_command(
    corpus_directory: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Runs:
    """The command in an empty directory, on a corpus of three domains."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(corpus_directory, tmp_path / "corpus")
    runs = Runs(tmp_path / "corpus", checkpoint, capsys)
    embed = Proxy.embed

    def counted(proxy: Proxy, tokens: Any, lengths: Any) -> Any:  # noqa: ANN401
        runs.windows += len(tokens)
        return embed(proxy, tokens, lengths)

    monkeypatch.setattr(Proxy, "embed", counted)
    write_jsonl(tmp_path / "poems.jsonl", make_texts("rose moon sea the of night and love star", 7))
    return runs
