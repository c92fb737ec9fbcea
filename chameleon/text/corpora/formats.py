"""The formats of a corpus's files: their suffixes, and how files become the text of a domain.

To add a format, write a reader as a module of its own (like `parquet.py` or `token_arrays.py`), a function
that opens a domain with it (like those below), and a line of the table `FORMATS` at the end of this file.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.text.corpora.builder import CorpusBuilder, no_text
from chameleon.text.corpora.corpus import SLIMPAJAMA_COLUMN, Domain, require_labels
from chameleon.text.corpora.parquet import columns_of, parquet_texts
from chameleon.text.corpora.seekable import PlainText, SeekableLines
from chameleon.text.corpora.spool import NamedDocuments, SourceUnits, UnitsText, unit_budget
from chameleon.text.corpora.storage import WHOLE_BYTES, File, fingerprint
from chameleon.text.corpora.streams import (
    COMPRESSIONS,
    documents_of_lines,
    documents_of_text,
    index_lines,
    is_compressed,
    labelled_documents,
)
from chameleon.text.corpora.token_arrays import INDEX_SUFFIX, TokenText, pair_arrays

# Compressed files are read whole, so a usual run reads this share of a domain's, but at least this many.
_SHARE_READ = 0.02
_LEAST_READ = 16

# The ending that Megatron's preprocessing adds to a name.
_MEGATRON_ENDING = "_text_document"


def format_of(file: File) -> str | None:
    """The format that a file's name says, a key of `FORMATS`; None where it says none."""
    suffix = _split_name(file.path)[1]
    return next((name for name, each in FORMATS.items() if suffix in each.suffixes), None)


def usual_column(files: Sequence[File]) -> str | None:
    """SlimPajama's column with the domain's label, where there are parquet files that have it."""
    first = next((file for file in files if format_of(file) == "parquet"), None)
    return SLIMPAJAMA_COLUMN if first is not None and SLIMPAJAMA_COLUMN in columns_of(first) else None


def domain_name(file_name: str) -> str:
    """The name of the domain in a file, by the file's name."""
    name, suffix = _split_name(file_name)
    return name.removesuffix(_MEGATRON_ENDING) if suffix in (".bin", INDEX_SUFFIX) else name


def known_suffixes() -> str:
    """The suffixes that files may have, in words."""
    return ".jsonl or .txt (also .gz, .zst), .parquet, .bin, .npy"


def has_known_suffix(file_name: str) -> bool:
    """Whether a name ends like a file of a known format."""
    return file_name.endswith(tuple(suffix for each in FORMATS.values() for suffix in each.suffixes))


def open_domain(
    builder: CorpusBuilder,
    name: str,
    files: Sequence[File],
    format: str | None = None,
    digest: str | None = None,
) -> Domain:
    """Open a domain whose text fills files of one format.

    Args:
        builder: The corpus that it belongs to.
        name: Name of the domain.
        files: Its files, of all splits.
        format: Their format, by default what their names say.
        digest: Digest (hex) of their content, where it is known without reading them.

    Raises:
        InputError: The files are of no known format or of several, or cannot be read or used.
    """
    files = builder.of_split(files, name)
    if all(file.path.endswith(INDEX_SUFFIX) for file in files):
        raise InputError(f"{files[0].name} has no .bin file beside it")
    format = format or _common_format(f"domain {name}", files)
    files = [file for file in files if file.size or format == "tokens"]
    if not files:
        raise no_text(name)
    return FORMATS[format].open(builder, name, files, digest)


def open_labelled(
    builder: CorpusBuilder, files: Sequence[File], column: str, digest: str | None = None
) -> list[Domain]:
    """Open domains that are mixed in parquet files or JSON Lines and told apart by a column.

    Args:
        builder: The corpus that they belong to.
        files: Files of one split.
        column: Column or field with the domain's label.
        digest: Digest (hex) of the files' content, where it is known without reading them.

    Raises:
        InputError: The files are of another format, or cannot be read or used.
    """
    format, request = _common_format("the corpus", files), builder.request
    files = [file for file in files if file.size]
    digest, version = (digest, "") if digest else fingerprint(files)
    if format == "parquet":
        texts, units = parquet_texts(
            files, digest, request.text_column, column, request.names, request.domain_names, builder.spool
        )
    elif format == "jsonl":
        texts, units = _labelled_lines(builder, files, digest, column)
    else:
        raise InputError(
            f"domains can be told apart by the column {column} in parquet files and JSON Lines, but "
            f"{files[0].name} is neither"
        )
    builder.closing.append(units.close)
    return [Domain(name, text, version) for name, text in texts.items()]


