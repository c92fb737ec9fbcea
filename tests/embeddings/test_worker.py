"""A worker: which pieces it embeds, what it tells of itself, and that threads do not change the bits."""

import dataclasses
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_checkpoint
from engine_helpers import N, options_for

from chameleon.common.errors import InputError
from chameleon.common.files import write_atomically
from chameleon.embeddings.embed import embed_corpus
from chameleon.embeddings.embedder import Embedder
from chameleon.embeddings.load_proxy import load_run_proxy
from chameleon.embeddings.pieces import Piece, Pieces
from chameleon.embeddings.workers.connect import serial_scheduler
from chameleon.embeddings.workers.messages import PieceRequest, PieceResult, WorkerSetup, program_digest
from chameleon.embeddings.workers.worker import Worker, open_worker
from chameleon.proxy.model import load_proxy
from chameleon.text.grid import Grid, lay_grid
from chameleon.text.protocols import Text
from chameleon.text.windows import Windows


def test_results_say_how_many_pieces_a_domain_has(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    with load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as loaded:
        worker = Worker(loaded, print)
        request = PieceRequest("law", 0, 0, N, 0)
        (result,) = worker.embed((request,))
        pieces = -(-N // 8)
        (file,) = tmp_path.glob("*.pieces.safetensors")
        assert result == PieceResult(request, 8, pieces, file.name)
        # Existing pieces are not embedded again, nor those that the domain does not have.
        worker = Worker(loaded, print)
        assert worker.embed((request,)) == (PieceResult(request, 0, pieces, None),)
        beyond = request._replace(number=99)
        assert worker.embed((beyond,)) == (PieceResult(beyond, 0, pieces, None),)


def test_pieces_of_another_batch_size_are_used(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where shares are embedded on GPUs, and joined on a machine without one."""
    large = options_for(corpus_directory, checkpoint, tmp_path, embedding_batch_size=2)
    with load_run_proxy(large, print) as loaded:
        worker = Worker(loaded, print)
        for number in (0, 2):  # one between them is lost
            worker.embed((PieceRequest("law", 0, 0, N, number),))
    embedded: list[int] = []
    pieces = Worker.pieces

    def counted(
        self: Worker, requests: Iterable[PieceRequest]
    ) -> Generator[tuple[PieceResult, Piece | None]]:
        for result, piece in pieces(self, requests):
            embedded.append(result.windows)
            yield result, piece

    monkeypatch.setattr(Worker, "pieces", counted)
    stored = Pieces(tmp_path)
    with (
        load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as loaded,
        serial_scheduler(loaded, stored, print) as (_, scheduler),
    ):
        scheduler.fill({"law": N})
        extent = stored.extent(scheduler.keys["law"])
    assert extent is not None
    assert extent.windows >= N
    assert sum(embedded) == N - 2 * 16  # what was lost, and what is behind it, and no more


def test_workers_of_another_program_or_without_the_directory(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    options = options_for(corpus_directory, checkpoint, tmp_path)
    setup = WorkerSetup(
        options, str(corpus_directory), str(checkpoint), "cpu", None, program_digest(), ".shared-sign"
    )
    with pytest.raises(InputError, match="does not see what this process writes"), open_worker(setup, print):
        pass
    (tmp_path / ".shared-sign").touch()
    with open_worker(setup, print) as (_, info):
        assert info.mark is not None
        assert (tmp_path / info.mark).exists()
    other = dataclasses.replace(setup, program="0.0.9 (abc)", checkpoint="not looked at before")
    with (
        pytest.raises(InputError, match=r"has chameleon .*, this process 0.0.9 \(abc\); install the same"),
        open_worker(other, print),
    ):
        pass


def test_bits_do_not_depend_on_threads(tmp_path: Path) -> None:
    """The products of so wide a model are summed in another order when threads share them."""
    checkpoint = make_checkpoint(tmp_path / "wide", width=512)
    proxy = load_proxy(checkpoint, torch.device("cpu"), torch.float32)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 300, (22, 64)).astype(np.int32)
    numbers = np.arange(22)
    windows = Windows(tokens, np.full(22, 64), numbers, numbers, 22)
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(Embedder(proxy, 3, print).embed("d", windows, 0))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()


def test_a_domain_is_measured_once_by_a_worker(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def counted(text: Text, *arguments: Any) -> Grid:  # noqa: ANN401
        measured.append(text.fingerprint)
        return lay_grid(text, *arguments)

    monkeypatch.setattr("chameleon.embeddings.workers.worker.lay_grid", counted)
    with (
        load_run_proxy(options_for(corpus_directory, checkpoint, tmp_path), print) as loaded,
        serial_scheduler(loaded, Pieces(tmp_path), print) as (_, scheduler),
    ):
        for wanted in (5, 20, 40):
            scheduler.fill(dict.fromkeys(scheduler.keys, wanted))
        assert len(measured) == len(scheduler.keys) == 3
        monkeypatch.setattr("chameleon.embeddings.workers.worker._MOST_GRIDS", 2)
        worker = Worker(loaded, print)
        for number in range(3):
            for name in ("law", "code"):
                worker.embed((PieceRequest(name, 0, 0, N, number),))
        assert len(measured) == 5
        worker.embed((PieceRequest("cooking", 0, 0, N, 0), PieceRequest("law", 0, 0, N, 4)))
    assert len(measured) == 7  # law made room for cooking


def test_one_process_writes_no_piece_files(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr("chameleon.embeddings.store.write_atomically", written_to(written, write_atomically))
    monkeypatch.setattr("chameleon.embeddings.pieces.write_atomically", written_to(written, write_atomically))
    options = options_for(corpus_directory, checkpoint, tmp_path, num_samples=20)
    embedded = embed_corpus(options, 20, lambda embedded: {}, print)
    (record,) = tmp_path.glob("*.run.json")
    assert sorted(written) == sorted([record.name, record.name, *embedded.record.files.values()])
    assert len(list(tmp_path.iterdir())) == 4


def written_to(names: list[str], write: Callable[[Path, bytes], None]) -> Callable[[Path, bytes], None]:
    """A function that writes and remembers the names."""

    def remembered(path: Path, content: bytes) -> None:
        names.append(path.name)
        write(path, content)

    return remembered
