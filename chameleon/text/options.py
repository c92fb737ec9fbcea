"""What a run is asked for."""

import argparse
from dataclasses import dataclass

from chameleon.common.command_line import mapping, name_list, nonempty

DEFAULT_DATASET = "DKYoon/SlimPajama-6B"


BUILTIN = "builtin"


DEFAULT_SAMPLE_LENGTH = 512


DEFAULT_SEED = 0


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Which text is asked for and how it is read, by the names of the flags; None is left to the program."""

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


# Those of them that may change what is read of the text, besides which domains.
READING = (
    "text_column",
    "domain_column",
    "domain_names",
    "subset",
    "split",
    "revision",
    "tokenizer",
    "token_dtype",
)


def add_domains_flag(group: argparse._ArgumentGroup) -> None:
    """--domains."""
    group.add_argument(
        "--domains",
        type=name_list,
        metavar="A,B,...",
        help="domains to use, in this order (default: all). Give it to leave some out",
    )


def add_reading_flags(parser: argparse.ArgumentParser, tokenizer: bool = True) -> None:
    """The flags by which a corpus is read (`READING`), with or without --tokenizer."""
    group = parser.add_argument_group("reading text")
    group.add_argument(
        "--text_column",
        type=nonempty,
        metavar="NAME",
        help="column or field with the document; dots lead into structures (default: text). Change it to "
        "what yours is called",
    )
    group.add_argument(
        "--domain_column",
        type=nonempty,
        metavar="NAME",
        help="column or field that tells domains apart, where files hold them mixed (default: "
        "meta.redpajama_set_name where it is there, else none: a domain a file or sub-directory, subset or "
        "split). Change it to what yours is called",
    )
    group.add_argument(
        "--domain_names",
        type=mapping,
        metavar="LABEL=NAME,...",
        help="what to call the domains of that column (default: the names usual for SlimPajama, else the "
        "labels themselves). Change it for names of your own; several labels of one name are joined",
    )
    _add_flags_of_hub_and_arrays(group, tokenizer)
    group.add_argument(
        "--skip_bad_lines",
        action="store_true",
        help="leave out and count JSONL lines that cannot be used (default: the first one is an error). "
        "Give it once you have seen what is wrong with them",
    )


def _add_flags_of_hub_and_arrays(group: argparse._ArgumentGroup, tokenizer: bool) -> None:
    group.add_argument(
        "--subset",
        type=nonempty,
        metavar="NAME",
        help="subset of a hub dataset (default: its only one, or each as a domain). Give it to use "
        "one of several",
    )
    group.add_argument(
        "--split",
        type=nonempty,
        metavar="NAME",
        help="split to read, where files or a hub dataset have several (default: train). Change it to look "
        "at another",
    )
    group.add_argument(
        "--revision",
        type=nonempty,
        metavar="COMMIT",
        help="commit, branch or tag of a hub dataset (default: its newest; recorded). Give it to repeat a "
        "run",
    )
    group.add_argument(
        "--download",
        action="store_true",
        help="bring a hub dataset whole into the hub's cache first (default: read only the parts that "
        "windows lie in). Give it to work offline afterwards",
    )
    if tokenizer:
        group.add_argument(
            "--tokenizer",
            type=nonempty,
            metavar="PATH",
            help="checkpoint with the tokenizer that made token arrays (default: none). Give it where the "
            "corpus has such arrays (.bin, .npy), which do not say it themselves",
        )
    group.add_argument(
        "--token_dtype",
        choices=("uint16", "uint32"),
        help="items of flat token arrays (default: uint16). Change it for vocabularies over 65,536",
    )
