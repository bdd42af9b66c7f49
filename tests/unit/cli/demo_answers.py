"""What the fakes answer to the demo."""

from __future__ import annotations

import grpc
from google.protobuf.json_format import ParseDict

from maas.nlp.v1 import conversation_pb2, nlp_pb2, summary_pb2, translation_pb2
from maas.router.v1 import router_pb2
from maas.speech.v1 import command_pb2, live_pb2, speech_pb2, synthesis_pb2
from maas.vision.v1 import face_pb2, image_pb2, video_pb2, vision_pb2
from services.cli import hearing
from tests.unit.cli.fakes import FakeMesh, Reply, Stream

BOX = {"xMin": 0.25, "yMin": 0.25, "xMax": 0.75, "yMax": 0.75}
LOOKED_TWICE = ParseDict(
    {"outputs": {"summary": {"text": "Looks like espresso."}}, "nodes": [{"node": "classify", "endOffset": "0.020s"}]},
    router_pb2.RunGraphResponse(),
)
NAME = {"type": "ENTITY_TYPE_PERSON", "span": {"content": "Angela Merkel", "endOffset": 13}}
WRITER = {
    "name": "writer",
    "task": "text-generation",
    "default": True,
    "summary": "Writes.",
    "note": "The larger one needs more memory.",
}


def language_answers() -> dict[str, Reply | Stream]:
    """What the language service answers, a language model among its models."""
    return {
        "ClassifyText": ParseDict(
            {"results": [{"labels": [{"label": "sport", "score": 0.8}]}]}, nlp_pb2.ClassifyTextResponse()
        ),
        "AnalyzeEntities": ParseDict(
            {"results": [{"entities": [NAME], "model": "m"}, {"model": "m"}]}, nlp_pb2.AnalyzeEntitiesResponse()
        ),
        "ListSupportedLanguagePairs": pairs(("en", "pt"), ("en", "zh"), ("zh", "en")),
        "TranslateText": lambda request, _: ParseDict(
            {"results": [{"translatedText": f"<{request.contents[0]}>", "model": "m", "quality": 1}]},
            translation_pb2.TranslateTextResponse(),
        ),
        "GetNlpConfig": ParseDict({"models": [WRITER]}, nlp_pb2.GetNlpConfigResponse()),
        "SummarizeText": ParseDict(
            {"results": [{"content": "A ferry turned back. " * 5, "parts": 1, "readShare": 1, "model": "writer"}]},
            summary_pb2.SummarizeTextResponse(),
        ),
        "AnswerQuestion": ParseDict(
            {"results": [{"answered": True, "answer": "412", "supports": [{"span": {"content": "412 people"}}]}, {}]},
            conversation_pb2.AnswerQuestionResponse(),
        ),
        "StreamGenerateReply": [
            conversation_pb2.StreamGenerateReplyResponse(delta="Thank you "),
            conversation_pb2.StreamGenerateReplyResponse(delta="for waiting."),
            ParseDict(
                {"response": {"reply": "Thank you for waiting.", "model": "writer"}},
                conversation_pb2.StreamGenerateReplyResponse(),
            ),
        ],
    }


def pairs(*codes: tuple[str, str]) -> translation_pb2.ListSupportedLanguagePairsResponse:
    """A list of pairs of languages."""
    return translation_pb2.ListSupportedLanguagePairsResponse(
        pairs=[
            translation_pb2.LanguagePair(source_language_code=source, target_language_code=target)
            for source, target in codes
        ]
    )


def answer_everything(mesh: FakeMesh) -> None:
    """Let the fakes answer as real models would."""
    mesh.replies |= {
        "ClassifyImage": ParseDict(
            {"labels": [{"name": "espresso", "score": 0.96}]}, vision_pb2.ClassifyImageResponse()
        ),
        "DetectObjects": ParseDict(
            {"objects": [{"name": "cup", "score": 0.9, "boundingBox": BOX}], "imageWidth": 64, "imageHeight": 48},
            vision_pb2.DetectObjectsResponse(),
        ),
        "DetectFaces": ParseDict(
            {"faces": [{"boundingBox": BOX, "score": 0.9, "ageYears": 36, "expressions": [{"name": "happy"}]}]},
            face_pb2.DetectFacesResponse(),
        ),
        "RecognizeText": image_pb2.RecognizeTextResponse(lines=[image_pb2.TextLine(text="Region-based segmentation")]),
        "StreamingAnnotateVideo": [
            ParseDict(
                {"summary": {"tracks": [{"trackId": 1, "name": "dog", "bestBox": BOX}], "framesAnalyzed": 9}},
                video_pb2.StreamingAnnotateVideoResponse(),
            )
        ],
        "AnalyzeSentiment": ParseDict(
            {"results": [{"sentiment": "SENTIMENT_POSITIVE", "score": 0.9}] * 3}, nlp_pb2.AnalyzeSentimentResponse()
        ),
        "EmbedText": ParseDict(
            {"results": [{"values": [1, 0]}, {"values": [0.8, 0.6]}, {"values": [0, 1]}], "dimension": 2},
            nlp_pb2.EmbedTextResponse(),
        ),
        **language_answers(),
        "StreamingRecognize": [
            live_pb2.StreamingRecognizeResponse(result=live_pb2.StreamingRecognitionResult(transcript="And so")),
            ParseDict(
                {"result": {"transcript": "And so my fellow Americans.", "isFinal": True, "resultEndOffset": "3s"}},
                live_pb2.StreamingRecognizeResponse(),
            ),
        ],
        "Recognize": speech_pb2.RecognizeResponse(transcript=hearing.SAYS, language_code="en"),
        "RecognizeCommand": _command,
        "SynthesizeSpeech": lambda request, _: synthesis_pb2.SynthesizeSpeechResponse(
            audio_content=b"RIFF" + request.text.encode()
        ),
        "RunGraph": LOOKED_TWICE,
        "StreamingRunGraph": [
            router_pb2.StreamingRunGraphResponse(item={"name": "transcript", "value": {"text": "Ask not."}}),
            router_pb2.StreamingRunGraphResponse(item={"name": "audio", "value": {"data": b"RIFF"}}),
            router_pb2.StreamingRunGraphResponse(end={}),
        ],
    }


def _command(
    request: command_pb2.RecognizeCommandRequest, _: grpc.ServicerContext
) -> command_pb2.RecognizeCommandResponse:
    if hearing.ORDER.encode() not in request.audio.content:
        return command_pb2.RecognizeCommandResponse()
    return ParseDict(
        {"command": {"intent": "set_timer", "slots": [{"name": "minutes", "value": "25"}], "confidence": 0.9}},
        command_pb2.RecognizeCommandResponse(),
    )


def port_of(mesh: FakeMesh) -> str:
    """The port of the fakes."""
    return mesh.address.rpartition(":")[2]
