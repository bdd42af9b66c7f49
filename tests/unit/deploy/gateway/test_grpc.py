"""Native gRPC and gRPC-Web through the gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

import grpc.aio
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deploy.gateway.render import Address
from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from maas.vision.v1 import vision_pb2, vision_pb2_grpc

PATH = "/maas.nlp.v1.NlpService/AnalyzeSentiment"
PAGE = "http://localhost:3000"
WEB = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": PAGE}


def _frame(message: Message) -> bytes:
    content = message.SerializeToString()
    return b"\0" + struct.pack(">I", len(content)) + content


async def _failure(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Code, message and reason of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    status = rpc_status.from_call(failed.value)
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    assert info.domain == "maas"
    return failed.value.code(), failed.value.details() or "", info.reason


async def _code(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_call_without_a_deadline_gets_one(gateway: Any) -> None:
    """The service sees the route's limit as its deadline when the caller has set none."""
    await nlp_pb2_grpc.NlpServiceStub(gateway.channel).AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["fine"]))
    assert 19 < gateway.nlp.remaining_seconds[-1] < 20.5


async def test_the_caller_s_deadline_is_passed_on(gateway: Any) -> None:
    """The service sees the caller's own deadline, but no longer one than the route allows."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    for timeout, most in ((4, 4), (900, 20)):
        await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["fine"]), timeout=timeout)
        assert most - 1 < gateway.nlp.remaining_seconds[-1] <= most + 0.5


async def test_the_trace_context_passes_through(gateway: Any) -> None:
    """The caller's traceparent reaches the service."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["fine"]), metadata=(("traceparent", traceparent),))
    assert gateway.nlp.metadata[-1]["traceparent"] == traceparent


async def test_metadata_of_any_legal_name_passes_through(gateway: Any) -> None:
    """Underscores and dots are legal in gRPC's names, which many HTTP servers do not."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    metadata = (("my_own.key", "value"), ("my-bin", b"\x00\xff"))
    await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["fine"]), metadata=metadata)
    assert gateway.nlp.metadata[-1]["my_own.key"] == "value"
    assert gateway.nlp.metadata[-1]["my-bin"] == str(b"\x00\xff")


async def test_a_call_that_http_itself_forbids(gateway: Any) -> None:
    """What Envoy refuses for a reason of its own reaches a gRPC caller as plain words, not as JSON."""
    call = gateway.channel.unary_unary("/maas.nlp.v1.NlpService/Analyze%2FSentiment")(b"")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert "{" not in (failed.value.details() or "")


async def test_cancelling_reaches_the_service(gateway: Any) -> None:
    """When the caller gives up, so does the service."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    before = len(gateway.nlp.metadata)
    call = stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["slow"]))
    async with asyncio.timeout(10):
        while len(gateway.nlp.metadata) == before:
            await asyncio.sleep(0.01)
        call.cancel()
        await gateway.nlp.cancelled.wait()


async def test_a_service_that_is_down_is_unavailable_at_once(gateway: Any) -> None:
    """The caller gets UNAVAILABLE naming the service, though it would wait for a minute."""
    stub = vision_pb2_grpc.VisionServiceStub(gateway.channel)
    async with asyncio.timeout(10):
        code, message, reason = await _failure(stub.GetVisionConfig(vision_pb2.GetVisionConfigRequest(), timeout=60))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
    assert message.startswith("vision is not available")


async def test_a_service_that_is_not_ready_gets_no_calls_until_it_is(gateway: Any) -> None:
    """NOT_SERVING takes a service out; SERVING brings it back."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    request = pb.AnalyzeSentimentRequest(contents=["fine"])
    gateway.nlp.ready = False
    async with asyncio.timeout(20):
        while True:
            code = await _code(stub.AnalyzeSentiment(request))
            assert code in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
            if code is grpc.StatusCode.UNAVAILABLE:
                break
            await asyncio.sleep(0.05)
    gateway.nlp.ready = True
    async with asyncio.timeout(20):
        while True:
            if await _code(stub.AnalyzeSentiment(request)) is grpc.StatusCode.OK:
                break
            await asyncio.sleep(0.05)


async def test_an_unknown_service_is_unimplemented(gateway: Any) -> None:
    """A service that the mesh has not is UNIMPLEMENTED with a message."""
    code, message, reason = await _failure(gateway.channel.unary_unary("/maas.none.v1.NoneService/None")(b""))
    assert (code, reason) == (grpc.StatusCode.UNIMPLEMENTED, "NO_SUCH_METHOD")
    assert message


async def test_errors_of_a_service_do_not_eject_its_only_replica(gateway: Any) -> None:
    """However often a service answers UNAVAILABLE, the next call still reaches it and gets its own words."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    for _ in range(25):
        code, message, _ = await _failure(stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["unavailable"])))
        assert (code, message) == (grpc.StatusCode.UNAVAILABLE, "the model is loading")


