"""Weights, sources and files that the tests of exports share."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from chameleon.common.errors import InputError
from chameleon.export.checked_file import shares_in_file
from chameleon.export.formats import FORMATS
from chameleon.export.mixture import Stage
from chameleon.export.sources import TrainerSource
from chameleon.export.write import render_export
from chameleon.weights.domain_weights import DomainWeights

PLAIN = ("web", "books_2", "code.v1")
LONG = "9" * 400


def weights_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> DomainWeights:
    """Write w.json in a directory and go there."""
    monkeypatch.chdir(directory)
    counts = {"web": 6e9, "books_2": 1e9, "code.v1": 3e9}
    weights = DomainWeights(
        PLAIN,
        np.array([0.2, 0.5, 0.3]),
        "chameleon",
        mode="pretrain",
        domains={name: {"corpus_tokens": count} for name, count in counts.items()},
        provenance={"dataset": {"name": "corpus"}, "proxy": {"tokenizer_digest": "abc"}},
    )
    weights.write("w.json")
    return weights


def weights_of(names: tuple[str, ...], seed: int = 0, zero: bool = False) -> DomainWeights:
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(names)))
    if zero:
        shares[0] = 0
        shares /= shares.sum()
    return DomainWeights(names, shares, "test", settings={"budget": 1e9})


def sources_of_names(names: tuple[str, ...], seed: int = 1) -> dict[str, TrainerSource]:
    lengths = np.random.default_rng(seed).uniform(50, 5000, len(names))
    return {name: TrainerSource((name,), (), float(n)) for name, n in zip(names, lengths, strict=True)}


def export_text(
    weights: DomainWeights,
    format_name: str,
    sources: Mapping[str, TrainerSource],
    later: Sequence[Stage] = (),
) -> str:
    return render_export([Stage(0, weights), *later], FORMATS[format_name], sources)


def read_back(
    text: str, format_name: str, weights: DomainWeights, sources: dict[str, TrainerSource]
) -> np.ndarray:
    """The shares of tokens that a file means."""
    spec = FORMATS[format_name]
    read = shares_in_file(spec.read(text).numbers, spec, weights.names, weights.weights, sources)
    assert read.problems == ()
    return read.shares


def write_file(path: str, content: object) -> str:
    Path(path).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def require_ab(format_name: str, text: str) -> None:
    """The file gives 0.3 to a and 0.7 to b, and nothing is wrong with it."""
    parsed = FORMATS[format_name].read(text)
    assert parsed.numbers == {"a": 0.3, "b": 0.7}
    assert parsed.problems == ()


def require_refused(format_name: str, text: str) -> None:
    with pytest.raises(InputError):
        FORMATS[format_name].read(text)
