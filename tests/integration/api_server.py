"""A small Kubernetes API server: ConfigMaps of one namespace, with resourceVersions as the real one has them."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import parse_qs, urlsplit

import trustme

_PATH = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/configmaps(?:/(?P<name>[^/]+))?")


class ApiServer:
    """What it holds.

    refuses: HTTP statuses with which it answers the next calls instead. token: that it wants. go: it waits for that.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict] = {}
        self.revision = 100
        self.refuses: list[int] = []
        self.token = "secret"  # noqa: S105 - of a test
        self.go = Event()
        self.go.set()
        self.selectors: list[str] = []
        self.url = ""

    def answer(self, method: str, url: str, body: dict | None, token: str) -> tuple[int, dict]:
        """As the real one does."""
        if self.refuses:
            return self.failure(self.refuses.pop(0), "Refused")
        scheme, _, given = token.partition(" ")
        if (scheme.lower(), given) != ("bearer", self.token):
            return self.failure(401, "Unauthorized")
        parts = urlsplit(url)
        found = _PATH.fullmatch(parts.path)
        if found is None or found["namespace"] != "mesh":
            return self.failure(403, "Forbidden")
        return getattr(self, method.lower())(found["name"], body or {}, parse_qs(parts.query))

    def get(self, _name: str | None, _body: dict, query: dict) -> tuple[int, dict]:
        """The list."""
        (selector,) = query["labelSelector"]
        self.selectors.append(selector)
        key, _, value = selector.partition("=")
        items = [each for each in self.objects.values() if each["metadata"].get("labels", {}).get(key) == value]
        metadata = {"resourceVersion": str(self.revision)}
        return 200, {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items}

    def post(self, _name: str | None, body: dict, _query: dict) -> tuple[int, dict]:
        """A new one."""
        name = body["metadata"]["name"]
        if name in self.objects:
            return self.failure(409, "AlreadyExists")
        return 201, self.put_down(name, body)

    def put(self, name: str, body: dict, _query: dict) -> tuple[int, dict]:
        """In place of another."""
        if name not in self.objects:
            return self.failure(404, "NotFound")
        if body["metadata"]["resourceVersion"] != self.objects[name]["metadata"]["resourceVersion"]:
            return self.failure(409, "Conflict")
        return 200, self.put_down(name, body)

    def delete(self, name: str, body: dict, _query: dict) -> tuple[int, dict]:
        """No more."""
        if name not in self.objects:
            return self.failure(404, "NotFound")
        wanted = body["preconditions"]["resourceVersion"]
        if wanted != self.objects[name]["metadata"]["resourceVersion"]:
            return self.failure(409, "Conflict")
        del self.objects[name]
        return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def put_down(self, name: str, body: dict) -> dict:
        """Keep it, whoever writes."""
        self.revision += 1
        body["metadata"]["resourceVersion"] = str(self.revision)
        self.objects[name] = json.loads(json.dumps(body))
        return body

    @staticmethod
    def failure(code: int, reason: str) -> tuple[int, dict]:
        """A Status."""
        return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}

    def kubeconfig(self) -> dict:
        """By which a client reaches it."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": self.token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "mesh"}}],
        }


@contextmanager
def serving(certificate: trustme.LeafCert | None = None) -> Iterator[ApiServer]:
    """The server on a free port, for as long as the block runs; with a certificate it speaks TLS."""
    made = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            body = json.loads(content) if content else None
            made.go.wait(10)
            code, found = made.answer(self.command, self.path, body, self.headers.get("authorization", ""))
            text = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - as http.server looks for them

        def log_message(self, *_: object) -> None:
            """Nothing to standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
