"""Every command that calls a service, its method and an answer."""

from __future__ import annotations

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from maas.nlp.v1 import conversation_pb2, nlp_pb2, summary_pb2, translation_pb2
from maas.preprocessing.v1 import preprocessing_pb2
from maas.router.v1 import graph_pb2, router_pb2, traffic_pb2
from maas.speech.v1 import command_pb2, live_pb2, speaker_pb2, speech_pb2, synthesis_pb2
from maas.vision.v1 import face_pb2, image_pb2, redaction_pb2, video_pb2, vision_pb2

TENSOR = {"dataType": "DATA_TYPE_INT64", "shape": [1, 1], "content": "AQAAAAAAAAA="}
PIXELS = {"dataType": "DATA_TYPE_UINT8", "shape": [1, 1, 3], "content": "AAAA"}
SOUND = {"dataType": "DATA_TYPE_FLOAT32", "shape": [1], "content": "AAAAAA=="}

GRAPH = {
    "name": "shout",
    "summary": "Finds names.",
    "inputs": {"text": {"kind": "text", "summary": "The text."}},
    "run": {
        "node": "find",
        "call": "maas.nlp.v1.NlpService/AnalyzeEntities",
        "request": {"contents": "[inputs.text]"},
    },
    "outputs": {"names": {"value": "find.results.size()", "summary": "How many."}},
    "version": "0123456789ab",
}
_POLICY = {
    "target": "graphs/shout",
    "shares": [{"variant": "0123456789ab", "weight": 3}, {"variant": "ba9876543210", "weight": 1}],
    "statistics": [{"variant": "0123456789ab", "calls": 9}],
}

_SESSION = "8f14e45f-ceea-467f-9575-1f5bb4d0e3a2"
_TRANSCRIPT: list[Message] = [
    ParseDict(
        {
            "sessionId": _SESSION,
            "result": {
                "isFinal": True,
                "transcript": "Hello!",
                "resultStartOffset": "2s",
                "words": [{"word": "Hello!", "startOffset": "2s"}],
            },
        },
        live_pb2.StreamingRecognizeResponse(),
    ),
    ParseDict(
        {"sessionId": _SESSION, "end": {"duration": "3s", "finalResults": 1}}, live_pb2.StreamingRecognizeResponse()
    ),
]

