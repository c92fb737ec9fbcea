"""Arrays of tokens: flat ones (nanoGPT, DoGE, OLMo), Megatron's with an index, and numpy files.

Positions are tokens. Where the proxy's tokenizer made them, windows are cut from them as they are; where
another did, they are decoded and encoded anew.
"""

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError, one_line
from chameleon.text.corpora.indexed import SingleUnit
from chameleon.text.corpora.storage import File
from chameleon.text.protocols import Content, Passage

INDEX_SUFFIX = ".idx"
_INDEX_MAGIC = b"MMIDIDX\x00\x00"
_INDEX_HEADER = struct.Struct("<9sQBQQ")
_MEGATRON_DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
_READ_TOKENS = 1 << 16

# Tokens searched backwards for the beginning of a document.
_LOOK_BACK = 1 << 20

# Tokens from which the bytes of text per token are estimated.
_SHARE_TOKENS = 256


@dataclass(frozen=True)
class SourceTokenizer:
    """The tokenizer that made the tokens of a source.

    Attributes:
        name: Name that the user gave.
        digest: Digest that differs between tokenizers.
        vocabulary: Size; ids are 0 to vocabulary - 1.
        end_of_text: The token between documents.
        decode: Turns ids into text.
    """

    name: str
    digest: str
    vocabulary: int
    end_of_text: int
    decode: Callable[[Sequence[int]], str]


