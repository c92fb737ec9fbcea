"""SlimPajama and a model from a hub, over real HTTP on this machine."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, WORDS, Command, documents, indexed, make_texts, refused
from hub_server import TOKEN, Hub, Repository, hub

from chameleon.text.corpora import Domain
from chameleon.text.corpora.saved_datasets import domains_of_table

SLIMPAJAMA = {
    "RedPajamaArXiv": "arxiv",
    "RedPajamaBook": "book",
    "RedPajamaC4": "c4",
    "RedPajamaCommonCrawl": "cc",
    "RedPajamaGithub": "github",
    "RedPajamaStackExchange": "stackexchange",
    "RedPajamaWikipedia": "wikipedia",
}


@pytest.fixture(scope="module")
def slimpajama(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Two training files and a validation file in the dataset's schema, rows of the domains mixed."""
    folder = tmp_path_factory.mktemp("slimpajama")
    (folder / "data").mkdir()
    words = list(WORDS.values())
    rows = [
        {"text": text, "meta": {"redpajama_set_name": label}, "__index_level_0__": i}
        for i in range(40)
        for number, label in enumerate(SLIMPAJAMA)
        for text in make_texts(words[number % 3], 100 * i + number, documents=1, longest=200)
    ]
    files = {"train-00000-of-00002": rows[:150], "train-00001-of-00002": rows[150:], "validation-0": rows[:7]}
    for name, part in files.items():
        pq.write_table(pa.Table.from_pylist(part), folder / "data" / f"{name}.parquet", row_group_size=50)
    return Repository("datasets", "DKYoon/SlimPajama-6B", folder)


def of_table(table: Any, identity: str = "x") -> list[Domain]:  # noqa: ANN401
    """Its domains, by SlimPajama's column."""
    return domains_of_table("somewhere", table, identity, "text", "meta.redpajama_set_name", SLIMPAJAMA)


