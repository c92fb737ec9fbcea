"""One pass over the text of some domains: each document encoded, and trained on or held out.

Shapes: m documents, n tokens.
"""

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from chameleon.common.errors import InputError
from chameleon.text.corpora import Domain
from chameleon.text.corpora.documents import all_documents
from chameleon.text.protocols import Content
from chameleon.training.packed_domain import HASHES, Array, HeldOut, PackedDomain, write_heldout

# A document of over so many bytes counts as several, which are encoded and held out on their own.
_LONG = 1 << 20


_PART = 1 << 18


_LONG_TOKENS = 1 << 16


def documents_in_parts(domains: Sequence[Domain]) -> Iterator[tuple[int, bytes | Array]]:
    """Documents of the domains, each with the index of its domain; parts are documents of their own.

    Raises:
        InputError: The text cannot be read.
    """
    for index, document in all_documents(domains):
        if isinstance(document, np.ndarray):
            for begin in range(0, len(document), _LONG_TOKENS):
                yield index, document[begin : begin + _LONG_TOKENS].astype(np.uint32)
        else:
            yield from ((index, part) for part in _parts(document) if part.strip())


def _parts(content: Content) -> Iterator[bytes]:
    if len(content) <= _LONG:
        yield content[0 : len(content)]
        return
    at = 0
    while at < len(content):
        read = content[at : at + _PART]
        if at + len(read) < len(content):
            read = read[: _end_of_part(read)]
        yield read
        at += len(read)


