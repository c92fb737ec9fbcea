"""A hub on this machine, so that code which loads data sets and models by name runs without the internet.

`hub()` serves folders over HTTP with the few answers of a hub that `load_dataset`, `snapshot_download` and
`from_pretrained` ask for. The libraries read HF_ENDPOINT when they are imported: give `Hub.endpoint` to a new
process. Files are sent as they are, without large-file pointers and redirects. The one branch is `main`, and
its commit follows from the content of the folder at the time of a request.
"""

import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

Files = Mapping[str, bytes]
Answer = tuple[int, bytes, Mapping[str, str]]  # status, body, headers
TOKEN = "hf_of_a_test"


@dataclass(frozen=True)
class Repository:
    """A folder and the name, such as `owner/name`, that it is served under."""

    kind: Literal["datasets", "models"]
    name: str
    folder: Path
    # public: for anybody; gated: files need the token; private: everything needs it.
    access: Literal["public", "gated", "private"] = "public"

    def files(self) -> Files:
        """Content of each file by its path in the repository."""
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}

    def commit(self) -> str:
        """Digest of the present content alone."""
        return _digest(self.files())


@dataclass
class Hub:
    """A running hub and its requests so far."""

    endpoint: str
    # Method and target (path and query as sent) of every request, also of those answered with an error.
    requests: list[tuple[str, str]] = field(default_factory=list)
    bytes_sent: int = 0  # without headers


@contextmanager
def hub(*repositories: Repository, fail_after: int | None = None) -> Iterator[Hub]:
    """Serve `repositories` until the block ends, which raises an error that occurred inside the server.

    After `fail_after` requests every further one is answered with status 503.
    """
    with _Server(repositories, fail_after) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.hub
        finally:
            server.shutdown()
            thread.join()
    if server.errors:
        raise server.errors[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for answers under way
    request_queue_size = 64  # the libraries connect many times at once

    def __init__(self, repositories: tuple[Repository, ...], fail_after: int | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.fail_after = fail_after
        self.hub = Hub(f"http://127.0.0.1:{self.server_port}")
        self.errors: list[Exception] = []
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Store the error for the end of the block; a client that hangs up is not an error."""
        if isinstance(error := sys.exception(), Exception) and not isinstance(error, ConnectionError):
            self.errors.append(error)

    def admit(self, method: str, target: str) -> bool:
        """Record a request; returns whether to answer it."""
        with self.lock:
            self.hub.requests.append((method, target))
            return self.fail_after is None or len(self.hub.requests) <= self.fail_after


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # seconds, for a client that connects and stays silent

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        """Answer a request of any of the three methods."""
        form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        admitted = self.server.admit(self.command, self.path)
        status, body, headers = self._answer(form) if admitted else _error(503, "Service Unavailable")
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with self.server.lock:  # before the client can know that it has everything
                self.server.hub.bytes_sent += len(body)
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET  # noqa: N815

    def _may(self, repository: Repository, is_file: bool) -> bool:
        if repository.access == "public" or (repository.access == "gated" and not is_file):
            return True
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _answer(self, form: str) -> Answer:
        url = urlsplit(self.path)
        for repository in self.server.repositories:
            name, kind = re.escape(repository.name), repository.kind
            web = f"/{kind}/{name}" if kind == "datasets" else f"/{name}"
            match = re.fullmatch(f"{web}/(resolve)/([^/]+)/(.+)", url.path) or re.fullmatch(
                f"/api/{kind}/{name}(?:/(revision|tree|paths-info)/([^/]+)(?:/(.+))?)?", url.path
            )
            if match and not self._may(repository, match.group(1) == "resolve"):
                code = "GatedRepo" if repository.access == "gated" else "RepoNotFound"
                return _error(401, "Access is restricted", code)
            if match:
                view, revision, path = (unquote(part or "") for part in match.groups())
                files = repository.files()
                commit = _digest(files)
                if revision not in ("", "main", commit):
                    return _error(404, "No such revision", "RevisionNotFound")
                if view == "resolve":
                    return _file(files, commit, path, self.headers.get("Range", ""))
                if view in ("tree", "paths-info"):
                    return _list(files, view, path, parse_qs(form or url.query))
                siblings = [{"rfilename": name} for name in files]
                return _json({"id": repository.name, "sha": commit, "tags": [], "siblings": siblings})
        status = 404 if "Authorization" in self.headers else 401
        return _error(status, "No such repository", "RepoNotFound")


def _file(files: Files, commit: str, path: str, asked: str) -> Answer:
    headers = {"X-Repo-Commit": commit}
    if path not in files:
        return _error(404, "No such file", "EntryNotFound", headers)
    body = files[path]
    headers |= {"ETag": f'"{_blob_id(body)}"', "Accept-Ranges": "bytes"}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
    if not match or match.groups() == ("", ""):
        return 200, body, headers
    first, last = match.groups()
    start = int(first) if first else max(len(body) - int(last), 0)
    stop = min(int(last) + 1, len(body)) if first and last else len(body)
    if start >= stop:
        return _error(416, "Range Not Satisfiable", "", {"Content-Range": f"bytes */{len(body)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
    return 206, body[start:stop], headers


def _list(files: Files, view: str, path: str, query: dict[str, list[str]]) -> Answer:
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    names = sorted(folders | files.keys())
    if view == "paths-info":
        names = [name for name in query.get("paths", []) if name in names]
    elif path in folders or not path:
        deep = query.get("recursive", [""])[0].lower() in ("true", "1")
        below = f"{path}/" if path else ""
        names = [name for name in names if name.startswith(below) and (deep or "/" not in name[len(below) :])]
    else:
        return _error(404, "No such folder", "EntryNotFound")
    return _json([_entry(files, name) for name in names])


def _entry(files: Files, path: str) -> dict[str, str | int]:
    if path in files:
        return {"type": "file", "path": path, "size": len(files[path]), "oid": _blob_id(files[path])}
    below = {name: body for name, body in files.items() if name.startswith(f"{path}/")}
    return {"type": "directory", "path": path, "size": 0, "oid": _digest(below)}


def _digest(files: Files) -> str:
    digest = hashlib.sha1()
    for name, body in sorted(files.items()):
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()


def _blob_id(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def _json(value: object) -> Answer:
    return 200, json.dumps(value).encode(), {"Content-Type": "application/json"}


def _error(status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    named = {"X-Error-Code": code} if code else {}
    return status, message.encode(), {"X-Error-Message": message, **named, **(headers or {})}