def environment(server: Hub, home: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_ETAG_TIMEOUT": "120",
        "HF_HUB_DOWNLOAD_TIMEOUT": "120",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def test_the_default_corpus_and_a_model_of_the_hub_and_then_offline_from_its_cache(
    slimpajama: Repository, checkpoint: Path, command: Command, tmp_path: Path
) -> None:
    model = Repository("models", "someone/tiny", checkpoint)
    flags = ["--checkpoint_path", "someone/tiny", "--num_samples", "3", "--sample_length", "32"]
    home = tmp_path / "home"
    with hub(slimpajama, model) as server:
        run = command(*flags, env=environment(server, home))
        assert run.returncode == 0, run.stderr
    first = json.loads((tmp_path / "chameleon_weights_pretrain.json").read_text())
    assert list(first["weights"]) == list(SLIMPAJAMA.values())
    assert first["settings"]["dataset"] == "DKYoon/SlimPajama-6B"
    assert first["provenance"]["dataset"]["revision"] == slimpajama.commit()
    assert first["provenance"]["dataset"]["split"] == "train"

    # Brought here whole, and read without the hub, it gives the same.
    shutil.rmtree(tmp_path / "embeddings")
    with hub(slimpajama, model) as server:
        run = command(*flags, "--download", "--output", "download.json", env=environment(server, home))
        assert run.returncode == 0, run.stderr
    shutil.rmtree(tmp_path / "embeddings")
    offline = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    run = command(*flags, "--output", "offline.json", env=offline)
    assert run.returncode == 0, run.stderr
    for name in ("download.json", "offline.json"):
        again = json.loads((tmp_path / name).read_text())
        assert again["weights"] == first["weights"]
        assert again["provenance"] == first["provenance"]


@pytest.fixture(scope="module")
def by_subset(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A dataset of three subsets, each of two splits."""
    folder = tmp_path_factory.mktemp("subsets")
    lines = ["---", "configs:"]
    for number, (name, words) in enumerate(WORDS.items()):
        (folder / name).mkdir()
        for split in ("train", "test"):
            texts = make_texts(words, number + len(split))
            pq.write_table(pa.table({"body": texts}), folder / name / f"{split}-0.parquet", row_group_size=7)
        lines += [f"- config_name: {name}", "  data_files:", "  - split: train", f"    path: {name}/train-*"]
        lines += ["  - split: test", f"    path: {name}/test-*"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return Repository("datasets", "someone/subsets", folder)


def test_subsets_of_a_dataset_are_domains(
    by_subset: Repository, checkpoint: Path, command: Command, tmp_path: Path
) -> None:
    flags = ["--dataset", "someone/subsets", "--text_column", "body", "--checkpoint_path", checkpoint]
    flags += ["--num_samples", "3", "--sample_length", "32"]
    manifest = {
        "domains": [
            {"name": "a", "sources": "someone/subsets", "subset": "law", "text_column": "body"},
            {"name": "b", "sources": "someone/subsets", "subset": "code", "text_column": "body",
             "split": "test", "revision": by_subset.commit()},
        ]
    }  # fmt: skip
    (tmp_path / "corpus.json").write_text(json.dumps(manifest))
    with hub(by_subset) as server:
        env = environment(server, tmp_path / "home")
        run = command(*flags, "--revision", "main", env=env)
        assert run.returncode == 0, run.stderr
        refused(
            command(*flags, "--subset", "law", "--split", "dev", env=env),
            "nothing tells its domains|no split",
        )
        run = command("--dataset", "corpus.json", "--download", *flags[4:], "--output", "two.json", env=env)
        assert run.returncode == 0, run.stderr
    made = json.loads((tmp_path / "chameleon_weights_pretrain.json").read_text())
    assert sorted(made["weights"]) == sorted(WORDS)
    assert made["provenance"]["dataset"]["revision"] == by_subset.commit()
    assert list(json.loads((tmp_path / "two.json").read_text())["weights"]) == ["a", "b"]


def test_what_the_datasets_library_has_cached_serves_offline(
    slimpajama: Repository, checkpoint: Path, command: Command, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with hub(slimpajama) as server:
        load = "import datasets; datasets.load_dataset('DKYoon/SlimPajama-6B')"
        subprocess.run(
            [sys.executable, "-c", load], env={**os.environ, **environment(server, home)}, check=True
        )
    flags = ["--checkpoint_path", checkpoint, "--num_samples", "3", "--sample_length", "32"]
    run = command(*flags, env={"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"})
    assert run.returncode == 0, run.stderr
    made = json.loads((tmp_path / "chameleon_weights_pretrain.json").read_text())
    assert list(made["weights"]) == list(SLIMPAJAMA.values())
    assert made["provenance"]["dataset"]["revision"] == slimpajama.commit()


def test_domains_of_the_hub_are_the_rows_of_their_labels(slimpajama: Repository, tmp_path: Path) -> None:
    import datasets

    files = sorted(str(path) for path in (slimpajama.folder / "data").glob("train*"))
    table = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    domains = of_table(table)
    assert [domain.name for domain in domains] == list(SLIMPAJAMA.values())
    for domain, label in zip(domains, SLIMPAJAMA, strict=True):
        expected = [row["text"].encode() for row in table if row["meta"]["redpajama_set_name"] == label]
        assert documents(domain.text) == expected
        assert indexed(domain).length == sum(map(len, expected)) + len(expected)
        last = list(indexed(domain).documents_from(indexed(domain).length - 1))
        assert [document.text for document in last] == expected[-1:]


def test_rows_without_text_are_no_documents() -> None:
    import datasets

    texts = ["a1", "", None, "b1", "a2é", None, "", "b2"] * 100  # over several blocks
    rows = [
        {"text": text, "meta": {"redpajama_set_name": "ab"[i % 8 in (3, 7)]}} for i, text in enumerate(texts)
    ]
    domains = of_table(datasets.Dataset.from_list(rows))
    for domain, own in zip(domains, (["a1", "a2é"], ["b1", "b2"]), strict=True):
        expected = [text.encode() for text in own * 100]
        assert indexed(domain).num_documents == len(expected)
        assert indexed(domain).length == sum(map(len, expected)) + len(expected)
        assert documents(domain.text) == expected


def test_fingerprints_of_the_hub_are_of_label_and_commit(tmp_path: Path) -> None:
    import datasets

    fingerprints = []
    for commit in ("1", "2"):
        rows = [{"text": "x", "meta": {"redpajama_set_name": label}} for label in "ab"]
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / "x.parquet")
        table = datasets.load_dataset(
            "parquet", data_files=str(tmp_path / "x.parquet"), split="train", cache_dir=str(tmp_path / commit)
        )
        fingerprints += [domain.text.fingerprint for domain in of_table(table, commit)]
    assert len(set(fingerprints)) == 4


def test_what_the_hub_does_not_have(slimpajama: Repository, command: Command, tmp_path: Path) -> None:
    with hub(slimpajama) as server:
        env = environment(server, tmp_path / "home")
        run = command("--dataset", "someone/else", env=env)
        refused(run, "cannot get someone/else from the hub .*DatasetNotFoundError.* To work offline")
        run = command("--dataset", "builtin", "--checkpoint_path", "someone/else", env=env)
        refused(run, "there is no directory someone/else, and the hub has no such model")


@pytest.mark.parametrize("access", ["gated", "private"])
def test_gated_and_private_datasets_are_read_with_the_usual_token(
    by_subset: Repository, checkpoint: Path, command: Command, tmp_path: Path,
    access: Literal["gated", "private"],
) -> None:  # fmt: skip
    flags = ["--dataset", "someone/subsets", "--text_column", "body", "--checkpoint_path", checkpoint]
    flags += ["--num_samples", "3", "--sample_length", "32"]
    with hub(replace(by_subset, access=access)) as server:
        env = environment(server, tmp_path / "home")
        refused(command(*flags, env=env), "cannot get someone/subsets from the hub")
        run = command(*flags, env={**env, "HF_TOKEN": TOKEN})
        assert run.returncode == 0, run.stderr
    made = json.loads((tmp_path / "chameleon_weights_pretrain.json").read_text())
    assert sorted(made["weights"]) == sorted(WORDS)


def test_a_model_of_the_hub_is_finetuned_and_evaluated(
    checkpoint: Path, corpus_directory: Path, tmp_path: Path
) -> None:
    model = Repository("models", "someone/tiny", checkpoint)
    with hub(model) as server:
        env = {**os.environ, **environment(server, tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        for flags in (
            ["train", "--model", "someone/tiny", "--output_dir", "tuned", "--max_steps", "2",
             "--batch_size", "2", "--sample_length", "32"],
            ["evaluate", "someone/tiny", "tuned"],
        ):  # fmt: skip
            command = [sys.executable, "-m", "chameleon", *flags]
            command += ["--dataset", str(corpus_directory)]
            run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
            assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "chameleon_evaluation.json").read_text())["checkpoints"]
    assert [each["name"] for each in found] == ["someone/tiny", "tuned"]
    assert found[0]["tokenizer_digest"] == found[1]["tokenizer_digest"]


def test_an_unreachable_hub_says_how_to_work_offline(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    run = command("--checkpoint_path", checkpoint, env={"HF_HOME": str(tmp_path / "home")})
    refused(run, "cannot get DKYoon/SlimPajama-6B from the hub .* HF_HUB_OFFLINE=1; or name .*builtin")


def test_a_hub_that_breaks_off(
    slimpajama: Repository, command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    with hub(slimpajama, fail_after=0) as server:
        env = environment(server, tmp_path / "home")
        run = command("--checkpoint_path", checkpoint, env=env)
    refused(run, "cannot get DKYoon/SlimPajama-6B from the hub")


def test_a_dataset_without_labels_lists_its_columns(tmp_path: Path) -> None:
    import datasets

    from chameleon.common.errors import InputError

    for columns in ({"content": ["x"]}, {"text": ["x"], "meta": ["{}"]}, {"text": [1], "meta": [{"a": 1}]}):
        table = datasets.Dataset.from_dict(columns)
        with pytest.raises(InputError, match=rf"somewhere.* it has {next(iter(columns))} \("):
            of_table(table)
    table = datasets.Dataset.from_list(
        [{"text": "x", "meta": {"redpajama_set_name": label}} for label in (None, "a")]
    )
    with pytest.raises(InputError, match="row 0 has no label"):
        of_table(table)
