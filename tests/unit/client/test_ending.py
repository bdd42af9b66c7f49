"""How a call really ended, when gRPC puts a status of its own over the server's (grpc/grpc#36066)."""

import asyncio

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from services.client.ending import Ending

OWN = AioRpcError(grpc.StatusCode.INTERNAL, Metadata(), Metadata(), "Internal error from Core")
REFUSED = AioRpcError(grpc.StatusCode.INVALID_ARGUMENT, Metadata(), Metadata(("k", "v")), "config: is required")
WELL = AioRpcError(grpc.StatusCode.OK, Metadata(), Metadata(), "")
BROKEN = AioRpcError(grpc.StatusCode.INTERNAL, Metadata(), Metadata(), "the mesh is at fault")


class Call:
    """A call whose status is what it was last set to."""

    def __init__(self) -> None:
        self.status = OWN
        self.callback = None

    def add_done_callback(self, callback) -> None:
        self.callback = callback

    def end(self, status) -> None:
        self.status = status
        self.callback(self)

    async def code(self):
        return self.status.code()

    async def details(self):
        return self.status.details()

    async def trailing_metadata(self):
        return self.status.trailing_metadata()


@pytest.mark.parametrize(
    ("first", "then"), [(REFUSED, OWN), (OWN, REFUSED)], ids=["the server's first", "gRPC's own first"]
)
async def test_the_server_s_status_is_told(first, then):
    """Whichever of the two came first, with its trailing metadata."""
    call = Call()
    ending = Ending(call)
    call.end(first)
    asyncio.get_running_loop().call_soon(setattr, call, "status", then)
    meant = await ending.meant(OWN)
    assert (meant.code(), meant.details()) == (REFUSED.code(), REFUSED.details())
    assert tuple(meant.trailing_metadata()) == (("k", "v"),)


async def test_a_call_that_ended_well():
    """None is told when the server's own status was OK."""
    call = Call()
    ending = Ending(call)
    call.end(OWN)
    asyncio.get_running_loop().call_soon(setattr, call, "status", WELL)
    assert await ending.meant(OWN) is None


@pytest.mark.parametrize("status", [BROKEN, OWN], ids=["the server's", "gRPC's"])
async def test_an_internal_error_stays_one(status):
    """Also gRPC's own, when the server has sent nothing else."""
    call = Call()
    ending = Ending(call)
    call.end(status)
    meant = await ending.meant(status)
    assert (meant.code(), meant.details()) == (status.code(), status.details())
