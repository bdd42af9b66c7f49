"""ModelService over real sockets: its RPCs, its errors, and the model servers on the other side."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest
import yaml
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from maas.models.v1 import models_pb2 as pb
from maas.models.v1 import models_pb2_grpc, rollout_pb2
from services.mesh.server import serving
from services.mesh.triton.fleet import words
from services.models.app import app
from services.models.settings import Settings
from tests.integration import api_server
from tests.integration.repository_server import RepositoryServer, running

ID = "7f1f9c1e-4d2a-4d57-9d3e-0f6a6d8c1b2a"
FAST = rollout_pb2.RolloutLimits(min_calls=5, min_time=Duration())


class Scene:
    """The service on two model servers."""

    def __init__(self, stub, servers, stops):
        self.stub = stub
        self.servers = servers
        self.stops = stops

    async def start(self, version=2, limits=FAST):
        request = rollout_pb2.StartRolloutRequest(model="m", version=version, limits=limits, request_id=ID)
        return await self.stub.StartRollout(request)

    async def ended(self):
        """The rollout, when it has ended on every replica."""
        async with asyncio.timeout(20):
            while True:
                found = (await self.stub.GetRollout(rollout_pb2.GetRolloutRequest(model="m"))).rollout
                if found.settled and found.state != rollout_pb2.ROLLOUT_STATE_RUNNING:
                    return found
                await asyncio.sleep(0.05)


@asynccontextmanager
async def serve(tmp_path, *, broken=(), **kept):
    async with AsyncExitStack() as stack:
        stops, servers = [], []
        for _ in range(2):
            stop = await stack.enter_async_context(AsyncExitStack())
            servers.append(await stop.enter_async_context(running(RepositoryServer(1, 2, broken=broken))))
            stops.append(stop)
        settings = Settings(
            listen_address="127.0.0.1:0",
            metrics_address="127.0.0.1:0",
            drain_seconds=0.1,
            notice_seconds=0,
            triton_address="ipv4:" + ",".join(server.address for server in servers),
            **(kept or {"state": "files", "state_directory": tmp_path / "rollouts"}),
        )
        servicers = await stack.enter_async_context(app(settings))
        async with asyncio.timeout(5):
            while not servicers[0].ready():
                await asyncio.sleep(0.01)
        port = await stack.enter_async_context(serving(servicers, settings))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Scene(models_pb2_grpc.ModelServiceStub(channel), servers, stops)


@pytest.fixture
async def scene(tmp_path):
    async with serve(tmp_path) as made:
        yield made


async def refused(call):
    """The code, the reason and the fields of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    status = rpc_status.from_call(failed.value)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        for message in (info, bad):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    return failed.value.code().name, info.reason, [violation.field for violation in bad.field_violations]


async def test_a_rollout_from_its_beginning_to_its_end(scene):
    """Both replicas serve the new version in the end; what was seen and what happened is told."""
    begun = await scene.start()
    assert begun.request_id == ID
    assert begun.rollout.state == rollout_pb2.ROLLOUT_STATE_RUNNING
    assert begun.rollout.limits.max_latency_ratio == 1.5
    assert begun.rollout.limits.max_error_rate_increase == 0.02
    ended = await scene.ended()
    assert ended.state == rollout_pb2.ROLLOUT_STATE_PROMOTED
    assert [server.serves for server in scene.servers] == [2, 2]
    assert [list(replica.ready_versions) for replica in ended.replicas] == [[2], [2]]
    assert ended.tried.answered >= 5
    assert ended.tried.mean_time.ToTimedelta().total_seconds() == pytest.approx(0.01)
    texts = [event.description for event in ended.events]
    assert texts[0] == "version 2 is to take over from 1"
    assert texts[-1].startswith("promoted: ")
    assert ended.update_time.ToDatetime() >= ended.create_time.ToDatetime()
    listed = (await scene.stub.ListRollouts(rollout_pb2.ListRolloutsRequest())).rollouts
    assert [each.model for each in listed] == ["m"]
    model = (await scene.stub.GetModel(pb.GetModelRequest(name="m"))).model
    assert model.rollout_state == rollout_pb2.ROLLOUT_STATE_PROMOTED


