"""The table of weights, with odd names."""

import numpy as np

from chameleon import DomainWeights
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
