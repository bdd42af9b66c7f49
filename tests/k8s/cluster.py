"""The cluster that the current kubeconfig names, and what the tests make in it and take away again."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import yaml
from kubernetes import config
from kubernetes.client import Configuration
from urllib3.exceptions import HTTPError

from deploy.k8s.checks.labels import CLUSTER_KINDS
from deploy.k8s.checks.rendering import Document
from deploy.k8s.overlays import kubectl
from tests.k8s.api import Api, Refused
from tests.k8s.rewriting import TEST_LABEL, stand_in

_NAMESPACES = "/api/v1/namespaces"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PATIENCE_SECONDS = 120.0
_AGAIN_SECONDS = 0.25


class NoCluster(Exception):
    """There is none that answers; the message is one sentence for people."""


def connect() -> Api:
    """The cluster of the current context. Raises NoCluster."""
    # A fresh one: Configuration.get_default_copy() kept the token of an earlier one.
    configuration = Configuration()
    configuration.retries = 1
    try:
        client = config.new_client_from_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise NoCluster(
            f"There is no cluster to test on: {str(error).rstrip('.')} (kubectl config get-contexts)."
        ) from None
    api = Api(client)
    try:
        api.do("GET", "/version")
    except (HTTPError, Refused) as error:
        raise NoCluster(f"The cluster at {configuration.host} does not answer: {type(error).__name__}.") from None
    return api


@contextmanager
def namespace(api: Api, labels: dict[str, str]) -> Iterator[str]:
    """A new namespace with these labels, which is gone afterwards."""
    name = f"maas-test-{secrets.token_hex(4)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels | {TEST_LABEL: "own"}}}
    api.do("POST", _NAMESPACES, body)
    try:
        yield name
    finally:
        api.ask("DELETE", f"{_NAMESPACES}/{name}")
        eventually(lambda: api.ask("GET", f"{_NAMESPACES}/{name}").status == 404, f"namespace {name} has gone")


@contextmanager
def stand_ins(api: Api, kinds: Iterable[tuple[str, str]]) -> Iterator[list[str]]:
    """Definitions of the custom kinds that the cluster lacks, which are gone afterwards; gives the kinds."""
    lacking = [(version, kind) for version, kind in sorted(kinds) if not _knows(api, version, kind)]
    made = []
    try:
        for version, kind in lacking:
            definition = stand_in(version, kind, cluster=kind in CLUSTER_KINDS)
            api.do("POST", _DEFINITIONS, definition)
            made.append(definition["metadata"]["name"])
        for version, kind in lacking:
            eventually(lambda version=version, kind=kind: _knows(api, version, kind), f"{kind} is served")
        yield [kind for _, kind in lacking]
    finally:
        for name in made:
            api.ask("DELETE", f"{_DEFINITIONS}/{name}")


def _knows(api: Api, api_version: str, kind: str) -> bool:
    answer = api.ask("GET", f"/apis/{api_version}")
    return answer.status == 200 and kind in {each["kind"] for each in answer.body["resources"]}


def run_kubectl(*arguments: str, documents: Iterable[Document] | None = None) -> subprocess.CompletedProcess[str]:
    """Kubectl with the current kubeconfig, and documents on its standard input."""
    text = None if documents is None else yaml.safe_dump_all(documents)
    return subprocess.run(
        [kubectl(), *arguments], input=text, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS
    )


def eventually(holds: Callable[[], bool], what: str, seconds: float = _PATIENCE_SECONDS) -> None:
    """Wait until something holds. Raises AssertionError with what, when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(_AGAIN_SECONDS)
