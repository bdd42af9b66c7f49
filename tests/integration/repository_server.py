"""A server that speaks Triton's repository API, over a real socket: one model in versions, answering by itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2_grpc
from tritonclient.grpc import service_pb2 as pb

TRACE = (
    "load failed for model 'm': version 2 is at UNAVAILABLE state: Internal: ModuleNotFoundError: No module named 'x'"
    "\n\nAt:\n  /srv/models/m/2/model.py(1): <module>\n"
)


class RepositoryServer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """versions: that lie in the repository, by number whether they load. serves: the one that is loaded."""

    def __init__(self, *versions: int, broken: tuple[int, ...] = ()) -> None:
        self.versions = set(versions)
        self.broken = set(broken)
        self.serves: int | None = 1
        self.reason = ""
        self.configurations: list[dict] = []
        self.answered = 0
        self.per_look = 10
        self.address = ""

    async def RepositoryIndex(self, request, context):
        index = pb.RepositoryIndexResponse()
        for name in ("a", "b", "c"):
            index.models.add(name=name, version="1", state="READY")
        if self.serves:
            index.models.add(name="m", version=str(self.serves), state="READY")
        else:
            index.models.add(name="m", version="1", state="UNAVAILABLE", reason=self.reason)
        return index

    async def ModelConfig(self, request, context):
        config = model_config_pb2.ModelConfig(name=request.name)
        config.version_policy.latest.num_versions = 1
        return pb.ModelConfigResponse(config=config)

    async def RepositoryModelLoad(self, request, context):
        version = max(self.versions)
        if "config" in request.parameters:
            configuration = json.loads(request.parameters["config"].string_param)
            self.configurations.append(configuration)
            (version,) = configuration["version_policy"]["specific"]["versions"]
        if version in self.broken:
            await context.abort(grpc.StatusCode.INTERNAL, TRACE)
        if version != self.serves:
            self.answered = 0
        self.serves = version
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, request, context):
        self.serves, self.reason = None, "unloaded"
        return pb.RepositoryModelUnloadResponse()

    async def ModelStatistics(self, request, context):
        if request.version != str(self.serves):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "requested model version is not available")
        self.answered += self.per_look
        statistics = pb.ModelStatistics(name=request.name, version=request.version)
        statistics.inference_stats.success.count = self.answered
        statistics.inference_stats.success.ns = self.answered * 10_000_000
        return pb.ModelStatisticsResponse(model_stats=[statistics])


@asynccontextmanager
async def running(implementation: RepositoryServer) -> AsyncIterator[RepositoryServer]:
    """On a free port, for as long as the block runs."""
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(implementation, server)
    implementation.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield implementation
    finally:
        await server.stop(None)
