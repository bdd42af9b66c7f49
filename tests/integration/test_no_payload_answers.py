"""Nothing that is answered is recorded either: a word that models say is in no span, no metric and no log line."""

import json

import numpy as np
import pytest
from opentelemetry.trace import SpanKind
from tritonclient.grpc import service_pb2 as pb

from maas.nlp.v1 import conversation_pb2, nlp_pb2
from maas.preprocessing.v1 import preprocessing_pb2, preprocessing_pb2_grpc
from maas.router.v1 import router_pb2, router_pb2_grpc
from maas.speech.v1 import speech_pb2
from maas.vision.v1 import image_pb2
from services.mesh import kserve
from services.mesh.testing import serve
from services.preprocessing.app import servicer as preprocessing_servicer
from services.preprocessing.pipelines.workers import Workers
from tests.integration.preproc_service import pipelines
from tests.integration.router_mesh import Mesh
from tests.integration.test_triton_adapter import Triton, triton
from tests.unit.nlp.analysis import analysis
from tests.unit.nlp.language_model import says, writer
from tests.unit.speech.rpc.test_recognition import AUDIO, ear
from tests.unit.vision.pictures import IMAGE, line, lines, pictures

CANARY = "Xyzzyplugh"
SERVER_CALLS = "rpc_server_call_duration_seconds_count"


def written_as_json(value, shape):
    return np.array([json.dumps(value).encode()], object).reshape(shape)


HEARD = {
    "language": "en",
    "language_probability": 0.9,
    "duration": 1.0,
    "segments": [{"text": CANARY, "start": 0, "end": 1, "confidence": 0.9}],
}
NAMED = [{"begin": 0, "end": len(CANARY), "type": "PERSON", "score": None}]
SAID = {
    "reader": lines(line(CANARY, (0.1, 0.1, 0.5, 0.2))),
    "ear": {"result": written_as_json(HEARD, (1,))},
    "names-en": {"entities": written_as_json(NAMED, (1, 1))},
}


class Speaker(Triton):
    """Models that say the word: in a picture, in sound, as a name in a text, and as a text of their own."""

    async def ModelInfer(self, request, context):
        return response(request, SAID[request.model_name], final=True)

    async def ModelStreamInfer(self, requests, context):
        async for request in requests:
            pieces = says(CANARY, f" {CANARY}")
            for number, piece in enumerate(pieces, 1):
                told = response(request, piece, final=number == len(pieces))
                yield pb.ModelStreamInferResponse(infer_response=told)


def response(request, answer, *, final):
    made = pb.ModelInferResponse(model_name=request.model_name)
    for output in request.outputs:
        value = answer[output.name]
        made.outputs.add(name=output.name, datatype=kserve.DATATYPES[value.dtype], shape=value.shape)
        made.raw_output_contents.append(kserve.encode(value))
    made.parameters["triton_final_response"].bool_param = final
    return made


async def names(inference):
    async with analysis(inference=inference) as (stub, _):
        return await stub.AnalyzeEntities(
            nlp_pb2.AnalyzeEntitiesRequest(contents=[f"{CANARY} said"], language_code="en")
        )


async def writes(inference):
    asked = conversation_pb2.ChatMessage(role=conversation_pb2.ROLE_USER, content=CANARY)
    async with writer(inference=inference) as (stub, _):
        return await stub.GenerateReply(conversation_pb2.GenerateReplyRequest(messages=[asked]))


async def writes_on(inference):
    asked = conversation_pb2.ChatMessage(role=conversation_pb2.ROLE_USER, content=CANARY)
    async with writer(inference=inference) as (stub, _):
        pieces = stub.StreamGenerateReply(conversation_pb2.StreamGenerateReplyRequest(request={"messages": [asked]}))
        return [piece async for piece in pieces]


async def reads(inference):
    async with pictures(inference=inference) as (stub, _):
        return await stub.RecognizeText(image_pb2.RecognizeTextRequest(image=IMAGE))


async def hears(inference):
    async with ear(inference) as (stub, _):
        return await stub.Recognize(speech_pb2.RecognizeRequest(audio=AUDIO))


async def normalizes(_):
    with Workers(threads=1, max_waiting=2) as workers:
        async with serve(preprocessing_servicer(await pipelines(workers))) as channel:
            stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
            return await stub.NormalizeText(preprocessing_pb2.NormalizeTextRequest(contents=[CANARY]))


async def runs(_):
    async with Mesh().router() as channel:
        inputs = {"recording": router_pb2.Value(data=CANARY.encode())}
        asked = router_pb2.RunGraphRequest(graph="hear-and-judge", inputs=inputs)
        return await router_pb2_grpc.RouterServiceStub(channel).RunGraph(asked, wait_for_ready=True)


CALLS = [names, writes, writes_on, reads, hears, normalizes, runs]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_nothing_of_an_answer_is_recorded(spans, measured, written, call):
    """Through the real adapter to Triton, for which a server speaks that says the word."""
    async with triton(Speaker()) as inference:
        answer = await call(inference)
    assert CANARY in str(answer)
    assert '"code": "OK"' in written.getvalue()
    assert [line for line in written.getvalue().splitlines() if CANARY in line] == []
    found = spans.get_finished_spans()
    assert {span.kind for span in found} >= {SpanKind.SERVER}
    assert [span.name for span in found if CANARY in span.to_json()] == []
    assert measured.saying(SERVER_CALLS)
    assert measured.saying(CANARY) == []
