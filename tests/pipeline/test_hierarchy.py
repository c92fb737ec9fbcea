"""Domains named source/topic: sums of sources, and weights across sources times within, by the command."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from conftest import ROOT, WORDS, make_texts, write_jsonl

import compute_chameleon_weights
from chameleon.confidence.stopping import FIRST_WINDOWS
from chameleon.export.command import main as export_main
from chameleon.pipeline.describe import source_facts
from chameleon.pipeline.nested import sources_in
from chameleon.weights.domain_weights import DomainWeights

SCHEMA = json.loads((ROOT / "docs" / "weights.schema.json").read_text())
TOPICS = {
    "web/law": f"{WORDS['law']} page link click",
    "web/cooking": f"{WORDS['cooking']} page link click",
    "web/poems": "rose moon sea the of night and love star page link click",
    "code/python": WORDS["code"],
    "code/c": "int void char ( ) ; { } return if for while struct",
    "books": "chapter said he she the and of night door house was",
}
Run = Callable[..., dict[str, Any]]


def write_manifest(directory: Path, topics: dict[str, str], documents: int = 30) -> Path:
    """A corpus whose domains have the names of topics."""
    entries = []
    for number, (name, words) in enumerate(topics.items()):
        write_jsonl(directory / f"{number}.jsonl", make_texts(words, number, documents + 10 * number))
        entries.append({"name": name, "sources": [f"{number}.jsonl"]})
    (directory / "corpus.json").write_text(json.dumps({"domains": entries}))
    return directory / "corpus.json"


@pytest.fixture(scope="module")
def embedded(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the embeddings of two sources of several topics and one of one."""
    directory = tmp_path_factory.mktemp("nested")
    topics = {name if "/" in name else f"{name}/all": words for name, words in TOPICS.items()}
    manifest = write_manifest(directory, topics)
    flags = ["--dataset", manifest, "--checkpoint_path", checkpoint, "--sample_length", "32"]
    flags += ["--num_samples", "24", "--device", "cpu", "--dtype", "float32", "--hierarchy", "nested"]
    flags += ["--embeddings_dir", directory / "embeddings", "--output", directory / "w.json"]
    assert compute_chameleon_weights.main(list(map(str, flags))) == 0
    return directory


