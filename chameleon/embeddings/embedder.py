"""The proxy at work on windows: batches that fit the device, and nothing that is not finite.

Shapes: n windows, d width of the proxy.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from time import monotonic

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.embeddings.keys import Task
from chameleon.embeddings.read_ahead import embed_windows, windows_ahead, windows_at_once
from chameleon.embeddings.store import DomainEmbeddings, read_embeddings, write_embeddings
from chameleon.proxy.devices import is_out_of_memory
from chameleon.proxy.model import Proxy
from chameleon.proxy.tokenizer import ProxyTokenizer
from chameleon.text.grid import WindowRecipe
from chameleon.text.windows import PendingWindows, Windows, pending_windows_from

# Tokens of a batch that suit the device. On CPUs larger batches spill the caches and are slower; on
# accelerators larger ones only cost memory, and are halved where that runs out.
_CPU_BATCH_TOKENS = 1024


_ACCELERATOR_BATCH_TOKENS = 1 << 17


def default_batch_size(proxy: Proxy, windows: WindowRecipe) -> int:
    """Windows of a batch that suit the proxy's device."""
    tokens = _CPU_BATCH_TOKENS if proxy.device.type == "cpu" else _ACCELERATOR_BATCH_TOKENS
    return max(1, tokens // windows.sample_length)


class Embedder:
    """The proxy at work, which remembers the batch size that fits.

    On a CPU each batch is computed by one thread, and as many at once as torch has threads: so the numbers
    are the same for any number of them, which those of a product that threads share are not.
    """

    def __init__(self, proxy: Proxy, batch_size: int, notify: Notify) -> None:
        """Args: the proxy, windows of a batch to begin with, and who is told when they must be fewer."""
        self.proxy, self.batch_size, self.notify = proxy, batch_size, notify
        threads = torch.get_num_threads() if proxy.device.type == "cpu" else 1
        self._threads = ThreadPoolExecutor(threads, "embedding") if threads > 1 else None

    def embed(self, domain: str, windows: Windows, first: int) -> tuple[Windows, npt.NDArray[np.float32]]:
        """The windows and their (n, d) embeddings; `first` is the number of the first of them."""
        largest = int(windows.tokens.max())
        if largest >= self.proxy.vocabulary:
            raise InputError(
                f"the tokenizer gives token {largest}, but the proxy's vocabulary has "
                f"{self.proxy.vocabulary}; name a checkpoint whose tokenizer is its own"
            )
        batches = None
        while batches is None:
            try:
                batches = self._batches(windows)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve_batch(windows.tokens.shape[1])
        embeddings = torch.cat(batches).cpu().numpy()
        self._require_finite(domain, embeddings, first)
        return windows, embeddings

    def _batches(self, windows: Windows) -> list[torch.Tensor]:
        """Embeddings batch by batch."""
        begins = range(0, len(windows.tokens), self.batch_size)
        tokens = [windows.tokens[begin : begin + self.batch_size] for begin in begins]
        lengths = [windows.lengths[begin : begin + self.batch_size] for begin in begins]
        if self.proxy.device.type != "cpu":
            return list(map(self.proxy.embed, tokens, lengths))
        with _single_threaded():
            if self._threads is None:
                return list(map(self.proxy.embed, tokens, lengths))
            return list(self._threads.map(self.proxy.embed, tokens, lengths))

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


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Products by one thread each, of whichever threads compute meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_SECONDS_BETWEEN_WRITES = 20.0


# Windows of which the text is kept to be shown, and how much of it.
_EXAMPLES = 3


_EXAMPLE_CHARACTERS = 600


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
        For each domain the embeddings that are there now: those that its task wants, and perhaps more.

    Raises:
        InputError: An embedding is not finite (names domain and window), memory does not suffice
            for a single window, or the embeddings cannot be written.
    """
    embedder = Embedder(proxy, batch_size or default_batch_size(proxy, windows), notify)
    at_once = windows_at_once(embedder.batch_size)
    drafts = ((task.domain.name, _drafts(task, tokenizer, windows, at_once)) for task in tasks)
    total = sum(task.missing for task in tasks)
    bar = tqdm(total=total, desc="embedding", unit="window", delay=1, disable=None)
    embedded = {}
    with bar, closing(windows_ahead(drafts)) as cut:
        for task in tasks:
            name = task.domain.name
            bar.set_postfix_str(name, refresh=False)
            rows = _embedded(embedder, name, cut, 0 if task.stored is None else len(task.stored))
            embedded[name] = _extend(task, tokenizer, rows, bar.update)
    return embedded


def _drafts(
    task: Task, tokenizer: ProxyTokenizer, windows: WindowRecipe, at_once: int
) -> Iterator[PendingWindows]:
    """The windows that a task lacks, a few batches at a time: as many as a fault loses at most."""
    if task.grid is None:
        return
    first, visit = (0, 0) if task.stored is None else (len(task.stored), task.stored.next_visit)
    yield from pending_windows_from(task.grid, tokenizer, windows, first, visit, task.wanted, at_once)


def _embedded(
    embedder: Embedder, domain: str, cut: Iterator[Windows | None], first: int
) -> Iterator[tuple[Windows, npt.NDArray[np.float32]]]:
    """The next windows up to the end of a domain, and their embeddings."""
    for windows in cut:
        if windows is None:
            return
        if len(windows.tokens):
            yield embedder.embed(domain, windows, first)
            first += len(windows.tokens)


def _extend(
    task: Task,
    tokenizer: ProxyTokenizer,
    chunks: Iterable[tuple[Windows, npt.NDArray[np.float32]]],
    progress: Callable[[int], object],
) -> DomainEmbeddings:
    """The task's embeddings with those of further windows, written."""
    parts = [] if task.stored is None else [task.stored]
    unwritten = False

    def write() -> None:
        parts[:] = [DomainEmbeddings.joined(parts)]
        # Another run may have written more meanwhile.
        if not task.path.exists() or len(read_embeddings(task.path)) <= len(parts[0]):
            write_embeddings(task.path, task.domain.name, task.recipe, parts[0])

    last_write = monotonic()
    try:
        for windows, rows in chunks:
            assert task.grid is not None  # windows come from it
            part = embed_windows(task.grid, windows, rows)
            parts.append(part if parts else replace(part, examples=examples_of(tokenizer, windows)))
            unwritten = True
            progress(len(rows))
            if monotonic() - last_write > _SECONDS_BETWEEN_WRITES:
                write()
                unwritten, last_write = False, monotonic()
        if parts and task.grid is not None and parts[-1].next_visit >= task.grid.num_visits:
            # Now it is known how many windows the domain has.
            parts[-1] = replace(parts[-1], available=sum(map(len, parts)))
            unwritten = True
    finally:
        if unwritten:
            write()
    if not parts:
        raise InputError(f"domain {task.domain.name}: no text in it; remove what is empty, or give it text")
    return parts[0]


def examples_of(tokenizer: ProxyTokenizer, windows: Windows) -> tuple[str, ...]:
    """The text of the first few windows, or of their beginnings."""
    rows = zip(windows.tokens[:_EXAMPLES], windows.lengths[:_EXAMPLES], strict=True)
    return tuple(tokenizer.decode(ids[:length].tolist())[:_EXAMPLE_CHARACTERS] for ids, length in rows)
