"""Everything that can be asked of reading a corpus: the options, their defaults and their flags."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from chameleon.common.command_line import mapping, name_list, nonempty

DEFAULT_DATASET = "DKYoon/SlimPajama-6B"
BUILTIN = "builtin"
DEFAULT_SAMPLE_LENGTH = 512
DEFAULT_SEED = 0
DEFAULT_TEXT_COLUMN = "text"
DEFAULT_SPLIT = "train"
TOKEN_DTYPES = ("uint16", "uint32")

# Reading options that do not decide which text of a domain is read.
_NOT_OF_TEXT = ("domains", "download", "skip_bad_lines", "trust_remote_code")


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Which domains of a corpus are read and how, named as the flags; None where the user gave none.

    Attributes:
        domains: Names of the domains to use, in this order; default: all.
        text_column: Field or column with the document; dots lead into structures.
        domain_column: Field or column with the domain's label, where domains are mixed within files.
        domain_names: Names of domains by label; labels with the same name are merged.
        subset, split, revision: Of a dataset on the hub; `split` of local files too.
        tokenizer: Checkpoint whose tokenizer made the token arrays.
        token_dtype: Type of a flat token array's items.
        download: Whether a hub dataset is downloaded whole first.
        skip_bad_lines: Whether unusable lines are skipped and counted instead of being an error.
        trust_remote_code: Whether Python files of a checkpoint may run.
    """

    domains: tuple[str, ...] | None = None
    text_column: str | None = None
    domain_column: str | None = None
    domain_names: dict[str, str] | None = None
    subset: str | None = None
    split: str | None = None
    revision: str | None = None
    tokenizer: str | None = None
    token_dtype: str | None = None
    download: bool = False
    skip_bad_lines: bool = False
    trust_remote_code: bool = False

    def reading(self) -> dict[str, Any]:
        """The options of this class by name, also of an instance of a subclass."""
        return {field.name: getattr(self, field.name) for field in fields(ReadingOptions)}

    def text_settings(self) -> dict[str, Any]:
        """Those that decide which text of a domain is read, as recorded with its embeddings."""
        return {name: value for name, value in self.reading().items() if name not in _NOT_OF_TEXT}


def add_domains_flag(group: argparse._ArgumentGroup) -> None:
    """Add --domains."""
    group.add_argument(
        "--domains",
        type=name_list,
        metavar="A,B,...",
        help="comma-separated domains to use, in this order (default: all)",
    )


def add_reading_flags(parser: argparse.ArgumentParser, tokenizer: bool = True) -> None:
    """Add the flags of `ReadingOptions`, with or without --tokenizer."""
    group = parser.add_argument_group("reading text")

    def add(flag: str, help: str, metavar: str = "NAME", type: Callable[[str], object] = nonempty) -> None:
        group.add_argument(flag, type=type, metavar=metavar, help=help)

    add(
        "--text_column",
        f"column or field with the document; dots lead into structures (default: {DEFAULT_TEXT_COLUMN})",
    )
    add(
        "--domain_column",
        "column or field with the domain's label, where files hold several domains mixed (default: "
        "meta.redpajama_set_name where it exists, else each file, sub-directory, subset or split is one)",
    )
    add(
        "--domain_names",
        "names for the labels of that column; labels with the same name are merged (default: the usual names "
        "for SlimPajama, else the labels)",
        "LABEL=NAME,...",
        mapping,
    )
    add("--subset", "subset of a hub dataset (default: its only one, or each subset is a domain)")
    add("--split", f"split to read, where files or a hub dataset have several (default: {DEFAULT_SPLIT})")
    add(
        "--revision",
        "commit, branch or tag of a hub dataset (default: the newest, which is recorded)",
        "COMMIT",
    )
    group.add_argument(
        "--download",
        action="store_true",
        help="download a hub dataset whole into the hub's cache first, to work offline later (default: read "
        "only the parts that windows lie in)",
    )
    if tokenizer:
        add(
            "--tokenizer",
            "checkpoint whose tokenizer made the token arrays (.bin, .npy) of the corpus; required for such "
            "arrays (default: none)",
            "PATH",
        )
    group.add_argument(
        "--token_dtype",
        choices=TOKEN_DTYPES,
        help=f"item type of flat token arrays, uint32 for vocabularies over 65,536 (default: "
        f"{TOKEN_DTYPES[0]})",
    )
    group.add_argument(
        "--skip_bad_lines",
        action="store_true",
        help="skip and count unusable JSONL lines (default: stop with an error at the first one)",
    )
