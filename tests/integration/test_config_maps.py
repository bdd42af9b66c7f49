"""Rollouts in ConfigMaps: the real Kubernetes client, over real sockets, against a small API server."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime

import pytest
import trustme
import yaml
from kubernetes import client
from kubernetes.config import incluster_config

from services.mesh import errors
from services.mesh.repository import Served
from services.models.config_maps import KEY, name_of, open_config_maps
from services.models.pipelines.kept import NotKept
from services.models.pipelines.rollout import Rollout
from tests.integration.api_server import serving

ROLLOUT = Rollout(model="m", version=2, previous=1, configuration="{}", before=Served(3, 1, 0.5))
OTHER = ROLLOUT.model_copy(update={"model": "Model_2.b"})


@pytest.fixture
def api():
    with serving() as server:
        yield server


@pytest.fixture
def config_maps(api, tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(api.kubeconfig()))
    return open_config_maps(path, "")


async def test_what_is_written_is_read(api, config_maps):
    """Created, replaced, listed and deleted, in the namespace of the context and under the token of its user."""
    record = await config_maps.create(ROLLOUT)
    await config_maps.create(OTHER)
    changed = await config_maps.replace(record, ROLLOUT.back("slow", 1.0))
    assert changed.revision != record.revision
    assert [each.rollout.model for each in await config_maps.list()] == ["m", "Model_2.b"]
    held = api.objects["rollout-m"]
    assert held["metadata"]["labels"]["app.kubernetes.io/part-of"] == "maas-mesh"
    assert json.loads(held["data"][KEY])["stage"] == "rolled back"
    await config_maps.delete(changed)
    assert [each.rollout for each in await config_maps.list()] == [OTHER]


async def test_only_ours_are_listed(api, config_maps):
    """Others' ConfigMaps are not asked for, and one of ours that nobody can read is left out."""
    api.put_down("envoy", {"metadata": {"name": "envoy"}, "data": {}})
    await config_maps.create(ROLLOUT)
    labels = api.objects["rollout-m"]["metadata"]["labels"]
    for name, data in (("rollout-a", {KEY: "{"}), ("rollout-b", {}), ("rollout-c", None)):
        api.put_down(name, {"metadata": {"name": name, "labels": labels}, "data": data})
    assert [each.rollout for each in await config_maps.list()] == [ROLLOUT]
    assert set(api.selectors) == {"maas-mesh/kind=rollout"}


async def test_who_writes_second_is_refused(api, config_maps):
    """409 for another resourceVersion, or for one that was created meanwhile; 404 when it was deleted."""
    record = await config_maps.create(ROLLOUT)
    with pytest.raises(errors.AlreadyExists, match="delete ConfigMap 'rollout-m'"):
        await config_maps.create(ROLLOUT)
    await config_maps.replace(record, ROLLOUT.told("by another", 1.0))
    for change in (config_maps.replace(record, ROLLOUT), config_maps.delete(record)):
        with pytest.raises(errors.Aborted):
            await change
    api.objects.clear()
    with pytest.raises(errors.Aborted):
        await config_maps.replace(record, ROLLOUT)
    await config_maps.delete(record)


@pytest.mark.parametrize("status", [401, 403, 410, 429, 500, 503])
async def test_an_api_server_that_refuses_is_not_there(api, config_maps, status):
    """Whatever the reason, the same call may succeed later; a list that expired (410) is read anew."""
    api.refuses = [status]
    with pytest.raises(errors.Unavailable) as refused:
        await config_maps.list()
    assert refused.value.reason == "STATE_UNREACHABLE"
    assert await config_maps.list() == []


async def test_an_api_server_that_is_gone_is_told(tmp_path):
    """Nobody listens there."""
    with serving() as api:
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(api.kubeconfig()))
    with pytest.raises(errors.Unavailable):
        await open_config_maps(path, "mesh").list()


async def test_a_slow_api_server_holds_up_nobody_else(api, config_maps):
    """The client waits in a thread of its own."""
    api.go.clear()
    asked = asyncio.create_task(config_maps.list())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not asked.done()
    api.go.set()
    assert await asked == []


def test_the_clients_default_is_left_alone(config_maps):
    """Another's configuration in the same process keeps its own credentials."""
    assert "secret" not in str(client.Configuration.get_default_copy().api_key)


def test_outside_of_a_cluster_it_says_so(monkeypatch):
    """Without a kubeconfig this process would have to be a pod."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(NotKept, match="MODELS_STATE=config-maps needs a cluster"):
        open_config_maps(None, "")


async def test_in_a_pod_the_tokens_file_is_read_again(monkeypatch, tmp_path):
    """Over TLS, in the pod's own namespace; tokens last an hour, and a new one is taken up without a restart."""
    authority = trustme.CA()
    with serving(authority.issue_cert("127.0.0.1")) as api:
        authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        (tmp_path / "token").write_text(api.token)
        (tmp_path / "namespace").write_text("mesh\n")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", api.url.rpartition(":")[2])
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
        monkeypatch.setattr("services.models.config_maps._POD_NAMESPACE", tmp_path / "namespace")
        # The client reads the file anew after a minute.
        read = incluster_config.InClusterConfigLoader._read_token_file

        def read_for_a_moment(loader):
            read(loader)
            loader.token_expires_at = datetime.min  # noqa: DTZ901 - as the client's own

        monkeypatch.setattr(incluster_config.InClusterConfigLoader, "_read_token_file", read_for_a_moment)
        found = open_config_maps(None, "")
        await found.create(ROLLOUT)
        api.token = "another"  # noqa: S105 - of a test
        with pytest.raises(errors.Unavailable):
            await found.list()
        (tmp_path / "token").write_text(api.token)
        assert [each.rollout for each in await found.list()] == [ROLLOUT]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("qwen-coder-1b5", "rollout-qwen-coder-1b5"),
        ("Model_2.b", "rollout.6f43191498570b44"),
        ("a" * 128, "rollout-" + "a" * 128),
    ],
)
def test_names_of_config_maps(model, name):
    """They are lower-case letters, digits, - and ., whatever the model is called."""
    assert name_of(model).startswith(name)
