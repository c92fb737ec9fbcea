"""Packed domains on disk: their files, and how they are read and written.

Files of a domain, named after it and the digest of what they were made from:

    <name>.bin                  training tokens, flat little-endian uint16 or uint32, an end-of-text
                                token after each document
    <name>.json                 counts of tokens and documents, written last: without it the array is
                                incomplete
    <name>.heldout.safetensors  held-out documents by rising hash, and their number
    <name>.hashes               hashes of all documents, flat little-endian uint64

Shapes: m documents, n tokens.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from chameleon.common.errors import InputError
from chameleon.common.files import write_atomically

FORMAT = "chameleon-packed/1"
HASHES = ".hashes"
_COUNTS = ".json"
_HELDOUT = ".heldout.safetensors"
_HELDOUT_ARRAYS = ("tokens", "ends", "sizes", "hashes")
TokenArray = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class HeldOutDocuments:
    """Held-out documents of a domain, in random order (by hash).

    Attributes:
        tokens: (n,) int32 tokens, with an end-of-text token after each document.
        ends: (m,) int64 end of each document, after its end-of-text token.
        sizes: (m,) int64 UTF-8 bytes of each; 0 if the source holds tokens.
        hashes: (m,) uint64 rising hashes.
        documents: Number of held-out documents; above m if they are too many to store.
    """

    tokens: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    documents: int

    def subset(self, mask: npt.NDArray[np.bool_]) -> "HeldOutDocuments":
        """The documents for which (m,) `mask` is true."""
        lengths = np.diff(self.ends, prepend=0)
        tokens, ends = self.tokens[np.repeat(mask, lengths)], np.cumsum(lengths[mask])
        documents = self.documents - int((~mask).sum())
        return HeldOutDocuments(tokens, ends, self.sizes[mask], self.hashes[mask], documents)


@dataclass(frozen=True)
class PackedDomain:
    """A domain's tokens on disk.

    Attributes:
        name: Domain name.
        path: Beginning of the paths of its files.
        digest: Digest of what the files were made from: text, tokenizer, held-out share.
        dtype: Type of a token.
        tokens: Length of the training array, end-of-text tokens included.
        documents: Documents in the training array.
    """

    name: str
    path: Path
    digest: str
    dtype: str
    tokens: int = 0
    documents: int = 0

    def file(self, ending: str) -> Path:
        """The file with an ending."""
        return self.path.with_name(self.path.name + ending)

    def is_packed(self, for_training: bool) -> bool:
        """Whether the held-out documents are stored and, for training, the whole training array."""
        if not (self.file(_HELDOUT).exists() and self.file(HASHES).exists()):
            return False
        if not for_training:
            return True
        try:
            tokens = self.with_counts().tokens
            return self.file(".bin").stat().st_size == tokens * np.dtype(self.dtype).itemsize
        except (OSError, InputError):
            return False

    def with_counts(self) -> "PackedDomain":
        """The same with `tokens` and `documents` as stored.

        Raises:
            InputError: The file of counts cannot be read.
        """
        path = self.file(_COUNTS)
        try:
            facts = json.loads(path.read_bytes())
            return replace(self, tokens=int(facts["tokens"]), documents=int(facts["documents"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}); delete it to pack the domain again") from None

    def write_counts(self, tokens: int, documents: int) -> None:
        """Write the counts of a training array, which completes it.

        Raises:
            InputError: The file cannot be written.
        """
        facts = {"domain": self.name, "format": FORMAT, "digest": self.digest, "dtype": self.dtype}
        counts = {"tokens": tokens, "documents": documents}
        content = json.dumps(facts | counts, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.file(_COUNTS), content.encode())

    def array(self) -> TokenArray:
        """(n,) training tokens, mapped into memory."""
        if not self.tokens:
            return np.empty(0, dtype=self.dtype)
        return np.memmap(self.file(".bin"), dtype=self.dtype, mode="r")

    def contains(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """(m,) whether each hash is that of a document of the domain."""
        contained = np.zeros(len(hashes), dtype=bool)
        if len(hashes) and self.file(HASHES).stat().st_size:
            stored = np.memmap(self.file(HASHES), dtype="<u8", mode="r")
            for begin in range(0, len(stored), 1 << 20):
                contained |= np.isin(hashes, stored[begin : begin + (1 << 20)])
        return contained

    def heldout(self) -> HeldOutDocuments:
        """The held-out documents.

        Raises:
            InputError: Their file cannot be read.
        """
        path = self.file(_HELDOUT)
        try:
            with safe_open(path, framework="numpy") as file:
                arrays: dict[str, Any] = {name: file.get_tensor(name) for name in _HELDOUT_ARRAYS}
                documents = int((file.metadata() or {})["documents"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{path} is truncated or damaged ({error}); delete it to pack the domain again"
            ) from None
        return HeldOutDocuments(**arrays, documents=documents)

    def write_heldout(self, heldout: HeldOutDocuments) -> None:
        """Write the held-out documents.

        Raises:
            InputError: The file cannot be written.
        """
        arrays: dict[str, Any] = {name: getattr(heldout, name) for name in _HELDOUT_ARRAYS}
        metadata = {"format": FORMAT, "domain": self.name, "documents": str(heldout.documents)}
        write_atomically(self.file(_HELDOUT), save(arrays, metadata))