# Command -> an answer of its method, as JSON.
COMMANDS: list[tuple[str, Message]] = [
    (
        "nlp sentiment hello",
        ParseDict({"results": [{"sentiment": "SENTIMENT_NEUTRAL"}]}, nlp_pb2.AnalyzeSentimentResponse()),
    ),
    ("nlp embed hello", ParseDict({"results": [{"values": [0.5]}], "dimension": 1}, nlp_pb2.EmbedTextResponse())),
    (
        "nlp classify hello --label greeting --label farewell",
        ParseDict({"results": [{"labels": [{"label": "greeting", "score": 0.5}]}]}, nlp_pb2.ClassifyTextResponse()),
    ),
    (
        "nlp entities hello",
        ParseDict({"results": [{"languageCode": "en"}]}, nlp_pb2.AnalyzeEntitiesResponse()),
    ),
    (
        "nlp annotate hello",
        ParseDict({"results": [{"sentiment": {"score": 0.5}}]}, nlp_pb2.AnnotateTextResponse()),
    ),
    (
        "nlp translate hello --to zh",
        ParseDict({"results": [{"translatedText": "你好"}]}, translation_pb2.TranslateTextResponse()),
    ),
    (
        "nlp language-pairs",
        ParseDict({"pairs": [{"sourceLanguageCode": "en"}]}, translation_pb2.ListSupportedLanguagePairsResponse()),
    ),
    (
        "nlp summarize hello",
        ParseDict({"results": [{"content": "A greeting.", "parts": 1}]}, summary_pb2.SummarizeTextResponse()),
    ),
    (
        "nlp ask hello --passage-text world",
        ParseDict({"results": [{"answered": True, "answer": "world"}]}, conversation_pb2.AnswerQuestionResponse()),
    ),
    (
        "nlp reply hello again",
        ParseDict({"results": [{"response": {"reply": "Hello!"}}]}, conversation_pb2.BatchGenerateReplyResponse()),
    ),
    ("nlp reply hello", ParseDict({"reply": "Hello!"}, conversation_pb2.GenerateReplyResponse())),
    ("nlp config", ParseDict({"models": [{"name": "a"}]}, nlp_pb2.GetNlpConfigResponse())),
    (
        "vision classify FILE",
        ParseDict({"labels": [{"name": "cat", "score": 0.5}]}, vision_pb2.ClassifyImageResponse()),
    ),
    (
        "vision detect FILE",
        ParseDict({"objects": [{"name": "cat"}], "imageWidth": 9}, vision_pb2.DetectObjectsResponse()),
    ),
    ("vision embed FILE", ParseDict({"embedding": [0.5, 0.5]}, image_pb2.EmbedImageResponse())),
    ("vision text FILE", ParseDict({"text": "EXIT", "lines": [{"text": "EXIT"}]}, image_pb2.RecognizeTextResponse())),
    (
        "vision faces FILE --age --expression",
        ParseDict({"faces": [{"score": 0.9, "ageYears": 40}], "imageWidth": 9}, face_pb2.DetectFacesResponse()),
    ),
    ("vision verify FILE FILE", ParseDict({"samePerson": True, "distance": 0.3}, face_pb2.VerifyFaceResponse())),
    (
        "vision gallery enroll FILE --person Ada",
        ParseDict({"face": {"faceId": "f", "personId": "Ada"}}, face_pb2.EnrollFaceResponse()),
    ),
    (
        "vision gallery identify FILE",
        ParseDict({"candidates": [{"face": {"personId": "Ada"}, "distance": 0.3}]}, face_pb2.IdentifyFaceResponse()),
    ),
    ("vision gallery delete --person Ada", ParseDict({"deletedCount": 2}, face_pb2.DeleteFaceResponse())),
    ("vision gallery list", ParseDict({"faces": [{"personId": "Ada"}]}, face_pb2.ListFacesResponse())),
    (
        "vision annotate FILE --feature labels",
        ParseDict(
            {
                "annotation": {
                    "labels": [{"name": "cat", "score": 0.5}],
                    "models": [{"feature": "IMAGE_FEATURE_LABELS", "model": "m"}],
                }
            },
            vision_pb2.AnnotateImageResponse(),
        ),
    ),
    (
        "vision annotate FILE FILE",
        ParseDict({"results": [{"annotation": {}}, {"annotation": {}}]}, vision_pb2.BatchAnnotateImagesResponse()),
    ),
    (
        "vision safety FILE",
        ParseDict({"annotation": {"safety": {"unsafeScore": 0.5}}}, vision_pb2.AnnotateImageResponse()),
    ),
    (
        "vision pose FILE",
        ParseDict({"annotation": {"poses": [{"score": 0.5}]}}, vision_pb2.AnnotateImageResponse()),
    ),
    (
        "vision segment FILE",
        ParseDict({"annotation": {"personMask": {"coverage": 0.5}}}, vision_pb2.AnnotateImageResponse()),
    ),
    (
        "vision redact FILE --out OUT",
        ParseDict({"content": "AAEC", "regions": [{"kind": "face"}]}, redaction_pb2.RedactImageResponse()),
    ),
    ("vision config", ParseDict({"models": [{"name": "a"}]}, vision_pb2.GetVisionConfigResponse())),
    ("speech recognize FILE", ParseDict({"transcript": "Grüße", "duration": "1.500s"}, speech_pb2.RecognizeResponse())),
    (
        "speech speak hello",
        ParseDict({"audioContent": "AAEC", "voice": "heart"}, synthesis_pb2.SynthesizeSpeechResponse()),
    ),
    ("speech voices", ParseDict({"voices": [{"name": "heart"}]}, synthesis_pb2.ListVoicesResponse())),
    (
        "speech command FILE --command stop:stop",
        ParseDict({"command": {"intent": "stop", "confidence": 0.9}}, command_pb2.RecognizeCommandResponse()),
    ),
    (
        "speech speaker embed FILE",
        ParseDict({"embedding": [0.5, 0.5], "speechDuration": "9s"}, speaker_pb2.EmbedSpeakerResponse()),
    ),
    (
        "speech speaker verify FILE FILE",
        ParseDict({"sameSpeaker": True, "similarity": 0.9}, speaker_pb2.VerifySpeakerResponse()),
    ),
    (
        "speech config",
        ParseDict({"models": [{"name": "a", "voices": ["heart"]}]}, speech_pb2.GetSpeechConfigResponse()),
    ),
    ("preprocess normalize hello", ParseDict({"contents": ["hello"]}, preprocessing_pb2.NormalizeTextResponse())),
    (
        "preprocess tokenize hello --tokenizer minilm-l6",
        ParseDict(
            {"inputIds": TENSOR, "attentionMask": TENSOR, "truncated": [False]},
            preprocessing_pb2.TokenizeTextResponse(),
        ),
    ),
    (
        "preprocess segment hello",
        ParseDict(
            {"results": [{"sentences": [{"end": 5}]}]},
            preprocessing_pb2.SegmentTextResponse(),
        ),
    ),
    (
        "preprocess detect-language hello",
        ParseDict({"results": [{"languageCode": "en", "confidence": 0.5}]}, preprocessing_pb2.DetectLanguageResponse()),
    ),
    (
        "preprocess image FILE",
        ParseDict({"pixels": PIXELS, "sourceFormat": "PNG"}, preprocessing_pb2.TransformImageResponse()),
    ),
    (
        "preprocess audio FILE",
        ParseDict({"samples": SOUND, "sourceCodec": "mp3"}, preprocessing_pb2.ConvertAudioResponse()),
    ),
    (
        "preprocess render FILE --size 1x1",
        ParseDict({"renderings": [{"pixels": PIXELS}], "sourceFormat": "PNG"}, preprocessing_pb2.RenderImageResponse()),
    ),
    (
        "preprocess redact FILE --box 0,0,1,1 --out OUT",
        ParseDict({"content": "AAEC", "mediaType": "image/png"}, preprocessing_pb2.RedactImageResponse()),
    ),
    ("preprocess fetch https://host/cat.jpg", ParseDict({"content": "AAEC"}, preprocessing_pb2.FetchMediaResponse())),
    ("preprocess config", ParseDict({"tokenizers": ["minilm-l6"]}, preprocessing_pb2.GetPreprocessingConfigResponse())),
    (
        "graph run hear-and-judge --input recording=@FILE",
        ParseDict(
            {"outputs": {"transcript": {"text": "hello"}}, "nodes": [{"node": "hear", "endOffset": "0.250s"}]},
            router_pb2.RunGraphResponse(),
        ),
    ),
    ("graph list", ParseDict({"graphs": [GRAPH]}, graph_pb2.ListGraphsResponse())),
    ("graph validate FILE --remote", ParseDict({"graph": GRAPH}, graph_pb2.ValidateGraphResponse())),
    ("graph show shout", ParseDict({"graph": GRAPH}, graph_pb2.GetGraphResponse())),
    ("graph get shout", ParseDict({"graph": GRAPH}, graph_pb2.GetGraphResponse())),
    ("graph create FILE", ParseDict({"graph": GRAPH}, graph_pb2.CreateGraphResponse())),
    ("graph update FILE --etag e", ParseDict({"graph": GRAPH}, graph_pb2.UpdateGraphResponse())),
    ("graph delete shout", graph_pb2.DeleteGraphResponse()),
    ("graph traffic get shout", ParseDict({"policy": _POLICY}, traffic_pb2.GetTrafficPolicyResponse())),
    ("graph traffic list", ParseDict({"policies": [_POLICY]}, traffic_pb2.ListTrafficPoliciesResponse())),
    (
        "graph traffic set shout --share 0123456789ab=3",
        ParseDict({"policy": _POLICY}, traffic_pb2.SetTrafficPolicyResponse()),
    ),
    ("graph traffic delete shout", traffic_pb2.DeleteTrafficPolicyResponse()),
    ("models", ParseDict({"services": [{"name": "maas.nlp.v1.NlpService"}]}, router_pb2.ListCapabilitiesResponse())),
]
METHODS = {
    "nlp sentiment": "AnalyzeSentiment",
    "nlp embed": "EmbedText",
    "nlp classify": "ClassifyText",
    "nlp entities": "AnalyzeEntities",
    "nlp annotate": "AnnotateText",
    "nlp translate": "TranslateText",
    "nlp language-pairs": "ListSupportedLanguagePairs",
    "nlp summarize": "SummarizeText",
    "nlp ask": "AnswerQuestion",
    "nlp reply hello again": "BatchGenerateReply",
    "nlp reply": "GenerateReply",
    "nlp config": "GetNlpConfig",
    "vision classify": "ClassifyImage",
    "vision detect": "DetectObjects",
    "vision embed": "EmbedImage",
    "vision text": "RecognizeText",
    "vision faces": "DetectFaces",
    "vision verify": "VerifyFace",
    "vision gallery enroll": "EnrollFace",
    "vision gallery identify": "IdentifyFace",
    "vision gallery delete": "DeleteFace",
    "vision gallery list": "ListFaces",
    "vision annotate FILE FILE": "BatchAnnotateImages",
    "vision annotate": "AnnotateImage",
    "vision safety": "AnnotateImage",
    "vision pose": "AnnotateImage",
    "vision segment": "AnnotateImage",
    "vision redact": "RedactImage",
    "vision config": "GetVisionConfig",
    "speech recognize": "Recognize",
    "speech speak": "SynthesizeSpeech",
    "speech voices": "ListVoices",
    "speech command": "RecognizeCommand",
    "speech speaker embed": "EmbedSpeaker",
    "speech speaker verify": "VerifySpeaker",
    "speech config": "GetSpeechConfig",
    "preprocess normalize": "NormalizeText",
    "preprocess tokenize": "TokenizeText",
    "preprocess segment": "SegmentText",
    "preprocess detect-language": "DetectLanguage",
    "preprocess image": "TransformImage",
    "preprocess audio": "ConvertAudio",
    "preprocess render": "RenderImage",
    "preprocess redact": "RedactImage",
    "preprocess fetch": "FetchMedia",
    "preprocess config": "GetPreprocessingConfig",
    "graph run": "RunGraph",
    "graph list": "ListGraphs",
    "graph validate": "ValidateGraph",
    "graph show": "GetGraph",
    "graph get": "GetGraph",
    "graph create": "CreateGraph",
    "graph update": "UpdateGraph",
    "graph delete": "DeleteGraph",
    "graph traffic get": "GetTrafficPolicy",
    "graph traffic list": "ListTrafficPolicies",
    "graph traffic set": "SetTrafficPolicy",
    "graph traffic delete": "DeleteTrafficPolicy",
    "models": "ListCapabilities",
}
# Command -> its method, which streams, and the answers.
STREAMS: dict[str, tuple[str, list[Message]]] = {
    "nlp reply hello --stream": (
        "StreamGenerateReply",
        [
            conversation_pb2.StreamGenerateReplyResponse(delta="Hel"),
            conversation_pb2.StreamGenerateReplyResponse(delta="lo!"),
            ParseDict({"response": {"reply": "Hello!"}}, conversation_pb2.StreamGenerateReplyResponse()),
        ],
    ),
    "nlp summarize hello --stream": (
        "StreamSummarizeText",
        [
            summary_pb2.StreamSummarizeTextResponse(delta="Hel"),
            summary_pb2.StreamSummarizeTextResponse(delta="lo!"),
            ParseDict({"summary": {"content": "Hello!"}}, summary_pb2.StreamSummarizeTextResponse()),
        ],
    ),
}
# Commands that send something else than a file; their tests stand beside those of their group.
WRITTEN = {"speech speak -": "StreamingSynthesize", "graph stream shout": "StreamingRunGraph"}
# Command that sends a file -> its method, which streams both ways, and the answers.
CONVERSATIONS: dict[str, tuple[str, list[Message]]] = {
    "vision video FILE": (
        "StreamingAnnotateVideo",
        [
            ParseDict(
                {"frame": {"offset": "1.500s", "objects": [{"trackId": 3, "name": "dog"}]}},
                video_pb2.StreamingAnnotateVideoResponse(),
            ),
            ParseDict({"shotChange": {"offset": "2s"}}, video_pb2.StreamingAnnotateVideoResponse()),
            ParseDict({"progress": {"framesAnalyzed": 9}}, video_pb2.StreamingAnnotateVideoResponse()),
            ParseDict(
                {"summary": {"tracks": [{"trackId": 3, "name": "dog", "endOffset": "2.500s"}]}},
                video_pb2.StreamingAnnotateVideoResponse(),
            ),
        ],
    ),
    "speech transcribe FILE --words": ("StreamingRecognize", _TRANSCRIPT),
    # So fast that nothing has to be waited for.
    "speech listen FILE --raw 192000 --channels 8": ("StreamingRecognize", _TRANSCRIPT),
    "speech command FILE --live --command stop:stop": (
        "StreamingRecognizeCommand",
        [
            ParseDict(
                {"command": {"intent": "stop", "startOffset": "2s"}}, command_pb2.StreamingRecognizeCommandResponse()
            ),
            ParseDict({"end": {"duration": "3s"}}, command_pb2.StreamingRecognizeCommandResponse()),
        ],
    ),
    "preprocess audio FILE --stream": (
        "StreamingConvertAudio",
        [
            ParseDict(
                {"piece": {"offset": "2s", "content": "AAAA"}}, preprocessing_pb2.StreamingConvertAudioResponse()
            ),
            ParseDict({"end": {"duration": "2s"}}, preprocessing_pb2.StreamingConvertAudioResponse()),
        ],
    ),
    "preprocess speech FILE": (
        "DetectSpeech",
        [
            ParseDict({"speech": {"startOffset": "2s", "endOffset": "3s"}}, preprocessing_pb2.DetectSpeechResponse()),
            ParseDict({"end": {"duration": "4s"}}, preprocessing_pb2.DetectSpeechResponse()),
        ],
    ),
    "preprocess denoise FILE --out OUT": (
        "DenoiseAudio",
        [
            ParseDict({"content": "AAAA"}, preprocessing_pb2.DenoiseAudioResponse()),
            ParseDict({"end": {"duration": "2s"}}, preprocessing_pb2.DenoiseAudioResponse()),
        ],
    ),
    "preprocess frames FILE": (
        "ExtractFrames",
        [
            ParseDict({"shotChange": {"offset": "2s", "score": 0.7}}, preprocessing_pb2.ExtractFramesResponse()),
            ParseDict({"end": {"framesDecoded": 9, "sourceCodec": "h264"}}, preprocessing_pb2.ExtractFramesResponse()),
        ],
    ),
}


def method_of(command: str) -> str:
    """The method that a command calls."""
    return next(method for prefix, method in METHODS.items() if f"{command} ".startswith(f"{prefix} "))
