"""A mesh of fake services on real sockets, with the real router in front of it."""

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager

import grpc.aio

from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc, translation_pb2
from maas.preprocessing.v1 import preprocessing_pb2, preprocessing_pb2_grpc
from maas.speech.v1 import live_pb2, speech_pb2, speech_pb2_grpc, synthesis_pb2
from maas.vision.v1 import vision_pb2, vision_pb2_grpc
from services.mesh import errors
from services.mesh.server import Servicer, serving
from services.mesh.settings import ServiceSettings
from services.router.app import app
from services.router.settings import Settings

ROUTER = "maas.router.v1.RouterService"
PREPROCESSING = "maas.preprocessing.v1.PreprocessingService"
NLP = "maas.nlp.v1.NlpService"
VISION = "maas.vision.v1.VisionService"
SPEECH = "maas.speech.v1.SpeechService"


class FakePreprocessing(preprocessing_pb2_grpc.PreprocessingServiceServicer):
    async def GetPreprocessingConfig(self, request, context):
        return preprocessing_pb2.GetPreprocessingConfigResponse()


class FakeNlp(nlp_pb2_grpc.NlpServiceServicer):
    """Finds everything good, and people in capitals; an empty text cannot be judged, "nobody" not be searched."""

    async def AnalyzeEntities(self, request, context):
        self.request = request
        results = []
        for text in request.contents:
            people = [
                {"type": "ENTITY_TYPE_PERSON", "span": {"begin_offset": found.start(), "end_offset": found.end()}}
                for found in re.finditer(r"\b[A-Z]{2,}\b", text)
            ]
            failed = {"status": {"code": 13, "message": "no"}}
            results.append(failed if text == "nobody" else {"entities": people})
        return nlp_pb2.AnalyzeEntitiesResponse(results=results)

    async def TranslateText(self, request, context):
        self.request = request
        results = [{"translated_text": f"<{text}>"} for text in request.contents]
        return translation_pb2.TranslateTextResponse(results=results)

    async def AnalyzeSentiment(self, request, context):
        self.request = request
        if not request.contents[0]:
            return nlp_pb2.AnalyzeSentimentResponse(results=[{"status": {"code": 3, "message": "empty"}}])
        good = nlp_pb2.SentimentResult(sentiment=nlp_pb2.SENTIMENT_POSITIVE, score=0.5)
        return nlp_pb2.AnalyzeSentimentResponse(results=[good])

    async def GetNlpConfig(self, request, context):
        return nlp_pb2.GetNlpConfigResponse(models=[{"name": "judge", "task": "sentiment-analysis"}])


class FakeSpeech(speech_pb2_grpc.SpeechServiceServicer):
    """Hears what the bytes say; refuses bytes that are not text."""

    async def Recognize(self, request, context):
        if request.audio.content == b"\xff":
            raise errors.InvalidArgument.field("audio.content", "cannot be decoded")
        return speech_pb2.RecognizeResponse(transcript=request.audio.content.decode(), language_code="en")

    async def StreamingRecognize(self, requests, context):
        r"""Each chunk is an utterance; b"\\xff" cannot be heard."""
        self.heard = []
        async for request in requests:
            self.heard.append(request.WhichOneof("streaming_request"))
            if request.audio_content == b"\xff":
                raise errors.InvalidArgument.field("audio_content", "cannot be decoded")
            if request.audio_content:
                result = {"transcript": request.audio_content.decode(), "is_final": True, "language_code": "en"}
                yield live_pb2.StreamingRecognizeResponse(result=result)
        yield live_pb2.StreamingRecognizeResponse(end={"final_results": len(self.heard) - 1})

    async def StreamingSynthesize(self, requests, context):
        """Says its text as bytes."""
        async for request in requests:
            if request.text:
                yield synthesis_pb2.StreamingSynthesizeResponse(audio_content=request.text.encode())

    async def ListVoices(self, request, context):
        return synthesis_pb2.ListVoicesResponse(voices=[{"name": "anna", "language_codes": ["en"]}])

    async def GetSpeechConfig(self, request, context):
        return speech_pb2.GetSpeechConfigResponse(models=[{"name": "listener", "task": "speech-recognition"}])


class FakeVision(vision_pb2_grpc.VisionServiceServicer):
    """Answers when both questions are there; keeps what became of calls."""

    def __init__(self):
        self.both = asyncio.Barrier(2)
        self.refuses = None
        self.never_answers = False
        self.met = asyncio.Event()
        self.cancelled = asyncio.Semaphore(0)

    async def ClassifyImage(self, request, context):
        await self._meet()
        if self.refuses:
            raise self.refuses
        return vision_pb2.ClassifyImageResponse(labels=[{"name": "espresso", "score": 0.75}])

    async def DetectObjects(self, request, context):
        await self._meet()
        if self.refuses:
            await self._forever()
        return vision_pb2.DetectObjectsResponse(objects=[{"name": "cup"}, {"name": "spoon"}])

    async def _meet(self):
        await self.both.wait()
        self.met.set()
        if self.never_answers:
            await self._forever()

    async def _forever(self):
        try:
            await asyncio.sleep(3600)
        finally:
            self.cancelled.release()

    async def GetVisionConfig(self, request, context):
        return vision_pb2.GetVisionConfigResponse()


class Mesh:
    """Fake services that can be stopped and started again, and a router in front of them."""

    def __init__(self, nlp=None, speech=None):
        self.nlp, self.speech, self.vision = nlp or FakeNlp(), speech or FakeSpeech(), FakeVision()
        self._servicers = {
            PREPROCESSING: (preprocessing_pb2_grpc.add_PreprocessingServiceServicer_to_server, FakePreprocessing()),
            NLP: (nlp_pb2_grpc.add_NlpServiceServicer_to_server, self.nlp),
            SPEECH: (speech_pb2_grpc.add_SpeechServiceServicer_to_server, self.speech),
            VISION: (vision_pb2_grpc.add_VisionServiceServicer_to_server, self.vision),
        }
        self.not_ready = set()
        self._ports = dict.fromkeys(self._servicers, 0)
        self._running = {}

    async def start(self, name):
        stack = AsyncExitStack()
        servicer = Servicer(name, *self._servicers[name], lambda: name not in self.not_ready)
        self._ports[name] = await stack.enter_async_context(serving([servicer], settings(self._ports[name])))
        self._running[name] = stack

    async def stop(self, name):
        await self._running.pop(name).aclose()

    @asynccontextmanager
    async def router(self, **others):
        """A channel to the router. others: more of its settings."""
        async with self.routers(1, **others) as (channel,):
            yield channel

    @asynccontextmanager
    async def routers(self, count, **others):
        """Channels to so many replicas of the router. others: more of their settings."""
        async with AsyncExitStack() as stack:
            for name in self._servicers:
                await self.start(name)
            stack.push_async_callback(self._stop_all)
            area = {name.split(".")[1]: f"127.0.0.1:{port}" for name, port in self._ports.items()}
            addresses = {f"{name}_address": address for name, address in area.items()}
            router = settings(0, Settings, **addresses, **others)
            channels = []
            for _ in range(count):
                servicers = await stack.enter_async_context(app(router))
                port = await stack.enter_async_context(serving(servicers, router))
                channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
                channels.append(await stack.enter_async_context(channel))
            yield channels

    async def _stop_all(self):
        for name in list(self._running):
            await self.stop(name)


def settings(port, kind=ServiceSettings, **others):
    return kind(listen_address=f"127.0.0.1:{port}", metrics_address="127.0.0.1:0", drain_seconds=1, **others)
