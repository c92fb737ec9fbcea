"""Which windows of a domain are looked at: seeded, uniform over its text, nested in their number.

The domain's documents, each followed by the end-of-text token, are laid on a circle. The circle is
cut into M cells of one length, M being as many windows as the domain's tokens fill, with a first
cut chosen by chance; window j is the next `sample_length` tokens from the beginning of the j-th
cell of a random order of the cells. So

- every byte of the domain is as likely as any other to begin a window: long documents give many
  windows and short ones few, in proportion to their text. A token is looked at in proportion to
  the bytes that the t tokens before it span: equally, so far as tokens have the same number of
  bytes all over the domain (docs/decisions.md has figures where they have not);
- where a cell holds t tokens its neighbour begins at its end; where text is sparser in tokens windows
  overlap, where it is denser some of it is left out;
- n windows are the first n of any larger number;
- two windows that follow each other in the order lie anywhere in the domain;
- the text decides: not in how many files, blocks or batches it is read.

A window's tokens are those of its document. They are encoded from a margin before the window, so
that it begins where a token of the document begins, and what is encoded is never decoded again.

Shapes: n windows, t tokens of a window.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon.permutation import permuted
from chameleon.text import Document, Text, Tokenizer

# Text encoded before a window and after it, in bytes, and thrown away: words reach no further.
MARGIN_BYTES = 256
# The density of a domain in tokens is taken from this many stretches of this many bytes.
_PROBES = 32
_PROBE_BYTES = 4096
# What is read for a window beyond its share at the domain's density, to have it whole in one go.
_AMPLE = 1.2


@dataclass(frozen=True)
class WindowRecipe:
    """What decides, beside the text and tokenizer, which windows are cut.

    Attributes:
        seed: Of the order of the cells and of the first cut.
        sample_length: t, tokens of a window.
    """

    seed: int
    sample_length: int

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON types, with the margin that it is cut with."""
        return asdict(self) | {"scheme": f"circle/1, margin {MARGIN_BYTES} bytes"}


