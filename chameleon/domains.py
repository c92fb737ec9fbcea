"""Domains that are left out or put together."""

from collections import Counter
from collections.abc import Mapping, Sequence

from chameleon.errors import InputError
from chameleon.sample import Sample


def require_removable(names: Sequence[str], removed: Sequence[str]) -> None:
    """Raise InputError where a domain to remove is not there, or fewer than two would be left."""
    there, gone = set(names), set(removed)
    for name in removed:
        if name not in there:
            raise InputError(
                f"there is no domain {name} to remove (--remove_domains); there are {', '.join(names)[:600]}"
            )
    left = [name for name in names if name not in gone]
    if removed and len(left) < 2:
        found = f"only {left[0]}" if left else "none"
        raise InputError(f"weights need at least 2 domains, but --remove_domains leaves {found}")


def require_mergeable(names: Sequence[str], merges: Mapping[str, Sequence[str]]) -> None:
    """Raise InputError where domains to merge are not there or named twice, one is left, or a name taken."""
    there = set(names)
    gone: Counter[str] = Counter()
    for new, parts in merges.items():
        for name in parts:
            if name not in there:
                raise InputError(
                    f"there is no domain {name} to merge into {new} (--merge_domains); there are "
                    f"{', '.join(names)[:600]}"
                )
        gone.update(parts)
    for name, count in gone.items():
        if count > 1:
            raise InputError(f"--merge_domains names {name} twice; a domain goes into one")
    left = {name for name in names if name not in gone}
    for new in merges:
        if new in left:
            raise InputError(f"there is a domain {new} already; --merge_domains must call it otherwise")
    if len(left) + len(merges) < 2:
        raise InputError(
            f"weights need at least 2 domains, but --merge_domains leaves only {', '.join(merges)}"
        )


def merge(
    samples: Mapping[str, Sample], sizes: Mapping[str, float], merges: Mapping[str, Sequence[str]]
) -> dict[str, Sample]:
    """Samples with some put together, each where the first of its parts stood.

    Args:
        samples: By domain.
        sizes: Tokens of each domain, by which the parts count.
        merges: The parts of each new domain.
    """
    into = {name: new for new, parts in merges.items() for name in parts}
    merged: dict[str, Sample] = {}
    for name, sample in samples.items():
        new = into.get(name)
        if new is None:
            merged[name] = sample
        elif new not in merged:
            merged[new] = Sample.merged(new, {samples[part]: sizes[part] for part in merges[new]})
    return merged
