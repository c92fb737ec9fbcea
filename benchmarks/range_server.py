"""A plain HTTP server and the readers that it is asked by, each in a process of its own.

Folders are listed, and files sent whole or in ranges of bytes. The server counts what it sends, so that a
benchmark knows what a reader asked for, and the memory and time of one are not another's.
"""

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote, urlsplit

_T = TypeVar("_T")
_COUNT = "/__count"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Traffic(NamedTuple):
    """Bytes of bodies that a server has sent, and the requests that it has answered."""

    num_bytes: int
    requests: int


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine until the block ends; yields its URL."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(folder.resolve(), sender))
    process.start()
    sender.close()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}/"
    finally:
        process.kill()
        process.join()


def run_in_process(work: Callable[..., _T], *arguments: Any) -> _T:  # noqa: ANN401
    """The result of a function run in a process of its own, so that its memory can be measured.

    A child counts the memory of its parent at the start as its own, so the parent should hold little.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(sender, work, arguments))
    process.start()
    sender.close()
    try:
        result: _T = receiver.recv()
    except EOFError:
        raise SystemExit(f"{work.__name__} failed") from None
    except BaseException:
        process.kill()
        raise
    finally:
        process.join()
    return result


def _send_result(sender: Connection, work: Callable[..., object], arguments: Sequence[Any]) -> None:
    sender.send(work(*arguments))


def traffic(url: str) -> Traffic:
    """What the server at a URL has sent so far; this request is not counted."""
    connection = HTTPConnection(urlsplit(url).netloc)
    connection.request("GET", _COUNT)
    sent = Traffic(*json.load(connection.getresponse()))
    connection.close()
    return sent


def download(url: str, folder: Path) -> list[Path]:
    """Download all files of a folder of the server, one after the other; returns their paths."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc)
    connection.request("GET", parts.path)
    names = re.findall(r'href="([^"/]+)"', connection.getresponse().read().decode())
    for name in names:
        connection.request("GET", parts.path + name)
        with connection.getresponse() as response, (folder / unquote(name)).open("wb") as file:
            while block := response.read(1 << 20):
                file.write(block)
    connection.close()
    return [folder / unquote(name) for name in names]


def _serve(folder: Path, port: Connection) -> None:
    server = _Server(folder)
    port.send(server.server_port)
    port.close()
    server.serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.lock = threading.Lock()
        self.sent = Traffic(0, 0)

    def count(self, num_bytes: int) -> None:
        """Count a request and the bytes of its answer."""
        with self.lock:
            self.sent = Traffic(self.sent.num_bytes + num_bytes, self.sent.requests + 1)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Ignore readers that closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # A head and a body that are written one after the other would else wait for each other's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        """Answer a request for a file, a part of one, the list of a folder, or the counts."""
        if self.path == _COUNT:
            self._send(200, json.dumps(self.server.sent).encode(), "application/json")
            return
        path = (self.server.folder / unquote(urlsplit(self.path).path).strip("/")).resolve()
        if path.is_relative_to(self.server.folder) and path.is_dir():
            names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in path.iterdir())
            links = "".join(f'<a href="{quote(name)}">{escape(name)}</a>\n' for name in names)
            body = f"<!DOCTYPE html><html><body>\n{links}</body></html>\n".encode()
            self._count(len(body))
            self._send(200, body, "text/html")
        elif path.is_relative_to(self.server.folder) and path.is_file():
            self._send_file(path)
        else:
            self._count(0)
            self._send(404, b"", "text/plain")

    do_HEAD = do_GET  # noqa: N815

    def _send_file(self, path: Path) -> None:
        facts = path.stat()
        begin, end = 0, facts.st_size
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked and asked[1]:
            begin = int(asked[1])
            end = min(int(asked[2]) + 1 if asked[2] else end, end)
        elif asked and asked[2]:
            begin = max(end - int(asked[2]), 0)
        if begin >= end and asked:
            self._count(0)
            self._head(416, 0, {"Content-Range": f"bytes */{facts.st_size}"})
            return
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'}
        headers["Content-Type"] = "application/octet-stream"
        if asked:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{facts.st_size}"
        self._count(end - begin)
        self._head(206 if asked else 200, end - begin, headers)
        if self.command != "HEAD" and begin < end:
            with path.open("rb") as file:
                self.connection.sendfile(file, begin, end - begin)

    def _count(self, num_bytes: int) -> None:
        self.server.count(0 if self.command == "HEAD" else num_bytes)

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self._head(status, len(body), {"Content-Type": kind})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
