"""A worker: embeds pieces of domains with a proxy of its own.

Shapes: n windows, d width of the proxy.
"""

import os
import socket
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.common.libraries import quiet_transformers
from chameleon.embeddings.embedder import Embedder, default_batch_size
from chameleon.embeddings.keys import keys_of, naming
from chameleon.embeddings.load_proxy import LoadedProxy, load_run_proxy
from chameleon.embeddings.pieces import Piece, Pieces, write_pieces
from chameleon.embeddings.read_ahead import read_ahead, windows_at_once
from chameleon.embeddings.store import DomainEmbeddings
from chameleon.embeddings.workers.messages import (
    PieceRequest,
    PieceResult,
    Shard,
    WorkerInfo,
    WorkerSetup,
    program_digest,
)
from chameleon.proxy.checkpoints import digest_of_checkpoint
from chameleon.proxy.devices import choose_device, choose_dtype
from chameleon.text.grid import Grid, lay_grid
from chameleon.text.windows import PendingWindows, VisitRange, Windows, pending_windows

# Grids of domains that are kept, so that a domain is measured once.
_MOST_GRIDS = 256

# Windows of which the text is stored to be displayed, and how much of it.
_EXAMPLES = 3
_EXAMPLE_CHARACTERS = 600


class _Chunk(NamedTuple):
    """Windows that are read and encoded.

    Attributes:
        request: The request for them.
        span: All visits that its domain lacks.
        begin: The first visit of these windows.
        grid: Of the domain.
        windows: The windows; None where the request asks for none that are missing.
    """

    request: PieceRequest
    span: VisitRange
    begin: int
    grid: Grid
    windows: Windows | None


class Worker:
    """An open corpus and a loaded proxy that embed pieces."""

    def __init__(self, loaded: LoadedProxy, notify: Notify) -> None:
        """Set up.

        Args:
            loaded: Corpus and proxy.
            notify: Receives a message when batches must be smaller.
        """
        self._loaded, self._opened = loaded, loaded.opened
        options, domains, recipe = self._opened.options, self._opened.corpus.domains, self._opened.recipe
        self.batch_size = options.embedding_batch_size or default_batch_size(loaded.proxy, recipe)
        self.at_once = windows_at_once(self.batch_size)
        self.keys = keys_of(domains, loaded.identity, recipe)
        self._embedder = Embedder(loaded.proxy, self.batch_size, notify)
        self._domains = {domain.name: domain for domain in domains}
        self._pieces = Pieces(options.embeddings_dir)
        self._grids: dict[str, Grid] = {}

    def measure(self, requests: Iterable[PieceRequest]) -> None:
        """Measure the domains of requests first, so that text that cannot be read is an error at once.

        Raises:
            InputError: See `lay_grid`.
        """
        names = list(dict.fromkeys(request.domain for request in requests))
        if len(names) <= _MOST_GRIDS:
            for name in tqdm(names, desc="measuring domains", unit="domain", delay=1, disable=None):
                self._grid(name)

    def span(self, request: PieceRequest) -> VisitRange:
        """All visits that a domain lacks of those that a request asks for."""
        grid = self._grid(request.domain)
        wanted = min(request.wanted, grid.num_windows)
        return VisitRange.of(grid, request.have, request.visit, wanted, self.at_once)

    def pieces(self, requests: Iterable[PieceRequest]) -> Generator[tuple[PieceResult, Piece | None]]:
        """Embed the pieces that do not exist yet, in order; requests are read ahead of the forward pass.

        Yields:
            Each piece with its result, and for a request without a piece the result alone.

        Raises:
            InputError: The text cannot be read, or an embedding is not finite.
        """
        embedded, request = 0, None
        with quiet_transformers(), closing(read_ahead(self._chunks(requests))) as chunks:
            for chunk in chunks:
                if chunk.request is not request:
                    embedded, request = 0, chunk.request
                result = PieceResult(request, 0, chunk.span.num_pieces, None)
                if chunk.windows is None:
                    yield result, None
                    continue
                piece = self._piece(chunk, chunk.windows, request.have + embedded)
                embedded += len(piece.stored)
                yield result._replace(windows=len(piece.stored)), piece

    def embed(self, shard: Shard) -> tuple[PieceResult, ...]:
        """Embed the pieces of a shard that do not exist yet, and write them to one file.

        Raises:
            InputError: See `pieces`.
            CannotWriteError: The file cannot be written from here.
        """
        made = list(self.pieces(shard))
        pieces = [piece for _, piece in made if piece is not None]
        file = write_pieces(self._opened.options.embeddings_dir, pieces).name if pieces else None
        return tuple(result._replace(file=None if piece is None else file) for result, piece in made)

    def _chunks(self, requests: Iterable[PieceRequest]) -> Iterator[Callable[[], _Chunk]]:
        """The chunks of each request, or one without windows where none is missing.

        Text is read when the next chunk is asked for, and encoded when the chunk is called.
        """
        tokenizer, recipe = self._loaded.tokenizer, self._opened.recipe
        for request in requests:
            with naming(request.domain):
                key, span, grid = self.keys[request.domain], self.span(request), self._grid(request.domain)
                numbers = range(span.num_pieces)
                if request.number is not None:
                    numbers = numbers[request.number :][:1]
                missing: list[VisitRange] = []
                for visits in map(span.piece, numbers):
                    if self._pieces.has(key, request.visit, visits.begin, visits.end):
                        continue
                    if missing and missing[-1].end == visits.begin:  # units are fetched ahead in one range
                        missing[-1] = missing[-1]._replace(end=visits.end)
                    else:
                        missing.append(visits)
                for visits in missing:
                    begin = visits.begin
                    for pending in pending_windows(grid, tokenizer, recipe, visits):
                        yield partial(_encoded, _Chunk(request, span, begin, grid, None), pending)
                        begin = pending.next_visit
                if not missing:
                    yield partial(_Chunk, request, span, span.end, grid, None)

    def _piece(self, chunk: _Chunk, windows: Windows, first: int) -> Piece:
        """The piece of a chunk; `first` is the number of its first window."""
        name, grid, tokenizer = chunk.request.domain, chunk.grid, self._loaded.tokenizer
        rows = np.zeros((0, self._loaded.proxy.width), dtype=np.float32)
        if len(windows.tokens):  # else visits to places without text
            rows = self._embedder.embed(name, windows, first)
        some = zip(windows.tokens[:_EXAMPLES], windows.lengths[:_EXAMPLES], strict=True)
        examples = (tokenizer.decode(ids[:length].tolist())[:_EXAMPLE_CHARACTERS] for ids, length in some)
        stored = DomainEmbeddings(
            rows,
            windows.positions,
            windows.documents,
            windows.lengths,
            available=grid.num_windows,
            next_visit=windows.next_visit,
            corpus_tokens=grid.amount(windows.next_visit),
            examples=tuple(examples) if chunk.begin == 0 else (),
        )
        return Piece(self.keys[name], name, chunk.begin, stored, grid.num_visits)

    def _grid(self, name: str) -> Grid:
        """A domain's cells, measured once as long as it is one of few."""
        grid = self._grids.pop(name, None)
        if grid is None:
            with naming(name):
                text = self._domains[name].text
                grid = lay_grid(text, self._loaded.tokenizer, self._opened.recipe)
        self._grids[name] = grid
        if len(self._grids) > _MOST_GRIDS:
            del self._grids[next(iter(self._grids))]
        return grid


