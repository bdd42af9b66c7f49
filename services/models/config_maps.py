"""Rollouts of a cluster, kept in ConfigMaps (services.models.pipelines.kept.Kept).

The client blocks, so each of its calls runs in a thread. A ConfigMap's resourceVersion is the revision: of two
processes that write, as for a moment when a node is lost, the second is refused, so no leader need be elected.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from pydantic import ValidationError
from urllib3.exceptions import HTTPError

from services.mesh import errors
from services.models.pipelines.kept import NotKept, Record
from services.models.pipelines.rollout import Rollout

log = structlog.get_logger()

LABELS = {
    "app.kubernetes.io/part-of": "maas-mesh",
    "app.kubernetes.io/managed-by": "models",
    "maas-mesh/kind": "rollout",
}
KEY = "rollout.json"
_SELECTOR = "maas-mesh/kind=rollout"
# To connect, and for the answer.
_TIMEOUT_SECONDS = (3.0, 10.0)
_PLAIN = re.compile(r"[a-z0-9]([-a-z0-9]{0,198}[a-z0-9])?")
_CONFLICT, _GONE = 409, 404
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

Result = TypeVar("Result")


class ConfigMaps:
    """A ConfigMap a model."""

    def __init__(self, api: client.CoreV1Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def list(self) -> Sequence[Record]:
        """All of them."""
        found = await _within(
            lambda: self._api.list_namespaced_config_map(
                self._namespace, label_selector=_SELECTOR, _request_timeout=_TIMEOUT_SECONDS
            )
        )
        return [record for each in found.items if (record := _record(each)) is not None]

    async def create(self, rollout: Rollout) -> Record:
        """The first of a model."""
        name = name_of(rollout.model)
        exists = errors.AlreadyExists(
            f"a rollout of {rollout.model!r} is kept that was not read; if that stays so, delete ConfigMap {name!r}",
            reason="ROLLOUT_ALREADY_EXISTS",
        )
        return await self._written(
            lambda: self._api.create_namespaced_config_map(
                self._namespace, _body(rollout), _request_timeout=_TIMEOUT_SECONDS
            ),
            {_CONFLICT: exists},
        )

    async def replace(self, record: Record, rollout: Rollout) -> Record:
        """Another in its place."""
        changed = errors.Aborted("the rollout was changed or deleted by somebody else")
        return await self._written(
            lambda: self._api.replace_namespaced_config_map(
                name_of(rollout.model),
                self._namespace,
                _body(rollout, record.revision),
                _request_timeout=_TIMEOUT_SECONDS,
            ),
            {_CONFLICT: changed, _GONE: changed},
        )

    async def delete(self, record: Record) -> None:
        """Forget it."""
        options = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version=record.revision))
        changed = errors.Aborted("the rollout was changed by somebody else")
        gone = errors.NotFound("it is gone")
        try:
            await _within(
                lambda: self._api.delete_namespaced_config_map(
                    name_of(record.rollout.model),
                    self._namespace,
                    body=options,
                    _request_timeout=_TIMEOUT_SECONDS,
                ),
                {_CONFLICT: changed, _GONE: gone},
            )
        except errors.NotFound:
            return

    async def _written(self, work: Callable[[], Any], meant: dict[int, errors.MeshError]) -> Record:
        record = _record(await _within(work, meant))
        if record is None:
            raise errors.Internal("a rollout that was written cannot be read")
        return record


def open_config_maps(kubeconfig: Path | None, namespace: str) -> ConfigMaps:
    """Those of a namespace, "" for that of the pod or of the kubeconfig's context. Raises NotKept."""
    # A fresh one: the client's default may hold another's credentials.
    configuration = client.Configuration()
    # The next look is the retry.
    configuration.retries = False
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
            namespace = namespace or _POD_NAMESPACE.read_text("utf-8").strip()
        else:
            config.load_kube_config(str(kubeconfig), client_configuration=configuration)
            _, context = config.list_kube_config_contexts(str(kubeconfig))
            namespace = namespace or context["context"].get("namespace", "default")
    except (ConfigException, OSError) as error:
        raise NotKept(f"MODELS_STATE=config-maps needs a cluster: {error}") from None
    return ConfigMaps(client.CoreV1Api(client.ApiClient(configuration)), namespace)


def name_of(model: str) -> str:
    """The name of a model's ConfigMap; models may have names that those may not."""
    if _PLAIN.fullmatch(model):
        return f"rollout-{model}"
    return f"rollout.{hashlib.sha256(model.encode()).hexdigest()[:32]}"


def _body(rollout: Rollout, revision: str | None = None) -> client.V1ConfigMap:
    metadata = client.V1ObjectMeta(name=name_of(rollout.model), labels=LABELS, resource_version=revision)
    return client.V1ConfigMap(
        api_version="v1", kind="ConfigMap", metadata=metadata, data={KEY: rollout.model_dump_json(indent=2)}
    )


def _record(found: Any) -> Record | None:
    """None of what is no rollout."""
    try:
        rollout = Rollout.model_validate_json((found.data or {}).get(KEY, ""))
    except ValidationError:
        log.warning("a ConfigMap is no rollout", name=found.metadata.name)
        return None
    return Record(rollout, found.metadata.resource_version)


async def _within(work: Callable[[], Result], meant: dict[int, errors.MeshError] | None = None) -> Result:
    """Do it in a thread. meant: what an HTTP status means here; any other, and no answer, is Unavailable."""
    try:
        return await asyncio.to_thread(work)
    except ApiException as error:
        if meant and error.status in meant:
            raise meant[error.status] from None
        cause = f"{error.status} {error.reason}"
    except (HTTPError, OSError) as error:
        cause = type(error).__name__
    log.warning("the API server does not take a call", cause=cause)
    raise errors.Unavailable(
        "the API server cannot be asked for rollouts", reason="STATE_UNREACHABLE", retry_after_seconds=1
    )
