"""Texts, and files of each format that hold them."""

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from conftest import WORDS, make_texts

from chameleon.text.corpora import SourceTokenizer

TEXTS = {name: make_texts(words, 7 + i, documents=30) for i, (name, words) in enumerate(WORDS.items())}


def decode(ids: Any) -> str:  # noqa: ANN401
    return bytes(ids).decode(errors="replace")


SOURCE_TOKENIZER = SourceTokenizer("bytes", "bytes", 257, 256, decode)
TOKENS = {"tokenizer": "bytes", "load_tokenizer": lambda name: SOURCE_TOKENIZER}


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


def lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)).encode()


def ids_of(texts: list[str]) -> list[np.ndarray]:
    return [np.append(np.frombuffer(text.encode(), np.uint8), 256).astype(np.uint16) for text in texts]


def write_megatron(prefix: Path, texts: list[str], dtype: str = "<i4", code: int = 4) -> None:
    """As Megatron's preprocessing writes them: a sequence a document."""
    ids = ids_of(texts)
    lengths = np.array([len(each) for each in ids], dtype="<i4")
    size = np.dtype(dtype).itemsize
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_suffix(".bin").write_bytes(np.concatenate(ids).astype(dtype).tobytes())
    pointers = (np.cumsum(lengths, dtype=np.int64) - lengths) * size
    prefix.with_suffix(".idx").write_bytes(
        b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, len(ids), len(ids) + 1) + lengths.tobytes()
        + pointers.astype("<i8").tobytes() + np.arange(len(ids) + 1, dtype="<i8").tobytes()
    )  # fmt: skip


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def put_each(root: Path, suffix: str, texts: list[str]) -> None:
    for i, text in enumerate(texts):
        content = text.encode()
        put(root / f"{i:03d}{suffix}", gzip.compress(content) if suffix.endswith(".gz") else content)


Writer = Callable[[Path, str, list[str]], None]
WRITERS: dict[str, tuple[Writer, dict[str, Any]]] = {
    "jsonl": (lambda root, name, texts: put(root / f"{name}.jsonl", lines(texts)), {}),
    "jsonl.gz": (lambda root, name, texts: put(root / f"{name}.jsonl.gz", gzip.compress(lines(texts))), {}),
    "jsonl.zst": (lambda root, name, texts: put(root / name / "a.jsonl.zst", zstd(lines(texts))), {}),
    "txt": (lambda root, name, texts: put_each(root / name, ".txt", texts), {}),
    "txt.gz": (lambda root, name, texts: put_each(root / name, ".txt.gz", texts), {}),
    "parquet": (
        lambda root, name, texts: pq.write_table(
            pa.table({"text": texts}), root / f"{name}.parquet", row_group_size=7
        ), {},
    ),
    "saved": (
        lambda root, name, texts: datasets.Dataset.from_dict({"text": texts}).save_to_disk(root / name), {},
    ),
    "bin": (
        lambda root, name, texts: put(root / f"{name}.bin", np.concatenate(ids_of(texts)).tobytes()), TOKENS,
    ),
    "npy": (
        lambda root, name, texts: put(
            root / f"{name}.npy", np.concatenate(ids_of(texts)).astype("<u4").tobytes()
        ), {**TOKENS, "token_dtype": "uint32"},
    ),
    "numpy's npy": (
        lambda root, name, texts: np.save(root / f"{name}.npy", np.concatenate(ids_of(texts))), TOKENS,
    ),
    "megatron": (lambda root, name, texts: write_megatron(root / f"{name}_text_document", texts), TOKENS),
}  # fmt: skip
