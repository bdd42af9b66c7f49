"""Arrays in Triton's messages, raw and without a copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tritonclient.grpc import service_pb2 as pb

from services.mesh import kserve

if TYPE_CHECKING:
    from services.mesh.ports import Array


def to_request(model: str, inputs: Mapping[str, Array], outputs: Sequence[str], timeout: float) -> pb.ModelInferRequest:
    """What Triton is asked. timeout: seconds until nobody waits for the answer any more."""
    request = pb.ModelInferRequest(
        model_name=model,
        inputs=[
            pb.ModelInferRequest.InferInputTensor(name=name, datatype=kserve.DATATYPES[array.dtype], shape=array.shape)
            for name, array in inputs.items()
        ],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
        raw_input_contents=[kserve.encode(array) for array in inputs.values()],
    )
    # A server whose queues have a policy drops the request when our caller has stopped waiting. The embedded one has
    # none: with any policy 24.10 stalls for half a second at a time, so `triton_max_inflight` bounds its queues.
    request.parameters["timeout"].int64_param = int(timeout * 1e6)
    return request


def arrays_of(response: pb.ModelInferResponse) -> dict[str, Array]:
    """The tensors of an answer, by name."""
    return {
        output.name: kserve.decode(content, output.datatype, tuple(output.shape))
        for output, content in zip(response.outputs, response.raw_output_contents, strict=True)
    }