@dataclass(frozen=True, eq=False)
class TokenArray:
    """Tokens of one file.

    Attributes:
        file: The file.
        dtype: Item type, such as "<u2".
        begin: The byte at which items begin.
        documents: (s,) int64, the item at which each document begins, rising; None where only end-of-text
            tokens separate documents.
    """

    file: File
    dtype: str
    begin: int = 0
    documents: npt.NDArray[np.int64] | None = None

    @property
    def length(self) -> int:
        """Number of tokens."""
        return (self.file.size - self.begin) // np.dtype(self.dtype).itemsize

    def read(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """Tokens `first` to `last` - 1."""
        size = np.dtype(self.dtype).itemsize
        content = self.file.read(self.begin + first * size, self.begin + last * size)
        return np.frombuffer(content, dtype=self.dtype).astype(np.int64)


@dataclass(frozen=True, eq=False)
class TokenText(SingleUnit):
    """Token arrays of a domain, end to end, as one unit.

    Attributes:
        arrays: (a,) arrays, none of them empty.
        tokenizer: The tokenizer that made them.
        direct: Whether that is the proxy's tokenizer.
        fingerprint: Digest (hex) of files and tokenizer.
    """

    arrays: tuple[TokenArray, ...]
    tokenizer: SourceTokenizer
    direct: bool
    fingerprint: str

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:  # type: ignore[override]
        """(a + 1,) the position at which each array begins, and the length at the end."""
        return np.cumsum([0, *(array.length for array in self.arrays)], dtype=np.int64)

    @property
    def tokenizer_digest(self) -> str | None:
        """See `chameleon.text.protocols.Text`."""
        return self.tokenizer.digest if self.direct else None

    def _file_names(self) -> Iterator[str]:
        return (array.file.name for array in self.arrays)

    def ids(self, position: int, count: int) -> npt.NDArray[np.int32]:
        """See `chameleon.text.protocols.TokenUnit`; at most to the end of the array at that position."""
        number, at = self.part_at(position)
        array = self.arrays[number]
        ids = array.read(at, min(at + count, array.length))
        wrong = (ids < 0) | (ids >= self.tokenizer.vocabulary)
        if wrong.any():
            raise InputError(
                f"{array.file.name}: token {ids[wrong][0]} at item {at + int(np.argmax(wrong))} is not in "
                f"the vocabulary of {self.tokenizer.name} ({self.tokenizer.vocabulary} tokens); check "
                f"--tokenizer and --token_dtype (items are read as {np.dtype(array.dtype).name})"
            )
        return ids.astype(np.int32)

    def document_at(self, position: int) -> int:
        """See `chameleon.text.protocols.TokenUnit`; for a very long document, a position within it."""
        number, at = self.part_at(position)
        array, begin = self.arrays[number], int(self.starts[number])
        if array.documents is not None:
            return begin + int(array.documents[np.searchsorted(array.documents, at, side="right") - 1])
        while at > 0 and position - begin - at < _LOOK_BACK:
            low = max(at - _READ_TOKENS, 0)
            ends = np.flatnonzero(array.read(low, at) == self.tokenizer.end_of_text)
            if len(ends):
                return begin + low + int(ends[-1]) + 1
            at = low
        return begin + at

    def passage(self, position: int) -> Passage:
        """See `chameleon.text.protocols.Unit`."""
        return Passage(self.document_at(position), 0, self._documents(position))

    def text_share(self, position: int) -> float:
        """Bytes of text per token."""
        ids = self.ids(position, _SHARE_TOKENS)
        return max(len(self._decoded(ids)), 1) / len(ids)

    def documents(self) -> Iterator[Content]:
        """See `chameleon.text.protocols.Unit`."""
        return self._documents(0)

    def token_documents(self) -> Iterator[npt.NDArray[np.int32]]:
        """See `chameleon.text.protocols.TokenUnit`."""
        return self._parts(0)

    def _documents(self, position: int) -> Iterator[bytes]:
        for ids in self._parts(position):
            text = self._decoded(ids)
            if text.strip():
                yield text

    def _parts(self, position: int) -> Iterator[npt.NDArray[np.int32]]:
        """Documents from a position on; one of over `_READ_TOKENS` tokens comes in parts."""
        while position < self.length:
            ids = self.ids(position, _READ_TOKENS)
            ends = np.flatnonzero(ids == self.tokenizer.end_of_text)
            taken = stop = int(ends[0]) if len(ends) else len(ids)
            number, at = self.part_at(position)
            begins = self.arrays[number].documents
            if begins is not None:
                following = begins[np.searchsorted(begins, at, side="right") :][:1] - at
                taken = min([stop, *following.tolist()])
            if taken:
                yield ids[:taken]
            position += taken + (taken == stop < len(ids))

    def _decoded(self, ids: npt.NDArray[np.int32]) -> bytes:
        ids = ids[ids != self.tokenizer.end_of_text]
        # A window may begin within a character of several tokens.
        return self.tokenizer.decode(ids.tolist()).strip("\ufffd").encode(errors="replace")


def pair_arrays(files: Sequence[File], dtype: str) -> list[TokenArray]:
    """The arrays of files, those of Megatron with the `.idx` beside them.

    Args:
        files: Files of arrays and indices.
        dtype: Item type of flat arrays.

    Raises:
        InputError: A file is damaged, or an index has no array.
    """
    indices = {
        file.path.removesuffix(INDEX_SUFFIX): file for file in files if file.path.endswith(INDEX_SUFFIX)
    }
    arrays = [file for file in files if not file.path.endswith(INDEX_SUFFIX)]
    if alone := indices.keys() - {file.path.removesuffix(".bin") for file in arrays}:
        raise InputError(f"{indices[min(alone)].name} has no .bin file beside it")
    pairs = ((file, indices.get(file.path.removesuffix(".bin"))) for file in arrays)
    return [
        flat_array(file, dtype) if index is None else megatron_array(file, index) for file, index in pairs
    ]


def flat_array(file: File, dtype: str) -> TokenArray:
    """The array of a file of items and nothing else, or of a numpy file of one dimension.

    Raises:
        InputError: The size is not a multiple of an item's, or the numpy header is not of such an array.
    """
    if file.read(0, min(6, file.size)) == b"\x93NUMPY":
        return _numpy_array(file)
    size = np.dtype(dtype).itemsize
    if file.size % size:
        raise InputError(
            f"{file.name}: expected items of {size} bytes ({np.dtype(dtype).name}), but its {file.size} "
            "bytes are not a multiple of that; it is truncated or of another type (--token_dtype)"
        )
    return TokenArray(file, np.dtype(dtype).newbyteorder("<").str)


def _numpy_array(file: File) -> TokenArray:
    header = io.BytesIO(file.read(0, min(file.size, 1 << 16)))
    try:
        version = np.lib.format.read_magic(header)
        reader = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = reader(header)
    except Exception as error:  # any error of numpy's parser
        raise InputError(f"{file.name}: its numpy header is damaged ({one_line(error, 100)})") from None
    begin = header.tell()
    if len(shape) != 1 or dtype.kind not in "iu":
        raise InputError(f"{file.name}: expected one dimension of whole numbers, found {shape} of {dtype}")
    if begin + shape[0] * dtype.itemsize != file.size:
        raise InputError(
            f"{file.name}: its header says {shape[0]} items of {dtype.itemsize} bytes, but it has "
            f"{file.size} bytes; it is truncated"
        )
    return TokenArray(file, dtype.str, begin)


def megatron_array(file: File, index: File) -> TokenArray:
    """The array of Megatron's `.bin` with its `.idx`.

    Raises:
        InputError: The index is damaged or does not match the file.
    """
    if index.size < _INDEX_HEADER.size:
        raise InputError(f"{index.name} is truncated: {index.size} bytes are less than a header")
    magic, version, code, sequences, documents = _INDEX_HEADER.unpack(index.read(0, _INDEX_HEADER.size))
    if magic != _INDEX_MAGIC or version != 1 or code not in _MEGATRON_DTYPES:
        raise InputError(f"{index.name} is not a Megatron index, or its items are not tokens (type {code})")
    begin = _INDEX_HEADER.size
    if index.size < begin + sequences * 12 + documents * 8:
        raise InputError(
            f"{index.name} is truncated: for {sequences} sequences and {documents} documents it would have "
            f"{begin + sequences * 12 + documents * 8} bytes, it has {index.size}"
        )
    pointers_at = begin + sequences * 4
    lengths = np.frombuffer(index.read(begin, pointers_at), dtype="<i4")
    pointers = np.frombuffer(index.read(pointers_at, pointers_at + sequences * 8), dtype="<i8")
    size = np.dtype(_MEGATRON_DTYPES[code]).itemsize
    total = int(lengths.sum(dtype=np.int64)) * size
    expected = np.cumsum(lengths[:-1], dtype=np.int64) * size
    if (lengths < 0).any() or total != file.size or (sequences and pointers[0] != 0):
        raise InputError(
            f"{index.name} does not match {file.name}: its sequences have {total} bytes, the file {file.size}"
        )
    if not np.array_equal(pointers[1:], expected):
        raise InputError(f"{index.name}: its sequences do not follow each other in {file.name}")
    firsts_at = pointers_at + sequences * 8
    firsts = np.frombuffer(index.read(firsts_at, firsts_at + documents * 8), dtype="<i8")
    if len(firsts) and ((firsts < 0).any() or (firsts > sequences).any() or (np.diff(firsts) < 0).any()):
        raise InputError(f"{index.name}: its documents are not in order or beyond its {sequences} sequences")
    begins = pointers[firsts[firsts < sequences]] // size
    return TokenArray(file, _MEGATRON_DTYPES[code], 0, np.unique(np.append(0, begins)))
