"""The scheduler: which windows are missing, in which shards they are embedded, and what a run joins."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import WORDS, Command, make_texts, opened, write_jsonl
from engine_helpers import (
    FaultyPool,
    N,
    driver_of,
    embed_serially,
    flags,
    options_for,
    require_same_files,
)

from chameleon.common.errors import InputError
from chameleon.embeddings.embed import embed_corpus
from chameleon.embeddings.load_proxy import load_run_proxy
from chameleon.embeddings.pieces import Pieces
from chameleon.embeddings.store import Extent, read_records
from chameleon.embeddings.workers import scheduler as scheduling
from chameleon.embeddings.workers.messages import PieceRequest, shards_of
from chameleon.embeddings.workers.scheduler import PieceScheduler
from chameleon.embeddings.workers.worker import Worker, worker_info
from chameleon.proxy.tokenizer import load_tokenizer
from chameleon.text.grid import WindowRecipe, lay_grid
from chameleon.text.windows import VisitRange, windows_from


@pytest.fixture(scope="module")
def serial(corpus_directory: Path, checkpoint: Path) -> Path:
    return embed_serially(corpus_directory, checkpoint)


def test_pieces_of_a_span_are_its_visits_each_once(corpus_directory: Path, checkpoint: Path) -> None:
    tokenizer, recipe = load_tokenizer(checkpoint), WindowRecipe(seed=0, sample_length=32)
    grids = [lay_grid(domain.text, tokenizer, recipe) for domain in opened(corpus_directory).domains]
    rng = random.Random(0)
    for _ in range(300):
        grid = rng.choice(grids)
        grid = dataclasses.replace(grid, num_windows=rng.randint(1, 3 * grid.num_windows))
        visit, have = rng.randint(0, grid.num_visits), rng.randint(0, 50)
        span = VisitRange.of(grid, have, visit, have + rng.randint(0, 80), rng.randint(1, 9))
        pieces = [span.piece(number) for number in range(span.num_pieces)]
        assert [visit for piece in pieces for visit in range(piece.begin, piece.end)] == list(
            range(span.begin, span.end)
        )
        # They end in the same places whatever span they are of: only the first and last are shorter.
        assert all(piece.end % span.chunk == 0 for piece in pieces[:-1])
        assert len({piece.place for piece in pieces}) == len(pieces)
    assert VisitRange.of(grids[0], 5, 5, 5, 4).num_pieces == 0


def test_windows_in_spans_are_nested(corpus_directory: Path, checkpoint: Path) -> None:
    tokenizer, recipe = load_tokenizer(checkpoint), WindowRecipe(seed=0, sample_length=32)
    domain = opened(corpus_directory).domains[0]
    grid = lay_grid(domain.text, tokenizer, recipe)
    whole = np.concatenate([each.tokens for each in windows_from(grid, tokenizer, recipe, 0, 0, 50, 4)])
    first = list(windows_from(grid, tokenizer, recipe, 0, 0, 13, 4))
    count = sum(len(each.tokens) for each in first)
    rest = windows_from(grid, tokenizer, recipe, count, first[-1].next_visit, 50, 4)
    parts = np.concatenate([each.tokens for each in [*first, *rest]])
    np.testing.assert_array_equal(parts[:50], whole[:50])


def test_shards_hold_all_requests_in_order() -> None:
    requests = [PieceRequest(f"d{i}", 0, 0, wanted, 0) for i, wanted in enumerate([3, 4, 5, 40, 1, 9, 9])]
    shards = list(shards_of(requests, 10))
    assert [request for shard in shards for request in shard] == requests
    assert [len(shard) for shard in shards] == [2, 1, 1, 2, 1]  # 3 + 4, 5, 40 (one piece), 1 + 9, 9


def test_files_that_do_not_appear_here_are_an_error(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "SECONDS_TO_BE_SEEN", 0.3)
    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path / "one"), print) as loaded:
        worker = Worker(loaded, print)
        pool = FaultyPool(worker, worker_info(loaded, worker), 1, 3)
        (tmp_path / "other").mkdir()
        driver = driver_of(pool)
        scheduler = PieceScheduler(driver, Pieces(tmp_path / "other"), worker.keys, 16, {})
        with pytest.raises(InputError, match="do not appear here; set --embeddings_dir"):
            scheduler.fill(dict.fromkeys(worker.keys, 5))


def test_shares_are_joined_by_the_same_command(
    command: Command, tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    command_flags = flags(corpus_directory, checkpoint, "--num_samples", str(N))
    for index in (2, 0):  # the other is lost
        run = command(*command_flags, "--num_shards", "3", "--shard_index", str(index))
        assert run.returncode == 0, run.stderr
        assert f"shard {index} of 3 is done" in run.stdout
    assert not (tmp_path / "chameleon_weights_pretrain.json").exists()
    pieces = list((tmp_path / "embeddings").glob("*.pieces.safetensors"))
    made = sum(len(read_pieces(path)) for path in pieces)
    assert 0 < made < 3 * N
    run = command(*command_flags)
    assert run.returncode == 0, run.stderr
    require_same_files(tmp_path / "embeddings", serial)


def read_pieces(path: Path) -> np.ndarray[Any, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return np.asarray(file.get_tensor("embeddings"))


def test_many_domains_are_few_files(
    command: Command, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus"
    for number in range(300):
        words = list(WORDS.values())[number % 3]
        write_jsonl(corpus / f"d{number:03}.jsonl", make_texts(words, number, documents=2, longest=120))
    run = command(*flags(corpus, checkpoint, "--num_samples", "3"))
    assert run.returncode == 0, run.stderr
    directory = tmp_path / "embeddings"
    files = list(directory.glob("*.safetensors"))
    assert 1 <= len(files) <= 8  # forty-two domains of three windows are 126
    assert all(path.name.endswith(".pieces.safetensors") for path in files)
    (record,) = read_records(directory)
    assert len(record.files) == 300
    # The same without text and proxy, and by more windows.
    skipped = command("--skip_embedding_generation", "--output", "again.json")
    assert skipped.returncode == 0, skipped.stderr
    one, other = (weights_in(tmp_path / name) for name in ("chameleon_weights_pretrain.json", "again.json"))
    assert one == other
    more = command(*flags(corpus, checkpoint, "--num_samples", "5"))
    assert more.returncode == 0, more.stderr
    left = {path for path in files if path.exists()}
    assert left == set(files)
    # As when each domain has a file.
    apart = tmp_path / "apart"
    options = dataclasses.replace(options_for(corpus, checkpoint, apart), num_samples=5)
    monkeypatch.setattr("chameleon.embeddings.pieces._MOST_FILES", 1000)
    embedded = embed_corpus(options, 5, lambda embedded: {}, lambda words: None)
    pieces = Pieces(directory)
    for name, stored in embedded.domains.items():
        found = pieces.stored(embedded.record.files[name])
        assert found is not None
        np.testing.assert_array_equal(found.embeddings[:5], stored.embeddings)


def weights_in(path: Path) -> dict[str, float]:
    return dict(json.loads(path.read_text())["weights"])


def test_a_domain_of_many_without_windows_is_an_error(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chameleon.embeddings.pieces._MOST_FILES", 2)
    real = Pieces.extent
    empty = Extent(0, 5, 0)
    monkeypatch.setattr(
        Pieces, "extent", lambda self, key: empty if key.startswith("law-") else real(self, key)
    )
    options = dataclasses.replace(options_for(corpus_directory, checkpoint, tmp_path), num_samples=5)
    with pytest.raises(InputError, match="domain law: no text in it"):
        embed_corpus(options, 5, lambda embedded: {}, print)
