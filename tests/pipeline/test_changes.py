"""Domains added, removed and merged, and weights that keep their ratios."""

import json
from pathlib import Path

import numpy as np
import pytest
from pipeline_runs import Runs, runs_of_the_command  # noqa: F401

from chameleon.embeddings.store import (
    DomainEmbeddings,
    EmbeddedCorpus,
    EmbeddingRecord,
)
from chameleon.pipeline.amounts import amounts_of


def test_an_added_domain_is_all_that_is_embedded(runs: Runs) -> None:
    before = runs("--num_samples", "24")
    assert runs.windows == 3 * 24
    after = runs("--num_samples", "24", "--add_domains", "poems=poems.jsonl")
    assert runs.windows == 4 * 24
    assert list(after["weights"]) == [*before["weights"], "poems"]
    assert after["settings"]["add_domains"] == {"poems": str(Path("poems.jsonl").resolve())}
    rows = {line.split()[0]: line.split()[1:] for line in runs.table.split("\n\n")[-1].splitlines()}
    assert rows["poems"][2] == "new"
    for name, weight in before["weights"].items():
        assert float(rows[name][0]) == pytest.approx(weight, abs=6e-5)
        assert float(rows[name][2]) == pytest.approx(after["weights"][name] - weight, abs=1.1e-4)
        assert rows[name][3] == rows[name][2]  # all of it because of the added domain
    # Stored, it can be used without the corpus, and removed again.
    again = runs("--add_domains", "poems=poems.jsonl", skip=True)
    assert again["weights"] == after["weights"]
    gone = runs("--add_domains", "poems=poems.jsonl", "--remove_domains", "poems", skip=True)
    assert gone["weights"] == pytest.approx(before["weights"], abs=1e-12)
    assert runs.windows == 4 * 24


def test_removing_a_domain_embeds_nothing_and_is_reported(runs: Runs) -> None:
    before = runs("--num_samples", "24")
    after = runs("--num_samples", "24", "--remove_domains", "law")
    assert list(after["weights"]) == ["code", "cooking"]
    assert runs.windows == 3 * 24
    assert after["settings"]["remove_domains"] == ["law"]
    assert "law removed" in runs.table
    assert f"{before['weights']['law']:.4f}       -  removed" in runs.table
    # The stored set that has the domain is used.
    assert runs("--remove_domains", "law", skip=True)["weights"] == after["weights"]


def test_kept_ratios(runs: Runs) -> None:
    before = runs("--num_samples", "24")
    free = runs("--num_samples", "24", "--add_domains", "poems=poems.jsonl")
    kept = runs("--num_samples", "24", "--add_domains", "poems=poems.jsonl", "--keep_ratios")
    assert kept["weights"]["poems"] == pytest.approx(free["weights"]["poems"])
    rest = 1 - kept["weights"]["poems"]
    for name, weight in before["weights"].items():
        assert kept["weights"][name] == pytest.approx(rest * weight)
        assert kept["domains"][name]["weight_of_its_own"] == pytest.approx(free["weights"][name])
        low, high = kept["domains"][name]["interval"]
        assert low < kept["weights"][name] < high
    assert kept["settings"]["keep_ratios"] is True
    # The same with an earlier weights file.
    Path("before.json").write_text(json.dumps({"weights": {"code": 0.5, "cooking": 0.2, "other": 0.3}}))
    kept = runs("--num_samples", "24", "--previous", "before.json", "--keep_ratios")
    assert kept["weights"]["code"] / kept["weights"]["cooking"] == pytest.approx(2.5)
    assert "law added" in runs.table


def test_merging_domains_embeds_nothing(runs: Runs) -> None:
    before = runs("--num_samples", "24")
    after = runs("--merge_domains", "prose=law+cooking", skip=True)
    assert list(after["weights"]) == ["code", "prose"]
    facts = after["domains"]["prose"]
    assert facts["windows"] == 48
    parts = [before["domains"][name] for name in ("law", "cooking")]
    assert facts["corpus_tokens"] == sum(part["corpus_tokens"] for part in parts)
    assert after["settings"]["merge_domains"] == {"prose": ["law", "cooking"]}
    assert runs.windows == 3 * 24


def test_sizes_of_merged_domains_add_up_and_their_errors_as_squares() -> None:
    rows = np.ones((2, 3), dtype=np.float32)
    numbers = np.arange(2)
    stored = {
        name: DomainEmbeddings(rows, numbers, numbers, numbers + 5, 9, 0, (tokens, error))
        for name, tokens, error in (("a", 300.0, 3.0), ("b", 100.0, 4.0), ("c", 600.0, 0.0))
    }
    record = EmbeddingRecord("x", {}, 2, dict.fromkeys(stored, 2), {}, {}, {}, (), "")
    facts = amounts_of(("ab", "c"), EmbeddedCorpus(record, stored), {"ab": ("a", "b")})
    assert (facts["ab"]["corpus_tokens"], facts["ab"]["corpus_tokens_standard_error"]) == (400, 5)
    assert (facts["ab"]["windows"], facts["ab"]["windows_available"], facts["ab"]["tokens"]) == (4, 18, 22)
    assert facts["ab"]["natural_share"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--remove_domains", "law,code"], "at least 2 domains, but --remove_domains leaves only cooking"),
        (
            ["--remove_domains", "wiki"],
            "no domain wiki to remove (--remove_domains); there are code, cooking",
        ),
        (
            ["--add_domains", "law=poems.jsonl"],
            "already has a domain law; give the one of --add_domains another",
        ),
        (["--add_domains", "new=missing.jsonl"], "--add_domains new=missing.jsonl: "),
        (["--merge_domains", "a=law+wiki"], "there is no domain wiki to merge into a"),
        (["--merge_domains", "code=law+cooking"], "there is a domain code already"),
        (["--merge_domains", "a=law+code,b=law+cooking"], "names law twice"),
        (["--merge_domains", "all=law+code+cooking"], "leaves only all"),
        (["--split_domains", "wiki=a:x+b:y"], "there is no domain wiki to split"),
        (["--split_domains", "law=a:x+code:y"], "there is a domain code already"),
        (["--split_domains", "law=a:x+b:y"], "do not say that it is of several files"),
        (["--keep_ratios"], "--keep_ratios needs earlier weights"),
        (["--previous", "missing.json"], "cannot read the weights file missing.json"),
        (
            ["--report", "missing/report.html"],
            "cannot write missing/report.html: there is no directory missing",
        ),
        (["--block", "9"], "--block 9 is over the 3 blocks of"),
    ],
)
def test_impossible_requests_are_refused_in_one_line(runs: Runs, flags: list[str], expected: str) -> None:
    runs("--num_samples", "8", *flags, code=2)
    errors = [line for line in runs.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]
