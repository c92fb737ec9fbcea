"""Tables mapped into memory: those of `datasets.save_to_disk`, and those that the library has cached.

The lengths of all texts are known from the table's offsets, and so is every document's position; rows are
read through the memory map.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from chameleon.common.errors import InputError, one_line
from chameleon.common.files import digest_of_json
from chameleon.text.corpora.corpus import SLIMPAJAMA_COLUMN, CorpusRequest, Domain
from chameleon.text.corpora.indexed import IndexedText
from chameleon.text.corpora.parquet import column_of

if TYPE_CHECKING:
    import datasets

_ROWS_PER_BLOCK = 256
_STATE, _INFO, _DICTIONARY = "state.json", "dataset_info.json", "dataset_dict.json"


@dataclass(frozen=True, eq=False)
class TableBlocks:
    """The rows of some labels, or all, in blocks of a fixed number of rows of the whole table.

    Attributes:
        table: The table.
        numbers: Numbers of the blocks that hold any of these rows.
        text_column, label_column: Columns of the table.
        labels: Labels of the rows.
    """

    table: "datasets.Dataset"
    numbers: npt.NDArray[np.int64]
    text_column: str
    label_column: str | None
    labels: frozenset[str]

    def documents(self, block: int) -> list[bytes]:
        """The texts of the labels' rows in the block."""
        import pyarrow as pa
        import pyarrow.compute as pc

        first = int(self.numbers[block]) * _ROWS_PER_BLOCK
        rows = self.table[first : first + _ROWS_PER_BLOCK]
        texts = column_of(rows, self.text_column)
        if self.label_column is not None:
            labels = pc.cast(column_of(rows, self.label_column), pa.string())
            texts = texts.filter(pc.is_in(labels, value_set=pa.array(sorted(self.labels), pa.string())))
        return [text for text in (each.as_py() for each in texts.cast("large_binary")) if text]


def is_saved(directory: Path) -> bool:
    """Whether a directory was written by `datasets.save_to_disk`."""
    return (directory / _DICTIONARY).is_file() or (
        (directory / _STATE).is_file() and (directory / _INFO).is_file()
    )


def open_saved(request: CorpusRequest, directory: Path, name: str | None = None) -> list[Domain]:
    """The domains of a saved dataset: by a column, by its splits, or all of it as the domain `name`.

    Raises:
        InputError: The dataset cannot be read, lacks a column, or has nothing that tells domains apart.
    """
    import datasets

    try:
        saved = datasets.load_from_disk(str(directory))
    except Exception as error:  # of the library, arrow or the files
        raise InputError(
            f"{directory} is not a dataset saved by save_to_disk, or damaged "
            f"({type(error).__name__}: {one_line(error)})"
        ) from None
    splits = dict(saved) if isinstance(saved, datasets.DatasetDict) else {request.split: saved}
    for table in splits.values():
        if not table.cache_files:
            raise InputError(f"{directory} was loaded into memory; unset HF_DATASETS_IN_MEMORY_MAX_SIZE")
    identity = digest_of_json(
        {split: [Path(each["filename"]).stat().st_size for each in table.cache_files] + [table._fingerprint]
         for split, table in splits.items()}
    )  # fmt: skip
    column = request.domain_column
    first = next(iter(splits.values()))
    if column is None and name is None and _feature(first, SLIMPAJAMA_COLUMN) is not None:
        column = SLIMPAJAMA_COLUMN
    if column is not None or name is not None or len(splits) == 1:
        if request.split not in splits:
            raise InputError(
                f"{directory} has no split {request.split}; it has {', '.join(splits)} (--split)"
            )
        table = splits[request.split]
        if column is None and name is None:
            raise InputError(
                f"{directory} is one table; name by --domain_column the column that tells its domains "
                f"apart: it has {_columns(table)}"
            )
        place = str(directory)
        domains = domains_of_table(place, table, identity, request.text_column, column, request.names)
        return domains if name is None else [Domain(name, domains[0].text)]
    domains = []
    for split, table in sorted(splits.items()):
        (domain,) = domains_of_table(
            f"{directory}/{split}", table, identity + split, request.text_column, None, {}
        )
        domains.append(Domain(split, domain.text))
    return domains


