"""The one public address of the mesh: gRPC, JSON, gRPC-Web, health and reflection of everything."""

from __future__ import annotations

import base64
import http.client
import json
import struct
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from deploy.local.processes import SERVICES
from deploy.local.settings import REPOSITORY
from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from maas.router.v1 import router_pb2, router_pb2_grpc

SAMPLES = REPOSITORY / ".build/samples"
NAMES = [service for service, _ in SERVICES.values()]


@pytest.fixture
async def channel(mesh: Any) -> AsyncIterator[grpc.aio.Channel]:
    """To the gateway."""
    async with grpc.aio.insecure_channel(mesh.address) as channel:
        yield channel


def curl(*arguments: str) -> tuple[int, Any]:
    """A request as a person types it: HTTP status and parsed JSON."""
    command = ["curl", "--silent", "--max-time", "30", "--write-out", "\n%{http_code}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def test_json_with_curl(mesh: Any) -> None:
    """A sentence posted as JSON is judged."""
    status, body = curl(
        f"http://{mesh.address}/v1/nlp:analyzeSentiment",
        "--json",
        '{"contents": ["What a lovely film.", "It was awful."]}',
    )
    assert status == 200
    assert [result["sentiment"] for result in body["results"]] == ["SENTIMENT_POSITIVE", "SENTIMENT_NEGATIVE"]


def test_a_picture_as_json(mesh: Any, tmp_path: Any) -> None:
    """A picture goes in as base64, as JSON APIs do it."""
    request = tmp_path / "request.json"
    content = base64.b64encode((SAMPLES / "cheetah.jpg").read_bytes()).decode()
    request.write_text(json.dumps({"image": {"content": content}, "maxResults": 1}))
    status, body = curl(f"http://{mesh.address}/v1/vision:classifyImage", "--json", f"@{request}")
    assert status == 200
    assert "cheetah" in body["labels"][0]["name"]


def test_a_graph_as_json(mesh: Any, tmp_path: Any) -> None:
    """The graph's name is in the path, its inputs in the body."""
    request = tmp_path / "request.json"
    content = base64.b64encode((SAMPLES / "cheetah.jpg").read_bytes()).decode()
    request.write_text(json.dumps({"inputs": {"photo": {"data": content}}}))
    status, body = curl(f"http://{mesh.address}/v1/graphs/look-twice:run", "--json", f"@{request}")
    assert status == 200, body
    assert len(body["nodes"]) == 2


def test_errors_are_json(mesh: Any) -> None:
    """A wrong request names its field; an unknown graph lists those that exist."""
    status, body = curl(f"http://{mesh.address}/v1/nlp:analyzeSentiment", "--json", "{}")
    assert status == 400
    assert body["details"][0]["domain"] == "maas"
    assert body["details"][1]["fieldViolations"][0]["field"] == "contents"
    status, body = curl(f"http://{mesh.address}/v1/graphs/none:run", "--json", "{}")
    assert status == 404
    assert "look-twice" in json.dumps(body)


async def test_every_service_answers_on_the_one_address(channel: grpc.aio.Channel) -> None:
    """Native gRPC calls find their service by name, and the router sees all that graphs are made of."""
    answer = await nlp_pb2_grpc.NlpServiceStub(channel).EmbedText(nlp_pb2.EmbedTextRequest(contents=["A sentence."]))
    assert len(answer.results[0].values) == answer.dimension
    known = await router_pb2_grpc.RouterServiceStub(channel).ListCapabilities(router_pb2.ListCapabilitiesRequest())
    composing, administering = "maas.router.v1.RouterService", "maas.models.v1.ModelService"
    assert {service.name for service in known.services} >= set(NAMES) - {composing, administering}
    assert not [service for service in known.services if service.status.code]


@pytest.mark.parametrize("service", ["", *NAMES])
async def test_health_of_the_whole_mesh(channel: grpc.aio.Channel, service: str) -> None:
    """grpc.health.v1 at the gateway answers for each service, and for all of them."""
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_of_the_whole_mesh(channel: grpc.aio.Channel, version: str) -> None:
    """A reflection-based client needs the gateway's address only: services and their files are listed there."""
    ask = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    async def questions() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        for name in NAMES:
            yield reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)

    answers = [answer async for answer in ask(questions())]
    listed = {service.name for service in answers[0].list_services_response.service}
    assert set(NAMES) <= listed
    for name, answer in zip(NAMES, answers[1:], strict=True):
        assert name in _services(answer.file_descriptor_response.file_descriptor_proto)


def test_grpc_web(mesh: Any) -> None:
    """A browser's call over HTTP/1.1 is answered."""
    message = nlp_pb2.AnalyzeSentimentRequest(contents=["What a lovely film."]).SerializeToString()
    connection = http.client.HTTPConnection("127.0.0.1", mesh.port, timeout=30)
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": "http://localhost:3000"}
    frame = b"\0" + struct.pack(">I", len(message)) + message
    connection.request("POST", "/maas.nlp.v1.NlpService/AnalyzeSentiment", frame, headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    (length,) = struct.unpack_from(">I", body, 1)
    answer = nlp_pb2.AnalyzeSentimentResponse.FromString(body[5 : 5 + length])
    assert answer.results[0].sentiment == nlp_pb2.SENTIMENT_POSITIVE
    assert b"grpc-status:0" in body[5 + length :]
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"


def test_metrics_of_every_process(mesh: Any) -> None:
    """Each process has Prometheus metrics: calls of ours by RPC, Triton's and Envoy's own."""
    ports = mesh.ports
    for name in SERVICES:
        assert "python_info" in _get(getattr(ports, f"{name}_metrics"), "/metrics")
    assert 'rpc_method="maas.nlp.v1.NlpService/' in _get(ports.nlp_metrics, "/metrics")
    assert "nv_inference_count" in _get(ports.triton_metrics, "/metrics")
    assert "envoy_cluster_upstream_rq_total" in _get(ports.gateway_admin, "/stats/prometheus")


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def _services(files: Sequence[bytes]) -> set[str]:
    parsed = [FileDescriptorProto.FromString(file) for file in files]
    return {f"{file.package}.{service.name}" for file in parsed for service in file.service}
