"""A web server with pictures and recordings, and with addresses that behave oddly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

SAMPLES = Path(__file__).parents[2] / ".build/samples"
# Longer than anybody waits.
_SECONDS = 60


class Site(BaseHTTPRequestHandler):
    """The samples below /photos/, and addresses that behave oddly."""

    protocol_version = "HTTP/1.1"
    over = threading.Event()
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        directory, _, name = path.rpartition("/")
        if name == "silence":
            self.over.wait(_SECONDS)
            self.close_connection = True
        elif name in {"moved.png", "moved-away.png"}:
            self.answer(302, location="/secret/coffee.png" if name == "moved-away.png" else "coffee.png")
        elif name == "too-large.png":
            self.send_response(200)
            self.send_header("content-length", str(20 * 1024 * 1024 + 1))
            self.end_headers()
            self.close_connection = True
        elif name in {"401", "500"}:
            self.answer(int(name))
        elif name == "cut.png":
            self.answer(200, (SAMPLES / "coffee.png").read_bytes()[:5000])
        elif name == "empty.png":
            self.answer(200)
        elif directory in {"/photos", "/secret"} and (SAMPLES / name).is_file():
            self.answer(200, (SAMPLES / name).read_bytes())
        else:
            self.answer(404)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server() -> Iterator[int]:
    """The port of the site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            Site.over.set()
            server.shutdown()
