"""The table of edges: of every RPC and every graph that ships, which span is the parent of which.

A test fails when an RPC or a graph is missing here (tests/unit/test_edges.py), another when a parent has not its child
(tests/e2e/test_traces.py). A span is (service, name); `>` chains are written as lists.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from maas.models.v1 import models_pb2
from maas.nlp.v1 import nlp_pb2
from maas.preprocessing.v1 import preprocessing_pb2
from maas.router.v1 import router_pb2
from maas.speech.v1 import speech_pb2
from maas.vision.v1 import vision_pb2
from tests.e2e.calling import Case, Chain, Fields
from tests.unit.preprocessing.video.films import FASTSTART, film, plain

SAMPLES = Path(__file__).parents[2] / ".build/samples"
# Sent in texts and names, and looked for in everything that was recorded.
CANARY = "xyzzy-plugh-canary"
CHUNK = 64 * 1024

PREPROCESSING = "maas.preprocessing.v1.PreprocessingService"
NLP, VISION, SPEECH = "maas.nlp.v1.NlpService", "maas.vision.v1.VisionService", "maas.speech.v1.SpeechService"
ROUTER, MODELS = "maas.router.v1.RouterService", "maas.models.v1.ModelService"
INFER = "inference.GRPCInferenceService/ModelInfer"
WRITE = "inference.GRPCInferenceService/ModelStreamInfer"
SERVICES = {
    PREPROCESSING: "preprocessing",
    NLP: "nlp",
    VISION: "vision",
    SPEECH: "speech",
    ROUTER: "router",
    MODELS: "models",
}
MODULES = (models_pb2, nlp_pb2, preprocessing_pb2, router_pb2, speech_pb2, vision_pb2)


def below(method: str, *, prepares: str = "", model: str = INFER) -> list[Chain]:
    """What hangs below a served call: preparation of its input, and a model's queue and execution, unless ""."""
    service = SERVICES[method.partition("/")[0]]
    call = (service, method)
    chains = (
        [[call, (service, model), ("triton", f"triton {stage}")] for stage in ("queue", "compute")] if model else []
    )
    if prepares:
        prepare = f"{PREPROCESSING}/{prepares}"
        chains.append([call, (service, prepare), ("preprocessing", prepare)])
    return chains or [[call]]


def served(method: str, request: Callable[[], Fields], *, prepares: str = "", model: str = INFER) -> Case:
    """A unary call through the gateway."""
    return streamed(method, lambda: [request()], prepares=prepares, model=model)


def streamed(method: str, requests: Callable[[], Sequence[Fields]], *, prepares: str = "", model: str = INFER) -> Case:
    """A call through the gateway."""
    return Case(
        method, requests, [[("gateway", method), *chain] for chain in below(method, prepares=prepares, model=model)]
    )


def plain_call(method: str, request: Fields | None = None, fails: grpc.StatusCode | None = None) -> Case:
    """A call that no model and no other service has a part in."""
    edge = [("gateway", method), (SERVICES[method.partition("/")[0]], method)]
    return Case(method, lambda: [request or {}], [edge], fails)


def graph(name: str, inputs: Callable[[], dict[str, router_pb2.Value]], nodes: dict[str, list[Chain]]) -> Case:
    """A graph through RunGraph. nodes: what hangs below the calls of each; one within others as "outer/inner"."""
    run = f"{ROUTER}/RunGraph"
    above = [("gateway", run), ("router", run)]
    edges = [
        [*above, *(("router", f"node {each}") for each in node.split("/")), ("router", chain[0][1]), *chain]
        for node, chains in nodes.items()
        for chain in chains
    ]
    return Case(run, lambda: [{"graph": name, "inputs": inputs()}], edges)


def text() -> str:
    """New each time, so that no answer comes from a cache."""
    return f"{CANARY} is a good film {secrets.token_hex(8)}"


def image(name: str = "coffee.png") -> Fields:
    """A sample."""
    return {"content": (SAMPLES / name).read_bytes()}


def sound(name: str = "ask-not.wav") -> bytes:
    """A sample."""
    return (SAMPLES / name).read_bytes()


def video() -> bytes:
    """Two shots, a second each."""
    return film([plain(200, 30, 30)] * 10 + [plain(30, 30, 200)] * 10, muxer=FASTSTART)


def pieces(config: Fields, content: bytes, field: str) -> list[Fields]:
    """A stream: its configuration, then the content in chunks."""
    return [{"config": config}, *({field: content[at : at + CHUNK]} for at in range(0, len(content), CHUNK))]


