"""The table, and embeddings on disk, with odd names."""

from pathlib import Path

import numpy as np

from chameleon import DomainWeights
from chameleon.store import DomainEmbeddings, file_name, read_embeddings, write_embeddings
from chameleon.table import render_table

ODD_NAMES = ("with space", "日本語", 'quo"te', "slash/../x", "a: b", "emoji 🦎", "")


def odd_weights() -> DomainWeights:
    shares = np.arange(1.0, 8) / 28
    facts = {name: {"score": 0.1 * i, "windows": 3} for i, name in enumerate(ODD_NAMES, 1)}
    return DomainWeights(
        ODD_NAMES,
        shares,
        "chameleon",
        "pretrain",
        domains=facts,
        diagnostics={"effective_dimension": 2.8},
        settings={
            "kernel": "linear", "lambda_reg": 10.0, "ridge": 70.0, "temperature_used": 5.0,
            "recipe": "released",
        },
        notices=("a notice",),
    )  # fmt: skip


def test_the_table_has_a_line_for_each_domain_whatever_its_name() -> None:
    weights = odd_weights()
    for unicode in (True, False):
        lines = render_table(weights, "w.json", unicode=unicode).splitlines()
        rows = lines[3:10]
        assert [float(row.split()[-2]) for row in rows] == [
            round(w * 7, 2) for w in sorted(weights.weights)[::-1]
        ]
        assert "w.json" in lines[-1]
    assert render_table(weights, "x", unicode=False).replace("日本語", "").replace("🦎", "").isascii()
    hostile = DomainWeights(("a\nb\x1b[2J", "c"), np.array([0.5, 0.5]), "m", domains={
        "a\nb\x1b[2J": {"score": 0.5}, "c": {"score": 0.5}}, settings=weights.settings,
        diagnostics=weights.diagnostics)  # fmt: skip
    assert "\x1b" not in render_table(hostile, "x")
    assert len(render_table(hostile, "x").splitlines()) == 10


def test_stored_embeddings_read_back_and_odd_names_are_safe_and_distinct(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stored = DomainEmbeddings(
        rng.normal(size=(5, 3)).astype(np.float32),
        np.arange(5),
        np.arange(5) // 2,
        np.full(5, 7),
        available=9,
    )
    names = [file_name(name, {"seed": 0}) for name in (*ODD_NAMES, "slash_.._x", "a_b")]
    assert len(set(names)) == len(names)
    assert file_name("a", {"seed": 0}) != file_name("a", {"seed": 1})
    for name in names:
        assert "/" not in name
        write_embeddings(tmp_path / name, "d", {"seed": 0}, stored)
        again = read_embeddings(tmp_path / name)
        np.testing.assert_array_equal(again.embeddings, stored.embeddings)
        np.testing.assert_array_equal(again.documents, stored.documents)
        assert again.available == 9
