"""A caller that leaves while an answer of his waits to be sent."""

import asyncio
import json

import grpc
import pytest

from services.mesh.pieces import piece
from services.mesh.server import Servicer
from services.mesh.testing import serve

METHOD = "maas.test.v1.Talker/Talk"


class Talker:
    """Says more than anybody reads."""

    said = 0

    async def talk(self, request, context):
        while True:
            with piece("a word"):
                self.said += 1
                yield bytes(1 << 16)

    def add(self, implementation, server):
        service, method = METHOD.split("/")
        handlers = {method: grpc.unary_stream_rpc_method_handler(self.talk)}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])


@pytest.mark.parametrize("leaves", ["cancel", "deadline"])
async def test_a_call_that_is_left_while_it_sends_is_one_line(small_windows, spans, written, leaves):
    """However it is left: its canonical line and its span, at once, and no error of any library."""
    talker = Talker()
    async with serve(Servicer("maas.test.v1.Talker", talker.add, talker)) as channel:
        running = channel.unary_stream(f"/{METHOD}")(b"", timeout=1 if leaves == "deadline" else 20)
        await running.read()
        said = 0
        while said != talker.said:
            said = talker.said
            await asyncio.sleep(0.1)
        if leaves == "cancel":
            running.cancel()
        async with asyncio.timeout(10):
            while not (found := [span for span in spans.get_finished_spans() if span.name == METHOD]):
                await asyncio.sleep(0.01)
            while '"event": "call"' not in written.getvalue():
                await asyncio.sleep(0.01)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines if line["level"] != "info"] == []
    (line,) = [line for line in lines if line["event"] == "call"]
    # At a deadline either side may be the first to give the call up.
    assert line["code"] in ({"CANCELLED"} if leaves == "cancel" else {"CANCELLED", "DEADLINE_EXCEEDED"})
    assert [span.attributes["rpc.response.status_code"] for span in found] == [line["code"]]
