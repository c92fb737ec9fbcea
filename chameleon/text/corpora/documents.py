"""All documents of a corpus, each read once, as training needs them."""

import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from queue import Queue
from typing import cast

import numpy as np
import numpy.typing as npt

from chameleon.text.corpora.corpus import Domain
from chameleon.text.corpora.spool import SourceUnits, UnitsText
from chameleon.text.protocols import Content, TokenUnit

# Units read at the same time, and how far ahead each may be.
_READERS = 4
_BATCH_BYTES = 1 << 18
_BATCHES_AHEAD = 8
_Batches = Queue[list[tuple[str, bytes]] | BaseException | None]

# The text of a document, or its tokens where the source holds those of the proxy's tokenizer.
Document = Content | npt.NDArray[np.int32]


def all_documents(domains: Sequence[Domain]) -> Iterator[tuple[int, Document]]:
    """Each document of some domains, with the index of its domain.

    Units that domains share are read once for all of them, so their documents come mixed. Nothing is stored.

    Raises:
        InputError: The text cannot be read.
    """
    shared: dict[SourceUnits, dict[str, int]] = {}
    numbers: dict[SourceUnits, set[int]] = {}
    for index, domain in enumerate(domains):
        text = domain.text
        if isinstance(text, UnitsText):
            shared.setdefault(text.units, {})[text.name] = index
            numbers.setdefault(text.units, set()).update(text.numbers.tolist())
    for units, indices in shared.items():
        with closing(_in_order(units, sorted(numbers[units]))) as documents:
            for name, document in documents:
                if name in indices:
                    yield indices[name], document
    for index, domain in enumerate(domains):
        if isinstance(domain.text, UnitsText):
            continue
        for number in range(len(domain.text.unit_keys)):
            unit = domain.text.unit(number)
            is_text = domain.text.tokenizer_digest is None
            contents: Iterator[Document] = (
                unit.documents() if is_text else cast(TokenUnit, unit).token_documents()
            )
            yield from ((index, document) for document in contents)


def _in_order(units: SourceUnits, numbers: Sequence[int]) -> Generator[tuple[str, bytes], None, None]:
    """The documents of units one after the other, while threads read the next few units.

    A reader is at most a few batches ahead, so units of any size pass in bounded memory.
    """
    ended = threading.Event()

    def read(number: int, into: _Batches) -> None:
        try:
            batch: list[tuple[str, bytes]] = []
            size = 0
            for name, document in units.read(number):
                batch.append((name, document))
                size += len(document)
                if size >= _BATCH_BYTES:
                    into.put(batch)
                    batch, size = [], 0
                if ended.is_set():
                    return
            into.put(batch)
            into.put(None)
        except BaseException as error:
            into.put(error)

    queues: deque[_Batches] = deque()
    remaining = iter(numbers)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="reading-ahead") as readers:
        try:
            while True:
                for number in islice(remaining, _READERS - len(queues)):
                    queues.append(Queue(_BATCHES_AHEAD))
                    readers.submit(read, number, queues[-1])
                if not queues:
                    return
                while (batch := queues[0].get()) is not None:
                    if isinstance(batch, BaseException):
                        raise batch
                    yield from batch
                queues.popleft()
        finally:
            ended.set()
            for queue in queues:
                with queue.not_full:
                    queue.maxsize = 1 << 60  # so that a reader that waits for room goes on and sees the end
                    queue.not_full.notify_all()
