"""What a failed call to Triton means to our callers."""

from __future__ import annotations

import grpc

from services.mesh import errors

# How our models' texts begin that say what is wrong with a request: a stream of Triton's carries no code.
_REFUSED = "[INVALID_ARGUMENT] "


def to_error(code: grpc.StatusCode, text: str, model: str) -> errors.MeshError:
    """What a failed call to a model means to our callers. code: UNKNOWN when it came inside a stream, which has none.

    Triton's own text names paths: it stays inside. What a model of ours says to its caller is passed on.
    """
    _, refused, complaint = text.partition(_REFUSED)
    if refused:
        return errors.InvalidArgument(f"model {model!r}: {complaint[:500]}", metadata={"model": model})
    return _triton_error(code, text.lower(), model)


def _triton_error(code: grpc.StatusCode, said: str, model: str) -> errors.MeshError:
    metadata = {"model": model}
    in_stream = code is grpc.StatusCode.UNKNOWN
    if "maximum queue size" in said and (in_stream or code is grpc.StatusCode.UNAVAILABLE):
        return errors.Exhausted(f"the queue of model {model!r} is full", metadata=metadata, retry_after_seconds=1)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or "timeout expired" in said:
        return errors.DeadlineExceeded(f"model {model!r} did not answer in time", metadata=metadata)
    # A model that is being loaded is not known either, with this text.
    loading = "has no available versions" in said
    unknown = code is grpc.StatusCode.NOT_FOUND or (in_stream and "request for unknown model" in said)
    if unknown and not loading:
        return errors.NotFound(f"Triton has no model {model!r}", reason="MODEL_NOT_FOUND", metadata=metadata)
    # What we cancel ourselves is no status. Triton cancels what it has not begun when it ends.
    ended = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    if loading or ended or "stub process" in said or "is being unloaded" in said:
        return errors.Unavailable(
            f"model {model!r} is loading or restarting",
            reason="MODEL_UNAVAILABLE",
            metadata=metadata,
            retry_after_seconds=1,
        )
    return errors.Internal(f"model {model!r} failed", reason="MODEL_FAILED", metadata=metadata)
