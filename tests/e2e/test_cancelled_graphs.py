"""Whoever cancels a graph stops the work that it began in Triton, and prevents what it had not begun."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest
import yaml
from google.protobuf import json_format
from tritonclient.grpc import service_pb2, service_pb2_grpc

from maas.router.v1 import graph_pb2, router_pb2, router_pb2_grpc
from tests.e2e.conftest import RunningMesh
from tests.e2e.metrics import tokens_written

TELL_AND_JUDGE = """
name: tell-and-judge
summary: Writes a long text and then judges it.
inputs:
  request: {kind: text, summary: What is to be written.}
run:
  sequence:
    - node: tell
      call: maas.nlp.v1.NlpService/GenerateReply
      request:
        messages: "[maas.nlp.v1.ChatMessage{role: maas.nlp.v1.Role.ROLE_USER, content: inputs.request}]"
        parameters: {max_tokens: "2000", temperature: "0.0"}
    - node: judge
      call: maas.nlp.v1.NlpService/AnalyzeSentiment
      request: {contents: "[tell.reply]"}
outputs:
  verdict: {value: "judge.results.size()", summary: How many verdicts there are.}
"""


@pytest.fixture
async def router(mesh: RunningMesh) -> AsyncIterator[router_pb2_grpc.RouterServiceAsyncStub]:
    """The router through the gateway, with the graph."""
    async with grpc.aio.insecure_channel(mesh.address) as channel:
        router = router_pb2_grpc.RouterServiceStub(channel)
        graph = json_format.ParseDict(yaml.safe_load(TELL_AND_JUDGE), graph_pb2.Graph())
        await router.CreateGraph(graph_pb2.CreateGraphRequest(graph=graph))
        yield router
        await router.DeleteGraph(graph_pb2.DeleteGraphRequest(name=graph.name))


def written(mesh: RunningMesh) -> int:
    """Tokens that the language model has written, by Triton's metrics."""
    return tokens_written(mesh.ports.triton_metrics)


async def judged(mesh: RunningMesh) -> int:
    """Executions of the models that judge, by Triton's statistics."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh.ports.triton_grpc}") as channel:
        triton = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = await triton.ModelStatistics(service_pb2.ModelStatisticsRequest(), timeout=10)
    return sum(model.execution_count for model in answer.model_stats if model.name.startswith("sentiment-"))


@pytest.mark.parametrize("leave", ["cancel", "deadline"])
async def test_a_cancelled_graph_writes_no_more(
    mesh: RunningMesh, router: router_pb2_grpc.RouterServiceAsyncStub, leave: str
) -> None:
    """The text that a node was writing stops growing in Triton, and the node after it never reaches Triton."""
    before, judged_before = written(mesh), await judged(mesh)
    request = router_pb2.RunGraphRequest(
        graph="tell-and-judge",
        inputs={"request": router_pb2.Value(text="Count from 1 to 500, one number on each line, without stopping.")},
    )
    call = router.RunGraph(request, timeout=10 if leave == "deadline" else 120)
    async with asyncio.timeout(120):
        while written(mesh) < before + 5 and not call.done():
            await asyncio.sleep(0.1)
    if leave == "cancel":
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    else:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(60):
        count = -1
        while count != (count := written(mesh)):
            await asyncio.sleep(1)
    assert before < count < before + 400
    assert await judged(mesh) == judged_before
