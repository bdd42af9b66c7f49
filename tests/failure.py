"""How a call failed."""

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.client.ending import Ending


async def received(call, seen=None):
    """All answers of a streaming call. Raises the status that the server sent, also while more was being written.

    seen: a list that has those that came even when the call fails.
    """
    seen = [] if seen is None else seen
    ending = Ending(call)
    try:
        async for answer in call:
            seen.append(answer)
    except grpc.aio.AioRpcError as error:
        if (meant := await ending.meant(error)) is not None:
            raise meant from None
    return seen


async def failure(call):
    """The status code of a call that must fail, and its ErrorInfo, BadRequest and RetryInfo."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), *details_of(caught.value)


def details_of(error):
    """The ErrorInfo, BadRequest and RetryInfo of an error that has details."""
    details = [error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()]
    for detail in rpc_status.from_call(error).details:
        for message in details:
            detail.Unpack(message)
    return details


async def refusal(call) -> tuple[str, str]:
    """The field that was wrong in a call that must be refused, and what is said of it."""
    code, info, bad, _ = await failure(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert (info.domain, info.reason) == ("maas", "INVALID_ARGUMENT")
    (violation,) = bad.field_violations
    return violation.field, violation.description
