"""SlimPajama-6B, and datasets of the hub that label their rows in the same way.

The dataset's parquet files are downloaded once by the `datasets` library into its own cache, and
rows are read from there through the memory map.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from chameleon.corpora.corpus import Corpus, Domain
from chameleon.errors import InputError
from chameleon.files import digest_of_json
from chameleon.quiet import quiet_hub

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

TEXT_COLUMN = "text"
LABEL_COLUMN = "meta.redpajama_set_name"
SPLIT = "train"

# What the method calls the domains of SlimPajama; any other label is a name as it stands.
_NAMES = {
    "RedPajamaArXiv": "arxiv",
    "RedPajamaBook": "book",
    "RedPajamaC4": "c4",
    "RedPajamaCommonCrawl": "cc",
    "RedPajamaGithub": "github",
    "RedPajamaStackExchange": "stackexchange",
    "RedPajamaWikipedia": "wikipedia",
}
_ROWS_PER_BLOCK = 256


@dataclass(frozen=True, eq=False)
class TableBlocks:
    """The rows of one label in blocks of a fixed number of rows of the whole table."""

    table: "datasets.Dataset"
    label: str

    def documents(self, block: int) -> list[bytes]:
        """The texts of the label's rows in the block."""
        import pyarrow.compute as pc

        rows = self.table[block * _ROWS_PER_BLOCK : (block + 1) * _ROWS_PER_BLOCK]
        texts = rows[TEXT_COLUMN].filter(pc.equal(_labels(rows), self.label))
        return [text for text in (each.as_py() for each in texts.cast("large_binary")) if text]


def open_hub_dataset(dataset: str) -> Corpus:
    """A corpus of the training split of a hub dataset whose rows carry `meta.redpajama_set_name`.

    Args:
        dataset: Its id, owner/name. Environment variables of the hub's libraries hold (HF_HOME,
            HF_TOKEN, HF_HUB_OFFLINE, HF_ENDPOINT).

    Raises:
        InputError: It cannot be had from the hub or its cache, or has no such labels or no text.
    """
    return corpus_of_table(dataset, _load(dataset))


def corpus_of_table(dataset: str, table: "datasets.Dataset") -> Corpus:
    """A corpus of a table that is loaded, a domain for each label.

    Raises:
        InputError: It has no text or no labels.
    """
    column, _, field = LABEL_COLUMN.partition(".")
    labels = table.features.get(column)
    texts = getattr(table.features.get(TEXT_COLUMN), "dtype", None)
    kind = getattr(labels.get(field), "dtype", None) if isinstance(labels, dict) else None
    if not {texts, kind} <= {"string", "large_string"}:
        found = ", ".join(f"{name} ({kind})" for name, kind in table.features.items())
        raise InputError(
            f"{dataset}: expected columns {TEXT_COLUMN} and {LABEL_COLUMN} with strings, "
            f"found {found[:400]}; convert it to a directory of one JSONL file a domain"
        )
    revision = _revision(table)
    rows = table.select_columns([TEXT_COLUMN, column]).with_format("arrow")
    sizes = _sizes_by_label(rows, dataset)
    domains = []
    for label in sorted(sizes, key=lambda each: _NAMES.get(each, each)):
        num_bytes, num_documents = sizes[label]
        starts = np.concatenate([[0], np.cumsum(num_bytes)]).astype(np.int64)
        fingerprint = digest_of_json({"revision": revision, "split": SPLIT, "label": label})
        name = _NAMES.get(label, label)
        domains.append(Domain(name, TableBlocks(rows, label), starts, num_documents, fingerprint))
    provenance = {"kind": "hub dataset", "split": SPLIT, "label_column": LABEL_COLUMN, "revision": revision}
    return Corpus(dataset, tuple(domains), provenance)


def _load(dataset: str) -> "datasets.Dataset":
    import datasets

    try:
        with quiet_hub():
            table = datasets.load_dataset(dataset, split=SPLIT)
    except Exception as error:  # of the hub's library, its HTTP library, the network or the files
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"cannot get {dataset} from the hub ({type(error).__name__}: {reason}). To work offline, "
            "download it once on a machine with access and set HF_HOME to that cache and HF_HUB_OFFLINE=1; "
            'or name by --dataset a directory of one JSONL file a domain, or "builtin"'
        ) from None
    if not table.cache_files:
        raise InputError(
            f"{dataset} was loaded into memory, where nothing says which revision it is; "
            "unset HF_DATASETS_IN_MEMORY_MAX_SIZE"
        )
    return table


def _revision(table: "datasets.Dataset") -> str:
    """The commit that the table was made from: the folder in which the library caches it."""
    return Path(table.cache_files[0]["filename"]).parent.name if table.cache_files else "in memory"


def _labels(rows: "pa.Table") -> "pa.ChunkedArray":
    import pyarrow.compute as pc

    column, _, field = LABEL_COLUMN.partition(".")
    return pc.struct_field(rows[column], field)


def _sizes_by_label(rows: "datasets.Dataset", dataset: str) -> dict[str, tuple[npt.NDArray[np.int64], int]]:
    """For each label the bytes of its documents and joints in each block, and its number of documents."""
    import pyarrow.compute as pc

    num_blocks = -(-len(rows) // _ROWS_PER_BLOCK)
    sizes: dict[str, npt.NDArray[np.int64]] = {}
    counts: dict[str, int] = {}
    blocks = rows.iter(batch_size=_ROWS_PER_BLOCK)
    for block, batch in enumerate(tqdm(blocks, "reading labels", num_blocks, delay=1, disable=None)):
        lengths = pc.binary_length(batch[TEXT_COLUMN]).fill_null(0).to_numpy()
        labels = _labels(batch).to_numpy(zero_copy_only=False)
        if None in labels:
            row = block * _ROWS_PER_BLOCK + labels.tolist().index(None)
            raise InputError(f"{dataset}: row {row} of the split {SPLIT} has no label in {LABEL_COLUMN}")
        for label in set(labels.tolist()):
            of_label = lengths[(labels == label) & (lengths > 0)]
            sizes.setdefault(label, np.zeros(num_blocks, dtype=np.int64))[block] = of_label.sum() + len(
                of_label
            )
            counts[label] = counts.get(label, 0) + len(of_label)
    return {label: (sizes[label], counts[label]) for label in sizes}
