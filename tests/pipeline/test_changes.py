"""Domains that come, go and are put together; rounds; the report: the real command from end to end."""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from conftest import ROOT, WORDS, make_texts, write_jsonl

import compute_chameleon_weights
from chameleon.embeddings.store import (
    DomainEmbeddings,
    EmbeddedCorpus,
    EmbeddingRecord,
    read_embeddings,
    read_records,
)
from chameleon.export.command import main as export_main
from chameleon.pipeline.amounts import amounts_of
from chameleon.pipeline.split import split
from chameleon.pipeline.variants import other_blocks
from chameleon.proxy.model import Proxy

SCHEMA = json.loads((ROOT / "docs" / "weights.schema.json").read_text())


class Runs:
    """The command in this process, and the windows that it has had embedded."""

    def __init__(self, corpus: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.flags = ["--dataset", str(corpus), "--checkpoint_path", str(checkpoint), "--sample_length", "32"]
        self.flags += ["--device", "cpu", "--dtype", "float32"]
        self.capsys = capsys
        self.windows = 0
        self.table = ""
        self.told = ""

    def __call__(self, *flags: str, code: int = 0, skip: bool = False) -> dict[str, Any]:
        """The weights file of a run, or nothing where it ends with another code."""
        source = ["--skip_embedding_generation"] if skip else self.flags
        assert compute_chameleon_weights.main([*source, "--output", "w.json", *flags]) == code
        self.table, self.told = self.capsys.readouterr()
        if code:
            return {}
        content: dict[str, Any] = json.loads(Path("w.json").read_text())
        jsonschema.validate(content, SCHEMA)
        return content


@pytest.fixture
def runs(
    corpus_directory: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Runs:
    """The command in an empty directory, on a corpus of three domains."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(corpus_directory, tmp_path / "corpus")
    runs = Runs(tmp_path / "corpus", checkpoint, capsys)
    embed = Proxy.embed

    def counted(proxy: Proxy, tokens: Any, lengths: Any) -> Any:  # noqa: ANN401
        runs.windows += len(tokens)
        return embed(proxy, tokens, lengths)

    monkeypatch.setattr(Proxy, "embed", counted)
    write_jsonl(tmp_path / "poems.jsonl", make_texts("rose moon sea the of night and love star", 7))
    return runs


def test_windows_are_drawn_until_the_target_is_met(runs: Runs) -> None:
    content = runs("--target_se", "0.004")
    counts = [facts["windows"] for facts in content["domains"].values()]
    assert runs.windows == sum(counts)
    assert content["settings"]["num_samples"] is None
    assert content["diagnostics"]["largest_standard_error"] <= 0.0044
    assert "within the target of 0.004" in runs.table
    # The same windows again cost nothing, with and without the corpus.
    for again in (runs("--target_se", "0.004"), runs("--target_se", "0.004", skip=True)):
        assert again["weights"] == content["weights"]
        assert again["domains"] == content["domains"]
    assert runs.windows == sum(counts)
    # A higher target is met by fewer of them, which are the first.
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


def test_a_domain_that_comes_costs_its_own_windows_alone(runs: Runs) -> None:
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
        assert rows[name][3] == rows[name][2]  # all of it because of the one that came
    # Stored, it is there without the corpus; and it can go again.
    again = runs("--add_domains", "poems=poems.jsonl", skip=True)
    assert again["weights"] == after["weights"]
    gone = runs("--add_domains", "poems=poems.jsonl", "--remove_domains", "poems", skip=True)
    assert gone["weights"] == pytest.approx(before["weights"], abs=1e-12)
    assert runs.windows == 4 * 24


def test_domains_that_go_cost_nothing_and_are_told_of(runs: Runs) -> None:
    before = runs("--num_samples", "24")
    after = runs("--num_samples", "24", "--remove_domains", "law")
    assert list(after["weights"]) == ["code", "cooking"]
    assert runs.windows == 3 * 24
    assert after["settings"]["remove_domains"] == ["law"]
    assert "law removed" in runs.table
    assert f"{before['weights']['law']:.4f}       -  removed" in runs.table
    # Of the stored sets of domains the one that has it is taken.
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
    # The same against a file of before.
    Path("before.json").write_text(json.dumps({"weights": {"code": 0.5, "cooking": 0.2, "other": 0.3}}))
    kept = runs("--num_samples", "24", "--previous", "before.json", "--keep_ratios")
    assert kept["weights"]["code"] / kept["weights"]["cooking"] == pytest.approx(2.5)
    assert "law added" in runs.table


def test_merged_domains_cost_nothing(runs: Runs) -> None:
    before = runs("--num_samples", "24")
    after = runs("--merge_domains", "prose=law+cooking", skip=True)
    assert list(after["weights"]) == ["code", "prose"]
    facts = after["domains"]["prose"]
    assert facts["windows"] == 48
    parts = [before["domains"][name] for name in ("law", "cooking")]
    assert facts["corpus_tokens"] == sum(part["corpus_tokens"] for part in parts)
    assert after["settings"]["merge_domains"] == {"prose": ["law", "cooking"]}
    assert runs.windows == 3 * 24


@pytest.fixture
def in_files(runs: Runs) -> Path:
    """The domain code in a folder of three files, of which the second is of other words."""
    folder = Path("corpus/code")
    shutil.rmtree(folder, ignore_errors=True)
    for path in Path("corpus").glob("code.*"):
        path.unlink()
    write_jsonl(folder / "py" / "a.jsonl", make_texts(WORDS["code"], 1, 40, 300))
    write_jsonl(
        folder / "verse" / "b.jsonl", make_texts("rose moon sea the of night and love star", 2, 90, 300)
    )
    write_jsonl(folder / "py" / "c.jsonl", make_texts(WORDS["code"], 3, 20, 300))
    return folder


SPLIT = ("--split_domains", "code=python:py/*+verse:verse/*")


def test_a_domain_split_by_its_files_costs_nothing(runs: Runs, in_files: Path) -> None:
    before = runs("--num_samples", "40")
    assert runs.windows == 3 * 40
    after = runs(*SPLIT, skip=True)
    assert list(after["weights"]) == ["python", "verse", "cooking", "law"]
    assert after["settings"]["split_domains"] == {"code": {"python": "py/*", "verse": "verse/*"}}
    for key, tolerance in (("windows", 0), ("tokens", 0), ("windows_available", 1), ("corpus_tokens", 1)):
        parts = sum(after["domains"][part][key] for part in ("python", "verse"))
        assert parts == pytest.approx(before["domains"]["code"][key], abs=tolerance)
    sizes = {
        part: sum(f.stat().st_size for f in in_files.glob(f"{part[:2]}*/*")) for part in ("python", "verse")
    }
    share = after["domains"]["verse"]["corpus_tokens"] / before["domains"]["code"]["corpus_tokens"]
    error = (
        after["domains"]["verse"]["corpus_tokens_standard_error"] / before["domains"]["code"]["corpus_tokens"]
    )
    assert abs(share - sizes["verse"] / sum(sizes.values())) < 4 * error + 0.02
    rows = {line.split()[0]: line.split()[1:] for line in runs.table.split("\n\n")[-1].splitlines()}
    assert rows["python"][2] == "new"
    assert float(rows["law"][0]) == pytest.approx(before["weights"]["law"], abs=6e-5)
    # With the corpus at hand too; what the parts are of is one file's own text.
    again = runs("--num_samples", "40", *SPLIT)
    assert again["weights"] == after["weights"]
    assert runs.windows == 3 * 40
    runs("--split_domains", "code=python:*.jsonl+rest:*", skip=True, code=2)
    assert "no file of domain code is left for rest:*" in runs.told
    runs("--split_domains", "code=python:a.jsonl+verse:b.jsonl", skip=True, code=2)
    assert "the file py/c.jsonl of domain code goes into no part" in runs.told


def test_windows_of_a_part_are_those_that_begin_in_its_files(runs: Runs, in_files: Path) -> None:
    runs("--num_samples", "40", *SPLIT)
    runs("--num_samples", "40", "--embeddings_dir", "alone", "--dataset", "corpus")
    record = read_records(Path("embeddings"))[0]
    stored = read_embeddings(Path("embeddings") / record.files["code"])
    parts = split(
        EmbeddedCorpus(record, {"code": stored, "law": stored}), {"code": {"p": "py/*", "v": "verse/*"}}
    )
    # The text is short, so it was read whole: places count the bytes of its documents and their joints.
    begins, at = [], 0
    for file in ("py/a", "py/c", "verse/b"):
        begins.append((at, file))
        lines = (in_files / f"{file}.jsonl").read_text().splitlines()
        at += sum(len(json.loads(line)["text"].encode()) + 1 for line in lines)
    is_verse = stored.positions >= begins[2][0]
    assert 0 < is_verse.sum() < 40
    np.testing.assert_array_equal(parts.domains["v"].embeddings, stored.embeddings[is_verse])
    np.testing.assert_array_equal(parts.domains["p"].embeddings, stored.embeddings[~is_verse])


def test_rounds_draw_what_the_parts_lack(runs: Runs, in_files: Path) -> None:
    write_jsonl(in_files / "verse" / "b.jsonl", make_texts("rose moon sea the of night and love star", 2, 9))
    content = runs("--target_se", "0.006", *SPLIT)
    windows = {name: facts["windows"] for name, facts in content["domains"].items()}
    assert windows["verse"] >= 2
    assert windows["verse"] + windows["python"] > 64  # of which verse had few, whose weight was far off
    assert runs.windows == sum(windows.values())
    assert content["diagnostics"]["largest_standard_error"] <= 0.0066


def test_other_blocks_and_seeds_say_how_far_weights_move(runs: Runs) -> None:
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


def test_a_run_writes_a_trainers_file_too(runs: Runs) -> None:
    Path("sources.json").write_text('{"law": "l", "cooking": "k", "code": "c"}')
    weights = runs("--num_samples", "24", "--export", "nanotron", "--sources", "sources.json")["weights"]
    content = yaml.safe_load(Path("w.nanotron.yaml").read_text())
    dataset = content["data_stages"][0]["data"]["dataset"]
    found = dict(zip(dataset["dataset_folder"], dataset["dataset_weights"], strict=True))
    assert found == pytest.approx({"l": weights["law"], "k": weights["cooking"], "c": weights["code"]})
    assert "nanotron, Nanoset: w.nanotron.yaml" in runs.told
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
    assert "there is no format axolotl" in runs.told
    assert runs.windows == before
    for flags, expected in (
        (("--export", "litdata"), "counts rows; give --tokens_per_row to --export litdata"),
        (("--export", "mosaicml", "--tokens_per_row", "9"), "give --budget to --export mosaicml"),
        (("--export", "csv", "--sources", "none.json"), "cannot read none.json (--sources)"),
    ):
        runs("--num_samples", "48", *flags, code=2)
        assert expected in runs.told
    assert runs.windows == before
    # What fails all the same leaves the weights, in their file or on stdout.
    Path("sources.json").write_text('{"law": "a,b", "cooking": "k", "code": "c"}')
    failing = ["--export", "llamafactory", "--sources", "sources.json", "--tokens_per_row", "9"]
    Path("w.json").unlink()
    runs("--num_samples", "24", *failing, code=2)
    assert (
        "the weights are written, but --export llamafactory failed: LLaMA-Factory splits names" in runs.told
    )
    assert "law" in runs.table
    assert json.loads(Path("w.json").read_text())["weights"] == weights
    command = ["--skip_embedding_generation", "--output", "-", *failing]
    assert compute_chameleon_weights.main(command) == 2
    assert json.loads(runs.capsys.readouterr().out)["weights"] == weights


def test_a_report_of_all_that(runs: Runs) -> None:
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
def test_what_cannot_be_done_is_said_in_one_line(runs: Runs, flags: list[str], expected: str) -> None:
    runs("--num_samples", "8", *flags, code=2)
    errors = [line for line in runs.told.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]


def test_a_target_out_of_reach_ends_early_and_keeps_the_windows(runs: Runs) -> None:
    big = {name: make_texts(words, 5, 400, 2000) for name, words in WORDS.items()}
    for name, texts in big.items():
        shutil.rmtree(f"corpus/{name}", ignore_errors=True)
        write_jsonl(Path("corpus") / f"{name}.jsonl", texts)
    runs("--target_se", "1e-7", code=2)
    assert "--target_se 1e-07 is out of reach" in runs.told
    assert runs.windows == 3 * 64
    runs("--num_samples", "64")
    assert runs.windows == 3 * 64


def test_skipping_cannot_look_with_other_blocks(runs: Runs) -> None:
    runs("--num_samples", "8")
    runs("--sensitivity", skip=True, code=2)
    assert "leave one of them out" in runs.told


def test_two_domains_have_all_of_it(runs: Runs) -> None:
    content = runs("--num_samples", "24", "--domains", "law,code", "--report", "two.html")
    assert list(content["weights"].values()) == pytest.approx([0.5, 0.5])
    assert np.allclose([facts["standard_error"] for facts in content["domains"].values()], 0, atol=1e-9)
    assert Path("two.html").exists()
