"""Files of a domain, of any format that is known, to its text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.text.corpora.compressed import documents_of_lines, documents_of_text, labelled_documents
from chameleon.text.corpora.corpus import CorpusRequest, Domain, require_labels
from chameleon.text.corpora.json_lines import (
    PlainText,
    SeekableLines,
    are_few,
    index_lines,
)
from chameleon.text.corpora.parquet import parquet_texts
from chameleon.text.corpora.spool import Labelled, Spool, Units, UnitsText, all_of, visits_of
from chameleon.text.corpora.storage import (
    INDEX_SUFFIX,
    File,
    fingerprint,
    format_of,
    is_compressed,
    known_suffixes,
    of_split,
)
from chameleon.text.corpora.token_arrays import TokenText, flat_array, megatron_array
from chameleon.text.protocols import Text

# Compressed files are read whole, so a usual run reads this share of a domain's, but at least so many.
_SHARE_READ = 0.02


_LEAST_READ = 16


@dataclass
class OpenRequest:
    """A corpus that is being opened: what its domains share.

    Attributes:
        request: What is asked for.
        spool: Where text is kept while it is in use.
        closing: What to call when the corpus is done with.
        skipped: Bad lines that were left out, by domain.
        notices: What the user must hear.
        tokenizers: Digests of the tokenizers of token arrays by name.
    """

    request: CorpusRequest
    spool: Spool
    closing: list[Callable[[], None]] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    tokenizers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: CorpusRequest) -> "OpenRequest":
        """The opening of what is asked for."""
        return cls(request, Spool(request.scratch))

    def domain(
        self, name: str, files: Sequence[File], kind: str | None = None, digest: str | None = None
    ) -> Domain:
        """A domain whose text fills files of one format, which their names say unless `kind` is given.

        `digest` is what tells their content apart, where that is known otherwise.

        Raises:
            InputError: They are of no known format or of several, or cannot be read or used.
        """
        files = self.of_split(files, name)
        if all(file.path.endswith(INDEX_SUFFIX) for file in files):
            raise InputError(f"{files[0].name} has no .bin file beside it")
        kind = kind or self._format(name, files)
        if kind == "tokens":
            return self._tokens(name, files)
        files = [file for file in files if file.size]
        if not files:
            raise InputError(f"no text in domain {name}; remove what is empty, or give it text")
        digest, version = (digest, "") if digest else fingerprint(files)
        if kind == "parquet":
            texts, units = parquet_texts(files, digest, self.request.text_column, None, {}, (), self.spool)
            self.closing.append(units.close)
            if not texts:
                raise InputError(f"no text in domain {name}; remove what is empty, or give it text")
            return Domain(name, texts[""], version)
        if any(is_compressed(file) for file in files):
            return Domain(name, self._streamed(files, digest, kind), version)
        if kind == "text":
            return Domain(name, PlainText(tuple(files), self._digest(digest, "text")), version)
        if not are_few(files):
            column, skip = self.request.text_column, self.request.skip_bad_lines
            return Domain(name, SeekableLines(tuple(files), self._digest(digest), column, skip), version)
        return Domain(name, self._indexed(name, files))

    def of_split(self, files: Sequence[File], where: str) -> list[File]:
        """The files of the split that is asked for; says so where others are left out."""
        kept = of_split(files, self.request.split)
        if left := len(files) - len(kept):
            self.notices.append(
                f"{where}: {left} files of other splits than {self.request.split} are left out"
            )
        return kept

    def labelled(self, files: Sequence[File], column: str, digest: str | None = None) -> list[Domain]:
        """Domains that are mixed in parquet files or JSON Lines, told apart by a column.

        Args:
            files: They, of one split.
            column: The one.
            digest: What tells their content apart, where that is known otherwise.
        """
        kind = self._format("", files)
        files = [file for file in files if file.size]
        found, version = (digest, "") if digest else fingerprint(files)
        if kind == "parquet":
            request = self.request
            texts, units = parquet_texts(
                files, found, request.text_column, column, request.names, request.domain_names, self.spool
            )
        elif kind == "jsonl":
            texts, units = self._labelled_lines(files, found, column)
        else:
            raise InputError(
                f"domains can be told apart by the column {column} in parquet files and JSON Lines, but "
                f"{files[0].name} is neither"
            )
        self.closing.append(units.close)
        return [Domain(name, text, version) for name, text in texts.items()]

    def _digest(self, files: str, *further: str) -> str:
        return digest_of_json([files, self.request.text_column, *further])

    def _format(self, name: str, files: Sequence[File]) -> str:
        kinds = {format_of(file): file for file in files if not file.path.endswith(INDEX_SUFFIX)}
        where = f"domain {name}" if name else "the corpus"
        if None in kinds:
            raise InputError(f"cannot tell the format of {kinds[None].name}; expected {known_suffixes()}")
        if len(kinds) != 1:
            examples = " and ".join(file.name for file in kinds.values()) or "no files"
            raise InputError(f"{where} holds {examples}; expected files of one format")
        return str(next(iter(kinds)))

    def _indexed(self, name: str, files: Sequence[File]) -> Text:
        total = sum(file.size for file in files)
        with tqdm(
            total=total, desc=f"reading {name}", unit="B", unit_scale=True, delay=1, disable=None
        ) as bar:
            request = self.request
            text, bad = index_lines(files, request.text_column, request.skip_bad_lines, bar.update)
        if bad:
            self.skipped[name] = len(bad)
            self.notices.append(f"{name}: {len(bad)} bad lines left out, the first is {bad[0]}")
        if text.length == 0:
            raise InputError(f"no text in domain {name}; remove what is empty, or give it text")
        return text

    def _streamed(self, files: Sequence[File], digest: str, kind: str) -> Text:
        column, skip = self.request.text_column, self.request.skip_bad_lines
        if kind == "text":
            read = all_of(lambda number: documents_of_text(files[number]), "")
        else:
            read = all_of(lambda number: documents_of_lines(files[number], column, skip), "")
        units = Units(read, _unit_keys(files, digest), self.spool, files)
        self.closing.append(units.close)
        sizes = np.array([file.size for file in files], dtype=np.float64)
        visits = visits_of(len(files), sizes.sum(), _SHARE_READ, _LEAST_READ)
        numbers = np.arange(len(files), dtype=np.int64)
        return UnitsText(units, "", numbers, sizes, self._digest(digest, kind), visits)

    def _labelled_lines(
        self, files: Sequence[File], digest: str, column: str
    ) -> tuple[dict[str, UnitsText], Units]:
        """Files of JSON Lines with several domains: there is no way to know which but to read them all."""
        request, names = self.request, self.request.names
        counts: dict[str, int] = {}

        def read(number: int) -> Labelled:
            found = labelled_documents(files[number], request.text_column, column, request.skip_bad_lines)
            for label, text in found:
                counts[label] = counts.get(label, 0) + 1
                yield names.get(label, label), text

        units = Units(read, _unit_keys(files, digest), self.spool, files)
        try:
            numbers = range(len(files))
            units.prefetch(numbers)
            bar = tqdm(numbers, desc="reading files", unit="file", delay=1, disable=None)
            kept = [units.get(number) for number in bar]
            place = files[0].name.rpartition("/")[0]
            require_labels(place, request.domain_names, counts, "--domain_names")
        except BaseException:
            units.close()
            raise
        texts = {}
        for name in sorted({name for found in kept for name in found}):
            holding = np.array([i for i, found in enumerate(kept) if name in found], dtype=np.int64)
            sizes = np.array([kept[i][name].size for i in holding], dtype=np.float64)
            identity = self._digest(digest, column, name)
            texts[name] = UnitsText(units, name, holding, sizes, identity, 1 << 30)
        return texts, units

    def _tokens(self, name: str, files: Sequence[File]) -> Domain:
        request = self.request
        if request.tokenizer is None:
            raise InputError(
                f"domain {name} is an array of tokens ({files[0].name}); name by --tokenizer the checkpoint "
                "whose tokenizer made them"
            )
        tokenizer = request.load_tokenizer(request.tokenizer)
        self.tokenizers[tokenizer.name] = tokenizer.digest
        indices = {
            file.path.removesuffix(INDEX_SUFFIX): file for file in files if file.path.endswith(INDEX_SUFFIX)
        }
        data = [file for file in files if not file.path.endswith(INDEX_SUFFIX)]
        if alone := indices.keys() - {file.path.removesuffix(".bin") for file in data}:
            raise InputError(f"{indices[min(alone)].name} has no .bin file beside it")
        arrays = []
        for file in data:
            index = indices.get(file.path.removesuffix(".bin"))
            arrays.append(
                flat_array(file, request.token_dtype) if index is None else megatron_array(file, index)
            )
        for array in arrays:
            size = np.dtype(array.dtype).itemsize
            if tokenizer.vocabulary > 1 << 8 * size:
                raise InputError(
                    f"the tokenizer of {tokenizer.name} has {tokenizer.vocabulary} tokens, more than items "
                    f"of {np.dtype(array.dtype).name} can hold ({array.file.name}); give --token_dtype "
                    "uint32, or the tokenizer that made them"
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
            self.notices.append(
                f"{name}: tokens of {tokenizer.name} are decoded, and encoded anew for the proxy, whose "
                "tokenizer is another"
            )
        text.ids(0, 1 << 12)  # a tokenizer or type that is not theirs is told at once
        return Domain(name, text, version)


def with_request(opening: OpenRequest, **changes: Any) -> OpenRequest:  # noqa: ANN401
    """The same opening for a part of the corpus that is read in another way."""
    return replace(opening, request=replace(opening.request, **changes))


def _unit_keys(files: Sequence[File], digest: str) -> list[str]:
    return [f"{digest} {number}" for number in range(len(files))]
