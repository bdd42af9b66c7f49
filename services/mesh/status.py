"""The one table between domain errors and gRPC statuses, in both directions.

Every status carries google.rpc.ErrorInfo (domain "maas"), and BadRequest, RetryInfo or ResourceInfo as fits (AIP-193).
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc import RpcError, StatusCode
from grpc.aio import AioRpcError

from services.mesh import errors

DOMAIN = "maas"
# Where gRPC carries google.rpc.Status.
_DETAILS_KEY = "grpc-status-details-bin"

CODES: dict[type[errors.MeshError], StatusCode] = {
    errors.InvalidArgument: StatusCode.INVALID_ARGUMENT,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.AlreadyExists: StatusCode.ALREADY_EXISTS,
    errors.Aborted: StatusCode.ABORTED,
    errors.FailedPrecondition: StatusCode.FAILED_PRECONDITION,
    errors.Unimplemented: StatusCode.UNIMPLEMENTED,
    errors.Exhausted: StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: StatusCode.CANCELLED,
    errors.MeshError: StatusCode.INTERNAL,
}
ERRORS: dict[StatusCode, type[errors.MeshError]] = {code: error for error, code in CODES.items()} | {
    StatusCode.INTERNAL: errors.Internal,
}


def code_of(error: errors.MeshError) -> StatusCode:
    """The status code of an error: that of its nearest ancestor in the table."""
    return next(CODES[cls] for cls in type(error).__mro__ if cls in CODES)


def to_status(error: errors.MeshError) -> Status:
    """The status that a caller gets for an error."""
    status = Status(code=code_of(error).value[0], message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad.field_violations.add(field=violation.field, description=violation.description)
        status.details.add().Pack(bad)
    if error.retry_after_seconds is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def from_status(status: Status) -> errors.MeshError:
    """The error that another service of the mesh meant by a status; `to_status` gives the same status back."""
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, bad, retry):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    code = next((code for code in StatusCode if code.value[0] == status.code), StatusCode.UNKNOWN)
    return ERRORS.get(code, errors.Internal)(
        status.message,
        reason=info.reason or None,
        metadata=info.metadata,
        violations=[errors.Violation(v.field, v.description) for v in bad.field_violations],
        retry_after_seconds=retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None,
    )


def reason_of(error: RpcError) -> str:
    """The ErrorInfo reason of a status that our own code sent, "" of any other."""
    # What a call raises is the call itself, though grpc's types do not say so.
    for key, value in getattr(error, "trailing_metadata", tuple)() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return from_status(Status.FromString(value)).reason
    return ""


def from_rpc_error(error: AioRpcError, service: str) -> errors.MeshError:
    """The error behind a failed call to another service of the mesh.

    A status that our own code sent is passed on whole. Of any other only the code is kept, since its text (addresses,
    paths) is not for callers.
    """
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return from_status(Status.FromString(value))
    code = error.code()
    metadata = {"service": service}
    if code is StatusCode.UNAVAILABLE:
        return errors.Unavailable(f"{service} is not reachable", metadata=metadata, retry_after_seconds=1)
    if code is StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded(f"{service} did not answer in time", metadata=metadata)
    if code is StatusCode.RESOURCE_EXHAUSTED:
        return errors.Exhausted(f"{service} is busy", metadata=metadata, retry_after_seconds=1)
    if code is StatusCode.CANCELLED:
        return errors.Cancelled(f"the call to {service} was cancelled", metadata=metadata)
    return errors.Internal(f"{service} failed ({code.name})", reason="UPSTREAM_FAILED", metadata=metadata)
