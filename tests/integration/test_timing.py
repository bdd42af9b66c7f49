"""The times of a call in its answer, over real sockets."""

import asyncio

import grpc
import pytest

from services.client.server_timing import parse
from services.mesh import errors
from services.mesh.timing import Stage, stage
from tests.integration.test_interceptors import KINDS, SERVICE, echo, fails

ASKED = [("maas-timing", "1")]


async def works(context):
    with stage(Stage.PREPROCESS):
        await asyncio.sleep(0.02)
    with stage(Stage.MODEL):
        await asyncio.sleep(0.03)


async def answered(channel, kind, metadata):
    """The call that was made, whose answer was read, or which failed."""

    async def requests():
        yield b"request"

    running = getattr(channel, kind)(f"/{SERVICE}/{kind}")(
        requests() if kind.startswith("stream") else b"request", timeout=5, metadata=metadata
    )
    try:
        if kind.endswith("unary"):
            await running
        else:
            async for _ in running:
                pass
    except grpc.aio.AioRpcError:
        pass
    return running


def told(metadata):
    values = [value for key, value in metadata if key == "server-timing"]
    return {each.name: each for each in parse(values[0])} if values else {}


@pytest.mark.parametrize("kind", KINDS)
async def test_who_asks_is_told_where_the_time_went(kind, spans):
    """Trailers have the stages, which add up to no more than the total, and the trace of the call."""
    async with echo(works) as (channel, _):
        running = await answered(channel, kind, ASKED)
        times = told(await running.trailing_metadata())
    total = times.pop("total").milliseconds
    traceparent = times.pop("traceparent").parameters["desc"]
    assert times.keys() - {"encode", "receive"} == {"preprocess", "model"}
    assert times["preprocess"].milliseconds >= 20
    assert times["model"].milliseconds >= 30
    assert sum(each.milliseconds for each in times.values()) <= total + 0.1 * len(times)
    assert traceparent.split("-")[1] in {format(span.context.trace_id, "032x") for span in spans.get_finished_spans()}


@pytest.mark.parametrize("kind", KINDS)
async def test_one_answer_has_its_times_in_front_too(kind):
    """A call that is answered once has them in its headers as well, for callers that get JSON; a stream has not."""
    async with echo(works) as (channel, _):
        running = await answered(channel, kind, ASKED)
        assert bool(told(await running.initial_metadata())) == kind.endswith("unary")


@pytest.mark.parametrize("metadata", [[], [("maas-timing", "0")]])
async def test_who_does_not_ask_is_not_told(metadata):
    """Neither in front nor behind."""
    async with echo(works) as (channel, _):
        running = await answered(channel, "unary_unary", metadata)
        assert not told(await running.initial_metadata())
        assert not told(await running.trailing_metadata())


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_has_its_times_too(kind):
    """Beside its details, which stay what they are."""
    async with echo(lambda context: fails(errors.Unavailable("busy"))) as (channel, _):
        running = await answered(channel, kind, ASKED)
        trailers = await running.trailing_metadata()
    assert "total" in told(trailers)
    assert any(key == "grpc-status-details-bin" for key, _ in trailers)
    assert await running.code() is grpc.StatusCode.UNAVAILABLE


async def test_stages_are_a_metric_for_everybody(measured):
    """maas.stage.duration has each stage of each call, whether anybody asked or not."""
    async with echo(works) as (channel, _):
        await answered(channel, "unary_unary", [])
    labels = {"rpc_method": f"{SERVICE}/unary_unary", "maas_stage": "preprocess"}
    assert measured.added("maas_stage_duration_seconds_count", **labels) == 1
    assert measured.added("maas_stage_duration_seconds_sum", **labels) >= 0.02
