"""Windows of a corpus to embeddings on disk: only what is not there yet is computed.

Shapes: n windows of a domain, t tokens of a window, d width of the proxy.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from time import monotonic

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from chameleon.cutting import cut_ahead, embedded_part, windows_at_once
from chameleon.embedder import Embedder, default_batch_size
from chameleon.embedding_plan import Task
from chameleon.errors import InputError
from chameleon.grid import WindowRecipe
from chameleon.proxy import Proxy
from chameleon.proxy_tokenizer import ProxyTokenizer
from chameleon.store import DomainEmbeddings, read_embeddings, write_embeddings
from chameleon.windows import Draft, Windows, drafts_from

Notify = Callable[[str], None]

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
    with bar, closing(cut_ahead(drafts)) as cut:
        for task in tasks:
            name = task.domain.name
            bar.set_postfix_str(name, refresh=False)
            rows = _embedded(embedder, name, cut, 0 if task.stored is None else len(task.stored))
            embedded[name] = _extend(task, tokenizer, rows, bar.update)
    return embedded


def _drafts(task: Task, tokenizer: ProxyTokenizer, windows: WindowRecipe, at_once: int) -> Iterator[Draft]:
    """The windows that a task lacks, a few batches at a time: as many as a fault loses at most."""
    if task.grid is None:
        return
    first, visit = (0, 0) if task.stored is None else (len(task.stored), task.stored.next_visit)
    yield from drafts_from(task.grid, tokenizer, windows, first, visit, task.wanted, at_once)


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
            part = embedded_part(task.grid, windows, rows)
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
