"""Files of a corpus, local or remote: listed, fingerprinted, and read by ranges of bytes.

Remote files (http, s3, gs, hf and whatever else fsspec knows) are read by range requests, retried where the
network fails, and never whole unless every byte is needed.
"""

import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from chameleon.common.errors import InputError, one_line
from chameleon.common.files import digest_of_json, local_path, path_exists

_T = TypeVar("_T")

# Seconds before each retry of a read.
BACKOFF = (0.5, 1.0, 2.0, 4.0)

# Files of at most this many bytes in all are read whole where that is simpler.
WHOLE_BYTES = 1 << 24
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "azure", "az": "azure"}


@dataclass(frozen=True)
class File:
    """A local or remote file.

    Attributes:
        name: Name as the user would write it.
        size: Size in bytes.
        version: What its storage changes with its content: a modification time, an ETag, a blob id.
        path: Path in its filesystem.
        filesystem: fsspec's filesystem; None for a local file.
    """

    name: str
    size: int
    version: str
    path: str
    filesystem: Any = field(default=None, compare=False, repr=False)

    def read(self, begin: int, end: int) -> bytes:
        """Bytes `begin` to `end` (0 <= begin <= end <= size).

        Raises:
            InputError: They cannot be read, after a few retries where the file is remote.
        """
        if begin >= end:
            return b""
        content = _with_retries(self, lambda: self._read(begin, end))
        if len(content) != end - begin:
            raise InputError(
                f"{self.name} changed while it was read: got {len(content)} of the bytes {begin} to {end}; "
                "run again"
            )
        return content

    def _read(self, begin: int, end: int) -> bytes:
        if self.filesystem is None:
            with open(self.path, "rb") as file:  # noqa: PTH123
                file.seek(begin)
                return file.read(end - begin)
        handle: Any = None if getattr(self.filesystem, "async_impl", False) else _handle(self)
        if hasattr(handle, "_fetch_range"):  # fsspec's buffered files, fetched from without their buffer
            return bytes(handle._fetch_range(begin, end))
        content: bytes = self.filesystem.cat_file(self.path, start=begin, end=end)
        # Some servers know no ranges.
        return content[begin:end] if len(content) == self.size != end - begin else content

    def open(self) -> "FileReader":
        """The file as a seekable stream."""
        return FileReader(self)


@lru_cache(maxsize=256)
def _handle(file: File) -> Any:  # noqa: ANN401
    # Opening asks the server about the file; its ranges are then fetched without state.
    return file.filesystem.open(file.path, "rb", cache_type="none")


