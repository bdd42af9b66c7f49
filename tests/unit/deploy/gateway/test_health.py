"""Whom the gateway takes for well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import grpc.aio
import pytest

from deploy.local.health import Probe
from deploy.local.ports import Ports
from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc


@pytest.fixture
def probe(gateway: Any) -> Iterator[Probe]:
    """Asks the gateway and nlp."""
    ports = replace(Ports.from_base(1), gateway_admin=int(gateway.admin.partition(":")[2]), nlp=gateway.nlp_port)
    with Probe(SimpleNamespace(ports=ports)) as opened:
        yield opened


async def test_a_service_that_was_not_well_for_a_moment(gateway: Any, probe: Probe) -> None:
    """Calls fail while it is not; and from when it counts as ready again, none does."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)

    async def code() -> grpc.StatusCode:
        try:
            await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["well?"]))
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    async with asyncio.timeout(20):
        gateway.nlp.ready = False
        while await code() is grpc.StatusCode.OK:
            await asyncio.sleep(0.01)
        gateway.nlp.ready = True
        while not (await asyncio.to_thread(probe.ask, ["nlp"]))["nlp"].ready:
            assert await code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK}
    assert {await code() for _ in range(20)} == {grpc.StatusCode.OK}
