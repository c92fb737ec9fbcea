"""Packed domains on disk: their files, and what these say.

Files of a domain, named by it and the digest of what made them:

    <name>.bin                  training tokens, flat little-endian uint16 or uint32, an end-of-text
                                token behind each document
    <name>.json                 how many, written last: without it the array is not complete
    <name>.heldout.safetensors  held-out documents by rising hash, and how many there were
    <name>.hashes               of all its documents, flat little-endian uint64

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


_COUNTS = ".json"


_HELDOUT = ".heldout.safetensors"


HASHES = ".hashes"


Array = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out documents of a domain, in random order (by hash).

    Attributes:
        tokens: (n,) int32 their tokens, each document's end-of-text token behind it.
        ends: (m,) int64 where each document ends, that token included.
        sizes: (m,) int64 bytes of UTF-8 of each; 0 where the source holds tokens.
        hashes: (m,) uint64 of each, rising.
        documents: How many are held out; more than m where they are too many to keep.
    """

    tokens: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    documents: int

    def subset(self, kept: npt.NDArray[np.bool_]) -> "HeldOut":
        """Without the documents that (m,) `kept` is false for."""
        lengths = np.diff(self.ends, prepend=0)
        tokens = self.tokens[np.repeat(kept, lengths)]
        left_out = int((~kept).sum())
        return HeldOut(
            tokens, np.cumsum(lengths[kept]), self.sizes[kept], self.hashes[kept], self.documents - left_out
        )


@dataclass(frozen=True)
class PackedDomain:
    """A domain's tokens on disk.

    Attributes:
        name: The domain's.
        path: Its files' names begin so.
        digest: Of what made them: text, tokenizer, share held out.
        dtype: Of a token.
        tokens: In the training array, end-of-text tokens included.
        documents: There.
    """

    name: str
    path: Path
    digest: str
    dtype: str
    tokens: int = 0
    documents: int = 0

    def file(self, ending: str) -> Path:
        """One of its files."""
        return self.path.with_name(self.path.name + ending)

    def is_there(self, for_training: bool) -> bool:
        """Whether what is held out is there, and if wanted the whole training array."""
        if not (self.file(_HELDOUT).exists() and self.file(HASHES).exists()):
            return False
        if not for_training:
            return True
        try:
            counted = self.counted()
            return self.file(".bin").stat().st_size == counted.tokens * np.dtype(self.dtype).itemsize
        except (OSError, InputError):
            return False

    def counted(self) -> "PackedDomain":
        """The same with the numbers of its file.

        Raises:
            InputError: It cannot be read.
        """
        path = self.file(_COUNTS)
        try:
            facts = json.loads(path.read_bytes())
            return replace(self, tokens=int(facts["tokens"]), documents=int(facts["documents"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is damaged ({error}); delete it to have the domain packed again"
            ) from None

    def write_counts(self, tokens: int, documents: int) -> None:
        """Write the numbers of a training array that is complete.

        Raises:
            InputError: They cannot be written.
        """
        facts = {
            "domain": self.name,
            "format": FORMAT,
            "digest": self.digest,
            "dtype": self.dtype,
            "tokens": tokens,
            "documents": documents,
        }
        content = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.file(_COUNTS), content.encode())

    def array(self) -> Array:
        """(n,) the training tokens, mapped into memory."""
        if not self.tokens:
            return np.empty(0, dtype=self.dtype)
        array: Array = np.memmap(self.file(".bin"), dtype=self.dtype, mode="r")
        return array

    def holds_any(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """For each hash, whether it is of one of the domain's documents."""
        found = np.zeros(len(hashes), dtype=bool)
        if len(hashes) and self.file(HASHES).stat().st_size:
            mine = np.memmap(self.file(HASHES), dtype="<u8", mode="r")
            for begin in range(0, len(mine), 1 << 20):
                found |= np.isin(hashes, mine[begin : begin + (1 << 20)])
        return found

    def heldout(self) -> HeldOut:
        """The held-out documents.

        Raises:
            InputError: Their file cannot be read.
        """
        path = self.file(_HELDOUT)
        try:
            with safe_open(path, framework="numpy") as file:
                arrays: dict[str, Any] = {
                    name: file.get_tensor(name) for name in ("tokens", "ends", "sizes", "hashes")
                }
                documents = int((file.metadata() or {})["documents"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{path} is truncated or damaged ({error}); delete it to have the domain packed again"
            ) from None
        return HeldOut(**arrays, documents=documents)


def write_heldout(packed: PackedDomain, heldout: HeldOut) -> None:
    """Write the held-out documents of a domain.

    Raises:
        InputError: They cannot be written.
    """
    arrays: dict[str, Any] = {
        "tokens": heldout.tokens,
        "ends": heldout.ends,
        "sizes": heldout.sizes,
        "hashes": heldout.hashes,
    }
    metadata = {"format": FORMAT, "domain": packed.name, "documents": str(heldout.documents)}
    write_atomically(packed.file(_HELDOUT), save(arrays, metadata))
