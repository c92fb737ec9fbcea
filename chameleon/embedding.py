"""Windows of a corpus to embeddings on disk: only what is not there yet is computed.

Shapes: n windows of a domain, t tokens of a window, d width of the proxy.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from chameleon.corpora import Domain
from chameleon.errors import InputError
from chameleon.proxy import POOLING, Proxy, ProxyTokenizer
from chameleon.store import DomainEmbeddings, file_name, read_embeddings, write_embeddings
from chameleon.windows import Grid, WindowRecipe, Windows, cut_windows, lay_grid

Notify = Callable[[str], None]

# Tokens of a batch that suit the device. On CPUs larger batches spill the caches and are slower; on
# accelerators larger ones only cost memory, and are halved where that runs out.
_CPU_BATCH_TOKENS = 1024
_ACCELERATOR_BATCH_TOKENS = 1 << 17
_BATCHES_PER_CHUNK = 4
_CHUNKS_AHEAD = 2
_SECONDS_BETWEEN_WRITES = 20.0


@dataclass(frozen=True)
class Task:
    """One domain to embed.

    Attributes:
        domain, grid: Its text and its cells.
        recipe: All that may change the numbers of its embeddings.
        path: Where they are kept.
        stored: Those that are there.
        wanted: Windows to have in the end.
    """

    domain: Domain
    grid: Grid
    recipe: dict[str, Any]
    path: Path
    stored: DomainEmbeddings | None
    wanted: int

    @property
    def missing(self) -> range:
        """The windows yet to embed."""
        return range(0 if self.stored is None else len(self.stored), self.wanted)


def plan_embedding(
    domains: Sequence[Domain],
    tokenizer: ProxyTokenizer,
    proxy: Proxy,
    windows: WindowRecipe,
    num_samples: int,
    directory: Path,
) -> list[Task]:
    """What there is to do to have `num_samples` windows of each domain, or all that it has.

    Raises:
        InputError: A file of stored embeddings is damaged.
    """
    common = {
        "windows": windows.to_dict(),
        "tokenizer": tokenizer.digest,
        "proxy": proxy.digest,
        "block": proxy.block,
        "pooling": POOLING,
        "dtype": str(proxy.dtype).removeprefix("torch."),
    }
    tasks = []
    for domain in domains:
        grid = lay_grid(domain, tokenizer, windows)
        recipe = {"text": domain.fingerprint, **common}
        path = directory / file_name(domain.name, recipe)
        stored = read_embeddings(path) if path.exists() else None
        tasks.append(Task(domain, grid, recipe, path, stored, min(num_samples, grid.num_windows)))
    return tasks


def embed(
    tasks: Sequence[Task],
    tokenizer: ProxyTokenizer,
    proxy: Proxy,
    windows: WindowRecipe,
    batch_size: int | None = None,
    notify: Notify = lambda text: None,
) -> dict[str, DomainEmbeddings]:
    """Carry out tasks: embed what is missing and write it.

    What is embedded is written every few seconds and when anything ends the work, an interrupt
    included; the next run goes on from there.

    Args:
        tasks: What to do.
        tokenizer, proxy: The proxy's two halves.
        windows: Which windows are cut.
        batch_size: Windows in one forward pass, by default as many as suit the device. It is halved
            for the rest of the work where memory runs out.
        notify: Told when that happens.

    Returns:
        For each domain the embeddings of its first windows, as many as its task wants.

    Raises:
        InputError: An embedding is not finite (names domain and window), memory does not suffice
            for a single window, or the embeddings cannot be written.
    """
    embedder = _Embedder(proxy, batch_size or default_batch_size(proxy, windows), notify)
    chunks = {task.domain.name: _chunks(task.missing, embedder.batch_size) for task in tasks}
    cuts = [
        partial(cut_windows, task.domain, tokenizer, windows, task.grid, chunk.start, chunk.stop)
        for task in tasks
        for chunk in chunks[task.domain.name]
    ]
    total = sum(len(task.missing) for task in tasks)
    bar = tqdm(total=total, desc="embedding", unit="window", delay=1, disable=None)
    embedded = {}
    with bar, closing(_ahead(cuts)) as cut:
        for task in tasks:
            name = task.domain.name
            bar.set_postfix_str(name, refresh=False)
            rows = (embedder.embed(name, next(cut), chunk.start) for chunk in chunks[name])
            embedded[name] = _extend(task, rows, bar.update).first(task.wanted)
    return embedded


def default_batch_size(proxy: Proxy, windows: WindowRecipe) -> int:
    """Windows of a batch that suit the proxy's device."""
    tokens = _CPU_BATCH_TOKENS if proxy.device.type == "cpu" else _ACCELERATOR_BATCH_TOKENS
    return max(1, tokens // windows.sample_length)


def _chunks(numbers: range, batch_size: int) -> list[range]:
    """Numbers of windows, a few batches at a time: what is cut at once, and lost at most by a fault."""
    size = batch_size * _BATCHES_PER_CHUNK
    return [numbers[begin : begin + size] for begin in range(0, len(numbers), size)]


def _ahead(cuts: Sequence[Callable[[], Windows]]) -> Generator[Windows]:
    """The outcome of each, the next ones made in a thread meanwhile, also across domains."""
    ahead = ThreadPoolExecutor(max_workers=1)
    try:
        coming: deque[Future[Windows]] = deque()
        for cut in cuts:
            coming.append(ahead.submit(cut))
            if len(coming) > _CHUNKS_AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        ahead.shutdown(cancel_futures=True)


def _extend(
    task: Task, chunks: Iterable[tuple[Windows, npt.NDArray[np.float32]]], progress: Callable[[int], object]
) -> DomainEmbeddings:
    """The task's embeddings with those of further windows, written."""
    parts = [] if task.stored is None else [task.stored]
    unwritten = False

    def write() -> None:
        parts[:] = [DomainEmbeddings.joined(parts)]
        # Another run may have written more meanwhile.
        if not task.path.exists() or len(read_embeddings(task.path)) < len(parts[0]):
            write_embeddings(task.path, task.domain.name, task.recipe, parts[0])

    last_write = monotonic()
    try:
        for windows, rows in chunks:
            parts.append(
                DomainEmbeddings(
                    rows, windows.positions, windows.documents, windows.lengths, task.grid.num_windows
                )
            )
            unwritten = True
            progress(len(rows))
            if monotonic() - last_write > _SECONDS_BETWEEN_WRITES:
                write()
                unwritten, last_write = False, monotonic()
    finally:
        if unwritten:
            write()
    return parts[0]


@dataclass
class _Embedder:
    """The proxy at work, which remembers the batch size that fits."""

    proxy: Proxy
    batch_size: int
    notify: Notify

    def embed(self, domain: str, windows: Windows, first: int) -> tuple[Windows, npt.NDArray[np.float32]]:
        """The windows and their (n, d) embeddings; `first` is the number of the first of them."""
        largest = int(windows.tokens.max())
        if largest >= self.proxy.vocabulary:
            raise InputError(
                f"the tokenizer gives token {largest}, but the proxy's vocabulary has "
                f"{self.proxy.vocabulary}; name a checkpoint whose tokenizer is its own"
            )
        batches, begin = [], 0
        while begin < len(windows.tokens):
            rows = slice(begin, begin + self.batch_size)
            try:
                batches.append(self.proxy.embed(windows.tokens[rows], windows.lengths[rows]))
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                self._halve_batch(windows.tokens.shape[1])
                continue
            begin = rows.stop
        embeddings = torch.cat(batches).cpu().numpy()
        self._require_finite(domain, embeddings, first)
        return windows, embeddings

    def _halve_batch(self, length: int) -> None:
        if self.batch_size == 1:
            raise InputError(
                f"not enough memory on {self.proxy.device} for one window of {length} "
                "tokens; give a smaller --sample_length, another --device or a smaller proxy"
            )
        self.batch_size //= 2
        if self.proxy.device.type == "cuda":
            torch.cuda.empty_cache()
        self.notify(f"out of memory: going on with batches of {self.batch_size} windows")

    def _require_finite(self, domain: str, embeddings: npt.NDArray[np.float32], first: int) -> None:
        finite = np.isfinite(embeddings).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            dtype = str(self.proxy.dtype).removeprefix("torch.")
            raise InputError(
                f"domain {domain}: the embedding of window {first + row} is not finite in {dtype}; "
                "try --dtype float32, or check the checkpoint"
            )


def _is_out_of_memory(error: RuntimeError) -> bool:
    # CPUs and Apple's devices raise a plain RuntimeError.
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(each in str(error).lower() for each in words)
