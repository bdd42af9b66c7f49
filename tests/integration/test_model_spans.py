"""What a call of a model leaves in a trace, over a real socket to a server that speaks Triton's protocol."""

import time
from contextlib import aclosing

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from tritonclient.grpc import service_pb2 as pb

from services.mesh import kserve
from services.mesh.deadline import Deadline
from services.mesh.triton import EXECUTION_NS
from services.mesh.triton.execution import Execution
from tests.integration.test_triton_adapter import Triton, infer, triton

CARD = {"task": "t", "summary": "S."}
STREAM = "inference.GRPCInferenceService/ModelStreamInfer"
WRITES = ("text_output", "finish_reason", "num_input_tokens", "num_output_tokens")


class Writer(Triton):
    """A language model: three pieces of two tokens each, and its own times in each response."""

    async def ModelStreamInfer(self, requests, context):
        async for request in requests:
            began = time.time_ns()
            for number in range(3):
                values = {
                    "text_output": np.array([b"piece"], object),
                    "finish_reason": np.array([b"length" if number == 2 else b"None"], object),
                    "num_input_tokens": np.uint32([7]),
                    "num_output_tokens": np.uint32([2]),
                    EXECUTION_NS: np.int64([began, time.time_ns()]),
                }
                response = pb.ModelInferResponse(model_name=request.model_name)
                for output in request.outputs:
                    value = values[output.name]
                    response.outputs.add(name=output.name, datatype=kserve.DATATYPES[value.dtype], shape=value.shape)
                    response.raw_output_contents.append(kserve.encode(value))
                response.parameters["triton_final_response"].bool_param = number == 2
                yield pb.ModelStreamInferResponse(infer_response=response)


async def write(implementation, *, pieces=3):
    """The pieces that a caller takes before it leaves."""
    implementation.models = {"m": ("1", "READY", CARD)}
    taken = []
    async with triton(implementation) as inference:
        await inference.list_models({})
        inputs = {"text_input": np.array([b"secret prompt"], object)}
        with trace.get_tracer("test").start_as_current_span("caller"):
            async with aclosing(inference.stream("m", inputs, WRITES, deadline=Deadline.after(5))) as answers:
                async for answer in answers:
                    taken.append(answer)
                    if len(taken) == pieces:
                        break
    return taken


def named(spans, name):
    return next(span for span in spans.get_finished_spans() if span.name == name)


async def test_written_text_in_the_words_of_generative_ai(spans):
    """Model, tokens, how it ended and how soon it began are on the call's span; nothing of what was read or written."""
    await write(Writer())
    call = named(spans, STREAM)
    first = call.attributes["gen_ai.response.time_to_first_chunk"]
    assert 0 < first < 5
    assert {key: value for key, value in call.attributes.items() if key.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "triton",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 6,
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.response.time_to_first_chunk": first,
    }
    assert "secret" not in call.to_json()
    assert "piece" not in call.to_json()


async def test_queue_and_compute_of_a_model_that_answers_in_pieces(spans):
    """A decoupled model that tells its times has the two spans of its own, the first piece being an event of one."""
    implementation = Writer()
    implementation.outputs = [EXECUTION_NS]
    taken = await write(implementation)
    call, queue, compute = (named(spans, name) for name in (STREAM, "triton queue", "triton compute"))
    assert all(EXECUTION_NS not in answer for answer in taken)
    assert call.start_time <= queue.start_time <= queue.end_time == compute.start_time
    assert compute.start_time < compute.end_time <= call.end_time
    assert {queue.parent.span_id, compute.parent.span_id} == {call.context.span_id}
    assert [event.name for event in compute.events] == [event.name for event in call.events] == ["first response"]


async def test_text_that_is_left_early(spans):
    """Whoever leaves after the first piece leaves a CANCELLED span that counts what was written until then."""
    implementation = Writer()
    implementation.outputs = [EXECUTION_NS]
    await write(implementation, pieces=1)
    call = named(spans, STREAM)
    assert (call.status.status_code, call.attributes["error.type"]) == (StatusCode.ERROR, "CANCELLED")
    assert call.attributes["gen_ai.usage.output_tokens"] == 2
    assert "gen_ai.response.finish_reasons" not in call.attributes


@pytest.mark.parametrize("ahead_seconds", [-5, 5])
async def test_another_clock_on_triton_s_machine(spans, ahead_seconds):
    """A model that seems to run before it was asked, or after it answered, is placed in the middle of its call."""
    implementation = Triton()
    implementation.models, implementation.outputs = {"m": ("1", "READY", CARD)}, [EXECUTION_NS]
    there = time.time_ns() + ahead_seconds * 10**9
    implementation.times = there, there + 1000
    async with triton(implementation) as inference:
        await inference.list_models({})
        await infer(inference)
    call, queue, compute = (
        named(spans, name) for name in ("inference.GRPCInferenceService/ModelInfer", "triton queue", "triton compute")
    )
    assert call.start_time <= queue.start_time < compute.start_time < compute.end_time <= call.end_time
    assert compute.end_time - compute.start_time == 1000


def test_a_model_that_says_it_worked_longer_than_its_call():
    """Then it worked all the time that the call took, and no longer."""
    assert Execution.of(100, 200, np.int64([[0, 5000]])) == (100, 100, 200, 200)