def domains_of_table(
    place: str,
    table: "datasets.Dataset",
    identity: str,
    text_column: str,
    label_column: str | None,
    names: dict[str, str],
) -> list[Domain]:
    """The domains of a table: one per name of its labels, or a single one.

    Raises:
        InputError: The table lacks a column, a row has no label, or there is no text.
    """
    for column, flag in ((text_column, "--text_column"), (label_column, "--domain_column")):
        if column is not None and _feature(table, column) is None:
            raise InputError(f"{place} has no column {column}; it has {_columns(table)}: name one by {flag}")
    if getattr(_feature(table, text_column), "dtype", None) not in ("string", "large_string"):
        raise InputError(f"{place}: expected strings in the column {text_column}; it has {_columns(table)}")
    columns = [column.partition(".")[0] for column in (text_column, label_column) if column is not None]
    rows = table.select_columns(sorted(set(columns))).with_format("arrow")
    sizes = _sizes_by_label(rows, place, text_column, label_column)
    by_name: dict[str, list[str]] = {}
    for label in sizes:
        by_name.setdefault(names.get(label, label), []).append(label)
    domains = []
    for name, labels in sorted(by_name.items()):
        num_bytes: Counter[int] = Counter()
        for label in labels:
            num_bytes.update(sizes[label][0])
        numbers = np.array(sorted(num_bytes), dtype=np.int64)
        starts = np.cumsum([0, *(num_bytes[int(block)] for block in numbers)], dtype=np.int64)
        if starts[-1] == 0:
            raise InputError(f"{place}: no text in domain {name or place}")
        digest = digest_of_json(
            {"table": identity, "text": text_column, "column": label_column, "labels": sorted(labels)}
        )
        blocks = TableBlocks(rows, numbers, text_column, label_column, frozenset(labels))
        documents = sum(sizes[label][1] for label in labels)
        domains.append(Domain(name, IndexedText(blocks, starts, documents, digest)))
    if not domains:
        raise InputError(f"{place} has no rows")
    return domains


def _feature(table: "datasets.Dataset", path: str) -> object:
    """The type of a column by its dotted name; None where there is no such column."""
    feature: object = table.features
    for name in path.split("."):
        feature = feature.get(name) if isinstance(feature, dict) else None
    return feature


def _columns(table: "datasets.Dataset") -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in table.features.items())[:400]


def _sizes_by_label(
    rows: "datasets.Dataset", place: str, text_column: str, label_column: str | None
) -> dict[str, tuple[Counter[int], int]]:
    """For each label the bytes of its documents and joints by block, and its number of documents."""
    import pyarrow as pa
    import pyarrow.compute as pc

    num_blocks = -(-len(rows) // _ROWS_PER_BLOCK)
    sizes: dict[str, tuple[Counter[int], int]] = {}
    blocks = rows.iter(batch_size=_ROWS_PER_BLOCK)
    for block, batch in enumerate(tqdm(blocks, "reading lengths", num_blocks, delay=1, disable=None)):
        lengths = pc.binary_length(column_of(batch, text_column)).fill_null(0).to_numpy()
        labels = np.full(len(lengths), "", dtype=object)
        if label_column is not None:
            labels = pc.cast(column_of(batch, label_column), pa.string()).to_numpy(zero_copy_only=False)
        if None in labels:
            row = block * _ROWS_PER_BLOCK + labels.tolist().index(None)
            raise InputError(f"{place}: row {row} has no label in {label_column}")
        for label in set(labels.tolist()):
            of_label = lengths[(labels == label) & (lengths > 0)]
            of_blocks, count = sizes.get(label, (Counter(), 0))
            if len(of_label):
                of_blocks[block] = int(of_label.sum()) + len(of_label)
            sizes[label] = of_blocks, count + len(of_label)
    return sizes