async def test_a_version_that_cannot_be_loaded_goes_back_and_is_told_without_paths(tmp_path):
    """The reason is Triton's, and no folder of the server."""
    async with serve(tmp_path, broken=(2,)) as scene:
        await scene.start()
        ended = await scene.ended()
        assert ended.state == rollout_pb2.ROLLOUT_STATE_ROLLED_BACK
        assert "No module named 'x'" in ended.reason
        assert "/srv" not in str(ended)
        assert [server.serves for server in scene.servers] == [1, 1]


async def test_what_is_kept_in_a_cluster_goes_on_after_a_restart(tmp_path):
    """The first process leaves it on one replica; the second one, which knows the ConfigMap only, promotes it."""
    with api_server.serving() as api:
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(api.kubeconfig()))
        async with serve(tmp_path, state="config-maps", kubeconfig=path) as scene:
            for server in scene.servers:
                server.per_look = 0
            await scene.start()
            async with asyncio.timeout(10):
                while sorted(server.serves for server in scene.servers) != [1, 2]:
                    await asyncio.sleep(0.05)
            serving_two = {server.address for server in scene.servers if server.serves == 2}
            for server in scene.servers:
                server.per_look = 10
            settings = Settings(
                listen_address="127.0.0.1:0",
                metrics_address="127.0.0.1:0",
                triton_address="ipv4:" + ",".join(server.address for server in scene.servers),
                state="config-maps",
                kubeconfig=path,
            )
            async with app(settings):
                ended = await scene.ended()
            assert ended.state == rollout_pb2.ROLLOUT_STATE_PROMOTED
            assert len(serving_two) == 1
            (held,) = api.objects.values()
            assert held["metadata"]["name"] == "rollout-m"


async def test_people_change_their_minds(scene):
    """Promoted by hand, rolled back, and forgotten."""
    for server in scene.servers:
        server.per_look = 0
    await scene.start()
    promoted = await scene.stub.PromoteRollout(rollout_pb2.PromoteRolloutRequest(model="m", request_id=ID))
    assert (promoted.request_id, promoted.rollout.reason) == (ID, "asked for")
    await scene.ended()
    assert [server.serves for server in scene.servers] == [2, 2]
    await scene.stub.RollBackRollout(rollout_pb2.RollBackRolloutRequest(model="m"))
    await scene.ended()
    assert [server.serves for server in scene.servers] == [1, 1]
    assert await refused(scene.stub.PromoteRollout(rollout_pb2.PromoteRolloutRequest(model="m"))) == (
        "FAILED_PRECONDITION",
        "ROLLOUT_ENDED",
        [],
    )
    await scene.stub.DeleteRollout(rollout_pb2.DeleteRolloutRequest(model="m"))
    gone = scene.stub.GetRollout(rollout_pb2.GetRolloutRequest(model="m"))
    assert await refused(gone) == ("NOT_FOUND", "ROLLOUT_NOT_FOUND", [])


async def test_models_are_listed_page_by_page(scene):
    """With the versions of each replica; one that is gone is told as such."""
    first = await scene.stub.ListModels(pb.ListModelsRequest(page_size=3, request_id=ID))
    assert ([model.name for model in first.models], first.request_id) == (["a", "b", "c"], ID)
    rest = await scene.stub.ListModels(pb.ListModelsRequest(page_size=3, page_token=first.next_page_token))
    assert ([model.name for model in rest.models], rest.next_page_token) == (["m"], "")
    states = [version.state for replica in rest.models[0].replicas for version in replica.versions]
    assert states == [pb.MODEL_VERSION_STATE_READY] * 2
    await scene.stops[0].aclose()
    listed = await scene.stub.ListModels(pb.ListModelsRequest())
    assert {replica.name: replica.status.code for replica in listed.replicas} == {
        scene.servers[0].address: grpc.StatusCode.UNAVAILABLE.value[0],
        scene.servers[1].address: 0,
    }
    start = scene.start()
    assert (await refused(start))[:2] == ("UNAVAILABLE", "TRITON_UNREACHABLE")


