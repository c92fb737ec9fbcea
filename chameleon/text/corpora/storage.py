"""Files of a corpus, local or remote: listed, told apart, and read by ranges of bytes.

Remote files (http, s3, gs, hf and whatever else fsspec knows) are read by range requests, tried again
where the network fails, and never whole unless every byte is asked for.
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

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json, local_path, path_exists

_T = TypeVar("_T")


# Seconds before each further try of a read that failed.
BACKOFF = (0.5, 1.0, 2.0, 4.0)


# What is no larger is small: read whole where that is simpler.
WHOLE_BYTES = 1 << 24


_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "azure", "az": "azure"}


@dataclass(frozen=True)
class File:
    """A file, and how to read it.

    Attributes:
        name: As the user would write it.
        size: Bytes.
        version: What changes when it does, as the place it is in tells it: a time, an ETag, a blob.
        path: In its filesystem.
        filesystem: fsspec's, or None for a local file.
    """

    name: str
    size: int
    version: str
    path: str
    filesystem: Any = field(default=None, compare=False, repr=False)

    def read(self, begin: int, end: int) -> bytes:
        """Bytes `begin` to `end` (0 <= begin <= end <= size).

        Raises:
            InputError: They cannot be had, after a few tries where the file is remote.
        """
        if begin >= end:
            return b""
        content = _tried(self, lambda: self._read(begin, end))
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
        if getattr(self.filesystem, "async_impl", False):
            content: bytes = self.filesystem.cat_file(self.path, start=begin, end=end)
            if len(content) == self.size != end - begin:  # the server knows no ranges
                content = content[begin:end]
            return content
        handle = _handle(self)
        if hasattr(handle, "_fetch_range"):  # fsspec's buffered files, fetched from without their buffer
            found: bytes = handle._fetch_range(begin, end)
            return found
        with self.filesystem.open(self.path, "rb") as remote:
            remote.seek(begin)
            return bytes(remote.read(end - begin))

    def open(self) -> "FileReader":
        """The file as a stream that can be sought in."""
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
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place in it."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in it."""
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence] + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Bytes from the place on."""
        left = max(self._file.size - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        content = self._file.read(self._at, self._at + wanted)
        self._at += len(content)
        return content

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        """Bytes into a buffer."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def is_remote(name: str) -> bool:
    """Whether a name is a URL of something that is not on this machine."""
    scheme, separator, _ = name.partition("://")
    return bool(separator) and scheme.isascii() and scheme not in ("", "file", "local")


def files_at(name: str) -> list[File]:
    """The file of that name, or all files in the directory of that name and below, by path.

    Hidden files and directories are left out and links are followed.

    Raises:
        InputError: There is no such thing, or it cannot be read.
    """
    if not is_remote(name):
        path = local_path(name.removeprefix("file://"))
        if not path_exists(path):
            raise InputError(f"there is no file or directory {name}")
        try:
            return [_local_file(each, path) for each in local_files(path)]
        except OSError as error:
            raise InputError(f"cannot read {error.filename or path}: {error.strerror}") from None
    filesystem, path_there = _filesystem(name)
    asked = File(name, 0, "", path_there, filesystem)
    scheme = name.partition("://")[0]
    found: dict[str, dict[str, Any]] = _tried(asked, lambda: _listed(filesystem, path_there))
    if not found:
        raise InputError(f"{name} holds no files")
    return [
        _remote_file(filesystem, path, facts, scheme)
        for path, facts in sorted(found.items())
        if not any(part.startswith(".") for part in path.removeprefix(path_there).split("/"))
    ]


def remote_files(names: Sequence[str]) -> list[File]:
    """The remote files of these names (URLs of one filesystem), in this order.

    Raises:
        InputError: One of them cannot be had.
    """
    filesystem, _ = _filesystem(names[0])
    scheme = names[0].partition("://")[0]
    files = []
    for name in names:
        path: str = filesystem._strip_protocol(name)
        asked = File(name, 0, "", path, filesystem)
        facts = _tried(asked, lambda path=path: filesystem.info(path))  # type: ignore[misc]
        files.append(_remote_file(filesystem, path, facts, scheme))
    return files


def local_files(path: Path) -> list[Path]:
    """The path itself, or all that is below it and no directory, links followed, hidden things left out."""
    if not path.is_dir():
        return [path]
    found, seen = [], set()
    for folder, subfolders, names in os.walk(path, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen:  # a link that leads up
            subfolders.clear()
            continue
        seen.add(place)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [Path(folder) / name for name in names if not name.startswith(".")]
    return sorted(found)


def _local_file(path: Path, root: Path) -> File:
    if not path.is_file():
        shown = path.relative_to(root) if path != root else path
        raise InputError(
            f"expected files in {root}, found {shown}, which is a pipe, a device or a link to nothing; move "
            "it out"
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


def _listed(filesystem: Any, path: str) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    if filesystem.isdir(path):
        found: dict[str, dict[str, Any]] = filesystem.find(path, detail=True)
        for name, facts in found.items():
            if not isinstance(facts.get("size"), int):  # listings of http servers have none
                found[name] = filesystem.info(name)
        return found
    return {path: filesystem.info(path)}


def _filesystem(name: str) -> tuple[Any, str]:
    import fsspec

    scheme = name.partition("://")[0]
    try:
        filesystem, path = fsspec.core.url_to_fs(name)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        remedy = f'pip install "chameleon[{extra}]"' if extra else "install what it names"
        raise InputError(f"{name} needs a library that is not installed ({error}): {remedy}") from None
    except ValueError as error:
        raise InputError(f"cannot read {name}: {error}") from None
    return filesystem, path


def _tried(file: File, action: Callable[[], _T]) -> _T:
    """What the action gives, tried again where a remote place fails in a way that may pass."""
    # The hub's own library tries again by itself.
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
                reason = " ".join(str(error).split())[:200]
                tries = f" after {len(waits) + 1} tries" if waits and not final else ""
                raise InputError(
                    f"cannot read {file.name}{tries} ({type(error).__name__}: {reason}); see whether it can "
                    "be reached, and run again: embedded windows are kept"
                ) from None
            time.sleep(wait)
    raise AssertionError


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