def _split_name(path: str) -> tuple[str, str]:
    """A file's name without folder and suffix, and the suffix of its format."""
    for ending in COMPRESSIONS:
        path = path.removesuffix(ending)
    name = path.rpartition("/")[2]
    suffixes = (suffix for each in FORMATS.values() for suffix in each.suffixes)
    for suffix in (*suffixes, INDEX_SUFFIX):
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix), suffix
    return name, ""


def _common_format(where: str, files: Sequence[File]) -> str:
    formats = {format_of(file): file for file in files if not file.path.endswith(INDEX_SUFFIX)}
    if None in formats:
        raise InputError(f"cannot tell the format of {formats[None].name}; expected {known_suffixes()}")
    if len(formats) != 1:
        examples = " and ".join(file.name for file in formats.values()) or "no files"
        raise InputError(f"{where} holds {examples}; expected files of one format")
    return str(next(iter(formats)))


def _open_lines(builder: CorpusBuilder, name: str, files: Sequence[File], digest: str | None) -> Domain:
    """JSON Lines: small files are indexed, large ones read around each window, compressed ones whole."""
    column, skip = builder.request.text_column, builder.request.skip_bad_lines
    if any(is_compressed(file) for file in files):
        return _open_streamed(
            builder, name, files, digest, "jsonl", lambda file: documents_of_lines(file, column, skip)
        )
    total = sum(file.size for file in files)
    if total > WHOLE_BYTES:
        digest, version = (digest, "") if digest else fingerprint(files)
        return Domain(name, SeekableLines(tuple(files), builder.text_digest(digest), column, skip), version)
    with tqdm(total=total, desc=f"reading {name}", unit="B", unit_scale=True, delay=1, disable=None) as bar:
        text, bad = index_lines(files, column, skip, bar.update)
    if bad:
        builder.skipped[name] = len(bad)
        builder.notices.append(f"{name}: {len(bad)} bad lines left out, the first is {bad[0]}")
    if text.length == 0:
        raise no_text(name)
    return Domain(name, text)


def _open_plain_text(builder: CorpusBuilder, name: str, files: Sequence[File], digest: str | None) -> Domain:
    """Plain text: a document per file, or parts of one where files are compressed."""
    if any(is_compressed(file) for file in files):
        return _open_streamed(builder, name, files, digest, "text", documents_of_text)
    digest, version = (digest, "") if digest else fingerprint(files)
    return Domain(name, PlainText(tuple(files), builder.text_digest(digest, "text")), version)


def _open_parquet(builder: CorpusBuilder, name: str, files: Sequence[File], digest: str | None) -> Domain:
    digest, version = (digest, "") if digest else fingerprint(files)
    column = builder.request.text_column
    texts, units = parquet_texts(files, digest, column, None, {}, (), builder.spool)
    builder.closing.append(units.close)
    if not texts:
        raise no_text(name)
    return Domain(name, texts[""], version)