async def test_models_are_loaded_and_unloaded_by_hand(scene):
    """On one replica or on all; what cannot be loaded is told with the replica."""
    one, two = scene.servers
    unloaded = await scene.stub.UnloadModel(pb.UnloadModelRequest(name="m", replicas=[one.address]))
    states = {replica.replica: replica.versions[0] for replica in unloaded.model.replicas}
    assert states[one.address].state == pb.MODEL_VERSION_STATE_UNAVAILABLE
    assert states[one.address].reason == "unloaded"
    assert two.serves == 1
    await scene.stub.LoadModel(pb.LoadModelRequest(name="m"))
    assert (one.serves, two.serves) == (2, 2)
    two.broken = {2}
    call = scene.stub.LoadModel(pb.LoadModelRequest(name="m"))
    assert (await refused(call))[:2] == ("FAILED_PRECONDITION", "LOAD_FAILED")


@pytest.mark.parametrize(
    ("method", "request_", "expected"),
    [
        ("StartRollout", {"model": "", "version": 2}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["model"])),
        ("StartRollout", {"model": "../m", "version": 2}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["model"])),
        ("StartRollout", {"model": "m"}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["version"])),
        ("StartRollout", {"model": "x", "version": 2}, ("NOT_FOUND", "MODEL_NOT_FOUND", [])),
        ("StartRollout", {"model": "m", "version": 1}, ("FAILED_PRECONDITION", "VERSION_SERVED", [])),
        ("GetRollout", {"model": "m", "request_id": "x"}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["request_id"])),
        ("ListRollouts", {"page_size": 101}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["page_size"])),
        ("ListRollouts", {"page_token": "/"}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["page_token"])),
        ("ListModels", {"page_token": "Lw=="}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["page_token"])),
        ("GetModel", {"name": "x"}, ("NOT_FOUND", "MODEL_NOT_FOUND", [])),
        ("LoadModel", {"name": "m", "replicas": ["x"]}, ("NOT_FOUND", "REPLICA_NOT_FOUND", [])),
        ("RollBackRollout", {"model": "m"}, ("NOT_FOUND", "ROLLOUT_NOT_FOUND", [])),
        ("DeleteRollout", {"model": "m"}, ("NOT_FOUND", "ROLLOUT_NOT_FOUND", [])),
    ],
)
async def test_what_is_wrong_with_a_request_is_told(scene, method, request_, expected):
    """The code, the reason for programs, and the field."""
    kind = getattr(pb, f"{method}Request", None) or getattr(rollout_pb2, f"{method}Request")
    assert await refused(getattr(scene.stub, method)(kind(**request_))) == expected


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"min_calls": -1}, "limits.min_calls"),
        ({"min_time": Duration(seconds=-1)}, "limits.min_time"),
        ({"max_time": Duration()}, "limits.max_time"),
        ({"max_error_rate_increase": 1.5}, "limits.max_error_rate_increase"),
        ({"max_error_rate_increase": float("nan")}, "limits.max_error_rate_increase"),
        ({"max_latency_ratio": -1}, "limits.max_latency_ratio"),
    ],
)
async def test_limits_outside_their_range(scene, limits, field):
    """The field is named."""
    assert (await refused(scene.start(limits=rollout_pb2.RolloutLimits(**limits))))[2] == [field]


async def test_replicas_that_differ_keep_a_rollout_from_beginning(scene):
    """The reason says so."""
    scene.servers[0].serves = 3
    assert (await refused(scene.start()))[:2] == ("FAILED_PRECONDITION", "REPLICAS_DIFFER")


def test_words_of_triton_have_no_paths():
    """Neither its stack trace nor the folders of its files."""
    said = "failed to load 'm' from '/srv/models/m/2/model.py': see /opt/x y\n\nAt:\n  /srv/a.py(1)"
    assert words(said) == "failed to load 'm' from 'model.py': see x y"
    assert words("and/or 3 a/b https://a.example/b") == "and/or 3 a/b https://a.example/b"


def test_files_need_a_directory():
    """Settings that cannot work are told by the variable's name."""
    with pytest.raises(ValueError, match="MODELS_STATE_DIRECTORY is missing"):
        Settings(listen_address="a:1", metrics_address="a:2", triton_address="a:3", state="files")