def _end_of_part(read: bytes) -> int:
    """Behind the last line's end in the second half, else behind the last space, else a character's end."""
    for mark in (b"\n", b" "):
        found = read.rfind(mark, len(read) // 2)
        if found >= 0:
            return found + 1
    end = len(read)
    while end > 1 and read[end - 1] & 0xC0 == 0x80:
        end -= 1
    return end - 1 if read[end - 1] >= 0xC0 else len(read)


# Text that is encoded at once: enough for all cores, and little enough to forget.
_BATCH_BYTES = 1 << 22


# Tokens held in memory before they are written, of one domain and of all.
_PENDING = 1 << 19


_PENDING_IN_ALL = 1 << 24


_PENDING_HASHES = 1 << 15


# Of more held-out tokens of a domain, the documents with the least hashes are kept.
_KEPT_HELDOUT = 1 << 22


class PackingTokenizer(Protocol):
    """What packing needs of a tokenizer."""

    @property
    def end_of_text(self) -> int:
        """The token between documents."""
        ...

    @property
    def digest(self) -> str:
        """Tells tokenizers apart."""
        ...

    @property
    def vocabulary(self) -> int:
        """Its ids are 0 to vocabulary - 1."""
        ...

    def ids(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The tokens of each text, without any that are not in it."""
        ...


class _Held(NamedTuple):
    """A document with its hash, its tokens and its bytes."""

    hash: int
    tokens: Array
    size: int


@dataclass
class _Pending:
    """One domain while it is packed."""

    packed: PackedDomain
    bound: int
    for_training: bool
    waiting: list[Array] = field(default_factory=list)
    waiting_tokens: int = 0
    heldout: list[_Held] = field(default_factory=list)
    heldout_tokens: int = 0
    heldout_documents: int = 0
    # Those with the two least hashes that are not held out so far, and copies of them.
    least: dict[int, list[_Held]] = field(default_factory=dict)
    tokens: int = 0
    documents: int = 0
    hashes: "array[int]" = field(default_factory=lambda: array("Q"))

    @property
    def partial(self) -> Path:
        return self.packed.file(".bin.partial")

    @property
    def partial_hashes(self) -> Path:
        return self.packed.file(".hashes.partial")

    def wants(self, hash: int) -> bool:
        """Whether a document's tokens are needed at all."""
        return self.for_training or hash < self.bound or len(self.least) < 2 or hash <= max(self.least)

    def add(self, document: _Held) -> None:
        if document.hash < self.bound:
            self._hold_out(document)
            return
        self.least.setdefault(document.hash, []).append(document)
        if len(self.least) > 2:
            for each in self.least.pop(max(self.least)):
                self._train_on(each)

    def _hold_out(self, document: _Held) -> None:
        self.heldout_documents += 1
        self.heldout.append(document)
        self.heldout_tokens += len(document.tokens)
        if self.heldout_tokens > 2 * _KEPT_HELDOUT:
            self.heldout = _first_tokens(self.heldout, _KEPT_HELDOUT)
            self.heldout_tokens = sum(len(each.tokens) for each in self.heldout)

    def _train_on(self, document: _Held) -> None:
        self.documents += 1
        self.tokens += len(document.tokens)
        if self.for_training:
            self.waiting.append(document.tokens)
            self.waiting_tokens += len(document.tokens)

    def write(self) -> None:
        if self.hashes:
            with self.partial_hashes.open("ab") as file:
                file.write(np.array(self.hashes, dtype="<u8").tobytes())
            self.hashes = array("Q")
        if self.waiting:
            with self.partial.open("ab") as file:
                file.write(np.concatenate(self.waiting).tobytes())
            self.waiting, self.waiting_tokens = [], 0

    def finish(self) -> None:
        total = self.heldout_documents + self.documents + sum(map(len, self.least.values()))
        wanted = 2 if total >= 8 else 1 if total >= 2 else 0
        wanted = wanted if self.bound else 0
        for hash in sorted(self.least):
            copies = self.least[hash]
            is_needed = self.heldout_documents < wanted and self.heldout_documents + len(copies) < total
            for each in copies:
                (self._hold_out if is_needed else self._train_on)(each)
        kept = _first_tokens(self.heldout, _KEPT_HELDOUT)
        tokens = [np.empty(0, np.int32), *(each.tokens.astype(np.int32) for each in kept)]
        ends = np.cumsum([len(each.tokens) for each in kept], dtype=np.int64)
        sizes = np.array([each.size for each in kept], dtype=np.int64)
        hashes = np.array([each.hash for each in kept], dtype=np.uint64)
        heldout = HeldOut(np.concatenate(tokens), ends, sizes, hashes, self.heldout_documents)
        self.write()
        self.partial_hashes.touch()
        self.partial_hashes.replace(self.packed.file(HASHES))
        write_heldout(self.packed, heldout)
        if not self.for_training:
            return
        self.partial.touch()
        with self.partial.open("rb+") as file:
            os.fsync(file.fileno())
        self.partial.replace(self.packed.file(".bin"))
        self.packed.write_counts(self.tokens, self.documents)


class Packer:
    """Reads, encodes and writes at once, a batch of each at a time.

    Args:
        packed: The domains.
        tokenizer: By which; tokens that a domain holds are taken as they are.
        bound: Documents with a hash below it are held out.
        for_training: Whether the training arrays are wanted, or only what is held out.
    """

    def __init__(
        self,
        packed: Sequence[PackedDomain],
        tokenizer: PackingTokenizer,
        bound: int,
        for_training: bool,
    ) -> None:
        self._domains = [_Pending(each, bound, for_training) for each in packed]
        self._tokenizer = tokenizer
        self._bar = tqdm(desc="packing text", unit="B", unit_scale=True, delay=1, disable=None)

    def pack(self, domains: Sequence[Domain]) -> None:
        """Read the domains once, and write what is packed of each, all of it or nothing.

        Raises:
            InputError: The text cannot be read.
            OSError: The files cannot be written.
        """
        self._clear()
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="encoding") as encoder, self._bar:
                encoding: Future[list[tuple[int, _Held]]] | None = None
                for batch in self._batches(domains):
                    # While one batch is encoded the one before is written and the next is read.
                    following = encoder.submit(self._encoded, batch)
                    if encoding is not None:
                        self._take(encoding.result())
                    encoding = following
                if encoding is not None:
                    self._take(encoding.result())
            for pending in self._domains:
                pending.finish()
        except BaseException:
            self._clear()
            raise

    def _clear(self) -> None:
        for pending in self._domains:
            with suppress(OSError):
                pending.partial.unlink(missing_ok=True)
                pending.partial_hashes.unlink(missing_ok=True)

    def _batches(self, domains: Sequence[Domain]) -> Iterator[list[tuple[int, int, bytes | Array]]]:
        batch: list[tuple[int, int, bytes | Array]] = []
        size = 0
        for index, document in documents_in_parts(domains):
            content = document.strip() if isinstance(document, bytes) else document.tobytes()
            hash = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
            self._bar.update(len(content))
            pending = self._domains[index]
            pending.hashes.append(hash)
            if len(pending.hashes) >= _PENDING_HASHES:
                pending.write()
            if not pending.wants(hash):
                pending.documents += 1
                continue
            batch.append((index, hash, document))
            size += len(content)
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _encoded(self, batch: Sequence[tuple[int, int, bytes | Array]]) -> list[tuple[int, _Held]]:
        texts = [self._text(index, each) for index, _, each in batch if isinstance(each, bytes)]
        found = iter(self._tokenizer.ids(texts))
        documents = []
        for index, hash, each in batch:
            dtype = self._domains[index].packed.dtype
            ids = next(found) if isinstance(each, bytes) else each
            tokens: Array = np.empty(len(ids) + 1, dtype=dtype)
            tokens[:-1] = ids
            tokens[-1] = self._tokenizer.end_of_text
            documents.append((index, _Held(hash, tokens, len(each) if isinstance(each, bytes) else 0)))
        return documents

    def _text(self, index: int, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"domain {self._domains[index].packed.name}: the text is not UTF-8: byte "
                f"0x{content[error.start]:02x}; convert it, or leave it out"
            ) from None

    def _take(self, documents: Iterable[tuple[int, _Held]]) -> None:
        for index, document in documents:
            self._domains[index].add(document)
        in_all = sum(pending.waiting_tokens for pending in self._domains)
        for pending in self._domains:
            if pending.waiting_tokens >= _PENDING or in_all >= _PENDING_IN_ALL:
                pending.write()


def _first_tokens(documents: list[_Held], most: int) -> list[_Held]:
    """Documents by rising hash, up to a number of tokens."""
    kept: list[_Held] = []
    tokens = 0
    for document in sorted(documents, key=lambda each: each.hash):
        if kept and tokens + len(document.tokens) > most:
            break
        kept.append(document)
        tokens += len(document.tokens)
    return kept