def said() -> Fields:
    """A conversation that is answered shortly."""
    return {"messages": [{"role": 2, "content": f"Repeat this: {text()}"}], "parameters": {"max_tokens": 8}}


GRAMMAR = {"commands": [{"intent": "go", "phrases": ["go forward", "ask not"]}]}
BRIEF = {"max_sentences": 1}
LONG = "The film was good. The music was better than the film. Nobody left before the end. It rained outside. "
FEATURES = [{"feature": 1}, {"feature": 2}]
value = router_pb2.Value

CASES: dict[str, Case] = {
    # nlp
    "sentiment": served(f"{NLP}/AnalyzeSentiment", lambda: {"contents": [text()]}, prepares="TokenizeText"),
    "classify-text": served(
        f"{NLP}/ClassifyText", lambda: {"contents": [text()], "labels": ["film", "food"]}, prepares="TokenizeText"
    ),
    "entities": served(
        f"{NLP}/AnalyzeEntities", lambda: {"contents": [f"Ada lives in Paris. {text()}"], "language_code": "en"}
    ),
    "embed": served(f"{NLP}/EmbedText", lambda: {"contents": [text()]}, prepares="TokenizeText"),
    "annotate-text": served(
        f"{NLP}/AnnotateText", lambda: {"contents": [text()], "features": [1, 2]}, prepares="DetectLanguage"
    ),
    "translate": served(
        f"{NLP}/TranslateText",
        lambda: {"contents": [text()], "source_language_code": "en", "target_language_code": "pt"},
        prepares="SegmentText",
    ),
    "pairs": plain_call(f"{NLP}/ListSupportedLanguagePairs"),
    "summarize": served(
        f"{NLP}/SummarizeText",
        lambda: {"contents": [LONG + text()], "options": {"method": 1, **BRIEF}},
        prepares="SegmentText",
    ),
    "summarize-stream": served(
        f"{NLP}/StreamSummarizeText",
        lambda: {"content": LONG + text(), "options": {"method": 2, **BRIEF}},
        model=WRITE,
    ),
    "answer": served(
        f"{NLP}/AnswerQuestion",
        lambda: {"questions": ["How long is the film?"], "passages": [{"content": f"It lasts two hours. {text()}"}]},
        prepares="SegmentText",
        model=WRITE,
    ),
    "reply": served(f"{NLP}/GenerateReply", said, model=WRITE),
    "reply-stream": served(f"{NLP}/StreamGenerateReply", lambda: {"request": said()}, model=WRITE),
    "reply-batch": served(f"{NLP}/BatchGenerateReply", lambda: {"requests": [said(), said()]}, model=WRITE),
    "nlp-config": plain_call(f"{NLP}/GetNlpConfig"),
    # preprocessing
    "normalize": plain_call(f"{PREPROCESSING}/NormalizeText", {"contents": [CANARY]}),
    "tokenize": plain_call(
        f"{PREPROCESSING}/TokenizeText", {"contents": [CANARY], "tokenizer": "multilingual-e5-small"}
    ),
    "segment": plain_call(f"{PREPROCESSING}/SegmentText", {"contents": [CANARY]}),
    "language": served(f"{PREPROCESSING}/DetectLanguage", lambda: {"contents": [text()]}),
    "transform": served(
        f"{PREPROCESSING}/TransformImage", lambda: {"image": image(), "width": 8, "height": 8}, model=""
    ),
    "render": served(
        f"{PREPROCESSING}/RenderImage",
        lambda: {"image": image(), "targets": [{"width": 8, "height": 8, "fit": 1}]},
        model="",
    ),
    "cover": served(
        f"{PREPROCESSING}/RedactImage",
        lambda: {"image": image(), "regions": [{"x_max": 0.5, "y_max": 0.5}]},
        model="",
    ),
    "frames": streamed(
        f"{PREPROCESSING}/ExtractFrames",
        lambda: pieces({"frames_per_second": 1, "targets": [{"width": 8, "height": 8, "fit": 1}]}, video(), "content"),
        model="",
    ),
    # Locally no places are allowed.
    "fetch": plain_call(
        f"{PREPROCESSING}/FetchMedia", {"uri": f"https://example.com/{CANARY}"}, grpc.StatusCode.INVALID_ARGUMENT
    ),
    "convert": served(
        f"{PREPROCESSING}/ConvertAudio",
        lambda: {"audio": {"content": sound()}, "sample_rate_hertz": 16000},
        model="",
    ),
    "convert-stream": streamed(
        f"{PREPROCESSING}/StreamingConvertAudio",
        lambda: pieces({"sample_rate_hertz": 16000, "measure_speech": True}, sound(), "content"),
    ),
    "speech": streamed(f"{PREPROCESSING}/DetectSpeech", lambda: pieces({}, sound(), "content")),
    "denoise": streamed(f"{PREPROCESSING}/DenoiseAudio", lambda: pieces({}, sound("fox-en.wav"), "content")),
    "preprocessing-config": plain_call(f"{PREPROCESSING}/GetPreprocessingConfig"),
    # vision
    "classify": served(f"{VISION}/ClassifyImage", lambda: {"image": image()}, prepares="RenderImage"),
    "detect": served(f"{VISION}/DetectObjects", lambda: {"image": image()}, prepares="RenderImage"),
    "embed-image": served(f"{VISION}/EmbedImage", lambda: {"image": image()}, prepares="RenderImage"),
    "read": served(f"{VISION}/RecognizeText", lambda: {"image": image("page.png")}, prepares="RenderImage"),
    "faces": served(
        f"{VISION}/DetectFaces",
        lambda: {"image": image("portrait.png"), "attributes": [1, 2, 3]},
        prepares="RenderImage",
    ),
    "verify": served(
        f"{VISION}/VerifyFace",
        lambda: {"image": image("portrait.png"), "other_image": image("portrait.png")},
        prepares="RenderImage",
    ),
    "enroll": served(
        f"{VISION}/EnrollFace",
        lambda: {"image": image("portrait.png"), "person_id": f"{CANARY} {secrets.token_hex(8)}"},
        prepares="RenderImage",
    ),
    "identify": served(f"{VISION}/IdentifyFace", lambda: {"image": image("portrait.png")}, prepares="RenderImage"),
    "forget": plain_call(f"{VISION}/DeleteFace", {"person_id": CANARY}, grpc.StatusCode.NOT_FOUND),
    "gallery": plain_call(f"{VISION}/ListFaces", {"person_id": CANARY}),
    "annotate": served(
        f"{VISION}/AnnotateImage", lambda: {"image": image(), "features": FEATURES}, prepares="RenderImage"
    ),
    "annotate-batch": served(
        f"{VISION}/BatchAnnotateImages", lambda: {"images": [image()], "features": FEATURES}, prepares="RenderImage"
    ),
    "redact": Case(
        f"{VISION}/RedactImage",
        lambda: [{"image": image("portrait.png"), "faces": True}],
        [
            [("gateway", f"{VISION}/RedactImage"), *chain]
            for chain in (
                *below(f"{VISION}/RedactImage", prepares="RenderImage"),
                *below(f"{VISION}/RedactImage", prepares="RedactImage", model=""),
            )
        ],
    ),
    # One span for the whole stream; its frames are decoded in one call, and each is looked at in a span of its own.
    "video": Case(
        f"{VISION}/StreamingAnnotateVideo",
        lambda: pieces({"features": [1, 4]}, video(), "content"),
        [
            [("gateway", f"{VISION}/StreamingAnnotateVideo"), *chain]
            for chain in (
                *below(f"{VISION}/StreamingAnnotateVideo", prepares="ExtractFrames", model=""),
                *(
                    [
                        ("vision", f"{VISION}/StreamingAnnotateVideo"),
                        ("vision", "frame"),
                        ("vision", INFER),
                        ("triton", stage),
                    ]
                    for stage in ("triton queue", "triton compute")
                ),
            )
        ],
    ),
    "vision-config": plain_call(f"{VISION}/GetVisionConfig"),
    # speech
    "recognize": served(
        f"{SPEECH}/Recognize", lambda: {"audio": {"content": sound()}}, prepares="StreamingConvertAudio"
    ),
    "listen": Case(
        f"{SPEECH}/StreamingRecognize",
        lambda: pieces({"recorded": True}, sound(), "audio_content"),
        [
            [("gateway", f"{SPEECH}/StreamingRecognize"), *chain]
            for chain in (
                *below(f"{SPEECH}/StreamingRecognize", prepares="StreamingConvertAudio", model=""),
                *(
                    [
                        ("speech", f"{SPEECH}/StreamingRecognize"),
                        ("speech", "utterance"),
                        ("speech", INFER),
                        ("triton", stage),
                    ]
                    for stage in ("triton queue", "triton compute")
                ),
            )
        ],
    ),
    "synthesize": served(f"{SPEECH}/SynthesizeSpeech", lambda: {"text": CANARY}, prepares="SegmentText"),
    "speak": streamed(
        f"{SPEECH}/StreamingSynthesize",
        lambda: [{"config": {"language_code": "en"}}, {"text": f"{CANARY}."}],
        prepares="SegmentText",
    ),
    "voices": plain_call(f"{SPEECH}/ListVoices"),
    "command": served(
        f"{SPEECH}/RecognizeCommand",
        lambda: {"audio": {"content": sound("fox-en.wav")}, "grammar": GRAMMAR, "language_code": "en"},
        prepares="StreamingConvertAudio",
    ),
    "command-stream": streamed(
        f"{SPEECH}/StreamingRecognizeCommand",
        lambda: pieces({"grammar": GRAMMAR, "language_code": "en"}, sound("fox-en.wav"), "audio_content"),
        prepares="StreamingConvertAudio",
    ),
    "speaker": served(
        f"{SPEECH}/EmbedSpeaker", lambda: {"audio": {"content": sound()}}, prepares="StreamingConvertAudio"
    ),
    "same-speaker": served(
        f"{SPEECH}/VerifySpeaker",
        lambda: {"audio": {"content": sound()}, "other_audio": {"content": sound()}},
        prepares="StreamingConvertAudio",
    ),
    "speech-config": plain_call(f"{SPEECH}/GetSpeechConfig"),
    # router
    "validate": plain_call(f"{ROUTER}/ValidateGraph", {"yaml": f"name: {CANARY}"}),
    "graph": plain_call(f"{ROUTER}/GetGraph", {"name": "look-twice"}),
    "graphs": plain_call(f"{ROUTER}/ListGraphs"),
    "create-graph": plain_call(f"{ROUTER}/CreateGraph", {"yaml": f"name: {CANARY}"}, grpc.StatusCode.INVALID_ARGUMENT),
    "update-graph": plain_call(f"{ROUTER}/UpdateGraph", {"yaml": f"name: {CANARY}"}, grpc.StatusCode.INVALID_ARGUMENT),
    "delete-graph": plain_call(f"{ROUTER}/DeleteGraph", {"name": CANARY}, grpc.StatusCode.NOT_FOUND),
    "policy": plain_call(f"{ROUTER}/GetTrafficPolicy", {"target": f"graphs/{CANARY}"}, grpc.StatusCode.NOT_FOUND),
    "policies": plain_call(f"{ROUTER}/ListTrafficPolicies"),
    "set-policy": plain_call(
        f"{ROUTER}/SetTrafficPolicy", {"policy": {"target": CANARY}}, grpc.StatusCode.INVALID_ARGUMENT
    ),
    "delete-policy": plain_call(
        f"{ROUTER}/DeleteTrafficPolicy", {"target": f"graphs/{CANARY}"}, grpc.StatusCode.NOT_FOUND
    ),
    "capabilities": plain_call(f"{ROUTER}/ListCapabilities"),
    # models
    "list-models": plain_call(f"{MODELS}/ListModels"),
    "model": plain_call(f"{MODELS}/GetModel", {"name": CANARY}, grpc.StatusCode.NOT_FOUND),
    "load": plain_call(f"{MODELS}/LoadModel", {"name": CANARY}, grpc.StatusCode.NOT_FOUND),
    "unload": plain_call(f"{MODELS}/UnloadModel", {"name": CANARY}, grpc.StatusCode.NOT_FOUND),
    "start-rollout": plain_call(f"{MODELS}/StartRollout", {"model": CANARY}, grpc.StatusCode.INVALID_ARGUMENT),
    "rollout": plain_call(f"{MODELS}/GetRollout", {"model": CANARY}, grpc.StatusCode.NOT_FOUND),
    "rollouts": plain_call(f"{MODELS}/ListRollouts"),
    "roll-back": plain_call(f"{MODELS}/RollBackRollout", {"model": CANARY}, grpc.StatusCode.NOT_FOUND),
    "promote": plain_call(f"{MODELS}/PromoteRollout", {"model": CANARY}, grpc.StatusCode.NOT_FOUND),
    "feedback": plain_call(f"{MODELS}/RecordFeedback", {"model": CANARY}, grpc.StatusCode.INVALID_ARGUMENT),
    "delete-rollout": plain_call(f"{MODELS}/DeleteRollout", {"model": CANARY}, grpc.StatusCode.NOT_FOUND),
    # graphs
    "look-twice": graph(
        "look-twice",
        lambda: {"photo": value(data=image()["content"])},
        {
            "classify": below(f"{VISION}/ClassifyImage", prepares="RenderImage"),
            "detect": below(f"{VISION}/DetectObjects", prepares="RenderImage"),
        },
    ),
    "hear-and-judge": graph(
        "hear-and-judge",
        lambda: {"recording": value(data=sound())},
        {
            "hear": below(f"{SPEECH}/Recognize", prepares="StreamingConvertAudio"),
            # No further: what was said there may have been judged before, and come from the cache.
            "judge": [[("nlp", f"{NLP}/AnalyzeSentiment")]],
        },
    ),
    "document": graph(
        "document",
        lambda: {"photo": value(data=image("page.png")["content"]), "target": value(text="pt")},
        {
            "read": below(f"{VISION}/RecognizeText", prepares="RenderImage"),
            "recognise": below(f"{PREPROCESSING}/DetectLanguage"),
            "translation/translate": below(f"{NLP}/TranslateText"),
            "summary/sum_up": [[("nlp", f"{NLP}/SummarizeText")]],
        },
    ),
    "moderate": graph(
        "moderate",
        lambda: {
            "text": value(text="Ada Lovelace lived in London and wrote to Charles Babbage about his engine."),
            "photo": value(data=image("portrait.png")["content"]),
        },
        {
            "personal/find": below(f"{NLP}/AnalyzeEntities"),
            "unsafe/look": below(f"{VISION}/AnnotateImage", prepares="RenderImage"),
            "masked_photo/redact": below(f"{VISION}/RedactImage", prepares="RenderImage"),
        },
    ),
    "meeting-notes": graph(
        "meeting-notes",
        lambda: {"recording": value(data=sound())},
        {
            "hear": below(f"{SPEECH}/Recognize", prepares="StreamingConvertAudio"),
            # What is said there is short enough to be its own summary.
            "summary/sum_up/rewrite": [[("nlp", f"{NLP}/SummarizeText")]],
            "actions/ask": below(f"{NLP}/GenerateReply", model=WRITE),
            "turns/mood": [[("nlp", f"{NLP}/AnalyzeSentiment")]],
        },
    ),
    "video-digest": graph(
        "video-digest",
        lambda: {"video": value(data=video())},
        {
            "look": below(f"{VISION}/StreamingAnnotateVideo", prepares="ExtractFrames", model=""),
            "hear": [[("speech", f"{SPEECH}/StreamingRecognize")]],
        },
    ),
    "speak-across-languages": graph(
        "speak-across-languages",
        lambda: {"sound": value(data=sound("fox-en.wav")), "language": value(text="en")},
        {
            "hear": below(f"{SPEECH}/StreamingRecognize", prepares="StreamingConvertAudio", model=""),
            "translate": below(f"{NLP}/TranslateText", model=WRITE),
            "speak": below(f"{SPEECH}/StreamingSynthesize", prepares="SegmentText"),
        },
    ),
    "voice-assistant": graph(
        "voice-assistant",
        lambda: {"sound": value(data=sound("fox-en.wav"))},
        {
            "hear": below(f"{SPEECH}/StreamingRecognize", prepares="StreamingConvertAudio", model=""),
            "reply": [[("nlp", f"{NLP}/StreamGenerateReply")]],
            "speak": below(f"{SPEECH}/StreamingSynthesize", prepares="SegmentText"),
        },
    ),
    # The same graph, its streams as they come.
    "speak-while-hearing": Case(
        f"{ROUTER}/StreamingRunGraph",
        lambda: [
            {"config": {"graph": "speak-across-languages", "inputs": {"language": value(text="en")}}},
            *(
                {"item": {"name": "sound", "value": value(data=sound("fox-en.wav")[at : at + CHUNK])}}
                for at in range(0, len(sound("fox-en.wav")), CHUNK)
            ),
        ],
        [
            [
                ("gateway", f"{ROUTER}/StreamingRunGraph"),
                ("router", f"{ROUTER}/StreamingRunGraph"),
                ("router", f"node {node}"),
                ("router", method),
            ]
            for node, method in (
                ("hear", f"{SPEECH}/StreamingRecognize"),
                ("translate", f"{NLP}/TranslateText"),
                ("speak", f"{SPEECH}/StreamingSynthesize"),
            )
        ],
    ),
}
