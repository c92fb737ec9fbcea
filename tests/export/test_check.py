"""`check`: what it reports of a file."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from export_cases import PLAIN, weights_file, write_file

from chameleon.export import check
from chameleon.export.command import main as export_main
from chameleon.weights.domain_weights import DomainWeights


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainWeights:
    """Weights in a file w.json in an empty working directory."""
    return weights_file(tmp_path, monkeypatch)


HEAD = "domain,share_of_tokens\n"


def test_export_and_check_as_a_user_runs_them(stored: DomainWeights) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "chameleon", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    exported = run("export", "w.json", "--format", "megatron", "--budget", "10B", "--max_epochs", "4")
    assert exported.returncode == 0, exported.stderr
    assert "--data-path 0.24 web 0.4 books_2 0.36 code.v1" in exported.stdout
    rows = {line.split()[0]: line.split()[1:] for line in exported.stderr.splitlines() if line}
    assert rows["books_2"] == ["0.5000", "0.4000", "4B", "1B", "4.00", "1B"]
    Path("m.args").write_text(exported.stdout)
    limits = ("--budget", "10B", "--max_epochs", "4")
    checked = run("check", "w.json", "--format", "megatron", "--file", "m.args", *limits)
    assert checked.returncode == 0, checked.stdout
    assert "problems   none" in checked.stdout
    # Without the caps it is not what was requested.
    checked = run("check", "w.json", "--format", "megatron", "--file", "m.args", "--budget", "10B")
    assert checked.returncode == 1
    assert "books_2: 0.4 of tokens, requested 0.5" in checked.stdout


@pytest.mark.parametrize(
    ("format_name", "content", "expected"),
    [
        ("csv", f"{HEAD}web,0.5\nbooks_2,0.2\ncode.v1,0.3\n", "belong to other domains: web, books_2"),
        ("csv", f"{HEAD}web,0.2\nbooks_2,0.5\n", "it lacks code.v1"),
        ("csv", f"{HEAD}web,0.2\nbooks_2,0.5\ncode.v1,0.2\nx,0.1\n", "it has x, which is no domain"),
        ("huggingface-json", {"probabilities": {"web": 0.2, "books_2": 0.5, "code.v1": 0.3}},
         "its numbers are shares of tokens, but the trainer counts rows"),
        ("huggingface-json", {"probabilities": {"web": 2, "books_2": 1, "code.v1": 1}},
         "its numbers sum to 4"),
        ("huggingface-json", {"probabilities": {"web": 0.4, "books_2": 0.1, "code.v1": 0.5}},
         "the run stops after"),
        ("litdata", "WEIGHTS = {'web': 2, 'books_2': 1, 'code.v1': 1}\n"
         "CombinedStreamingDataset([], weights=1)", "iterate_over_all is not False"),
        ("litdata", "CombinedStreamingDataset([web, books_2, law], weights=[2, 1, 1], "
         "iterate_over_all=False)", "it has law, which is no domain"),
        ("mosaicml", "streams: {web: {proportion: 1}, books_2: {proportion: 1}, code.v1: {proportion: 1}}",
         "epoch_size is not set"),
        ("olmo-core", "sources: [{source_name: web, target_ratio: 0.2, paths: [x]}, {source_name: books_2, "
         "target_ratio: 0.4, paths: [y]}, {source_name: code.v1, target_ratio: 0.3, paths: [z]}]",
         "target_ratio sums to 0.9"),
        ("olmo-core", "sources: [{source_name: web, target_ratio: 0.2, paths: [x]}, {source_name: books_2, "
         "target_ratio: 0.5, paths: [y]}, {source_name: code.v1, target_ratio: 0.3, paths: [z]}]",
         "books_2 would be seen 5.00 times, but the file allows 1: the trainer stops"),
        ("megatron", "--data-path 0.2 web 0.5 books_2 0.3 code.v1", "books_2 is seen 5.0 times; cap it"),
        ("nemo", ["0.2", "web", "0.5", "books_2", "0.3", "other"], "it has other, which is no source"),
        ("megatron", "--data-path 0.2 web 0.5 books_2 0 code.v1", "the weight of code.v1 is 0, which"),
        ("llamafactory", "dataset: web,books_2,code.v1\ninterleave_probs: 0.2,0.5,0.3",
         "mix_strategy is concat"),
        ("doremi", {"train_domain_weights": {"web": 2, "books_2": 5, "code.v1": 3}},
         "no eval_domain_weights"),
        ("huggingface-json", {"probabilities": {"web": 0.5, "books_2": 0.5, "code.v1": 0},
                              "stopping_strategy": "all_exhausted"},
         "so with all_exhausted the draws never end"),
        ("huggingface-json", {"probabilities": {"web": 0.5, "books_2": 0.5}, "stopping_strategy": "x"},
         "the strategy is 'x'; datasets knows first_exhausted"),
        ("huggingface-json", {"probabilities": {"web": 0.5, "books_2": 0.3, "code.v1": 0.1999995}},
         "its numbers sum to 0.9999995"),
        ("llamafactory", "dataset: [web, books_2, code.v1]\ninterleave_probs: [0.5, 0.5, 0]\n"
         "mix_strategy: interleave_over", "so with all_exhausted the draws never end"),
        ("megatron", "--data-path 0.1 web 0.25 books_2 0.15 code.v1 0.5 law", "books_2: 0.25 of tokens"),
        ("megatron-splits", {"train": ["0.2", "web"], "validation": None, "test": None},
         "it has no valid, and Megatron-LM wants all three"),
        ("levanter", "train_weights: {web: 0.2, books_2: 0.7997, code.v1: 0.0003}", "code.v1: never drawn"),
        ("levanter", "train_weights: [[0, {web: 1}], [50, {web: 1, law: 1}], [50, {web: 1}]]",
         "its stages begin at 0, 50, 50"),
        ("levanter", "train_weights: [[0, {web: 1}], [50, {web: 1, law: 1}]]", "from step 50 on: it has law"),
        ("olmo-core", "sources: [{source_name: web, target_ratio: 1, paths: x, max_repetition_ratio: 0.5, "
         "max_source_fraction: 2}]", "max_repetition_ratio of web is 0.5, which OLMo-core refuses"),
        ("olmo-core", "sources: [{source_name: web, target_ratio: 0.2, paths: [x], "
         "max_source_fraction: 0.1}, {source_name: books_2, target_ratio: 0.8, paths: [y], "
         "max_repetition_ratio: 9}]",
         "web would be seen 0.33 times, but the file allows 0.1"),
        ("mosaicml", "streams: {web: {proportion: 1, split: train}}", "web has neither local nor remote"),
    ],
)  # fmt: skip
def test_check_reports_what_is_wrong_with_a_file(
    stored: DomainWeights,
    format_name: str,
    content: object,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_file("lengths.json", {"web": 500, "books_2": 5000, "code.v1": 1000})
    flags = ["--file", write_file("x", content), "--tokens_per_row", "lengths.json", "--budget", "10B"]
    assert check.main(["w.json", "--format", format_name, *flags]) == 1
    assert expected in capsys.readouterr().out


def test_problems_of_many_domains_are_counted(
    stored: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tuple(f"d{i}" for i in range(500))
    shares = np.full(500, 1e-9)
    shares[0] += 1 - shares.sum()
    DomainWeights(names, shares, "test").write("many.json")
    flags = ["--format", "csv", "--tokens_per_row", "1000"]
    assert export_main(["many.json", "--format", "csv", "--output", "many.csv"]) == 0
    assert check.main(["many.json", *flags, "--file", "many.csv"]) == 0
    table = capsys.readouterr().out
    assert "unseen     d1, d2, d3 and 496 more in these draws; see --draws" in table
    # A run of 50,000 rows would truly see none of them.
    counts = dict.fromkeys(names, 1000000000.0)
    write_file("counts.json", counts)
    limits = ["--budget", "50M", "--token_counts", "counts.json"]
    assert check.main(["many.json", *flags, *limits, "--file", "many.csv"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("problem  ") for line in lines) == 20
    assert lines[-1] == "problems   479 more like these"


def test_limits_are_reported_for_both_stages(
    stored: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    DomainWeights(PLAIN, np.array([0.1, 0.1, 0.8]), "test", domains=stored.domains).write("later.json")
    flags = ["--then", "later.json", "--at", "70", "--budget", "10B", "--max_epochs", "2"]
    assert export_main(["w.json", "--format", "levanter", "--output", "l.yaml", *flags]) == 0
    reported = capsys.readouterr().err
    first, _, second = reported.partition("from step 70 on")
    assert "books_2  0.5000  0.2000" in first
    assert "code.v1  0.8000  0.6000" in second
    assert "Limits changed the weights from step 70 on of" in Path("l.yaml").read_text()
    assert check.main(["w.json", "--format", "levanter", "--file", "l.yaml", *flags]) == 0
    assert (
        check.main(["w.json", "--format", "levanter", "--file", "l.yaml", *flags[:3], "60", *flags[4:]]) == 1
    )
    assert "a stage was requested at step 60; the file has 70" in capsys.readouterr().out
    assert check.main(["w.json", "--format", "levanter", "--file", "l.yaml", *flags[:4]]) == 1
    assert "from step 70 on: code.v1: 0.6 of tokens, requested 0.8" in capsys.readouterr().out


def test_tokens_of_unknown_domains_are_counted(
    stored: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    write_file("m", "--data-path 0.1 web 0.25 books_2 0.15 code.v1 0.5 law")
    assert check.main(["w.json", "--format", "megatron", "--file", "m"]) == 1
    table = capsys.readouterr().out
    assert "(others)  0.0000  0.5000  0.5000" in table
    assert "0.5000 of the tokens are of another domain than requested" in table


@pytest.mark.parametrize(
    ("blend", "expected"),
    [
        ("0.1 w 0.1 l0 0.3 l1 0.5 c", "problems   none"),
        ("0.1 w 0.4 l1 0.5 c", "l0 has 0 of law, and of its tokens 0.25"),
        ("0.1 w 0.2 l0 0.2 l1 0.5 c", "l0 has 0.5 of law, and of its tokens 0.25"),
    ],
)
def test_each_path_of_a_domain_is_checked(
    blend: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    DomainWeights(("web", "law", "code"), np.array([0.1, 0.4, 0.5]), "test").write("w.json")
    write_file("s.json", {"web": "w", "law": {"paths": ["l0", "l1"], "tokens": [1, 3]}, "code": "c"})
    write_file("x", blend)
    flags = ["--sources", "s.json", "--file", "x"]
    code = check.main(["w.json", "--format", "megatron-file", *flags])
    assert expected in capsys.readouterr().out
    assert code == int(expected != "problems   none")
