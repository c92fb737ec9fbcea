"""A worker: makes pieces of domains and writes them to the embeddings directory.

Shapes: n windows, d width of the proxy.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.common.libraries import quiet_transformers
from chameleon.embeddings.embedder import Embedder, default_batch_size, examples_of
from chameleon.embeddings.keys import keys_of, naming
from chameleon.embeddings.load_proxy import LoadedProxy, load_run_proxy
from chameleon.embeddings.pieces import Piece, Pieces, write_pieces
from chameleon.embeddings.read_ahead import embed_windows, windows_ahead, windows_at_once
from chameleon.embeddings.store import DomainEmbeddings
from chameleon.embeddings.workers.messages import (
    PieceRequest,
    PieceResult,
    Shard,
    WorkerEvent,
    WorkerInfo,
    WorkerSetup,
    program_digest,
)
from chameleon.proxy.checkpoints import digest_of_checkpoint
from chameleon.proxy.devices import choose_device, choose_dtype
from chameleon.text.grid import Grid, lay_grid
from chameleon.text.windows import PendingWindows, VisitRange, Windows, pending_windows


class Worker:
    """A corpus and a proxy at work on shards."""

    def __init__(self, there: LoadedProxy, notify: Notify) -> None:
        """Args: what is open, and who is told when batches must be smaller."""
        self._there = there
        size = there.options.embedding_batch_size or default_batch_size(there.proxy, there.recipe)
        self._embedder = Embedder(there.proxy, size, notify)
        self.batch_size = size
        self.at_once = windows_at_once(size)
        self.keys = keys_of(there.corpus.domains, there.identity, there.recipe)
        self._domains = {domain.name: domain for domain in there.corpus.domains}
        self._pieces = Pieces(there.options.embeddings_dir)
        self._grids: dict[str, Grid] = {}

    def span(self, item: PieceRequest) -> VisitRange:
        """All visits that an item is a piece of."""
        grid = self._grid(item.domain)
        return VisitRange.of(grid, item.have, item.visit, min(item.wanted, grid.num_windows), self.at_once)

    def embed(self, shard: Shard) -> tuple[PieceResult, ...]:
        """Make the pieces of a shard that are not there yet, and write them to one file.

        Raises:
            InputError: The text cannot be read, or an embedding is not finite.
            CannotWriteError: The file cannot be written from here.
        """
        names = {item.domain for item in shard}
        self._grids = {name: grid for name, grid in self._grids.items() if name in names}
        drafts = ((item.domain, self._drafts(item)) for item in shard)
        with quiet_transformers(), closing(windows_ahead(drafts)) as cut:
            pieces = [self._piece(item, cut) for item in shard]
        found = [piece for piece in pieces if piece is not None]
        file = write_pieces(self._there.options.embeddings_dir, found).name if found else None
        made = []
        for item, piece in zip(shard, pieces, strict=True):
            windows = 0 if piece is None else len(piece.stored)
            made.append(
                PieceResult(item, windows, self.span(item).num_pieces, None if piece is None else file)
            )
        return tuple(made)

    def _drafts(self, item: PieceRequest) -> Iterator[PendingWindows]:
        """The windows of a piece; none where it is there already, or the domain has ended before it."""
        span = self.span(item)
        if item.number >= span.num_pieces:
            return
        piece = span.piece(item.number)
        if not self._pieces.hold(self.keys[item.domain], item.visit, piece.begin, piece.end):
            yield from pending_windows(
                self._grids[item.domain], self._there.tokenizer, self._there.recipe, piece
            )

    def _piece(self, item: PieceRequest, cut: Iterator[Windows | None]) -> Piece | None:
        """A piece of the next windows that are cut, if there are any."""
        none = np.zeros(0, dtype=np.int64)
        rows = np.zeros((0, self._there.proxy.width), dtype=np.float32)
        stored, is_there = DomainEmbeddings(rows, none, none, none, available=0), False
        while (windows := next(cut)) is not None:
            grid, is_there = self._grids[item.domain], True
            if not len(windows.tokens):  # visits to where no text is
                stored = replace(stored, next_visit=windows.next_visit, available=grid.num_windows)
                continue
            _, rows = self._embedder.embed(item.domain, windows, item.have + len(stored))
            part = embed_windows(grid, windows, rows)
            if item.visit == item.number == len(stored) == 0:
                part = replace(part, examples=examples_of(self._there.tokenizer, windows))
            stored = DomainEmbeddings.joined([stored, part])
        if not is_there:
            return None
        begin = self.span(item).piece(item.number).begin
        visits = self._grids[item.domain].num_visits
        return Piece(self.keys[item.domain], item.domain, begin, stored, visits)

    def _grid(self, name: str) -> Grid:
        """A domain, measured."""
        if name not in self._grids:
            there = self._there
            with naming(name):
                self._grids[name] = lay_grid(self._domains[name].text, there.tokenizer, there.recipe)
        return self._grids[name]


@contextmanager
def make_worker(setup: WorkerSetup, notify: Notify) -> Iterator[tuple[Worker, WorkerInfo]]:
    """A worker that opens corpus and proxy for itself, and what it is.

    Raises:
        InputError: They cannot be had or used here.
    """
    if setup.program != program_digest():
        raise InputError(
            f"the worker on {_name()} has chameleon {program_digest()}, this process {setup.program}; "
            "install the same version on all machines"
        )
    mark = _left_beside(setup.options.embeddings_dir, setup.sign)
    if setup.threads is not None:
        torch.set_num_threads(setup.threads)
    device = choose_device(setup.device)
    options = replace(setup.options, dataset=setup.dataset, checkpoint_path=setup.checkpoint)
    with load_run_proxy(options, lambda text: None, (device, choose_dtype(options.dtype, device))) as there:
        worker = Worker(there, notify)
        yield worker, worker_info(there, worker, mark)


def worker_info(there: LoadedProxy, worker: Worker, mark: str | None = None) -> WorkerInfo:
    """What a worker is; `mark` is what it left beside the driver's sign."""
    return WorkerInfo(
        host=_name(),
        mark=mark,
        checkpoint=digest_of_checkpoint(there.path, there.proxy.digest),
        text=digest_of_json(worker.keys)[:16],
        identity=there.identity,
        batch_size=worker.batch_size,
    )


