"""A connection to a cluster, found as kubectl finds it, and the questions that are asked over it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import typer
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from rich.text import Text
from urllib3.exceptions import HTTPError, MaxRetryError

from services.cli.output import errors

Object = dict[str, Any]

_ASK_SECONDS = 15.0
# Kubernetes answers lists in pieces of so many.
_PAGE = 500
_PAGES_AT_MOST = 40
_SHOWN_LETTERS = 300
# The API server answers for what it forwards to with its own words and one of these.
_NOT_REACHED = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


class ClusterError(Exception):
    """The cluster can't be asked or has refused; the text is for the operator."""


class Forbidden(ClusterError):
    """The caller may not do it."""


class Absent(ClusterError):
    """It does not exist."""


@dataclass(frozen=True)
class Cluster:
    """An API server. context: as the kubeconfig calls it. namespace: of the mesh."""

    context: str
    server: str
    namespace: str
    api: client.ApiClient

    def ask(self, method: str, path: str, body: object = None, *, seconds: float = _ASK_SECONDS) -> tuple[int, bytes]:
        """Status and answer of one request; body: what JSON can say. Raises ClusterError when nobody answers."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        request = self.api.param_serialize(method, path, header_params=headers, auth_settings=["BearerToken"])
        try:
            # The body comes last: the client leaves out one that is empty, and {} is a question.
            response = self.api.call_api(*request[:3], body, _request_timeout=seconds)
            return response.status, response.read()
        except (HTTPError, ApiException, OSError) as error:
            reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
            raise ClusterError(
                f"the API server {self.server} of context {self.context!r} does not answer: {_brief(str(reason))}"
            ) from None

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """An object. Raises Forbidden, Absent, ClusterError."""
        return self._object("GET", f"{path}?{urlencode(query)}" if query else path)

    def create(self, path: str, body: Object) -> Object:
        """The object that was made. Raises Forbidden, ClusterError."""
        return self._object("POST", path, body)

    def list(self, path: str, query: Mapping[str, str] | None = None) -> list[Object]:
        """The items of a list, page by page, 20,000 at most. Raises Forbidden, Absent, ClusterError."""
        found: list[Object] = []
        page = {**(query or {}), "limit": str(_PAGE)}
        for _ in range(_PAGES_AT_MOST):
            answer = self.get(path, page)
            found += answer.get("items") or []
            following = (answer.get("metadata") or {}).get("continue")
            if not following:
                break
            page["continue"] = following
        return found

    def in_namespace(self, resource: str, group: str = "") -> str:
        """Path of a namespaced resource: "pods", or "deployments" of group "apps/v1"."""
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{quote(self.namespace)}/{resource}"

    def ask_pod(
        self, pod: str, port: int, method: str, path: str, body: object = None, *, seconds: float = _ASK_SECONDS
    ) -> tuple[int, bytes]:
        """Ask a pod's HTTP port through the API server. Raises Forbidden, ClusterError when it can't be reached."""
        proxy = self.in_namespace(f"pods/{quote(pod)}:{port}/proxy{path}")
        status, answer = self.ask(method, proxy, body, seconds=seconds)
        if status == HTTPStatus.FORBIDDEN:
            raise Forbidden(f"you may not reach pod {pod}: {_message(answer)}")
        if status in _NOT_REACHED:
            raise ClusterError(f"the API server does not reach port {port} of {pod}: {_message(answer)}")
        return status, answer

    def _object(self, method: str, path: str, body: Object | None = None) -> Object:
        status, answer = self.ask(method, path, body)
        if status == HTTPStatus.UNAUTHORIZED:
            raise Forbidden(f"the API server does not know you (context {self.context!r}): {_message(answer)}")
        if status == HTTPStatus.FORBIDDEN:
            raise Forbidden(_message(answer))
        if status == HTTPStatus.NOT_FOUND:
            raise Absent(_message(answer))
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise ClusterError(f"the API server answered {status}: {_message(answer)}")
        found: Object = json.loads(answer)
        return found


def open_cluster(context: str | None, namespace: str) -> Cluster:
    """By KUBECONFIG or ~/.kube/config, or from inside a pod by its service account. Raises ClusterError."""
    file = os.environ.get("KUBECONFIG")  # looked at now; the client looked when it was imported
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and not file and context is None
    try:
        if in_pod:
            # Of its own, since the client's default one is shared with whoever else set it.
            configuration = client.Configuration()
            config.load_incluster_config(client_configuration=configuration)
            api, name = client.ApiClient(configuration), "in the pod"
        else:
            api = config.new_client_from_config(file, context)
            name = context or config.list_kube_config_contexts(file)[1]["name"]
    except (ConfigException, OSError, KeyError, TypeError) as error:
        raise ClusterError(f"no cluster is known here: {_brief(str(error))}; see kubectl config get-contexts") from None
    # An operator waits in front of it: told after one attempt instead of four.
    api.configuration.retries = 0
    api.rest_client = type(api.rest_client)(api.configuration)
    return Cluster(name, api.configuration.host, namespace, api)


@contextmanager
def opened(context: str | None, namespace: str) -> Iterator[Cluster]:
    """A cluster for one command; what keeps it from being asked is told on standard error, with exit code 1."""
    try:
        yield open_cluster(context, namespace)
    except ClusterError as error:
        errors().print(Text(str(error), "red"))
        raise typer.Exit(1) from None


def _message(answer: bytes) -> str:
    """What a Status object says, or the beginning of any other answer."""
    text = answer.decode(errors="replace")
    try:
        said = json.loads(text)
    except ValueError:
        return _brief(text)
    return _brief(str(said.get("message") or said.get("error") or text) if isinstance(said, dict) else text)


def _brief(text: str) -> str:
    return " ".join(text.split())[:_SHOWN_LETTERS]
