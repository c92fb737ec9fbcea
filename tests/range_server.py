"""A plain HTTP server on this machine, with listings and ranges of bytes, that fails on request."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class Served:
    """A served folder and its requests so far.

    Attributes:
        folder: The folder.
        url: Its URL.
        knows_ranges: Whether requests for ranges are answered with ranges.
        failures: How many of the next requests for content are answered with status 503.
        fail_after: Number of requests for content after which all others are answered so.
        requests: (path, range) of each request for content.
        bytes_sent: Bytes of bodies.
    """

    folder: Path
    url: str = ""
    knows_ranges: bool = True
    failures: int = 0
    fail_after: int | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)
    bytes_sent: int = 0

    def refuses(self) -> bool:
        """Whether to fail the present request."""
        if self.failures:
            self.failures -= 1
            return True
        return self.fail_after is not None and len(self.requests) > self.fail_after


@contextmanager
def serve(folder: Path) -> Iterator[Served]:
    """Serve a folder until the block ends."""
    served = Served(folder)
    server = _Server(served)
    served.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, served: Served) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.served = served
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        """Answer a request for a file, a part of one, or the list of a folder."""
        served = self.server.served
        path = served.folder / unquote(self.path).strip("/")
        if path.is_dir():
            names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in path.iterdir())
            links = "".join(f'<a href="{name}">{name}</a>\n' for name in names)
            self._answer(200, f"<html>{links}</html>".encode(), {"Content-Type": "text/html"})
            return
        if not path.is_file():
            self._answer(404, b"", {})
            return
        content = path.read_bytes()
        asked = self.headers.get("Range", "")
        headers = {"ETag": f'"{path.stat().st_mtime_ns}"', "Accept-Ranges": "bytes"}
        if self.command == "HEAD":
            self._answer(200, content, headers)
            return
        with self.server.lock:
            served.requests.append((self.path, asked))
            refused = served.refuses()
        ranged = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        if refused:
            self._answer(503, b"later", {})
        elif ranged and served.knows_ranges:
            begin, last = int(ranged[1]), min(int(ranged[2]), len(content) - 1)
            headers["Content-Range"] = f"bytes {begin}-{last}/{len(content)}"
            self._answer(206, content[begin : last + 1], headers)
        else:
            self._answer(200, content, headers)

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with self.server.lock:
                self.server.served.bytes_sent += len(body)
            self.wfile.write(body)
