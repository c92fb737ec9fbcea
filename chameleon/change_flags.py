"""Flags of domains that come, go, are split or put together."""

import argparse

from chameleon.argument_types import directory, labels, names, partitions, unions


def add_change_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of what is added, removed, split, merged or kept, and of names that have levels."""
    group = parser.add_argument_group("domains that come and go")
    group.add_argument(
        "--add_domains",
        type=labels,
        metavar="NAME=SOURCE,...",
        help="further domains: files, directories, URLs or hub ids (default: none). Give it to see what they "
        "change; only they are embedded",
    )
    group.add_argument(
        "--remove_domains",
        type=names,
        default=(),
        metavar="A,B,...",
        help="domains to leave out (default: none). Give it to see what that changes, where they were "
        "embedded before",
    )
    group.add_argument(
        "--split_domains",
        type=partitions,
        metavar="OLD=A:PATTERN+B:PATTERN,...",
        help="domains to split by the names of their files (default: none). Give it where one name stands "
        "for different things; nothing is embedded anew",
    )
    group.add_argument(
        "--merge_domains",
        type=unions,
        metavar="NEW=A+B,...",
        help="domains to put together, by their tokens (default: none). Give it where two are near "
        "duplicates; nothing is embedded anew",
    )
    group.add_argument(
        "--previous",
        type=directory,
        metavar="FILE",
        help="weights file of before, to compare with (default: computed without the changes above). Give it "
        "where the corpus has become another",
    )
    group.add_argument(
        "--keep_ratios",
        action="store_true",
        help="domains of before keep their relative shares, new ones take theirs (default: all weights "
        "move). Give it in the middle of a training run",
    )
    group.add_argument(
        "--hierarchy",
        choices=("flat", "nested"),
        default="flat",
        help="how domains named source/topic are weighed (default: flat, all at once). Change it to nested "
        "where sources have very unequal numbers of topics: weights across sources times those within each",
    )
