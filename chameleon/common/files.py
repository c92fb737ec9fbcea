"""Files: atomic writes, checks before long work, paths and digests."""

import hashlib
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from chameleon.common.errors import InputError

_LONGEST_NAME = 255  # bytes, on all common file systems


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `path`, then rename it.

    Symbolic links are followed and stay links. Devices and pipes, such as /dev/null, are written directly.

    Raises:
        InputError: The directory or file cannot be written.
    """
    temporary = None
    try:
        if _is_special(path):
            path.write_bytes(content)
            return
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".chameleon-")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(target)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"cannot write {path}: {error.strerror}") from None
        raise


def check_writable(path: Path) -> None:
    """Raise InputError before long work if a file could not be written at `path` afterwards."""
    try:
        target = _target(path)
        if any(len(os.fsencode(part)) > _LONGEST_NAME for part in target.parts):
            raise InputError(f"cannot write {path}: a name in it is over {_LONGEST_NAME} bytes; shorten it")
        if target.is_dir():
            raise InputError(f"cannot write {path}: it is a directory; name a file")
        special = _is_special(path)
        existing = path if special else next(parent for parent in target.parents if parent.exists())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name another place") from None
    if not special and not existing.is_dir():
        raise InputError(f"cannot write {path}: {existing} is not a directory")
    if not os.access(existing, os.W_OK if special else os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path}: no permission to write in {existing}; name another place")


def require_directory(path: Path) -> None:
    """Raise InputError if a file could not be written at `path`, or its directory does not exist."""
    check_writable(path)
    if not path.resolve().parent.is_dir():
        raise InputError(f"cannot write {path}: there is no directory {path.parent}; create it first")


def local_path(name: str) -> Path:
    """The path of a name, with ~ expanded to the user's home if there is one."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def absolute_path(name: str) -> str:
    """An existing local path made absolute; other names, such as URLs, unchanged."""
    path = local_path(name)
    return str(path.resolve()) if path_exists(path) else name


def absolute_paths(names: Mapping[str, str] | None) -> dict[str, str] | None:
    """`absolute_path` of each value of a mapping; None if it is empty."""
    return {name: absolute_path(path) for name, path in names.items()} if names else None


def absolute_without_links(name: str) -> str:
    """`absolute_path` without following links."""
    path = local_path(name)
    return os.path.abspath(path) if path_exists(path) else name  # noqa: PTH100


def path_exists(path: Path) -> bool:
    """Whether a path exists; False where it is too long or not accessible."""
    try:
        return path.exists()
    except OSError:
        return False


def is_utf8(name: str) -> bool:
    """Whether a name can be encoded as UTF-8; file names may hold any bytes."""
    return not any("\ud800" <= each <= "\udfff" for each in name)


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) over the names and content of files, in the given order."""
    outer = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            outer.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return outer.hexdigest()


def digest_of_json(value: Any) -> str:  # noqa: ANN401
    """SHA-256 (hex) of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON text, as `json.loads` takes it by `object_pairs_hook`.

    Raises:
        InputError: A key stands twice.
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        repeated = next(key for key in counts if counts[key] > 1)
        raise InputError(f'"{repeated}" stands twice in one object')
    return content


def file_stem(name: str) -> str:
    """A name reduced to letters, digits, dots and dashes, of at most 60 characters, for a file."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._")[-60:] or "_"


def _target(path: Path) -> Path:
    """The path with symbolic links followed."""
    try:
        return path.resolve()
    except RuntimeError:  # raised by Python before 3.13
        raise InputError(f"cannot write {path}: its symbolic links go in a circle") from None


def _is_special(path: Path) -> bool:
    """Whether the path is a device or a pipe: it exists, and is neither a file nor a directory."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
