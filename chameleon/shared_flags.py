"""Flags that several commands share: which domains, how their text is read, and in what is computed."""

import argparse
from pathlib import Path

from chameleon.argument_types import directory, labels, named, names
from chameleon.options import DEFAULT_PACKED_DIR


def add_domains_flag(group: argparse._ArgumentGroup) -> None:
    """--domains."""
    group.add_argument(
        "--domains",
        type=names,
        metavar="A,B,...",
        help="domains to use, in this order (default: all). Give it to leave some out",
    )


def add_packed_dir_flag(group: argparse._ArgumentGroup) -> None:
    """--packed_dir."""
    group.add_argument(
        "--packed_dir",
        type=directory,
        default=Path(DEFAULT_PACKED_DIR),
        metavar="DIR",
        help=f"where packed tokens are kept, 2 or 4 bytes each (default: {DEFAULT_PACKED_DIR}). Change it "
        "for a larger disk, in training and evaluation alike",
    )


def add_dtype_flag(group: argparse._ArgumentGroup, what: str) -> None:
    """--dtype; `what` is computed in it."""
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help=f"what {what} in (default: auto, bfloat16 where the device has it in hardware). "
        "Change it to float32 to compare across machines",
    )


def add_trust_flag(group: argparse._ArgumentGroup) -> None:
    """--trust_remote_code."""
    group.add_argument(
        "--trust_remote_code",
        action="store_true",
        help="run Python files that the checkpoint brings (default: never). Give it only for checkpoints "
        "whose code you have read",
    )


def add_reading_flags(parser: argparse.ArgumentParser, tokenizer: bool = True) -> None:
    """The flags by which a corpus is read (`chameleon.options.READING`), but for --tokenizer if need be."""
    group = parser.add_argument_group("reading text")
    group.add_argument(
        "--text_column",
        type=named,
        metavar="NAME",
        help="column or field with the document; dots lead into structures (default: text). Change it to "
        "what yours is called",
    )
    group.add_argument(
        "--domain_column",
        type=named,
        metavar="NAME",
        help="column or field that tells domains apart, where files hold them mixed (default: "
        "meta.redpajama_set_name where it is there, else none: a domain a file or sub-directory, subset or "
        "split). Change it to what yours is called",
    )
    group.add_argument(
        "--domain_names",
        type=labels,
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
        type=named,
        metavar="NAME",
        help="subset of a hub dataset (default: its only one, or each as a domain). Give it to use "
        "one of several",
    )
    group.add_argument(
        "--split",
        type=named,
        metavar="NAME",
        help="split to read, where files or a hub dataset have several (default: train). Change it to look "
        "at another",
    )
    group.add_argument(
        "--revision",
        type=named,
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
            type=named,
            metavar="PATH",
            help="checkpoint with the tokenizer that made token arrays (default: none). Give it where the "
            "corpus has such arrays (.bin, .npy), which do not say it themselves",
        )
    group.add_argument(
        "--token_dtype",
        choices=("uint16", "uint32"),
        help="items of flat token arrays (default: uint16). Change it for vocabularies over 65,536",
    )