def _name() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"


def _left_beside(directory: Path, sign: str) -> str:
    """The name of a file that is left beside the driver's sign.

    Raises:
        InputError: The sign is not there, or nothing can be left.
    """
    if not (directory / sign).is_file():
        raise InputError(
            f"the worker on {_name()} does not see what this process writes to {directory}; name by "
            "--embeddings_dir a directory that all machines share"
        )
    mark = f"{sign}-{socket.gethostname()}-{os.getpid()}"
    try:
        (directory / mark).touch()
    except OSError as error:
        raise InputError(
            f"the worker on {_name()} cannot write to {directory} ({error.strerror}); workers do: allow it"
        ) from None
    return mark


class Here:
    """A pool of one, which works while it is waited for."""

    size = 1

    def __init__(self, worker: Worker, hello: WorkerInfo) -> None:
        """Args: the worker, and what it is."""
        self._worker, self._hello = worker, hello
        self._shard: Shard | None = None
        self._is_new = False

    def start(self, worker: int) -> None:
        """Nothing is to be started."""
        self._is_new = True

    def give(self, worker: int, shard: Shard) -> None:
        """Have a shard made by the next `wait`."""
        self._shard = shard

    def wait(self) -> list[WorkerEvent]:
        """Work. Errors as of `Worker.embed`."""
        if self._is_new:
            self._is_new = False
            return [WorkerEvent(0, "ready", self._hello)]
        assert self._shard is not None
        shard, self._shard = self._shard, None
        return [WorkerEvent(0, "done", self._worker.embed(shard))]

    def close(self) -> None:
        """Nothing is to be ended."""
