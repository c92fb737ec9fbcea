"""Where trainers find domains."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from export_cases import (
    PLAIN,
    export_text,
    read_back,
    weights_file,
    write_file,
)

from chameleon.common.errors import InputError
from chameleon.export.sources import TrainerSource, read_sources
from chameleon.weights.domain_weights import DomainWeights


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainWeights:
    """Weights in a file w.json in an empty working directory."""
    return weights_file(tmp_path, monkeypatch)


def test_a_domain_in_several_files_divides_its_weight_by_their_tokens() -> None:
    weights = DomainWeights(("a", "b"), np.array([0.6, 0.4]), "test")
    sources = {"a": TrainerSource(("a0", "a1"), (100.0, 200.0)), "b": TrainerSource(("b0",))}
    words = export_text(weights, "megatron-file", sources).split()
    assert dict(zip(words[1::2], map(float, words[::2]), strict=True)) == pytest.approx(
        {"a0": 0.2, "a1": 0.4, "b0": 0.4}
    )
    np.testing.assert_allclose(read_back(" ".join(words), "megatron-file", weights, sources), [0.6, 0.4])
    assert yaml.safe_load(export_text(weights, "olmo-core", sources))["sources"][0]["paths"] == ["a0", "a1"]
    with pytest.raises(InputError, match="one path a domain, got a0, a1"):
        export_text(
            weights, "litdata", {name: replace(each, tokens_per_row=1.0) for name, each in sources.items()}
        )


def test_keys_of_sources_reach_the_formats_that_take_them(stored: DomainWeights) -> None:
    def sources(**further: object) -> dict[str, TrainerSource]:
        content = {name: {"paths": f"{name}dir", "tokens_per_row": 8, **further} for name in PLAIN}
        return read_sources(PLAIN, Path(write_file("s.json", content)), None)

    weights = replace(stored, settings={"budget": 1e6})
    streams = yaml.safe_load(export_text(weights, "mosaicml", sources(split="train")))["dataset"]["streams"]
    assert {name: (each["local"], each["split"]) for name, each in streams.items()} == {
        name: (f"{name}dir", "train") for name in PLAIN
    }
    assert (
        "local"
        not in yaml.safe_load(export_text(weights, "mosaicml", sources(remote="s3://x")))["dataset"][
            "streams"
        ]["web"]
    )
    held = json.loads(export_text(weights, "megatron-splits", sources(valid=["va", "vb"])))["valid"]
    assert held[1::2] == ["va", "vb"] * 3
    assert sum(map(float, held[::2])) == pytest.approx(1)
    wrongs: tuple[dict[str, object], ...] = (
        {"valid": 5},
        {"valid": [5]},
        {"split": 5},
        {"local": ["x"]},
        {"name": {}},
        {"remote": ""},
    )
    for wrong in wrongs:
        with pytest.raises(InputError, match=f"{next(iter(wrong))} is .*; expected a text"):
            sources(**wrong)
