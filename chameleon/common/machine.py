"""Whether a large matrix fits in the memory that is free, before it is made."""

import os
from pathlib import Path

from chameleon.common.errors import InputError


def available_cores() -> int:
    """Those that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_MEMORY = Path("/proc/meminfo")


# What the exact way takes beside its matrix: a share of it, and blocks of rows.
_SHARE, _BLOCKS = 0.1, 256 << 20


def require_memory_for_exact(k: int, exact_up_to: int) -> None:
    """Raise InputError where the exact RBF scores of k domains take more memory than there is.

    One (k, k) float64 matrix, a tenth of it for the pairs about the median, and some blocks of rows.
    Where a system says nothing of its memory, nothing is refused.
    """
    needed = 8 * k * k * (1 + _SHARE) + _BLOCKS
    free = available_memory()
    if free is not None and needed > free:
        raise InputError(
            f"exact scores of {k:,} domains need {gibibytes(needed)} of memory, and {gibibytes(free)} are "
            f"free: lower --exact_up_to (now {exact_up_to:,}) to below {k:,} for approximate scores, or free "
            "memory"
        )


def available_memory() -> int | None:
    """Bytes of memory that can be had without swapping; None where the system does not say."""
    if _MEMORY.exists():
        for line in _MEMORY.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    names = getattr(os, "sysconf_names", {})
    if "SC_AVPHYS_PAGES" in names:  # what is free now, without what caches would give back
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if "SC_PHYS_PAGES" in names:  # all there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def gibibytes(number: float) -> str:
    """A number of bytes in words."""
    return f"{number / 2**30:.1f} GiB"
