"""One pass over the text of domains: each document is encoded, then trained on or held out.

Shapes: m documents, n tokens.
"""

import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from chameleon.common.errors import InputError
from chameleon.proxy.tokenizer import ProxyTokenizer
from chameleon.text.corpora import Domain
from chameleon.text.corpora.documents import all_documents
from chameleon.text.protocols import Content
from chameleon.training.packed_domain import HASHES, HeldOutDocuments, PackedDomain, TokenArray

# A longer document is cut into parts, which are encoded and held out as documents of their own.
_LONG_BYTES = 1 << 20
_PART_BYTES = 1 << 18
_PART_TOKENS = 1 << 16

# Text to encode at once: enough for all cores, and small beside a process's memory.
_BATCH_BYTES = 1 << 22

# Tokens to hold in memory before they are written, of one domain and of all; and hashes of one domain.
_BUFFER = 1 << 19
_BUFFER_IN_ALL = 1 << 24
_BUFFER_HASHES = 1 << 15

# Held-out tokens to store of a domain; beyond that, the documents with the least hashes are stored.
_MAX_HELDOUT = 1 << 22


class Packer:
    """Packs domains: batches are read, encoded and written at the same time.

    Documents with a hash below `bound` are held out; the others are only written for training.
    """

    def __init__(
        self, packed: Sequence[PackedDomain], tokenizer: ProxyTokenizer, bound: int, for_training: bool
    ) -> None:
        self._writers = [_DomainWriter(each, bound, for_training) for each in packed]
        self._tokenizer = tokenizer
        self._bar = tqdm(desc="packing text", unit="B", unit_scale=True, delay=1, disable=None)

    def pack(self, domains: Sequence[Domain]) -> None:
        """Read the domains once, and write all their files or none.

        Raises:
            InputError: The text cannot be read.
            OSError: The files cannot be written.
        """
        self._remove_partial_files()
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="encoding") as encoder, self._bar:
                encoding = encoder.submit(self._encode, [])
                for batch in self._batches(domains):
                    # While a batch is encoded, the one before is written and the next one is read.
                    following = encoder.submit(self._encode, batch)
                    self._add(encoding.result())
                    encoding = following
                self._add(encoding.result())
            for writer in self._writers:
                writer.finish()
        except BaseException:
            self._remove_partial_files()
            raise

    def _remove_partial_files(self) -> None:
        for writer in self._writers:
            with suppress(OSError):
                writer.partial_array.unlink(missing_ok=True)
                writer.partial_hashes.unlink(missing_ok=True)

    def _batches(self, domains: Sequence[Domain]) -> Iterator[list[tuple[int, int, bytes | TokenArray]]]:
        """Batches of (index of the domain, hash, document); documents not needed are only counted."""
        batch: list[tuple[int, int, bytes | TokenArray]] = []
        size = 0
        for index, document in _documents_in_parts(domains):
            content = document.strip() if isinstance(document, bytes) else document.tobytes()
            hash = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
            self._bar.update(len(content))
            if not self._writers[index].register(hash):
                continue
            batch.append((index, hash, document))
            size += len(content)
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        yield batch

    def _encode(self, batch: Sequence[tuple[int, int, bytes | TokenArray]]) -> list[tuple[int, "_Document"]]:
        texts = [self._text(i, each) for i, _, each in batch if isinstance(each, bytes)]
        encoded = iter(self._tokenizer.ids(texts))
        documents = []
        for index, hash, each in batch:
            ids = next(encoded) if isinstance(each, bytes) else each
            tokens: TokenArray = np.empty(len(ids) + 1, dtype=self._writers[index].packed.dtype)
            tokens[:-1] = ids
            tokens[-1] = self._tokenizer.end_of_text
            documents.append((index, _Document(hash, tokens, len(each) if isinstance(each, bytes) else 0)))
        return documents

    def _text(self, index: int, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"domain {self._writers[index].packed.name}: the text is not UTF-8: byte "
                f"0x{content[error.start]:02x}; convert it, or leave it out"
            ) from None

    def _add(self, documents: Sequence[tuple[int, "_Document"]]) -> None:
        for index, document in documents:
            self._writers[index].add(document)
        in_all = sum(writer.buffered for writer in self._writers)
        for writer in self._writers:
            if writer.buffered >= _BUFFER or in_all >= _BUFFER_IN_ALL:
                writer.flush()


class _Document(NamedTuple):
    """A document's hash, its tokens, and its UTF-8 bytes (0 if the source holds tokens)."""

    hash: int
    tokens: TokenArray
    size: int


