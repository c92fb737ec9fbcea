"""A corpus while it is being opened: what its domains share, and what is learned on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.text.corpora.corpus import Corpus, CorpusRequest, Domain
from chameleon.text.corpora.splits import of_split
from chameleon.text.corpora.spool import Spool
from chameleon.text.corpora.storage import File


@dataclass
class CorpusBuilder:
    """A corpus that is being opened.

    Attributes:
        request: The corpus and how to read it.
        spool: Where text is stored while it is in use.
        closing: Functions to call when the corpus is no longer used.
        skipped: Number of bad lines that were skipped, by domain.
        notices: Messages for the user.
        tokenizers: Digests of the tokenizers of token arrays, by name.
    """

    request: CorpusRequest
    spool: Spool
    closing: list[Callable[[], None]] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    tokenizers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: CorpusRequest) -> Self:
        """Begin to open a corpus."""
        return cls(request, Spool(request.scratch))

    def with_options(self, **changes: Any) -> Self:  # noqa: ANN401
        """The same corpus, for a part of it that is read with other options."""
        return replace(self, request=replace(self.request, **changes))

    def of_split(self, files: Sequence[File], where: str) -> list[File]:
        """The files of the requested split; adds a notice where others are left out."""
        split = self.request.split
        chosen = of_split(files, split)
        if left := len(files) - len(chosen):
            self.notices.append(f"{where}: {left} files of splits other than {split} are left out")
        return chosen

    def text_digest(self, digest: str, *further: str) -> str:
        """Fingerprint of a text, by the digest of its files and how they are read."""
        return digest_of_json([digest, self.request.text_column, *further])

    def corpus(
        self, domains: Sequence[Domain], kind: str, column: str | None = None, **origin: str
    ) -> Corpus:
        """The corpus of open domains, which are told apart by a column where one is given.

        Args:
            domains: The domains.
            kind: Kind of source.
            column: Column or field with the domain's label.
            origin: Further facts for the provenance.
        """
        provenance: dict[str, Any] = {"kind": kind, "skipped_lines": dict(self.skipped)}
        if column is not None:
            provenance["label_column"] = column
        if self.tokenizers:
            provenance["tokenizers"] = dict(self.tokenizers)
        name, notices, closing = self.request.dataset, tuple(self.notices), tuple(self.closing)
        return Corpus(name, tuple(domains), provenance | origin, notices, closing)


def no_text(name: str) -> InputError:
    """The error of a domain that is empty."""
    return InputError(f"no text in domain {name}; remove what is empty, or give it text")
