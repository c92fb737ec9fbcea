"""Corpora of known documents, packed by a tokenizer of bytes, and the documents read back."""

import gzip
import json
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from conftest import opened

from chameleon.proxy.tokenizer import ProxyTokenizer
from chameleon.training.packed_domain import PackedDomain
from chameleon.training.packing import pack

END = 256
SHARE = 0.2


@dataclass(frozen=True)
class ByteTokenizer(ProxyTokenizer):
    """One token per byte."""

    tokenizer: Any = None
    end_of_text: int = END
    digest: str = "bytes"
    size: int = 257

    @property
    def vocabulary(self) -> int:
        return self.size

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(text.encode()) for text in texts]


def texts_of(name: str, number: int = 60) -> list[str]:
    """Documents that say which they are, of unequal lengths."""
    rng = random.Random(name)
    return [f"[{name} {i}] " + "é word" * rng.randint(1, 60) for i in range(number)]


TEXTS = {name: texts_of(name) for name in ("law", "code")}


def write_lines(root: Path) -> dict[str, str]:
    for name, texts in TEXTS.items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return {}


def write_compressed(root: Path) -> dict[str, str]:
    for name, texts in TEXTS.items():
        for part in range(2):
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts[part::2])
            (root / name).mkdir(exist_ok=True)
            (root / name / f"{part}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return {}


def write_mixed(root: Path) -> dict[str, str]:
    rows = [(name, text) for name, texts in TEXTS.items() for text in texts]
    random.Random(0).shuffle(rows)
    table = pa.table({"text": [text for _, text in rows], "source": [name for name, _ in rows]})
    pq.write_table(table, root / "all.parquet", row_group_size=7)
    return {"domain_column": "source"}


LAYOUTS: dict[str, Callable[[Path], dict[str, str]]] = {
    "lines": write_lines, "compressed": write_compressed, "mixed parquet": write_mixed,
}  # fmt: skip


def pack_texts(
    root: Path,
    layout: Callable[[Path], dict[str, str]] = write_lines,
    share: float = SHARE,
    training: bool = True,
) -> dict[str, PackedDomain]:
    corpus = root / "corpus"
    if not corpus.exists():
        corpus.mkdir(parents=True)
    how = layout(corpus)
    with closing(opened(corpus, scratch=root, **how)) as opened_corpus:
        packed = pack(opened_corpus.domains, ByteTokenizer(), root / "packed", share, training)
    return {each.name: each for each in packed}


def documents(tokens: Sequence[int]) -> list[str]:
    """The documents in a token array, split at end-of-text tokens."""
    parts: list[bytearray] = [bytearray()]
    for token in tokens:
        if token == END:
            parts.append(bytearray())
        else:
            parts[-1].append(token)
    assert not parts.pop()
    return [document.decode() for document in parts]


def training_texts(packed: PackedDomain) -> list[str]:
    return documents(packed.array().tolist())


def heldout_texts(packed: PackedDomain) -> list[str]:
    return documents(packed.heldout().tokens.tolist())