def _open_tokens(builder: CorpusBuilder, name: str, files: Sequence[File], _: str | None) -> Domain:
    """Arrays of tokens, of the proxy's tokenizer or another."""
    request = builder.request
    if request.tokenizer is None:
        raise InputError(
            f"domain {name} is an array of tokens ({files[0].name}); name by --tokenizer the checkpoint "
            "whose tokenizer made them"
        )
    tokenizer = request.load_tokenizer(request.tokenizer)
    builder.tokenizers[tokenizer.name] = tokenizer.digest
    arrays = pair_arrays(files, request.token_dtype)
    for array in arrays:
        dtype = np.dtype(array.dtype)
        if tokenizer.vocabulary > 1 << 8 * dtype.itemsize:
            raise InputError(
                f"the tokenizer of {tokenizer.name} has {tokenizer.vocabulary} tokens, more than items of "
                f"{dtype.name} can hold ({array.file.name}); give --token_dtype uint32, or the tokenizer "
                "that made them"
            )
    arrays = [array for array in arrays if array.length]
    if not arrays:
        raise InputError(f"no tokens in domain {name}; remove what is empty, or give it some")
    wanted = request.proxy_tokenizer_digest
    direct = tokenizer.digest == (wanted() if callable(wanted) else wanted)
    digest, version = fingerprint(files)
    digest = digest_of_json([digest, tokenizer.digest, [array.dtype for array in arrays]])
    text = TokenText(tuple(arrays), tokenizer, direct, digest)
    if not direct:
        builder.notices.append(
            f"{name}: tokens of {tokenizer.name} are decoded and encoded anew, since the proxy has another "
            "tokenizer"
        )
    text.ids(0, 1 << 12)  # fail at once where the tokenizer or item type is wrong
    return Domain(name, text, version)


def _open_streamed(
    builder: CorpusBuilder,
    name: str,
    files: Sequence[File],
    digest: str | None,
    format: str,
    documents: Callable[[File], Iterator[bytes]],
) -> Domain:
    """Compressed files, each of them a unit that is read whole."""

    def read(number: int) -> NamedDocuments:
        return (("", document) for document in documents(files[number]))

    digest, version = (digest, "") if digest else fingerprint(files)
    units = SourceUnits(read, _unit_keys(files, digest), builder.spool, files)
    builder.closing.append(units.close)
    sizes = np.array([file.size for file in files], dtype=np.float64)
    budget = unit_budget(len(files), sizes.sum(), _SHARE_READ, _LEAST_READ)
    numbers = np.arange(len(files), dtype=np.int64)
    text = UnitsText(units, "", numbers, sizes, builder.text_digest(digest, format), budget)
    return Domain(name, text, version)


def _labelled_lines(
    builder: CorpusBuilder, files: Sequence[File], digest: str, column: str
) -> tuple[dict[str, UnitsText], SourceUnits]:
    """Files of JSON Lines with several domains: only reading all of them shows which."""
    request, names = builder.request, builder.request.names
    counts: Counter[str] = Counter()

    def read(number: int) -> NamedDocuments:
        documents = labelled_documents(files[number], request.text_column, column, request.skip_bad_lines)
        for label, text in documents:
            counts[label] += 1
            yield names.get(label, label), text

    units = SourceUnits(read, _unit_keys(files, digest), builder.spool, files)
    numbers = range(len(files))
    try:
        units.prefetch(numbers)
        bar = tqdm(numbers, desc="reading files", unit="file", delay=1, disable=None)
        by_file = [units.get(number) for number in bar]
        require_labels(files[0].name.rpartition("/")[0], request.domain_names, counts, "--domain_names")
    except BaseException:
        units.close()
        raise
    texts = {}
    for name in sorted({name for texts_of_file in by_file for name in texts_of_file}):
        holding = np.array([i for i, each in enumerate(by_file) if name in each], dtype=np.int64)
        sizes = np.array([by_file[i][name].size for i in holding], dtype=np.float64)
        identity = builder.text_digest(digest, column, name)
        texts[name] = UnitsText(units, name, holding, sizes, identity, 1 << 30)
    return texts, units


def _unit_keys(files: Sequence[File], digest: str) -> list[str]:
    return [f"{digest} {number}" for number in range(len(files))]


class Format(NamedTuple):
    """A format of files.

    Attributes:
        suffixes: How names of its files end, before a compression's ending.
        open: Makes a domain of files; takes the builder, the domain's name, its files (none of them empty)
            and their digest where it is known.
    """

    suffixes: tuple[str, ...]
    open: Callable[[CorpusBuilder, str, Sequence[File], str | None], Domain]


# Every format that files of a corpus may have.
FORMATS = {
    "jsonl": Format((".jsonl", ".ndjson", ".json"), _open_lines),
    "text": Format((".txt",), _open_plain_text),
    "parquet": Format((".parquet", ".pq"), _open_parquet),
    "tokens": Format((".bin", ".npy"), _open_tokens),
}
