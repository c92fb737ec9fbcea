"""Everything that can be asked of reading a corpus: the options, their defaults and their flags."""

from dataclasses import dataclass, fields
from typing import Any

from chameleon.common.flags import flag

DEFAULT_DATASET = "DKYoon/SlimPajama-6B"
BUILTIN = "builtin"
DEFAULT_SAMPLE_LENGTH = 512
DEFAULT_SEED = 0
DEFAULT_TEXT_COLUMN = "text"
DEFAULT_SPLIT = "train"
TOKEN_DTYPES = ("uint16", "uint32")

# Layout of the flags for `add_flags`, and the same without --tokenizer.
_BEFORE, _AFTER = (
    "text_column domain_column domain_names subset split revision download",
    "token_dtype skip_bad_lines",
)
READING_FLAGS = {"reading text": f"{_BEFORE} tokenizer {_AFTER}"}
READING_FLAGS_BUT_TOKENIZER = {"reading text": f"{_BEFORE} {_AFTER}"}

# Reading options that do not decide which text of a domain is read.
_NOT_OF_TEXT = ("domains", "download", "skip_bad_lines", "trust_remote_code")


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Which domains of a corpus are read and how, named as the flags; None where the user gave none.

    Each flag's help says what it is for.
    """

    domains: tuple[str, ...] | None = flag(
        None, "comma-separated domains to use, in this order (default: all)"
    )
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
        "names for the labels of that column; labels with the same name are merged (default: the usual "
        "names for SlimPajama, else the labels)",
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
    trust_remote_code: bool = flag(
        False,
        "run Python files of the checkpoint (default: never). Only for checkpoints whose code you have read",
    )

    def reading(self) -> dict[str, Any]:
        """The options of this class by name, also of an instance of a subclass."""
        return {field.name: getattr(self, field.name) for field in fields(ReadingOptions)}

    def text_settings(self) -> dict[str, Any]:
        """Those that decide which text of a domain is read, as recorded with its embeddings."""
        return {name: value for name, value in self.reading().items() if name not in _NOT_OF_TEXT}
