"""What a corpus is asked for, by the names of the flags."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chameleon.corpora.tokens import SourceTokenizer

# Where SlimPajama and what is labelled like it keep their domains' names, and what the method calls them.
SLIMPAJAMA_COLUMN = "meta.redpajama_set_name"
SLIMPAJAMA_NAMES = {
    "RedPajamaArXiv": "arxiv",
    "RedPajamaBook": "book",
    "RedPajamaC4": "c4",
    "RedPajamaCommonCrawl": "cc",
    "RedPajamaGithub": "github",
    "RedPajamaStackExchange": "stackexchange",
    "RedPajamaWikipedia": "wikipedia",
}
TEXT_COLUMN = "text"
SPLIT = "train"
TOKEN_DTYPE = "uint16"


def _no_tokenizer(name: str) -> SourceTokenizer:
    raise ValueError(f"no tokenizer {name}")


@dataclass(frozen=True)
class Request:
    """A corpus, and how to read it.

    Attributes:
        dataset: Its name.
        text_column: Field or column with the document; dots lead into structures.
        domain_column: Field or column that tells the domains apart, or None where files do.
        domain_names: The domains' names by what stands in that column.
        domains: The ones to use, in this order; by default all.
        added: Sources of further domains by their names.
        subset: Configuration of a hub dataset.
        split: Split of it.
        revision: Commit, branch or tag of it.
        tokenizer: Checkpoint with the tokenizer that made token arrays.
        token_dtype: Type of a flat array's items.
        download: Whether to bring a hub dataset here whole first.
        skip_bad_lines: Leave out lines that cannot be used.
        scratch: Directory for text while it is in use.
        proxy_tokenizer_digest: Of the tokenizer that windows are for, if that is known, or what finds it out:
            it is wanted for token arrays alone.
        load_tokenizer: The tokenizer of a checkpoint's name.
    """

    dataset: str
    text_column: str = TEXT_COLUMN
    domain_column: str | None = None
    domain_names: dict[str, str] = field(default_factory=dict)
    domains: tuple[str, ...] | None = None
    added: dict[str, str] = field(default_factory=dict)
    subset: str | None = None
    split: str = SPLIT
    revision: str | None = None
    tokenizer: str | None = None
    token_dtype: str = TOKEN_DTYPE
    download: bool = False
    skip_bad_lines: bool = False
    scratch: Path = Path()
    proxy_tokenizer_digest: str | Callable[[], str] | None = None
    load_tokenizer: Callable[[str], SourceTokenizer] = _no_tokenizer

    @property
    def names(self) -> dict[str, str]:
        """Names by label: those given, before those that the method uses for SlimPajama."""
        return {**SLIMPAJAMA_NAMES, **self.domain_names}
