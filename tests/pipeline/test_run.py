"""A run from end to end: rounds of windows, other blocks and seeds, a trainer's file, the report."""

import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from conftest import ROOT, WORDS, make_texts, write_jsonl
from pipeline_runs import Runs, runs_of_the_command  # noqa: F401

import compute_chameleon_weights
from chameleon.export.command import main as export_main
from chameleon.pipeline.variants import other_blocks

SCHEMA = json.loads((ROOT / "docs" / "weights.schema.json").read_text())


def test_windows_are_drawn_until_the_target_is_met(runs: Runs) -> None:
    content = runs("--target_se", "0.004")
    counts = [facts["windows"] for facts in content["domains"].values()]
    assert runs.windows == sum(counts)
    assert content["settings"]["num_samples"] is None
    assert content["diagnostics"]["largest_standard_error"] <= 0.0044
    assert "within the target of 0.004" in runs.table
    # The same windows are not embedded again, with or without the corpus.
    for again in (runs("--target_se", "0.004"), runs("--target_se", "0.004", skip=True)):
        assert again["weights"] == content["weights"]
        assert again["domains"] == content["domains"]
    assert runs.windows == sum(counts)
    # A higher target needs fewer windows, the first of the same.
    fewer = runs("--target_se", "0.05")
    assert all(
        fewer["domains"][name]["windows"] <= facts["windows"] for name, facts in content["domains"].items()
    )
    assert runs.windows == sum(counts)


def test_an_explicit_number_is_that_number(runs: Runs) -> None:
    content = runs("--num_samples", "20")
    assert {facts["windows"] for facts in content["domains"].values()} == {20}
    assert runs.windows == 60
    assert content["settings"]["num_samples"] == 20


def test_sensitivity_reports_moves_by_block_and_seed(runs: Runs) -> None:
    content = runs("--num_samples", "24", "--sensitivity")
    moves = content["diagnostics"]["sensitivity"]
    assert moves.keys() == {"lambda_reg", "rbf_sigma", "temperature", "block", "seed"}
    assert runs.windows == 5 * 3 * 24  # two blocks and two seeds besides
    for setting in ("block", "seed"):
        largest = 0.0
        for value in {"block": ("1", "3"), "seed": ("1", "2")}[setting]:
            other = runs("--num_samples", "24", f"--{setting}", value)
            largest = max(largest, *(abs(other["weights"][n] - w) for n, w in content["weights"].items()))
        assert moves[setting]["largest_move"] == pytest.approx(largest)
    assert runs.windows == 5 * 3 * 24


def test_other_seeds_have_as_many_windows_of_each_domain(runs: Runs) -> None:
    content = runs("--target_se", "0.004", "--domains", "law,cooking,code", "--sensitivity")
    counts = [facts["windows"] for facts in content["domains"].values()]
    assert min(counts) < max(counts)
    assert runs.windows == pytest.approx(5 * sum(counts), abs=4)  # another seed may cut a window more or less


@pytest.mark.parametrize(
    ("block", "num_blocks", "expected"), [(1, 1, []), (1, 2, [2]), (2, 3, [1, 3]), (3, 6, [2, 5])]
)
def test_other_blocks_lie_between_the_one_in_use_and_the_ends(
    block: int, num_blocks: int, expected: list[int]
) -> None:
    assert other_blocks(block, num_blocks) == expected


