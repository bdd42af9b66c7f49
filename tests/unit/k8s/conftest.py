"""A small HTTP server in an API server's place: it answers what it is told to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s import cluster
from tests.k8s.api import Api


@dataclass
class ApiServer:
    """What it answers, by "METHOD path", and what it was asked.

    learns: answers that it gives once it was asked to make something.
    """

    url: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    learns: dict[str, tuple[int, Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    def questions(self, method: str) -> list[str]:
        """The paths of one method, in order."""
        return [what.removeprefix(f"{method} ") for what, _, _ in self.asked if what.startswith(f"{method} ")]

    def answer(self, what: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        """Status and object."""
        self.asked.append((what, headers, body))
        known = self.answers | (self.learns if self.questions("POST") else {})
        return known.get(what, (404, {"kind": "Status", "message": "not found"}))


@pytest.fixture
def api_server() -> Iterator[ApiServer]:
    """One that runs, on a port of its own."""
    state = ApiServer(answers={"GET /version": (200, {"gitVersion": "v1.36.0"})})

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {key.lower(): value for key, value in self.headers.items()}
            status, answer = state.answer(f"{self.command} {self.path}", headers, body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            for warning in state.warnings:
                self.send_header("Warning", warning)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - as http.server calls them

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api_server: ApiServer) -> Path:
    """A kubeconfig that names it, with a token."""
    path = tmp_path / "kubeconfig"
    described = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": api_server.url}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }
    path.write_text(yaml.safe_dump(described))
    # The client reads the variable when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    return path


@pytest.fixture
def api(kubeconfig: Path) -> Api:
    """Connected to it, as the tests on a cluster connect."""
    return cluster.connect()
