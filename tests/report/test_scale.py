"""What people see and use of weights of thousands of domains: tables, pages, files and trainers' formats."""

import json
import re
import time
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from chameleon.common.errors import InputError
from chameleon.common.tables import (
    describe_spread,
    format_share,
    heaviest_first,
    most_changed_rows,
    two_digits,
)
from chameleon.confidence.pca import Plane
from chameleon.export import check
from chameleon.export.budget import Limits, apply_limits
from chameleon.export.command import main as export_main
from chameleon.export.draws import draw
from chameleon.export.formats import FORMATS
from chameleon.export.mixture import Stage
from chameleon.export.serialization import parse_yaml, yaml_text
from chameleon.export.sources import TrainerSource
from chameleon.export.tables import render_limits
from chameleon.export.write import render_export
from chameleon.report.compare import main as compare_main
from chameleon.report.content import PlottedDomains, Report
from chameleon.report.page import render_report
from chameleon.report.terminal import render_change, render_table
from chameleon.weights.domain_weights import DomainWeights

# Megatron-LM numbers datasets in 16 bits.
IN_16_BITS = ("megatron", "megatron-file", "megatron-splits", "nemo")


@cache
def many(k: int, seed: int = 0) -> DomainWeights:
    """Weights of domains of twenty sources, with all that a run says of them."""
    shares = np.random.default_rng(seed).dirichlet(np.full(k, 0.5))
    names = tuple(f"source_{i % 20}/cluster_{i:06d}" for i in range(k))
    facts = {
        name: {
            "score": 0.5,
            "windows": 16,
            "tokens": 8192,
            "corpus_tokens": 1_000_000 + i,
            "standard_error": 0.1 * share,
            "interval": [0.8 * share, 1.2 * share],
        }
        for i, (name, share) in enumerate(zip(names, shares.tolist(), strict=True))
    }
    order = [names[i] for i in np.argsort(-shares, kind="stable")]
    sums = {f"source_{i}": float(shares[i::20].sum()) for i in range(20)}
    return DomainWeights(
        names,
        shares,
        "chameleon",
        "pretrain",
        domains=facts,
        diagnostics={
            "effective_dimension": 0.4 * k,
            "largest_standard_error": 0.004,
            "enough_windows": True,
            "order": [{"above": a, "below": b, "probability": 0.6} for a, b in pairwise(order)],
            "sources": {name: {"weight": share, "domains": k // 20} for name, share in sums.items()},
            "approximation": {
                "approximate": True,
                "features": 2048,
                "effective_dimension": 51.2,
                "checked_on": 4000,
                "median_relative_error": 0.0123,
                "relative_error_95": 0.04,
                "rank_correlation": 0.9987,
            },
        },
        settings={
            "dataset": "clusters", "kernel": "rbf", "rbf_sigma": 1.0, "rbf_sigma_from": "median distance",
            "lambda_reg": 0.5 / k, "ridge": 0.5, "temperature_used": 5.0, "recipe": "default",
        },
    )  # fmt: skip


@pytest.mark.parametrize("k", [46, 2000, 20_000])
def test_a_table_has_the_heaviest_and_the_lightest_and_sums_up_the_rest(k: int) -> None:
    weights = many(k)
    lines = render_table(weights, "w.json").splitlines()
    rows = [line for line in lines if " x" in line and line.startswith("source_")]
    assert len(rows) == 30
    order = heaviest_first(weights.names, weights.weights)
    assert [row.split()[0] for row in rows] == [weights.names[i] for i in (*order[:20], *order[-10:])]
    (gap,) = [line for line in lines if line.startswith("... ") and "between" in line]
    assert gap.startswith(f"... {k - 30:,} more between ")
    middle = float(weights.weights[order[20:-10]].sum())
    assert float(gap.split()[-3]) == pytest.approx(middle, rel=0.06)
    # No weight is shown as nothing.
    shown = [float(row.split()[4]) for row in rows]
    np.testing.assert_allclose(shown, weights.weights[[*order[:20], *order[-10:]]], rtol=0.06)
    text = "\n".join(lines)
    assert f"most {two_digits(k * float(weights.weights.max()))}" in text
    assert "scores               approximate: 2,048 features; of 4,000 domains half are within 1.23%" in text
    assert re.search(rf"ranking              uncertain: .* and {k - 4:,} more$", text, re.MULTILINE)
    assert text.count(" of ") > 20
    assert "by source" in text


def test_the_summary_of_a_table_is_so() -> None:
    weights = np.array([0.5, *[0.5 / 199] * 199])
    quantiles, heaviest = describe_spread(weights)
    assert quantiles == ("times uniform", "least 0.50, 5 % 0.50, median 0.50, 95 % 0.50, most 100")
    assert heaviest == (
        "heaviest",
        "1 % of the domains have 0.50 of all, 10 % of the domains have 0.55 of all",
    )
    assert format_share(1.234e-9, 6) == "1.2e-09"
    assert format_share(1.234e-9, 4) == "0.0000"
    assert format_share(0.0, 6) == "0.000000"
    for value, shown in (
        (0.00123, "0.0012"),
        (12.3, "12"),
        (123456.0, "1.2e+05"),
        (3e-9, "3e-09"),
        (0.0, "0"),
    ):
        assert two_digits(value) == shown


def test_up_to_45_domains_all_have_a_row() -> None:
    weights = many(45)
    lines = render_table(weights, "w.json").splitlines()
    assert len([line for line in lines if line.endswith(" x")]) == 45
    assert not any(line.startswith(("... ", "times uniform")) for line in lines)


def test_a_change_shows_what_moved_most() -> None:
    before, after = many(2000), many(2000, 1)
    lines = render_change(after, before, [("with x", dict.fromkeys(after.names, 1e-4))]).splitlines()
    assert len(lines) == 32
    moves = np.abs(after.weights - before.weights)
    assert {line.split()[0] for line in lines[1:31]} == {after.names[i] for i in np.argsort(-moves)[:30]}
    assert lines[-1].startswith("... 1,970 more that moved less, none by over 0.00")
    assert most_changed_rows(np.arange(45.0)) == list(range(45))


def test_comparing_shows_what_differs_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(tmp_path / f"{seed}.json") for seed in range(2)]
    for seed, path in enumerate(paths):
        many(2000, seed).write(path)
    assert compare_main(paths) == 0
    table = capsys.readouterr().out
    assert table.count("source_") <= 30 + 5
    assert "... 1,970 more that differ less, none by over" in table
    distance = np.abs(many(2000).weights - many(2000, 1).weights).sum() / 2
    assert f"{distance:.4f}" in table


@pytest.mark.parametrize("k", [1000, 1001, 20_000])
def test_a_file_comes_back_whatever_its_layout(k: int, tmp_path: Path) -> None:
    weights = many(k)
    weights.write(tmp_path / "w.json")
    text = (tmp_path / "w.json").read_text()
    assert re.sub('"date".*', "", text) == re.sub('"date".*', "", weights.to_json())
    assert json.loads(text).keys() == weights.to_dict().keys()
    back = DomainWeights.read(tmp_path / "w.json")
    assert back.names == weights.names
    assert (back.weights == weights.weights).all()
    for part in ("domains", "diagnostics", "settings", "notices", "method", "mode"):
        assert getattr(back, part) == getattr(weights, part)
    if k > 1000:  # a line a domain
        assert f'\n    "{weights.names[7]}": {{"score": 0.5, ' in text
        repeated = text.replace(f'"{weights.names[7]}": 0', f'"{weights.names[8]}": 0', 1)
        (tmp_path / "w.json").write_text(repeated)
        with pytest.raises(InputError, match="stands twice in one object"):
            DomainWeights.read(tmp_path / "w.json")


@pytest.mark.parametrize("format_name", FORMATS)
def test_trainers_files_take_seconds(
    format_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = many(2000)
    weights.write("w.json")
    row = FORMATS[format_name]
    flags = ["w.json", "--format", format_name]
    flags += ["--tokens_per_row", "500"] if row.counts == "rows" else []
    flags += ["--budget", "1B"] if row.needs_budget else []
    begin = time.process_time()
    assert export_main([*flags, "--output", "out"]) == 0
    code = check.main([*flags, "--file", "out", "--draws", "5000"])
    assert time.process_time() - begin < 20  # about one; a minute where work grows by the square
    table, _ = capsys.readouterr()
    # Levanter draws none of less than 1/2048, and the caps that a budget asks for are not given.
    assert code == (1 if format_name in ("levanter", "mosaicml") else 0)
    assert "... 1,970 more between" in table
    assert len(table.splitlines()) < 70


@pytest.mark.parametrize("format_name", IN_16_BITS)
def test_what_a_trainer_cannot_take_is_refused_by_name(format_name: str) -> None:
    k = 32_767
    weights = DomainWeights(tuple(f"d{i}" for i in range(k)), np.full(k, 1 / k), "m")
    sources = {name: TrainerSource((name,)) for name in weights.names}
    with pytest.raises(InputError, match="16 bits, up to 32,766; here are 32,767"):
        render_export([Stage(0, weights)], FORMATS[format_name], sources)


def test_a_command_line_holds_2_mib() -> None:
    k = 30_000
    weights = DomainWeights(
        tuple(f"/data/some/where/of/many/clusters/cluster_{i:06d}" for i in range(k)), np.full(k, 1 / k), "m"
    )
    sources = {name: TrainerSource((name,)) for name in weights.names}
    with pytest.raises(InputError, match=r"2 MiB, and 30,000 weights and prefixes.*megatron-file"):
        render_export([Stage(0, weights)], FORMATS["megatron"], sources)
    assert render_export([Stage(0, weights)], FORMATS["megatron-file"], sources).count("cluster_") == k


def test_limits_of_many_domains_are_met_and_told_in_few_rows() -> None:
    weights = many(20_000)
    counts = dict.fromkeys(weights.names, 1e6)
    found = apply_limits(weights, Limits(budget=1e10, counts=counts, max_epochs={"": 4.0}, min_weight=1e-6))
    assert found.weights.sum() == pytest.approx(1)
    assert found.weights.max() <= 4e-4 * (1 + 1e-9)
    assert found.weights.min() >= 1e-6 * (1 - 1e-9)
    lines = render_limits(found).splitlines()
    assert len(lines) == 32
    assert lines[-1] == "... 19,970 more that moved less"
    assert (
        render_limits(apply_limits(weights, Limits(budget=1e10, counts=counts)))
        .splitlines()[-1]
        .endswith("often")
    )


@pytest.mark.parametrize("seed", range(3))
def test_draws_are_those_of_the_domain_that_is_furthest_behind(seed: int) -> None:
    shares = np.random.default_rng(seed).dirichlet(np.ones(50))
    counts = np.zeros(50, dtype=np.int64)
    for row in range(700):
        counts[int(np.argmax(shares * max(row, 1.0) - counts))] += 1
    assert (draw(shares, 700, "even") == counts).all()


NAMES = (
    "plain",
    "größe",
    "漢字",
    "a: b",
    "- z",
    "~",
    "1e5",
    "true",
    'say "hi"',
    "it's",
    "#x",
    "{q}",
    "a  b",
    "!t",
)


def test_yaml_by_either_library_is_the_same() -> None:
    content = {"weights": {name: 0.1 + i for i, name in enumerate(NAMES)}, "list": [*NAMES, 3, True, None]}
    assert yaml_text(content) == yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1 << 30)
    for extra in ("\x85", "\u2028", "🦎", "\n"):
        assert parse_yaml(yaml_text({**content, "extra": extra})) == {**content, "extra": extra}
    long = {f"{name} {i}": i / 7 for i in range(1500) for name in NAMES}
    text = yaml_text(long)
    assert parse_yaml(text) == long
    with pytest.raises(InputError, match="names plain 7 twice"):
        parse_yaml(f"{text}plain 7: 3\n")


def report_of(k: int) -> Report:
    weights, generator = many(k), np.random.default_rng(0)
    shown = sorted(heaviest_first(weights.names, weights.weights)[:250] + list(range(250)))
    shown = list(dict.fromkeys(shown))
    means = generator.normal(size=(len(shown), 4))
    squared = np.square(means[:, None] - means).sum(axis=2)
    affinity = np.exp(-squared / np.median(squared))
    plane = Plane.of(affinity)
    words = f"{len(shown)} of {k:,} domains: the 250 heaviest and others at random."
    return Report(
        weights,
        affinity,
        plane.places,
        plane.explained,
        np.zeros((len(shown), 2, 2)),
        examples={name: ["a window " * 20] for name in weights.names},
        only=PlottedDomains([weights.names[i] for i in shown], weights.weights[shown], words),
        before=many(k, 1),
    )


def test_a_page_of_many_domains_is_small_and_says_where_the_rest_is() -> None:
    report = report_of(20_000)
    begin = time.process_time()
    page = render_report(report)
    assert time.process_time() - begin < 20
    assert len(page) < 3_000_000
    assert page.count("of 20,000 domains: the 250 heaviest and others at random.") == 3  # no paths here
    assert "the 500 heaviest and the 100 lightest of 20,000 domains; the weights file has all." in page
    assert "Weights of all 20 sources" in page
    body = re.search(r"<caption>Weights of the 500.*?<tbody>(.*?)</tbody>", page, re.DOTALL)
    assert body is not None
    assert body[1].count("<tr>") == 600
    assert page.count("<details>") == 50
    assert "approximate, half within 1.2" in page


def test_pictures_must_fit_what_is_pictured() -> None:
    report = report_of(2000)
    with pytest.raises(InputError, match="domains need affinity of shape"):
        replace(report, only=None)


def test_names_of_limits_are_looked_up_and_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--max_epochs names nowhere"):
        apply_limits(
            many(2000),
            Limits(budget=1e9, counts=dict.fromkeys(many(2000).names, 1.0), max_epochs={"nowhere": 1}),
        )
