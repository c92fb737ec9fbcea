"""Domains split by the files of their windows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import WORDS, make_texts, write_jsonl
from pipeline_runs import Runs, runs_of_the_command  # noqa: F401

from chameleon.embeddings.store import (
    EmbeddedCorpus,
    read_embeddings,
    read_records,
)
from chameleon.pipeline.split import split


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


def test_splitting_a_domain_embeds_nothing(runs: Runs, in_files: Path) -> None:
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
    # The same with the corpus.
    again = runs("--num_samples", "40", *SPLIT)
    assert again["weights"] == after["weights"]
    assert runs.windows == 3 * 40
    runs("--split_domains", "code=python:*.jsonl+rest:*", skip=True, code=2)
    assert "no file of domain code is left for rest:*" in runs.stderr
    runs("--split_domains", "code=python:a.jsonl+verse:b.jsonl", skip=True, code=2)
    assert "the file py/c.jsonl of domain code goes into no part" in runs.stderr


def test_a_part_has_the_windows_that_begin_in_its_files(runs: Runs, in_files: Path) -> None:
    runs("--num_samples", "40", *SPLIT)
    runs("--num_samples", "40", "--embeddings_dir", "alone", "--dataset", "corpus")
    record = read_records(Path("embeddings"))[0]
    stored = read_embeddings(Path("embeddings") / record.files["code"])
    parts = split(
        EmbeddedCorpus(record, {"code": stored, "law": stored}), {"code": {"p": "py/*", "v": "verse/*"}}
    )
    # A short text is read whole: positions count the bytes of its documents and separators.
    begins, at = [], 0
    for file in ("py/a", "py/c", "verse/b"):
        begins.append((at, file))
        lines = (in_files / f"{file}.jsonl").read_text().splitlines()
        at += sum(len(json.loads(line)["text"].encode()) + 1 for line in lines)
    is_verse = stored.positions >= begins[2][0]
    assert 0 < is_verse.sum() < 40
    np.testing.assert_array_equal(parts.domains["v"].embeddings, stored.embeddings[is_verse])
    np.testing.assert_array_equal(parts.domains["p"].embeddings, stored.embeddings[~is_verse])


def test_rounds_draw_windows_for_parts_with_too_few(runs: Runs, in_files: Path) -> None:
    write_jsonl(in_files / "verse" / "b.jsonl", make_texts("rose moon sea the of night and love star", 2, 9))
    content = runs("--target_se", "0.006", *SPLIT)
    windows = {name: facts["windows"] for name, facts in content["domains"].items()}
    assert windows["verse"] >= 2
    assert windows["verse"] + windows["python"] > 64  # verse had too few
    assert runs.windows == sum(windows.values())
    assert content["diagnostics"]["largest_standard_error"] <= 0.0066