@dataclass(frozen=True)
class Grid:
    """The cells of a domain.

    Attributes:
        num_bytes: Length of the circle.
        num_windows: M, the windows that the domain has in all.
        bytes_per_token: Measured on a part of the domain, on all of it when that is small.
        first_cut: Where cell 0 begins, in bytes.
        order_key: Names the order of the cells.
    """

    num_bytes: int
    num_windows: int
    bytes_per_token: float
    first_cut: int
    order_key: int

    def positions(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """(last - first,) the bytes at which windows `first` to `last` - 1 begin; last <= M."""
        cells = permuted(np.arange(first, last), self.num_windows, self.order_key)
        whole, rest = divmod(self.num_bytes, self.num_windows)
        return (self.first_cut + cells * whole + cells * rest // self.num_windows) % self.num_bytes


@dataclass(frozen=True)
class Windows:
    """Windows of a domain.

    Attributes:
        tokens: (n, t) int32 ids; those beyond a row's length are end-of-text tokens.
        lengths: (n,) int64, tokens in each row: t, but for a domain that has fewer in all.
        positions: (n,) int64, the byte of the domain that each was cut at.
        documents: (n,) int64, the byte of the domain at which the document begins that it begins in.
    """

    tokens: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]


def lay_grid(text: Text, tokenizer: Tokenizer, recipe: WindowRecipe) -> Grid:
    """Measure a domain's density in tokens and cut it into cells."""
    num_bytes = text.num_bytes
    probes = min(_PROBES, -(-num_bytes // _PROBE_BYTES))
    cuts = [i * num_bytes // probes for i in range(probes + 1)]
    stretches = [(begin, min(begin + _PROBE_BYTES, end)) for begin, end in pairwise(cuts)]
    probed = sum(end - begin for begin, end in stretches)
    pieces = [_pieces(text, begin, end) for begin, end in stretches]
    tokens = sum(len(ids) for ids in _encode(tokenizer, pieces))
    bytes_per_token = probed / max(tokens, 1)
    num_windows = int(num_bytes / bytes_per_token / recipe.sample_length)
    key = hashlib.sha256(f"{recipe.seed} {text.fingerprint}".encode()).digest()
    return Grid(
        num_bytes=num_bytes,
        num_windows=max(1, num_windows),
        bytes_per_token=bytes_per_token,
        # A domain of less than one window is read from its beginning, not from somewhere within.
        first_cut=int.from_bytes(key[:16], "little") % num_bytes if num_windows else 0,
        order_key=int.from_bytes(key[16:24], "little"),
    )


def cut_windows(
    text: Text, tokenizer: Tokenizer, recipe: WindowRecipe, grid: Grid, first: int, last: int
) -> Windows:
    """Windows `first` to `last` - 1 of a domain; `last` is at most `grid.num_windows`."""
    t = recipe.sample_length
    positions = grid.positions(first, last)
    tokens = np.full((len(positions), t), tokenizer.end_of_text, dtype=np.int32)
    lengths = np.zeros(len(positions), dtype=np.int64)
    documents = np.zeros(len(positions), dtype=np.int64)
    reached = positions.copy()
    # In the order of the text, so that neighbours share what is read.
    pending = np.argsort(positions, kind="stable")
    while len(pending):
        missing = np.ceil((t - lengths[pending]) * grid.bytes_per_token * _AMPLE).astype(np.int64)
        begins = reached[pending]
        ends = np.minimum(begins + missing + MARGIN_BYTES, positions[pending] + grid.num_bytes)
        pieces = [
            _pieces(text, begin, end) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        ]
        for row, of_row, ids in zip(pending, pieces, _encode(tokenizer, pieces), strict=True):
            if reached[row] == positions[row]:
                documents[row] = of_row[0].document
            taken = ids[: t - lengths[row]]
            tokens[row, lengths[row] : lengths[row] + len(taken)] = taken
            lengths[row] += len(taken)
        reached[pending] = ends
        pending = pending[(lengths[pending] < t) & (ends < positions[pending] + grid.num_bytes)]
    return Windows(tokens, lengths, positions, documents)


@dataclass(frozen=True)
class _Piece:
    """Part of a document to encode, of which the tokens that begin in characters `keep` are wanted."""

    document: int
    text: str
    keep: tuple[int, int]
    joint_follows: bool


def _encode(tokenizer: Tokenizer, pieces: Sequence[Sequence[_Piece]]) -> list[npt.NDArray[np.int32]]:
    """For the pieces of each stretch the tokens that begin in it, joints as end-of-text tokens among them."""
    encoded = iter(tokenizer.encode([piece.text for of_stretch in pieces for piece in of_stretch]))
    joint = np.array([tokenizer.end_of_text], dtype=np.int32)
    tokens = []
    for of_stretch in pieces:
        parts = []
        for piece in of_stretch:
            found = next(encoded)
            begin, end = np.searchsorted(found.begins, piece.keep)
            parts += [found.ids[begin:end], joint] if piece.joint_follows else [found.ids[begin:end]]
        tokens.append(np.concatenate(parts))
    return tokens


def _pieces(text: Text, begin: int, end: int) -> list[_Piece]:
    """What to encode for the stretch of bytes from `begin` to `end`, which may run over the circle's seam."""
    pieces = []
    for document in _round(text, begin):
        if document.start >= end:
            break
        content = document.text
        low, high = (_character_from(content, at - document.start) for at in (begin, end))
        piece_low = _character_from(content, low - MARGIN_BYTES)
        piece_high = _character_from(content, high + MARGIN_BYTES)
        skipped = len(content[piece_low:low].decode())
        kept = skipped + len(content[low:high].decode())
        joint_follows = begin <= document.start + len(content) < end
        piece = content[piece_low:piece_high].decode()
        pieces.append(_Piece(document.start, piece, (skipped, kept), joint_follows))
    return pieces


def _round(text: Text, position: int) -> Iterator[Document]:
    """Documents from the one at `position` (which may lie one round further) for as long as one likes."""
    turn, within = divmod(position, text.num_bytes)
    while True:
        for document in text.documents_from(within):
            yield Document(document.start + turn * text.num_bytes, document.text)
        turn, within = turn + 1, 0


def _character_from(content: bytes, at: int) -> int:
    """The first byte of a character at or after `at`, within the content."""
    at = min(max(at, 0), len(content))
    while at < len(content) and content[at] & 0xC0 == 0x80:
        at += 1
    return at
