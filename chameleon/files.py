"""Files written whole or not at all, and digests of content."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chameleon.errors import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `path`, then rename it.

    Raises:
        InputError: The directory or file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Raise InputError now, before long work, when a file could not be written at `path` later."""
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a directory; name a file")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if not existing.is_dir():
        raise InputError(f"cannot write {path}: {existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path}: no permission to write in {existing}; name another place")


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