@pytest.mark.parametrize("configure", [{"max_request_bytes": 65_536}])
async def test_a_large_request_is_resource_exhausted(gateway: Any) -> None:
    """A message above the limit is refused before it reaches a service."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    call = stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["x" * 100_000]))
    code, message, reason = await _failure(call)
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")
    assert "0.0625 MiB" in message


async def test_web_call(gateway: Any) -> None:
    """A gRPC-Web call over HTTP/1.1 gets its message and then its status as the last frame."""
    status, headers, body = await gateway.http(
        "POST", PATH, _frame(pb.AnalyzeSentimentRequest(contents=["fine"], model="m")), WEB
    )
    assert (status, headers["access-control-allow-origin"]) == (200, PAGE)
    kind, length = struct.unpack_from(">BI", body)
    assert kind == 0
    assert pb.AnalyzeSentimentResponse.FromString(body[5 : 5 + length]).model == "m"
    assert body[5 + length] == 0x80
    assert b"grpc-status:0" in body[5 + length :]


async def test_web_error(gateway: Any) -> None:
    """An error keeps its details, which the page may read."""
    _, headers, _ = await gateway.http("POST", PATH, _frame(pb.AnalyzeSentimentRequest()), WEB)
    assert headers["grpc-status"] == "3"
    details = headers["grpc-status-details-bin"]
    assert b"google.rpc.BadRequest" in base64.b64decode(details + "=" * (-len(details) % 4))
    assert "grpc-status-details-bin" in headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", [PATH, "/v1/nlp:analyzeSentiment"])
@pytest.mark.parametrize(("origin", "allowed"), [(PAGE, True), ("https://evil.example", False)])
async def test_browsers_may_call_from_pages_of_this_machine_only(
    gateway: Any, path: str, origin: str, *, allowed: bool
) -> None:
    """The question that a browser asks first is answered by origin, for gRPC-Web and for JSON."""
    question = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-grpc-web",
    }
    _, headers, _ = await gateway.http("OPTIONS", path, None, question)
    assert headers.get("access-control-allow-origin") == (PAGE if allowed else None)


@pytest.mark.parametrize("configure", [{}, {"tracing": Address("127.0.0.1", 9)}])
async def test_each_call_is_one_line_with_its_trace(gateway: Any, configure: dict[str, Any]) -> None:
    """Native, JSON or gRPC-Web: one line in the access log with the caller's trace id, traces recorded or not."""
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request = pb.AnalyzeSentimentRequest(contents=["fine"])
    await nlp_pb2_grpc.NlpServiceStub(gateway.channel).AnalyzeSentiment(request, metadata=(("traceparent", parent),))
    as_json = {"content-type": "application/json", "traceparent": parent}
    await gateway.http("POST", "/v1/nlp:analyzeSentiment", {"contents": ["fine"]}, as_json)
    await gateway.http("POST", PATH, _frame(request), {**WEB, "traceparent": parent})
    gateway.process.terminate()
    await asyncio.to_thread(gateway.process.wait)
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
    ours = [line for line in lines if trace_id in (line["traceparent"] or "")]
    assert [line["method"] for line in ours] == [PATH.lstrip("/")] * 3
    if configure:
        assert {line["trace_id"] for line in ours} == {trace_id}


async def test_the_access_log_says_what_happened_and_nothing_of_the_payload(gateway: Any) -> None:
    """One JSON line a call, with method, statuses, time and upstream; no text of the caller's."""
    written = "a text of the caller's own"
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=[written]))
    await gateway.http("POST", "/v1/nlp:analyzeSentiment", {"contents": [written]})
    gateway.process.terminate()
    await asyncio.to_thread(gateway.process.wait)
    text = gateway.log.read_text()
    assert written not in text
    *_, native, transcoded = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert (native["method"], native["grpc_status"], native["upstream"]) == (PATH.lstrip("/"), "OK", "nlp")
    assert transcoded["method"] == PATH.lstrip("/")
    assert transcoded["http_status"] == 200
    assert transcoded["milliseconds"] >= 0
