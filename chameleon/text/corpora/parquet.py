"""Parquet files, whose row groups are read one by one as windows lie in them.

Without reading text, a row group's number of rows is known and, where domains are mixed, how many rows each
label has: from the label column alone, or from its statistics where they are exact.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from chameleon.common.errors import InputError, one_line
from chameleon.common.files import digest_of_json
from chameleon.text.corpora.corpus import require_labels
from chameleon.text.corpora.spool import NamedDocuments, SourceUnits, Spool, UnitsText, unit_budget
from chameleon.text.corpora.storage import File

if TYPE_CHECKING:
    import pyarrow as pa

_READERS = 8

# A parquet file ends with the length of its footer in 4 bytes and this.
_MAGIC = b"PAR1"
_ENDING = 8
_ROWS_AT_ONCE = 256

# Text columns of row groups above this size are read page by page, others in one request.
_IN_ONE_REQUEST = 1 << 25

# A usual run may read this share of the row groups that hold a domain, but at least this many.
_SHARE_READ = 0.014
_LEAST_READ = 24


@dataclass(frozen=True)
class RowGroup:
    """A row group: its file, its number there, its rows, and the rows of each label in it."""

    file: File
    number: int
    rows: int
    labels: Mapping[str, int]


def parquet_texts(
    files: Sequence[File],
    fingerprint: str,
    text_column: str,
    label_column: str | None,
    names: Mapping[str, str],
    required: Iterable[str],
    spool: Spool,
) -> tuple[dict[str, UnitsText], SourceUnits]:
    """The text of each domain in parquet files.

    Args:
        files: Files that all have the columns.
        fingerprint: Digest (hex) of the files.
        text_column: Column of strings; dots lead into structures.
        label_column: Column with the domain's label; None where all rows are of one domain, "".
        names: Names of domains by label; other labels are names themselves.
        required: Labels that must occur.
        spool: Where text is stored while it is in use.

    Raises:
        InputError: A file cannot be read or lacks a column, or a row has no label.
    """
    groups = _row_groups(files, text_column, label_column)
    rows: dict[str, Counter[int]] = {}  # by name and row group: of many names most are in few
    counts: Counter[str] = Counter()
    for number, group in enumerate(groups):
        counts.update(group.labels)
        for label, count in group.labels.items():
            rows.setdefault(names.get(label, label), Counter())[number] += count
    require_labels(files[0].name.rpartition("/")[0], required, counts, "--domain_names")
    # By the order of files: names differ between the hub and its cache, and may repeat across folders.
    file_numbers = {file: number for number, file in enumerate(files)}
    keys = [f"{fingerprint} {file_numbers[group.file]} {group.number}" for group in groups]

    def read(number: int) -> NamedDocuments:
        group = groups[number]
        for label, text in _documents(group, text_column, label_column):
            yield names.get(label, label), text

    units = SourceUnits(read, keys, spool, [group.file for group in groups])
    size = sum(file.size for file in files)
    texts = {}
    for name in sorted(rows):
        numbers = np.array(list(rows[name]), dtype=np.int64)
        sizes = np.array(list(rows[name].values()), dtype=np.float64)
        digest = digest_of_json(
            {"files": fingerprint, "column": text_column, "label": label_column, "name": name}
        )
        # In the order that they share, domains that reach as far read the same row groups.
        budget = unit_budget(len(numbers), size, _SHARE_READ, _LEAST_READ)
        texts[name] = UnitsText(units, name, numbers, sizes, digest, budget)
    return texts, units


def columns_of(file: File) -> dict[str, str]:
    """The columns of a parquet file and their types, those inside structures by dotted names.

    Raises:
        InputError: The file is not a parquet file, or truncated.
    """
    schema = _metadata(file).schema
    types = {}
    for column in map(schema.column, range(len(schema))):
        logical = column.logical_type.type
        types[column.path] = str(column.physical_type if logical == "NONE" else logical)
    return types


def _row_groups(files: Sequence[File], text_column: str, label_column: str | None) -> list[RowGroup]:
    of_file = partial(_groups_of_file, text_column=text_column, label_column=label_column)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="labels") as readers:
        by_file = readers.map(of_file, files)
        bar = tqdm(by_file, "reading labels", len(files), unit="file", delay=1, disable=None)
        return list(chain.from_iterable(bar))


def _groups_of_file(file: File, text_column: str, label_column: str | None) -> list[RowGroup]:
    metadata = _metadata(file)
    columns = {metadata.schema.column(i).path: i for i in range(len(metadata.schema))}
    for column in (text_column, label_column):
        if column is not None and column not in columns:
            known = ", ".join(f"{name} ({kind})" for name, kind in columns_of(file).items())
            flag = "--text_column" if column == text_column else "--domain_column"
            raise InputError(f"{file.name} has no column {column}; it has {known[:400]}: name one by {flag}")
    kind = metadata.schema.column(columns[text_column])
    if kind.physical_type != "BYTE_ARRAY":
        raise InputError(
            f"{file.name}: expected strings in the column {text_column}, found {kind.physical_type}; name "
            "another by --text_column"
        )
    groups = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        rows, labels = group.num_rows, {"": group.num_rows}
        if label_column is not None:
            labels = _labels(file, number, group.column(columns[label_column]), label_column)
        if rows:
            groups.append(RowGroup(file, number, rows, labels))
    return groups


def _labels(file: File, number: int, column: Any, label_column: str) -> dict[str, int]:  # noqa: ANN401
    """How many rows of a row group have each label."""
    import pyarrow as pa
    import pyarrow.compute as pc

    statistics = column.statistics
    if statistics is not None and statistics.has_min_max and statistics.null_count == 0:
        label = statistics.min
        # Long values may be cut off in statistics.
        if isinstance(label, str) and label == statistics.max and len(label) < 60:
            return {label: column.num_values}
    counts: Counter[str] = Counter()
    for batch in _batches(file, number, [label_column]):
        values = pc.value_counts(pc.cast(column_of(batch, label_column), pa.string()))
        for label, count in (value.values() for value in values.to_pylist()):
            if label is None:
                raise InputError(
                    f"{file.name}: {count} rows of row group {number} have no label in {label_column}"
                )
            counts[label] += count
    return counts


def _documents(group: RowGroup, text_column: str, label_column: str | None) -> NamedDocuments:
    """The documents of a row group with their labels."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [text_column] if label_column is None else [text_column, label_column]
    for batch in _batches(group.file, group.number, columns):
        texts = pc.cast(column_of(batch, text_column), pa.large_binary()).to_pylist()
        labels = [""] * len(texts)
        if label_column is not None:
            labels = pc.cast(column_of(batch, label_column), pa.string()).to_pylist()
        for label, text in zip(labels, texts, strict=True):
            if text and text.strip():
                yield label, text


