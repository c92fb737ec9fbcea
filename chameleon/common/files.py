"""Files written whole or not at all, and digests of content."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from chameleon.common.errors import InputError

_LONGEST_NAME = 255  # bytes, on all common file systems


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `path`, then rename it.

    A symbolic link stays one: what it points to is written. What is no plain file (/dev/null, a
    pipe) is written as it stands.

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
    """Raise InputError now, before long work, when a file could not be written at `path` later."""
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
    """Raise InputError where a file could not be written at `path`, or its directory is not there."""
    check_writable(path)
    if not path.resolve().parent.is_dir():
        raise InputError(f"cannot write {path}: there is no directory {path.parent}; make it first")


def _target(path: Path) -> Path:
    """Where symbolic links lead."""
    try:
        return path.resolve()
    except RuntimeError:  # what Python before 3.13 raises
        raise InputError(f"cannot write {path}: its symbolic links go in a circle") from None


def _is_special(path: Path) -> bool:
    """Whether it is there and neither a plain file nor a directory: a device or a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()


def local_path(name: str) -> Path:
    """The path of a name, ~ standing for a user's home where there is one."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def absolute_path(name: str) -> str:
    """A local path from the root, so that it names the same from any directory; other names as they are."""
    path = local_path(name)
    return str(path.resolve()) if path_exists(path) else name


def absolute_paths(names: Mapping[str, str] | None) -> dict[str, str] | None:
    """The places of named things; None where there are none."""
    return {name: absolute_path(place) for name, place in names.items()} if names else None


def absolute_without_links(name: str) -> str:
    """A local path from the root, its links not followed; names of anything else as they are."""
    path = local_path(name)
    return os.path.abspath(path) if path_exists(path) else name  # noqa: PTH100


def path_exists(path: Path) -> bool:
    """Whether something is there; nothing is at a path that is too long or may not be looked at."""
    try:
        return path.exists()
    except OSError:
        return False


def is_utf8(name: str) -> bool:
    """Whether a name can be written as UTF-8; those of files may hold any bytes."""
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


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def file_stem(name: str) -> str:
    """A name made of letters, digits, dots and dashes that a file may have."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._")[-60:] or "_"