def test_a_run_writes_a_trainers_file_too(runs: Runs) -> None:
    Path("sources.json").write_text('{"law": "l", "cooking": "k", "code": "c"}')
    weights = runs("--num_samples", "24", "--export", "nanotron", "--sources", "sources.json")["weights"]
    content = yaml.safe_load(Path("w.nanotron.yaml").read_text())
    dataset = content["data_stages"][0]["data"]["dataset"]
    found = dict(zip(dataset["dataset_folder"], dataset["dataset_weights"], strict=True))
    assert found == pytest.approx({"l": weights["law"], "k": weights["cooking"], "c": weights["code"]})
    assert "nanotron, Nanoset: w.nanotron.yaml" in runs.stderr
    runs("--num_samples", "24", "--export", "csv", "--budget", "1M")
    beside = json.loads(Path("w.csv.csv.weights.json").read_text())
    jsonschema.validate(beside, SCHEMA)
    assert beside["weights"] == weights
    assert beside["domains"]["law"]["epochs"] == pytest.approx(
        weights["law"] * 1e6 / beside["domains"]["law"]["corpus_tokens"]
    )
    limits = ("--budget", "1M", "--prior_strength", "0.5", "--min_weight", "0.01")
    assert export_main(["w.json", "--format", "csv", "--output", "x.csv", *limits]) == 0
    limited = json.loads(Path("x.csv.weights.json").read_text())
    jsonschema.validate(limited, SCHEMA)
    assert limited["domains"]["law"]["raw_weight"] == weights["law"]
    before = runs.windows
    runs("--num_samples", "48", "--export", "axolotl", code=2)
    assert "there is no format axolotl" in runs.stderr
    assert runs.windows == before
    for flags, expected in (
        (("--export", "litdata"), "counts rows; give --tokens_per_row to --export litdata"),
        (("--export", "mosaicml", "--tokens_per_row", "9"), "give --budget to --export mosaicml"),
        (("--export", "csv", "--sources", "none.json"), "cannot read none.json (--sources)"),
    ):
        runs("--num_samples", "48", *flags, code=2)
        assert expected in runs.stderr
    assert runs.windows == before
    # An export that fails leaves the weights in their file or on stdout.
    Path("sources.json").write_text('{"law": "a,b", "cooking": "k", "code": "c"}')
    failing = ["--export", "llamafactory", "--sources", "sources.json", "--tokens_per_row", "9"]
    Path("w.json").unlink()
    runs("--num_samples", "24", *failing, code=2)
    assert (
        "the weights are written, but --export llamafactory failed: LLaMA-Factory splits names" in runs.stderr
    )
    assert "law" in runs.table
    assert json.loads(Path("w.json").read_text())["weights"] == weights
    command = ["--skip_embedding_generation", "--output", "-", *failing]
    assert compute_chameleon_weights.main(command) == 2
    assert json.loads(runs.capsys.readouterr().out)["weights"] == weights


def test_a_report_of_a_changed_set_of_domains(runs: Runs) -> None:
    runs("--num_samples", "24")
    flags = ("--num_samples", "24", "--add_domains", "poems=poems.jsonl", "--sensitivity")
    runs(*flags, "--report", "report.html")
    page = Path("report.html").read_text()
    assert "report               report.html" in runs.table
    for expected in ("poems", "cooking", "block 1", "seed 2", "poems added", "butter", "95"):
        assert expected in page
    assert "<script" not in page
    runs("--report", "again.html", "--add_domains", "poems=poems.jsonl", skip=True)
    assert "butter" in Path("again.html").read_text()


def test_a_target_out_of_reach_ends_early_and_keeps_the_windows(runs: Runs) -> None:
    big = {name: make_texts(words, 5, 400, 2000) for name, words in WORDS.items()}
    for name, texts in big.items():
        shutil.rmtree(f"corpus/{name}", ignore_errors=True)
        write_jsonl(Path("corpus") / f"{name}.jsonl", texts)
    runs("--target_se", "1e-7", code=2)
    assert "--target_se 1e-07 is out of reach" in runs.stderr
    assert runs.windows == 3 * 64
    runs("--num_samples", "64")
    assert runs.windows == 3 * 64


def test_sensitivity_needs_embedding(runs: Runs) -> None:
    runs("--num_samples", "8")
    runs("--sensitivity", skip=True, code=2)
    assert "leave one of them out" in runs.stderr


def test_two_domains_get_half_each_and_a_report(runs: Runs) -> None:
    content = runs("--num_samples", "24", "--domains", "law,code", "--report", "two.html")
    assert list(content["weights"].values()) == pytest.approx([0.5, 0.5])
    assert np.allclose([facts["standard_error"] for facts in content["domains"].values()], 0, atol=1e-9)
    assert Path("two.html").exists()