class FileReader(io.RawIOBase):
    """A file as a stream whose every read is one request."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence] + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Bytes from the position on."""
        left = max(self._file.size - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        content = self._file.read(self._at, self._at + wanted)
        self._at += len(content)
        return content


def is_remote(name: str) -> bool:
    """Whether a name is a URL of another machine."""
    scheme, separator, _ = name.partition("://")
    return bool(separator) and scheme.isascii() and scheme not in ("", "file", "local")


def files_at(name: str) -> list[File]:
    """The file of a name, or all files in the directory of that name and below, by path.

    Hidden files and directories are left out, and links are followed.

    Raises:
        InputError: There is no such file or directory, or it cannot be read.
    """
    if not is_remote(name):
        path = local_path(name.removeprefix("file://"))
        if not path_exists(path):
            raise InputError(f"there is no file or directory {name}")
        try:
            return [_local_file(each, path) for each in local_files(path)]
        except OSError as error:
            raise InputError(f"cannot read {error.filename or path}: {error.strerror}") from None
    filesystem, root = _filesystem(name)
    scheme = name.partition("://")[0]
    listing: dict[str, dict[str, Any]] = _with_retries(
        File(name, 0, "", root, filesystem), lambda: _list(filesystem, root)
    )
    if not listing:
        raise InputError(f"{name} holds no files")
    return [
        _remote_file(filesystem, path, facts, scheme)
        for path, facts in sorted(listing.items())
        if not any(part.startswith(".") for part in path.removeprefix(root).split("/"))
    ]


def remote_file(name: str) -> File:
    """The remote file of a name (a URL).

    Raises:
        InputError: It cannot be reached.
    """
    filesystem, path = _filesystem(name)
    facts = _with_retries(File(name, 0, "", path, filesystem), lambda: filesystem.info(path))
    return _remote_file(filesystem, path, facts, name.partition("://")[0])


def local_files(path: Path) -> list[Path]:
    """The path itself, or all files below it: links are followed, hidden files and directories left out."""
    if not path.is_dir():
        return [path]
    paths, seen = [], set()
    for folder, subfolders, names in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        paths += [Path(folder) / name for name in names if not name.startswith(".")]
    return sorted(paths)


def _local_file(path: Path, root: Path) -> File:
    if not path.is_file():
        name = path.relative_to(root) if path != root else path
        raise InputError(
            f"expected files in {root}, found {name}, which is a pipe, a device or a broken link; move it out"
        )
    facts = path.stat()
    return File(str(path), facts.st_size, str(facts.st_mtime_ns), str(path))


def _remote_file(filesystem: Any, path: str, facts: dict[str, Any], scheme: str) -> File:  # noqa: ANN401
    size = facts.get("size")
    name = path if "://" in path else f"{scheme}://{path}"
    if not isinstance(size, int):
        raise InputError(f"{name}: the server does not say how long the file is; download it first")
    names = ("ETag", "etag", "blob_id", "md5Hash", "checksum", "LastModified", "last_modified", "mtime")
    version = next((str(facts[each]) for each in names if facts.get(each)), "")
    return File(name, size, version, path, filesystem)


def _list(filesystem: Any, path: str) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    if filesystem.isdir(path):
        listing: dict[str, dict[str, Any]] = filesystem.find(path, detail=True)
        for name, facts in listing.items():
            if not isinstance(facts.get("size"), int):  # listings of http servers have none
                listing[name] = filesystem.info(name)
        return listing
    return {path: filesystem.info(path)}


def _filesystem(name: str) -> tuple[Any, str]:
    import fsspec

    scheme = name.partition("://")[0]
    try:
        filesystem, path = fsspec.core.url_to_fs(name)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        remedy = f'pip install ".[{extra}]" in the project\'s directory' if extra else "install what it names"
        raise InputError(f"{name} needs a library that is not installed ({error}): {remedy}") from None
    except ValueError as error:
        raise InputError(f"cannot read {name}: {error}") from None
    return filesystem, path


def _with_retries(file: File, action: Callable[[], _T]) -> _T:
    """The result of an action on a file, retried where a remote filesystem fails in a way that may pass."""
    # The hub's own library retries by itself.
    waits = () if file.filesystem is None or file.name.startswith("hf://") else BACKOFF
    for wait in (*waits, None):
        try:
            return action()
        except FileNotFoundError:
            if file.size:
                raise InputError(f"{file.name} changed while it was read: it is gone; run again") from None
            raise InputError(f"there is no file {file.name}") from None
        except Exception as error:  # of the filesystem's own libraries, the network or the server
            if isinstance(error, InputError):
                raise
            status = getattr(error, "status", None) or getattr(
                getattr(error, "response", None), "status_code", None
            )
            final = isinstance(error, PermissionError) or (
                isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)
            )
            if wait is None or final:
                tries = f" after {len(waits) + 1} tries" if waits and not final else ""
                raise InputError(
                    f"cannot read {file.name}{tries} ({type(error).__name__}: {one_line(error)}); check "
                    "that it can be reached, then run again: windows embedded so far are stored"
                ) from None
            time.sleep(wait)
    raise AssertionError


# Stretches that stand for a file too large to be hashed whole, and their bytes.
_PROBES = 64
_PROBE_BYTES = 4096


def fingerprint(files: Sequence[File]) -> tuple[str, str]:
    """Digest (hex) of the content of files, and of their modification times where they are large.

    Files of up to `WHOLE_BYTES` in all are hashed whole, and the second value is empty. Of larger local ones
    the sizes and some stretches are hashed: the first value is the same on another machine, and a change
    outside the stretches changes the second. Remote files are named by size and version.
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
    """The stretches (begin, end) of a file that are hashed."""
    if total <= WHOLE_BYTES:
        yield 0, size
        return
    number = max(2, _PROBES * size // total)
    for i in range(number):
        begin = max(size - _PROBE_BYTES, 0) * i // (number - 1)
        yield begin, min(begin + _PROBE_BYTES, size)