def _batches(file: File, number: int, columns: list[str]) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = _metadata(file)
        large = metadata.row_group(number).total_byte_size > _IN_ONE_REQUEST
        source = file.path if file.filesystem is None else file.open()
        buffer_size = 1 << 20 if large else 0
        reader = pq.ParquetFile(source, metadata=metadata, buffer_size=buffer_size, pre_buffer=False)
        yield from reader.iter_batches(_ROWS_AT_ONCE, row_groups=[number], columns=columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


# A file's metadata takes a few hundred bytes a row group and column.
@lru_cache(maxsize=256)
def _metadata(file: File) -> Any:  # noqa: ANN401
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # The last bytes give the footer's length; the library would guess, and read some bytes twice.
        ending = file.read(max(file.size - _ENDING, 0), file.size)
        length = int.from_bytes(ending[:4], "little") + _ENDING
        if len(ending) < _ENDING or ending[4:] != _MAGIC or length > file.size:
            raise pa.ArrowInvalid("it does not end as parquet files do")
        return pq.read_metadata(pa.BufferReader(file.read(file.size - length, file.size)))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _damaged(file: File, error: Exception) -> InputError:
    return InputError(
        f"{file.name} is truncated, damaged or not a parquet file ({one_line(error)}); get it again"
    )


def column_of(rows: "pa.RecordBatch | pa.Table", path: str) -> "pa.Array | pa.ChunkedArray":
    """A column of rows by its dotted name."""
    import pyarrow.compute as pc

    name, _, inner = path.partition(".")
    return pc.struct_field(rows[name], inner.split(".")) if inner else rows[name]
