"""Everything that can be asked of reading a corpus: the options, their defaults and their flags."""

import argparse
from dataclasses import dataclass, fields
from typing import Any

from chameleon.common.command_line import name_list
from chameleon.common.flags import add_flags, flag

DEFAULT_DATASET = "DKYoon/SlimPajama-6B"
BUILTIN = "builtin"
DEFAULT_SAMPLE_LENGTH = 512
DEFAULT_SEED = 0
DEFAULT_TEXT_COLUMN = "text"
DEFAULT_SPLIT = "train"
TOKEN_DTYPES = ("uint16", "uint32")

# Reading options that do not decide which text of a domain is read.
_NOT_OF_TEXT = ("domains", "download", "skip_bad_lines", "trust_remote_code")

_DOMAINS_HELP = "comma-separated domains to use, in this order (default: all)"


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Which domains of a corpus are read and how, named as the flags; None where the user gave none."""

    domains: tuple[str, ...] | None = flag(None, _DOMAINS_HELP)
    text_column: str | None = flag(
        None, f"column or field with the document; dots lead into structures (default: {DEFAULT_TEXT_COLUMN})"
    )
    domain_column: str | None = flag(
        None,
        "column or field with the domain's label, where files hold several domains mixed (default: "
        "meta.redpajama_set_name where it exists, else each file, sub-directory, subset or split is one)",
    )
    domain_names: dict[str, str] | None = flag(
        None,
        "names for the labels of that column; labels with the same name are merged (default: the usual names "
        "for SlimPajama, else the labels)",
        metavar="LABEL=NAME,...",
    )
    subset: str | None = flag(
        None, "subset of a hub dataset (default: its only one, or each subset is a domain)"
    )
    split: str | None = flag(
        None, f"split to read, where files or a hub dataset have several (default: {DEFAULT_SPLIT})"
    )
    revision: str | None = flag(
        None,
        "commit, branch or tag of a hub dataset (default: the newest, which is recorded)",
        metavar="COMMIT",
    )
    tokenizer: str | None = flag(
        None,
        "checkpoint whose tokenizer made the token arrays (.bin, .npy) of the corpus; required for such "
        "arrays (default: none)",
        metavar="PATH",
    )
    token_dtype: str | None = flag(
        None,
        f"item type of flat token arrays, uint32 for vocabularies over 65,536 (default: {TOKEN_DTYPES[0]})",
        choices=TOKEN_DTYPES,
    )
    download: bool = flag(
        False,
        "download a hub dataset whole into the hub's cache first, to work offline later (default: read only "
        "the parts that windows lie in)",
    )
    skip_bad_lines: bool = flag(
        False, "skip and count unusable JSONL lines (default: stop with an error at the first one)"
    )
    trust_remote_code: bool = False

    def reading(self) -> dict[str, Any]:
        """The options of this class by name, also of an instance of a subclass."""
        return {field.name: getattr(self, field.name) for field in fields(ReadingOptions)}

    def text_settings(self) -> dict[str, Any]:
        """Those that decide which text of a domain is read, as recorded with its embeddings."""
        return {name: value for name, value in self.reading().items() if name not in _NOT_OF_TEXT}


def add_domains_flag(group: argparse._ArgumentGroup) -> None:
    """Add --domains."""
    group.add_argument("--domains", type=name_list, metavar="A,B,...", help=_DOMAINS_HELP)


def add_reading_flags(parser: argparse.ArgumentParser, tokenizer: bool = True) -> None:
    """Add the flags of `ReadingOptions` but --domains, with or without --tokenizer."""
    of_tokens = "tokenizer token_dtype" if tokenizer else "token_dtype"
    names = "text_column domain_column domain_names subset split revision download"
    add_flags(parser, ReadingOptions, {"reading text": f"{names} {of_tokens} skip_bad_lines"})
