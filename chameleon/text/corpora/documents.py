"""All documents of a corpus, each read once."""

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

# Units that are read at the same time, and how far ahead each is at most.
_READERS = 4


_BATCH_BYTES = 1 << 18


_BATCHES_AHEAD = 8


_Batches = Queue[list[tuple[str, bytes]] | BaseException | None]


# A document: text, or the tokens of one where the source holds those of the tokenizer that is wanted.
Document = Content | npt.NDArray[np.int32]


def all_documents(domains: Sequence[Domain]) -> Iterator[tuple[int, Document]]:
    """Each document of some domains, with the index of its domain.

    Units that domains share are read once for all of them, so that their documents come mixed; nothing
    is kept on disk.

    Raises:
        InputError: The text cannot be read.
    """
    shared: dict[SourceUnits, dict[str, int]] = {}
    for index, domain in enumerate(domains):
        text = domain.text
        if isinstance(text, UnitsText):
            shared.setdefault(text.units, {})[text.name] = index
    for units, indices in shared.items():
        texts = (domain.text for domain in domains)
        numbers = {
            int(number)
            for text in texts
            if isinstance(text, UnitsText) and text.units is units
            for number in text.numbers
        }
        with closing(_in_order(units, sorted(numbers))) as documents:
            for name, document in documents:
                if name in indices:
                    yield indices[name], document
    for index, domain in enumerate(domains):
        text = domain.text
        if isinstance(text, UnitsText):
            continue
        for each in range(len(text.unit_keys)):
            unit = text.unit(each)
            found: Iterator[Document] = (
                unit.documents() if text.tokenizer_digest is None else cast(TokenUnit, unit).token_documents()
            )
            yield from ((index, document) for document in found)


def _in_order(units: SourceUnits, numbers: Sequence[int]) -> Generator[tuple[str, bytes], None, None]:
    """The documents of units one after the other, while the next few units are read in threads.

    Each reader is ahead by a few batches at most, so that units of any size pass in bounded memory.
    """
    ended = threading.Event()

    def read(number: int, into: _Batches) -> None:
        try:
            batch: list[tuple[str, bytes]] = []
            size = 0
            for name, document in units.stream(number):
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

    coming: deque[_Batches] = deque()
    waiting = iter(numbers)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="reading-ahead") as readers:
        try:
            while True:
                for number in islice(waiting, _READERS - len(coming)):
                    coming.append(Queue(_BATCHES_AHEAD))
                    readers.submit(read, number, coming[-1])
                if not coming:
                    return
                while (batch := coming[0].get()) is not None:
                    if isinstance(batch, BaseException):
                        raise batch
                    yield from batch
                coming.popleft()
        finally:
            ended.set()
            for queue in coming:
                with queue.not_full:
                    queue.maxsize = (
                        1 << 60
                    )  # who waits to put something there goes on, and sees that it is over
                    queue.not_full.notify_all()
