"""The real command, end to end."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from conftest import ROOT, WORDS, Command, make_texts, refused, run_command, write_jsonl
from weights_files import SCHEMA, weights_of

from chameleon import compute_weights
from chameleon.embeddings.store import read_embeddings
from chameleon.weights.sample import Sample


def test_pretrain_writes_a_file_that_explains_itself(
    embedded: Command, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    content = weights_of(tmp_path / "chameleon_weights_pretrain.json")
    assert list(content["weights"]) == ["code", "cooking", "law"]
    assert content["mode"] == "pretrain"
    assert content["unit"] == "share of tokens"
    assert {f["windows"] for f in content["domains"].values()} == {12}
    assert {f["tokens"] for f in content["domains"].values()} == {12 * 32}
    used = content["settings"]
    assert (used["dataset"], used["checkpoint_path"]) == (str(corpus_directory), str(checkpoint))
    assert (used["seed"], used["sample_length"], used["num_samples"]) == (0, 32, 12)
    assert content["provenance"]["proxy"]["block"] == 2
    shares = [facts["natural_share"] for facts in content["domains"].values()]
    sizes = [facts["corpus_tokens"] for facts in content["domains"].values()]
    assert shares == pytest.approx([size / sum(sizes) for size in sizes])
    assert max(facts["corpus_tokens_standard_error"] for facts in content["domains"].values()) == 0
    # The weights are those of the stored windows.
    stored = {
        path.name.split("-")[0]: read_embeddings(path)
        for path in (tmp_path / "embeddings").glob("*.safetensors")
    }
    samples = {
        name: Sample.of(name, stored[name].embeddings, stored[name].documents, stored[name].available)
        for name in content["weights"]
    }
    again = compute_weights(samples, "pretrain")
    assert again.by_name() == pytest.approx(content["weights"], abs=1e-12)


def test_the_table_is_on_stdout_and_nothing_else(
    command: Command, corpus_directory: Path, checkpoint: Path
) -> None:
    run = command(
        "--mode", "finetune", "--dataset", corpus_directory, "--checkpoint_path", checkpoint,
        "--num_samples", "4", "--sample_length", "32",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert all(line.startswith("note: ") for line in run.stderr.splitlines())
    for expected in ("to finetune on", "domain", "uniform", "law", "effective dimension", "lambda 0.1667"):
        assert expected in run.stdout
    assert "weights file         chameleon_weights_finetune.json" in run.stdout


def test_skipping_needs_neither_text_nor_proxy_nor_their_libraries(embedded: Command, tmp_path: Path) -> None:
    before = weights_of(tmp_path / "chameleon_weights_pretrain.json")
    blocker = tmp_path / "blocked"
    for name in ("torch", "transformers", "datasets", "pyarrow", "tokenizers"):
        (blocker / name).mkdir(parents=True)
        (blocker / name / "__init__.py").write_text(f"raise RuntimeError('{name} was imported')")
    run = embedded("--skip_embedding_generation", "--output", "again.json", env={"PYTHONPATH": str(blocker)})
    assert run.returncode == 0, run.stderr
    after = weights_of(tmp_path / "again.json")
    assert {**after, "date": 0} == {**before, "date": 0}


def test_skipping_with_other_weight_settings(embedded: Command, tmp_path: Path) -> None:
    flags = ["--kernel", "linear", "--lambda_reg", "0.01", "--pt_temperature", "50", "--num_samples", "7"]
    run = embedded("--skip_embedding_generation", *flags)
    assert run.returncode == 0, run.stderr
    content = weights_of(tmp_path / "chameleon_weights_pretrain.json")
    used = content["settings"]
    assert (used["kernel"], used["lambda_reg"], used["temperature"]) == ("linear", 0.01, 50)
    assert used["num_samples"] == 7
    assert {facts["windows"] for facts in content["domains"].values()} == {7}


def test_skipping_with_some_of_the_domains(embedded: Command, tmp_path: Path) -> None:
    run = embedded("--skip_embedding_generation", "--domains", "law,code")
    assert run.returncode == 0, run.stderr
    content = weights_of(tmp_path / "chameleon_weights_pretrain.json")
    assert list(content["weights"]) == ["law", "code"]
    assert sum(facts["natural_share"] for facts in content["domains"].values()) == pytest.approx(1)
    refused(embedded("--skip_embedding_generation", "--domains", "law,wiki"), "no embeddings of domain wiki")
    refused(
        embedded("--skip_embedding_generation", "--domains", "law"), "at least 2 domains, --domains names"
    )


def test_what_a_manifest_says_of_domains_stands_in_table_and_file(
    command: Command, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    domains: list[dict[str, Any]] = [
        {"name": "law", "sources": [str(corpus_directory / "law.jsonl")], "tokens": 3000, "weight": 0.3},
        {"name": "code", "sources": [str(corpus_directory / "code")], "tokens": 1000},
        {"name": "cooking", "sources": [str(corpus_directory / "cooking.jsonl")], "tokens": 1000},
    ]
    (tmp_path / "corpus.json").write_text(json.dumps({"domains": domains}))
    flags = ["--dataset", "corpus.json", "--checkpoint_path", checkpoint, "--num_samples", "4"]
    run = command(*flags, "--sample_length", "32")
    assert run.returncode == 0, run.stderr
    for skipped in (False, True):
        if skipped:
            run = command("--skip_embedding_generation")
        content = weights_of(tmp_path / "chameleon_weights_pretrain.json")
        assert content["domains"]["law"]["natural_share"] == pytest.approx(0.6)
        assert content["domains"]["law"]["weight_in_use"] == 0.3
        assert "weight_in_use" not in content["domains"]["code"]
        table = {line.split()[0]: line.split()[3:5] for line in run.stdout.splitlines() if " x" in line}
        assert (table["law"], table["code"]) == (["0.6000", "0.3000"], ["0.2000", "-"])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--seed", "3"], "--seed 3 contradicts .* made with seed 0"),
        (["--sample_length", "16"], "--sample_length 16 contradicts .* made with sample_length 32"),
        (["--dataset", "other"], "--dataset other contradicts .* made with dataset"),
        (["--num_samples", "13"], "domain code has embeddings of 12 windows .* --num_samples is 13"),
        (["--embeddings_dir", "nowhere"], "no directory nowhere"),
    ],
)
def test_a_flag_that_contradicts_what_is_stored(embedded: Command, flags: list[str], expected: str) -> None:
    refused(embedded("--skip_embedding_generation", *flags), expected)


def test_a_dtype_that_contradicts_what_is_stored(embedded: Command, stored_run: Path) -> None:
    # Which one is stored is up to what this CPU has in hardware.
    weights = json.loads((stored_run / "chameleon_weights_pretrain.json").read_text())
    stored = weights["settings"]["dtype"]
    other = {"float32": "bfloat16", "bfloat16": "float32"}[stored]
    refused(
        embedded("--skip_embedding_generation", "--dtype", other),
        f"--dtype {other} contradicts .* made with dtype {stored}",
    )


def test_several_stored_sets_are_told_apart_by_flags(
    embedded: Command, corpus_directory: Path, checkpoint: Path
) -> None:
    common = ["--dataset", corpus_directory, "--checkpoint_path", checkpoint, "--sample_length", "32"]
    assert embedded(*common, "--seed", "1", "--num_samples", "3").returncode == 0
    refused(
        embedded("--skip_embedding_generation"), "2 sets of embeddings .*: --seed [01]; --seed [01]; name one"
    )
    run = embedded("--skip_embedding_generation", "--seed", "1", "--output", "-")
    assert json.loads(run.stdout)["settings"]["seed"] == 1


def test_a_domain_that_comes_is_all_that_is_embedded(
    embedded: Command, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "embeddings").glob("*.safetensors")}
    shutil.copytree(corpus_directory, tmp_path / "grown")
    write_jsonl(tmp_path / "grown" / "new.jsonl", make_texts(WORDS["law"], 9))
    run = embedded(
        "--dataset", "grown", "--checkpoint_path", checkpoint, "--num_samples", "12", "--sample_length", "32"
    )
    assert run.returncode == 0, run.stderr
    assert {path: path.stat().st_mtime_ns for path in stored} == stored
    assert len(list((tmp_path / "embeddings").glob("*.safetensors"))) == len(stored) + 1


def test_two_domains_are_said_to_weigh_the_same(
    command: Command, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    for name in ("law", "cooking"):
        (tmp_path / "two").mkdir(exist_ok=True)
        shutil.copy(corpus_directory / f"{name}.jsonl", tmp_path / "two")
    run = command(
        "--dataset", "two", "--checkpoint_path", checkpoint, "--num_samples", "4", "--sample_length", "32"
    )
    assert run.returncode == 0, run.stderr
    assert "note: two domains always weigh the same" in run.stderr
    content = weights_of(tmp_path / "chameleon_weights_pretrain.json")
    assert list(content["weights"].values()) == pytest.approx([0.5, 0.5], abs=1e-12)
    assert any("two domains always weigh the same" in notice for notice in content["notices"])


def test_a_relative_name_is_the_corpus_of_the_directory_in_which_it_was_used(
    command: Command, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    flags: list[str | Path] = ["--checkpoint_path", checkpoint, "--num_samples", "4", "--sample_length", "32"]
    shared: list[str | Path] = ["--embeddings_dir", tmp_path / "shared"]
    for place in ("a", "b"):
        shutil.copytree(corpus_directory, tmp_path / place / "corpus")
    write_jsonl(tmp_path / "b" / "corpus" / "law.jsonl", make_texts(WORDS["law"], 9))
    runs = {p: partial(run_command, tmp_path / p, "--dataset", "corpus", *shared) for p in ("a", "b")}
    for run in runs.values():
        assert run(*flags, "--output", "made.json").returncode == 0
    for place, run in runs.items():
        skipped = run("--skip_embedding_generation", "--output", "skipped.json")
        assert skipped.returncode == 0
        assert "earlier states" not in skipped.stderr
        made, again = (weights_of(tmp_path / place / f"{name}.json") for name in ("made", "skipped"))
        assert made["weights"] == again["weights"]
    # Another spelling of the same place is the same corpus.
    for spelling in (tmp_path / "a" / "corpus", "../a/corpus/", "./corpus"):
        spelt = run_command(tmp_path / "a", "--dataset", spelling, *shared, *flags)
        assert spelt.returncode == 0, spelt.stderr
    skipped = runs["a"]("--skip_embedding_generation")
    assert skipped.returncode == 0
    assert "earlier states" not in skipped.stderr


def test_a_directory_called_embeddings_is_not_in_the_way(
    embedded: Command, corpus_directory: Path, checkpoint: Path
) -> None:
    flags = ["--checkpoint_path", checkpoint, "--num_samples", "2", "--sample_length", "32"]
    run = embedded("--dataset", corpus_directory, *flags, "--embeddings_dir", ".")
    assert run.returncode == 0, run.stderr


def test_embeddings_of_the_published_code_are_read(command: Command, tmp_path: Path) -> None:

    directory = tmp_path / "published"
    directory.mkdir()
    means = np.load(ROOT / "tests" / "data" / "domain_means.npy")
    reference = json.loads((ROOT / "tests" / "data" / "released_formula.json").read_text())
    for name, mean in zip(reference["domains"], means, strict=True):
        torch.save(torch.from_numpy(np.stack([mean, mean])), directory / f"{name}_embeddings.pt")
    run = command(
        "--skip_embedding_generation", "--embeddings_dir", directory, "--recipe", "released", "--output", "-"
    )
    assert run.returncode == 0, run.stderr
    content = json.loads(run.stdout)
    jsonschema.validate(content, SCHEMA)
    expected = next(each for each in reference["results"] if each["lambda_reg"] == 10.0)
    assert list(content["weights"].values()) == pytest.approx(expected["pretrain_t5"], abs=1e-5)
    assert content["domains"]["cc"]["windows"] == 1  # the exact duplicate is left out


def test_a_published_file_with_code_in_it_is_not_run(command: Command, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (exec, (f"open({str(tmp_path / 'pwned')!r}, 'w')",))

    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a_embeddings.pt").write_bytes(pickle.dumps(Evil()))
    refused(
        command("--skip_embedding_generation", "--embeddings_dir", "p"),
        "a_embeddings.pt holds no plain tensor",
    )
    assert not (tmp_path / "pwned").exists()