@pytest.fixture
def run(
    embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The command on what is embedded: the weights file, or what it said where it fails."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(embedded / "embeddings", tmp_path / "embeddings")

    def run(*flags: str, code: int = 0) -> dict[str, Any]:
        argv = ["--skip_embedding_generation", "--output", "w.json", *flags]
        assert compute_chameleon_weights.main(argv) == code
        out, stderr = capsys.readouterr()
        if code:
            return {"table": out, "stderr": stderr}
        content: dict[str, Any] = json.loads(Path("w.json").read_text())
        jsonschema.validate(content, SCHEMA)
        return {**content, "table": out, "stderr": stderr}

    return run


def test_flat_weights_tell_what_each_source_has(run: Run) -> None:
    content = run()
    sources = content["diagnostics"]["sources"]
    assert {name: facts["domains"] for name, facts in sources.items()} == {"web": 3, "code": 2, "books": 1}
    for source, facts in sources.items():
        own = [weight for name, weight in content["weights"].items() if name.startswith(f"{source}/")]
        assert facts["weight"] == pytest.approx(sum(own), abs=1e-12)
        assert f"{facts['weight']:.4f}  of {facts['domains']} domain" in content["table"]
    assert "hierarchy" not in content["settings"]
    assert "source_weight" not in content["domains"]["web/law"]


def test_nested_weights_are_those_across_sources_times_those_within(run: Run, embedded: Path) -> None:
    nested = run("--hierarchy", "nested")
    assert nested["weights"] == json.loads((embedded / "w.json").read_text())["weights"]
    assert sum(nested["weights"].values()) == pytest.approx(1, abs=1e-12)
    assert nested["settings"]["hierarchy"] == "nested"
    assert "effective dimension" in nested["table"]
    assert "of 3 sources" in nested["table"]
    for name, facts in nested["domains"].items():
        product = facts["source_weight"] * facts["share_within_source"]
        assert nested["weights"][name] == pytest.approx(product, abs=1e-12)
    # Across sources: those of a run in which each source's topics are one domain.
    merged = run("--merge_domains", "web=web/law+web/cooking+web/poems,code=code/python+code/c")["weights"]
    for source, facts in nested["diagnostics"]["sources"].items():
        one = merged["books/all" if source == "books" else source]
        assert facts["weight"] == pytest.approx(one, abs=1e-9)
    # Within: those of a run on the source's domains alone.
    for source in ("web", "code"):
        names = [name for name in TOPICS if name.startswith(f"{source}/")]
        alone = run("--domains", ",".join(names))
        for name in names:
            facts = nested["domains"][name]
            assert facts["share_within_source"] == pytest.approx(alone["weights"][name], abs=1e-9)
            assert facts["score"] == pytest.approx(alone["domains"][name]["score"], abs=1e-9)
    assert nested["domains"]["books/all"]["share_within_source"] == 1
    assert "score" not in nested["domains"]["books/all"]


def test_relative_variances_of_both_levels_add_up(run: Run) -> None:
    nested = run("--hierarchy", "nested")
    merged = run("--merge_domains", "web=web/law+web/cooking+web/poems,code=code/python+code/c")
    alone = run("--domains", "web/law,web/cooking,web/poems")
    for name in ("web/law", "web/cooking", "web/poems"):
        facts = nested["domains"][name]
        parts = [
            merged["domains"]["web"]["standard_error"] / merged["weights"]["web"],
            alone["domains"][name]["standard_error"] / alone["weights"][name],
        ]
        expected = nested["weights"][name] * np.hypot(*parts)
        assert facts["standard_error"] == pytest.approx(expected, rel=0.01)  # of other draws
        low, high = facts["interval"]
        assert 0 < low < nested["weights"][name] < high < 1
        assert high - low == pytest.approx(4 * facts["standard_error"], rel=0.35)
    largest = max(facts["standard_error"] for facts in nested["domains"].values())
    assert nested["diagnostics"]["largest_standard_error"] == pytest.approx(largest)
    assert "order" not in nested["diagnostics"]


def test_windows_are_drawn_until_nested_errors_are_within_the_target(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    topics = {name if "/" in name else f"{name}/all": words for name, words in TOPICS.items()}
    manifest = write_manifest(tmp_path, topics, documents=300)

    def run(target: float, *more: str) -> dict[str, Any]:
        flags = ["--dataset", manifest, "--checkpoint_path", checkpoint, "--sample_length", "32"]
        flags += ["--device", "cpu", "--dtype", "float32", "--target_se", target, "--output", "w.json"]
        assert compute_chameleon_weights.main([*map(str, flags), *more]) == 0
        return dict(json.loads(Path("w.json").read_text()))

    first = run(9.0, "--hierarchy", "nested")
    windows = {name: facts["windows"] for name, facts in first["domains"].items()}
    assert set(windows.values()) == {FIRST_WINDOWS}
    error = first["diagnostics"]["largest_standard_error"]
    further = run(0.6 * error, "--hierarchy", "nested")
    assert further["diagnostics"]["largest_standard_error"] <= 0.6 * error
    assert further["diagnostics"]["enough_windows"]
    grown = {name: facts["windows"] for name, facts in further["domains"].items()}
    assert all(grown[name] >= windows[name] for name in windows)
    assert grown != windows
    # Errors fall with the root of windows, which are doubled: flat weights would draw 2,816 here.
    assert sum(grown.values()) <= 2 * sum(windows.values()) / 0.6**2


def test_domains_are_removed_and_merged_before_they_are_nested(run: Run) -> None:
    fewer = run("--hierarchy", "nested", "--remove_domains", "web/poems")
    assert "web/poems" not in fewer["weights"]
    assert fewer["diagnostics"]["sources"]["web"]["domains"] == 2
    merged = run("--hierarchy", "nested", "--merge_domains", "web/prose=web/law+web/cooking")
    assert {"web/prose", "web/poems"} < set(merged["weights"])
    assert merged["domains"]["web/prose"]["windows"] == 48
    shares = [
        facts["share_within_source"] for name, facts in merged["domains"].items() if name.startswith("web/")
    ]
    assert sum(shares) == pytest.approx(1)
    both = run("--hierarchy", "nested", "--mode", "finetune")
    assert sum(both["weights"].values()) == pytest.approx(1)


def test_sources_of_one_topic_each_have_flat_weights(run: Run) -> None:
    lone = ("--domains", "web/law,code/c,books/all")
    nested, flat = run("--hierarchy", "nested", *lone), run(*lone)
    assert nested["weights"] == pytest.approx(flat["weights"], abs=1e-12)
    assert {facts["share_within_source"] for facts in nested["domains"].values()} == {1.0}
    assert "of 3 sources" in nested["table"]
    assert "sources" not in flat["diagnostics"]


def test_a_report_of_nested_weights_is_of_the_sources(run: Run) -> None:
    run("--hierarchy", "nested", "--report", "report.html")
    page = Path("report.html").read_text()
    assert "3 sources, each as one domain" in page
    assert "<bdi>web/poems</bdi>" in page
    before = run("--hierarchy", "nested", "--previous", "w.json")
    assert "+0.0000" in before["table"]


def test_nested_weights_go_into_trainers(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("--hierarchy", "nested")
    assert export_main(["w.json", "--format", "csv", "--output", "w.csv", "--min_weight", "0.05"]) == 0
    capsys.readouterr()
    assert "web/poems" in Path("w.csv").read_text()
    assert DomainWeights.read("w.json").diagnostics["sources"]["web"]["domains"] == 3


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--merge_domains", "prose=web/law+web/cooking"), "named source/topic, unlike prose"),
        (("--domains", "web/law,web/cooking,web/poems"), "at least 2 sources, but all domains are of web"),
        (
            ("--keep_ratios", "--previous", "w.json"),
            "--keep_ratios applies to weights over all domains",
        ),
        (("--sensitivity",), "--sensitivity applies to weights over all domains"),
    ],
)
def test_flags_that_contradict_nested_are_refused(run: Run, flags: tuple[str, ...], expected: str) -> None:
    run()
    assert expected in run("--hierarchy", "nested", *flags, code=2)["stderr"]


def test_a_source_is_the_name_before_the_first_slash() -> None:
    assert sources_in(["a/x", "b/y/z", "a/q/r"]) == {"a": ["a/x", "a/q/r"], "b": ["b/y/z"]}
    for name in ("plain", "/x", "x/", "/"):
        assert sources_in(["a/x", name]) == {}
    for names in (("a/x", "b/y"), ("a/x", "a/y"), ("a/x", "a/y", "c")):
        assert source_facts(names, np.full(len(names), 1 / len(names))) == {}
    sources = source_facts(("a/x", "a/y", "b/z"), np.array([0.5, 0.25, 0.25]))
    assert sources == {"a": {"weight": 0.75, "domains": 2}, "b": {"weight": 0.25, "domains": 1}}
