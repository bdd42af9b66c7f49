"""How callers learn through the gateway where the time went."""

from __future__ import annotations

import grpc.aio

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from services.client.server_timing import read

SENTIMENT = "/v1/nlp:analyzeSentiment"


async def test_times_reach_callers_of_json(gateway):
    """Who asks over HTTP/1.1 has them in a header, since JSON has nothing behind it; who does not ask has none."""
    _, headers, _ = await gateway.http(
        "POST", SENTIMENT, {"contents": ["fine"]}, {"content-type": "application/json", "maas-timing": "1"}
    )
    assert "total" in {each.name for each in read([("server-timing", headers["server-timing"])])}
    _, headers, _ = await gateway.http("POST", SENTIMENT, {"contents": ["fine"]})
    assert "server-timing" not in headers


async def test_times_reach_callers_of_grpc(gateway):
    """They have them in the trailers, behind the answer and behind an error."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    for contents in (["fine"], []):
        running = stub.AnalyzeSentiment(
            pb.AnalyzeSentimentRequest(contents=contents), timeout=10, metadata=(("maas-timing", "1"),)
        )
        code = await running.code()
        assert "total" in {each.name for each in read(await running.trailing_metadata())}
        assert code is (grpc.StatusCode.OK if contents else grpc.StatusCode.INVALID_ARGUMENT)


async def test_browsers_may_ask_and_see(gateway):
    """The key may be sent from an allowed origin, and the times read there."""
    wanted = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
    _, headers, _ = await gateway.http(
        "OPTIONS", SENTIMENT, None, {**wanted, "access-control-request-headers": "maas-timing"}
    )
    assert "maas-timing" in headers["access-control-allow-headers"]
    assert "server-timing" in headers["access-control-expose-headers"]
