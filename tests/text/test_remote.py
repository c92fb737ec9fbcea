"""Corpora that are not on this machine, over real HTTP and another of fsspec's filesystems."""

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS, BytesTokenizer, Command, documents, make_texts, opened, refused, write_jsonl
from range_server import Served, serve

from chameleon.common.errors import InputError
from chameleon.text.corpora.storage import BACKOFF, files_at
from chameleon.text.grid import WindowRecipe, lay_grid
from chameleon.text.windows import windows_from

TEXTS = {name: make_texts(words, 3 + i, documents=60) for i, (name, words) in enumerate(WORDS.items())}
RECIPE = WindowRecipe(0, 40)
BYTES = BytesTokenizer()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr("chameleon.text.corpora.storage.BACKOFF", (0.0,) * len(BACKOFF))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    with serve(folder) as running:
        yield running
    fsspec.filesystem("http").clear_instance_cache()


def write_formats(folder: Path) -> None:
    write_jsonl(folder / "law" / "a.jsonl", TEXTS["law"][:20])
    write_jsonl(folder / "law" / "b.jsonl", TEXTS["law"][20:])
    pq.write_table(pa.table({"text": TEXTS["cooking"]}), folder / "cooking.parquet", row_group_size=7)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS["code"])
    (folder / "code.jsonl.gz").write_bytes(gzip.compress(lines.encode()))


def test_a_directory_on_a_server_is_a_corpus(served: Served, tmp_path: Path) -> None:
    write_formats(served.folder)
    corpus = opened(served.url, scratch=tmp_path)
    found = {domain.name: documents(domain.text) for domain in corpus.domains}
    assert found == {name: [text.encode() for text in texts] for name, texts in TEXTS.items()}
    corpus.close()
    local = opened(served.folder, scratch=tmp_path)
    assert [domain.name for domain in local.domains] == [domain.name for domain in corpus.domains]
    local.close()


def test_any_filesystem_of_fsspec_serves(tmp_path: Path) -> None:
    write_formats(tmp_path / "c")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "c"), "/corpus", recursive=True)
    corpus = opened("memory://corpus", scratch=tmp_path)
    found = {domain.name: documents(domain.text) for domain in corpus.domains}
    assert found == {name: [text.encode() for text in texts] for name, texts in TEXTS.items()}
    corpus.close()
    memory.rm("/corpus", recursive=True)


def write_mixed(folder: Path, rows: int = 6000) -> int:
    """A parquet file of mixed domains with many row groups; its size."""
    rng = random.Random(0)
    labels = rng.choices(["a", "b"], [0.9, 0.1], k=rows)
    texts = ["".join(rng.choices("abcdefgh ", k=300)) for _ in labels]
    table = pa.table({"text": texts, "label": labels})
    pq.write_table(table, folder / "train.parquet", row_group_size=20, write_statistics=False)
    return (folder / "train.parquet").stat().st_size


def test_of_a_remote_file_only_what_windows_need_is_sent(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chameleon.text.corpora.spool.WHOLE_BYTES", 1000)
    size = write_mixed(served.folder)
    corpus = opened(served.url, domain_column="label", scratch=tmp_path)
    labels = served.bytes_sent
    for domain in corpus.domains:
        list(windows_from(lay_grid(domain.text, BYTES, RECIPE), BYTES, RECIPE, 0, 0, 256, 64))
    assert served.bytes_sent - labels < 0.25 * size
    assert all(asked for _, asked in served.requests)
    corpus.close()


def test_a_server_that_fails_for_a_while_is_asked_again(served: Served, tmp_path: Path) -> None:
    write_formats(served.folder)
    corpus = opened(served.url, scratch=tmp_path)
    for domain in corpus.domains:
        served.failures = len(BACKOFF)
        assert documents(domain.text) == [text.encode() for text in TEXTS[domain.name]]
        served.failures = 0
    corpus.close()


def test_a_server_that_keeps_failing_is_an_error(served: Served, tmp_path: Path) -> None:
    write_formats(served.folder)
    corpus = opened(served.url, scratch=tmp_path)
    served.fail_after = 0
    for domain in corpus.domains:
        expected = r"cannot read http.* after 5 tries .*503.*windows embedded so far are stored"
        with pytest.raises(InputError, match=expected):
            documents(domain.text)
    corpus.close()
    served.fail_after = None
    with pytest.raises(InputError, match="there is no file"):
        opened(served.url + "nothing.parquet", domain_column="x")


def test_a_server_without_ranges_sends_whole_files(served: Served, tmp_path: Path) -> None:
    served.knows_ranges = False
    write_formats(served.folder)
    corpus = opened(served.url, scratch=tmp_path)
    found = {domain.name: documents(domain.text) for domain in corpus.domains}
    assert found == {name: [text.encode() for text in texts] for name, texts in TEXTS.items()}
    corpus.close()


def test_a_file_that_changes_on_the_server_is_noticed(served: Served, tmp_path: Path) -> None:
    write_formats(served.folder)
    corpus = opened(served.url, scratch=tmp_path)
    (served.folder / "code.jsonl.gz").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match=r"code.jsonl.gz"):
        documents(corpus.domains[0].text)
    corpus.close()


def test_what_was_embedded_before_a_server_failed_is_stored(
    served: Served, command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    write_mixed(served.folder, rows=2000)
    flags = ["--dataset", served.url, "--domain_column", "label", "--checkpoint_path", checkpoint]
    flags += ["--num_samples", "200", "--sample_length", "32", "--embedding_batch_size", "4"]
    before = len(served.requests)
    whole = command(*flags, "--embeddings_dir", "whole")
    assert whole.returncode == 0, whole.stderr
    needed = len(served.requests) - before
    served.fail_after = len(served.requests) + needed - 30
    run = command(*flags)
    refused(run, r"domain [ab]: cannot read http.* after 5 tries")
    assert list((tmp_path / "embeddings").glob("*.safetensors"))
    served.fail_after = None
    run = command(*flags, "--output", "again.json")
    assert run.returncode == 0, run.stderr
    names = ("again.json", "chameleon_weights_pretrain.json")
    one, other = (json.loads((tmp_path / name).read_text()) for name in names)
    assert one["weights"] == pytest.approx(other["weights"], abs=1e-6)


def test_names_of_remote_places_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read nonsense://x|needs a library"):
        files_at("nonsense://x")
    with pytest.raises(
        InputError, match=r"needs a library .*pip install \"\.\[s3\]\" in the project's directory"
    ):
        files_at("s3://bucket/x")


def test_token_arrays_are_read_by_ranges(served: Served, tmp_path: Path) -> None:
    from text_files import TOKENS, ids_of

    for name, texts in TEXTS.items():
        ids = np.concatenate(ids_of(texts * 40))
        (served.folder / f"{name}.bin").write_bytes(ids.tobytes())
    corpus = opened(served.url, proxy_tokenizer_digest="bytes", **TOKENS)
    before = served.bytes_sent
    windows = next(windows_from(lay_grid(corpus.domains[0].text, BYTES, RECIPE), BYTES, RECIPE, 0, 0, 8, 8))
    assert len(windows.tokens) == 8
    assert served.bytes_sent - before < 2_200_000