@dataclass
class _DomainWriter:
    """Divides the documents of one domain into training and held-out, and writes its files."""

    packed: PackedDomain
    bound: int
    for_training: bool
    buffer: list[TokenArray] = field(default_factory=list)
    buffered: int = 0
    heldout: list[_Document] = field(default_factory=list)
    heldout_tokens: int = 0
    heldout_documents: int = 0
    # Possible substitutes: the documents with the two least hashes that are not held out, and their copies.
    substitutes: dict[int, list[_Document]] = field(default_factory=dict)
    tokens: int = 0
    documents: int = 0
    hashes: "array[int]" = field(default_factory=lambda: array("Q"))

    def __post_init__(self) -> None:
        self.partial_array = self.packed.file(".bin.partial")
        self.partial_hashes = self.packed.file(".hashes.partial")

    def register(self, hash: int) -> bool:
        """Note a document's hash; whether its tokens are needed."""
        self.hashes.append(hash)
        if len(self.hashes) >= _BUFFER_HASHES:
            self.flush()
        few = len(self.substitutes) < 2
        if self.for_training or hash < self.bound or few or hash <= max(self.substitutes):
            return True
        self.documents += 1
        return False

    def add(self, document: _Document) -> None:
        if document.hash < self.bound:
            self._hold_out(document)
            return
        self.substitutes.setdefault(document.hash, []).append(document)
        if len(self.substitutes) > 2:
            for each in self.substitutes.pop(max(self.substitutes)):
                self._train_on(each)

    def _hold_out(self, document: _Document) -> None:
        self.heldout_documents += 1
        self.heldout.append(document)
        self.heldout_tokens += len(document.tokens)
        if self.heldout_tokens > 2 * _MAX_HELDOUT:
            self.heldout = _least_hashes(self.heldout, _MAX_HELDOUT)
            self.heldout_tokens = sum(len(each.tokens) for each in self.heldout)

    def _train_on(self, document: _Document) -> None:
        self.documents += 1
        self.tokens += len(document.tokens)
        if self.for_training:
            self.buffer.append(document.tokens)
            self.buffered += len(document.tokens)

    def flush(self) -> None:
        """Append what is buffered to the partial files."""
        if self.hashes:
            with self.partial_hashes.open("ab") as file:
                file.write(np.array(self.hashes, dtype="<u8").tobytes())
            self.hashes = array("Q")
        if self.buffer:
            with self.partial_array.open("ab") as file:
                file.write(np.concatenate(self.buffer).tobytes())
            self.buffer, self.buffered = [], 0

    def finish(self) -> None:
        """Choose substitutes, and write the files under their final names, the counts last."""
        self._place_substitutes()
        self.flush()
        self.partial_hashes.touch()
        self.partial_hashes.replace(self.packed.file(HASHES))
        self.packed.write_heldout(self._heldout_documents())
        if not self.for_training:
            return
        self.partial_array.touch()
        with self.partial_array.open("rb+") as file:
            os.fsync(file.fileno())
        self.partial_array.replace(self.packed.file(".bin"))
        self.packed.write_counts(self.tokens, self.documents)

    def _place_substitutes(self) -> None:
        """Hold out as many as the domain lacks, but not all that is left; train on the others."""
        total = self.heldout_documents + self.documents + sum(map(len, self.substitutes.values()))
        wanted = (2 if total >= 8 else 1 if total >= 2 else 0) if self.bound else 0
        for hash in sorted(self.substitutes):
            copies = self.substitutes[hash]
            is_needed = self.heldout_documents < wanted and self.heldout_documents + len(copies) < total
            for each in copies:
                (self._hold_out if is_needed else self._train_on)(each)

    def _heldout_documents(self) -> HeldOutDocuments:
        stored = _least_hashes(self.heldout, _MAX_HELDOUT)
        tokens = [np.empty(0, np.int32), *(each.tokens.astype(np.int32) for each in stored)]
        return HeldOutDocuments(
            tokens=np.concatenate(tokens),
            ends=np.cumsum([len(each.tokens) for each in stored], dtype=np.int64),
            sizes=np.array([each.size for each in stored], dtype=np.int64),
            hashes=np.array([each.hash for each in stored], dtype=np.uint64),
            documents=self.heldout_documents,
        )


def _least_hashes(documents: list[_Document], max_tokens: int) -> list[_Document]:
    """Documents by rising hash, up to a number of tokens, but at least one."""
    documents = sorted(documents, key=lambda each: each.hash)
    ends = np.cumsum([len(each.tokens) for each in documents])
    return documents[: max(1, int(np.searchsorted(ends, max_tokens, side="right")))]


def _documents_in_parts(domains: Sequence[Domain]) -> Iterator[tuple[int, bytes | TokenArray]]:
    """Each document with the index of its domain; parts of long documents count as documents."""
    for index, document in all_documents(domains):
        if isinstance(document, np.ndarray):
            for begin in range(0, len(document), _PART_TOKENS):
                yield index, document[begin : begin + _PART_TOKENS].astype(np.uint32)
        else:
            yield from ((index, part) for part in _parts(document) if part.strip())


def _parts(content: Content) -> Iterator[bytes]:
    if len(content) <= _LONG_BYTES:
        yield content[0 : len(content)]
        return
    at = 0
    while at < len(content):
        part = content[at : at + _PART_BYTES]
        if at + len(part) < len(content):
            part = part[: _end_of_part(part)]
        yield part
        at += len(part)


def _end_of_part(part: bytes) -> int:
    """After the last line in the second half, else after the last space in it, else after a character."""
    for mark in (b"\n", b" "):
        if (position := part.rfind(mark, len(part) // 2)) >= 0:
            return position + 1
    end = len(part)
    while end > 1 and part[end - 1] & 0xC0 == 0x80:
        end -= 1
    return end - 1 if part[end - 1] >= 0xC0 else len(part)
