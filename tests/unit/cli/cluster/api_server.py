"""A small API server: objects by path, lists in pages, pods' ports behind its proxy, and roles that it enforces."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]
# Method, path, body -> status and answer of a pod's port.
Pod = Callable[[str, str, Object | None], tuple[int, Any]]

TOKEN = "a-token"  # noqa: S105 - of this server alone
_PAGE = 2
_VERBS = {"GET": "get", "POST": "create"}
_RESOURCE = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>proxy))?)?"
)


@dataclass
class ApiServer:
    """objects: path -> an object, or the list of a collection. roles: what is allowed; None: everything."""

    objects: dict[str, Any] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    roles: Sequence[Object] | None = None
    denied: set[tuple[str, str]] = field(default_factory=set)
    asked: set[tuple[str, str, str]] = field(default_factory=set)

    def answer(self, method: str, target: str, body: Object | None) -> tuple[int, Any]:
        """As the real one answers these few questions."""
        url = urlsplit(target)
        if url.path.endswith("/selfsubjectaccessreviews"):
            wanted = body["spec"]["resourceAttributes"] if body else {}
            return 201, {"status": {"allowed": (wanted["verb"], wanted["resource"]) not in self.denied}}
        if refused := self._refused(method, url.path):
            return 403, {"kind": "Status", "message": refused}
        if "/proxy/" in url.path:
            pod, _, rest = url.path.partition("/pods/")[2].partition(":")
            reached = self.pods.get(pod, lambda *_: (503, {"kind": "Status", "message": "no endpoints"}))
            return reached(method, "/" + rest.partition("/proxy/")[2], body)
        return self._object(url.path, url.query)

    def _object(self, path: str, asked: str) -> tuple[int, Any]:
        found = self.objects.get(path)
        if found is None:
            return 404, {"kind": "Status", "message": f"{path} not found"}
        if not isinstance(found, list):
            return 200, found
        query = parse_qs(asked)
        key, _, value = query.get("labelSelector", ["="])[0].partition("=")
        found = [each for each in found if not key or each["metadata"].get("labels", {}).get(key) == value]
        begin = int(query.get("continue", ["0"])[0])
        following = {"continue": str(begin + _PAGE)} if begin + _PAGE < len(found) else {}
        return 200, {"items": found[begin : begin + _PAGE], "metadata": following}

    def _refused(self, method: str, path: str) -> str:
        found = _RESOURCE.match(path)
        if self.roles is None or found is None:
            return ""
        resource = "/".join(filter(None, (found["resource"], found["subresource"])))
        verb = _VERBS[method] if found["name"] or method != "GET" else "list"
        self.asked.add((found["group"] or "", resource, verb))
        for role in self.roles:
            if role["kind"] == "Role" and not found["namespace"]:
                continue
            for rule in role["rules"]:
                group = (found["group"] or "") in rule["apiGroups"]
                if group and resource in rule["resources"] and verb in rule["verbs"]:
                    return ""
        return f'{resource} is forbidden: User "somebody" cannot {verb} resource "{resource}"'


@contextmanager
def serving(server: ApiServer, folder: Path) -> Iterator[Path]:
    """Serve it on a free port; gives the kubeconfig, with a token that it demands, and a second context."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            self._answer(json.loads(content) if content else None)

        def _answer(self, body: Object | None) -> None:
            if self.headers.get("authorization") != f"Bearer {TOKEN}":
                status, said = 401, {"kind": "Status", "message": "Unauthorized"}
            else:
                status, said = server.answer(self.command, self.path, body)
            content = json.dumps(said).encode() if said is not None else b""
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        config = folder / "kubeconfig"
        config.write_text(
            yaml.safe_dump(
                {
                    "current-context": "here",
                    "clusters": [
                        {"name": "here", "cluster": {"server": f"http://127.0.0.1:{listening.server_port}"}},
                        {"name": "gone", "cluster": {"server": "http://127.0.0.1:9"}},
                    ],
                    "users": [{"name": "me", "user": {"token": TOKEN}}, {"name": "other", "user": {"token": "wrong"}}],
                    "contexts": [
                        {"name": "here", "context": {"cluster": "here", "user": "me"}},
                        {"name": "stranger", "context": {"cluster": "here", "user": "other"}},
                        {"name": "gone", "context": {"cluster": "gone", "user": "me"}},
                    ],
                }
            )
        )
        try:
            yield config
        finally:
            listening.shutdown()