def _encoded(chunk: _Chunk, pending: PendingWindows) -> _Chunk:
    with naming(chunk.request.domain):
        return chunk._replace(windows=pending.windows())


@contextmanager
def open_worker(setup: WorkerSetup, notify: Notify) -> Iterator[tuple[Worker, WorkerInfo]]:
    """A worker that opens corpus and proxy for itself, and what it is.

    Raises:
        InputError: They cannot be opened or used here.
    """
    if setup.program != program_digest():
        raise InputError(
            f"the worker on {_host()} has chameleon {program_digest()}, this process {setup.program}; "
            "install the same version on all machines"
        )
    mark = _leave_mark(setup.options.embeddings_dir, setup.sign)
    if setup.threads is not None:
        torch.set_num_threads(setup.threads)
    device = choose_device(setup.device)
    options = replace(setup.options, dataset=setup.dataset, checkpoint_path=setup.checkpoint)
    runs_on = device, choose_dtype(options.dtype, device)
    with load_run_proxy(options, lambda text: None, runs_on) as loaded:
        worker = Worker(loaded, notify)
        yield worker, worker_info(loaded, worker, mark)


def worker_info(loaded: LoadedProxy, worker: Worker, mark: str | None = None) -> WorkerInfo:
    """What a worker is; `mark` is the file that it left beside the driver's sign."""
    return WorkerInfo(
        host=_host(),
        mark=mark,
        checkpoint=digest_of_checkpoint(loaded.path, loaded.proxy.digest),
        text=digest_of_json(worker.keys)[:16],
        identity=loaded.identity,
        batch_size=worker.batch_size,
    )


def _host() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"


def _leave_mark(directory: Path, sign: str) -> str:
    """Leave a file beside the driver's sign, and return its name.

    Raises:
        InputError: The sign does not exist, or no file can be written.
    """
    if not (directory / sign).is_file():
        raise InputError(
            f"the worker on {_host()} does not see what this process writes to {directory}; set "
            "--embeddings_dir to a directory that all machines share"
        )
    mark = f"{sign}-{socket.gethostname()}-{os.getpid()}"
    try:
        (directory / mark).touch()
    except OSError as error:
        raise InputError(
            f"the worker on {_host()} cannot write to {directory} ({error.strerror}); give it the permission"
        ) from None
    return mark
