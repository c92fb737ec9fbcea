"""What tells the content of files apart, without reading more of them than need be."""

import hashlib
from collections.abc import Iterator, Sequence

from chameleon.corpora.storage import WHOLE_BYTES, File
from chameleon.files import digest_of_json

# Stretches of a file that is not read whole, and their bytes.
_PROBES = 64
_PROBE_BYTES = 4096


def fingerprint(files: Sequence[File]) -> tuple[str, str]:
    """What tells the content of files apart (hex), and what tells apart those that it may not.

    Files up to `WHOLE_BYTES` in all are hashed whole. Of larger local ones the sizes and some
    stretches are, and their times of change are the second value: the first is the same on
    another machine, and a change that no stretch shows is noticed by the second.
    """
    if all(file.filesystem is not None for file in files):
        return digest_of_json([[file.size, file.version] for file in files]), ""
    total = sum(file.size for file in files)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.size} ".encode())
        for begin, end in _probes(file.size, total):
            digest.update(file.read(begin, end))
    version = "" if total <= WHOLE_BYTES else digest_of_json([file.version for file in files])
    return digest.hexdigest(), version


def _probes(size: int, total: int) -> Iterator[tuple[int, int]]:
    """The stretches of a file by which it is told apart."""
    if total <= WHOLE_BYTES:
        yield 0, size
        return
    number = max(2, _PROBES * size // total)
    for i in range(number):
        begin = max(size - _PROBE_BYTES, 0) * i // (number - 1)
        yield begin, min(begin + _PROBE_BYTES, size)
