"""The table of weights, with odd names."""

import numpy as np

from chameleon import DomainWeights
from chameleon.report.terminal import render_change, render_table

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
    assert len(render_table(hostile, "x").splitlines()) == 11


def test_how_sure_weights_are_stands_under_its_title() -> None:
    names = ("a", "b", "c")
    weights = DomainWeights(
        names,
        np.array([0.5, 0.3, 0.2]),
        "chameleon",
        "pretrain",
        domains={
            name: {"score": 0.5, "windows": 7, "standard_error": 0.0123, "tokens": 70} for name in names
        },
        diagnostics={
            "effective_dimension": 1.5,
            "largest_standard_error": 0.0123,
            "enough_windows": False,
            "order": [
                {"above": "a", "below": "b", "probability": 0.99},
                {"above": "a", "below": "c", "probability": 0.5},  # no neighbours
                {"above": "b", "below": "c", "probability": 0.6},
            ],
        },
        settings={**odd_weights().settings, "target_se": 0.005},
    )
    lines = render_table(weights, "w.json").splitlines()
    end = lines[2].index("+- s.e.") + len("+- s.e.")
    assert [line[end - 6 : end] for line in lines[3:6]] == ["0.0123"] * 3
    assert "windows embedded     21 (210 tokens), 7 to 7 per domain" in lines
    assert "standard errors      up to 0.012, above the target of 0.005" in lines
    assert "ranking              uncertain: b > c (60 %); other neighbours certain" in lines


def test_a_change_has_a_column_for_each_that_came_or_went() -> None:
    before = DomainWeights(("a", "gone"), np.array([0.25, 0.75]), "m")
    after = DomainWeights(("a", "came"), np.array([0.4, 0.6]), "m")
    moved = [("came added", {"a": -0.1}), ("gone removed", {"a": 0.25, "came": 0.05})]
    lines = [line.split() for line in render_change(after, before, moved).splitlines()]
    assert lines[0] == ["domain", "before", "after", "moved", "came", "added", "gone", "removed"]
    assert lines[1:] == [
        ["came", "-", "0.6000", "new", "-", "+0.0500"],
        ["a", "0.2500", "0.4000", "+0.1500", "-0.1000", "+0.2500"],
        ["gone", "0.7500", "-", "removed", "-", "-"],
    ]
