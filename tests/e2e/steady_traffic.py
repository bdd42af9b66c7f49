"""Callers that ask a mesh for one thing again and again, and note every call that is not answered."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
import wave
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc.aio

from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from maas.preprocessing.v1 import preprocessing_pb2, preprocessing_pb2_grpc
from maas.router.v1 import router_pb2, router_pb2_grpc
from maas.speech.v1 import live_pb2, speech_pb2_grpc, synthesis_pb2
from maas.type.v1 import media_pb2
from maas.vision.v1 import vision_pb2, vision_pb2_grpc
from services.client import recognize_stream

SAMPLES = Path(__file__).parents[2] / ".build/samples"
# A caller's rest between two calls: two cores are to be kept busy, not to be overrun.
_REST_SECONDS = 0.1
_CALL_SECONDS = 60
_CHUNK_SECONDS = 0.1
KINDS = ("sentiment", "normalize", "classify", "graph", "JSON sentiment", "JSON classify", "speak", "live")


@dataclass
class Traffic:
    """What came of it.

    ended: calls by kind. lost: when and how those failed that did. transcripts: of live streams. resumed: why one of
    these went on in another call.
    """

    ended: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    transcripts: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = field(default_factory=time.monotonic)

    async def repeat(self, kind: str, call: Callable[[], Awaitable[object]]) -> None:
        """Call until told to stop. What fails is noted, and the caller goes on."""
        while not self.stopping.is_set():
            try:
                await call()
            except (grpc.aio.AioRpcError, aiohttp.ClientError, AssertionError, TimeoutError) as error:
                said = (
                    f"{error.code().name} {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else repr(error)
                )
                self.lost.append(f"{time.monotonic() - self.began:.1f} s: {kind}: {said}")
            self.ended[kind] += 1
            await asyncio.sleep(_REST_SECONDS)

    async def go_on(self) -> None:
        """Until every kind of call has ended once more, apart from live streams, which last."""
        before = self.ended.copy()
        async with asyncio.timeout(_CALL_SECONDS):
            while any(self.ended[kind] == before[kind] for kind in KINDS if kind != "live"):
                await asyncio.sleep(_REST_SECONDS)


@asynccontextmanager
async def steady_traffic(address: str) -> AsyncIterator[Traffic]:
    """Callers of every service, unary and streaming, over gRPC and JSON, for as long as the block runs.

    Each has a connection of its own. At the end all that has begun is waited for.
    """
    traffic = Traffic()
    async with AsyncExitStack() as stack:

        async def connected() -> grpc.aio.Channel:
            # A number tells channels apart, which gRPC would otherwise give one connection.
            options = [("maas.caller", next(_NUMBERS))]
            return await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))

        browser = await stack.enter_async_context(aiohttp.ClientSession(f"http://{address}"))
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "sentiment": _sentiment(await connected()),
            "normalize": _normalize(await connected()),
            "classify": _classify(await connected()),
            "graph": _graph(await connected()),
            "JSON sentiment": _json_sentiment(browser),
            "JSON classify": _json_classify(browser),
            "speak": _speak(await connected()),
            "live": _live(await connected(), traffic),
        }
        async with asyncio.TaskGroup() as group:
            for kind, call in calls.items():
                group.create_task(traffic.repeat(kind, call))
            try:
                yield traffic
            finally:
                traffic.stopping.set()


_NUMBERS = itertools.count()


def _text() -> str:
    """One that was not asked before, since equal ones come from a cache."""
    return f"Film number {next(_NUMBERS)} was a wonderful, warm and funny one."


def _sentiment(channel: grpc.aio.Channel) -> Callable[[], Awaitable[object]]:
    stub = nlp_pb2_grpc.NlpServiceStub(channel)

    async def call() -> None:
        answer = await stub.AnalyzeSentiment(nlp_pb2.AnalyzeSentimentRequest(contents=[_text()]), timeout=_CALL_SECONDS)
        assert answer.results[0].sentiment == nlp_pb2.SENTIMENT_POSITIVE, answer

    return call


def _normalize(channel: grpc.aio.Channel) -> Callable[[], Awaitable[object]]:
    stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)

    async def call() -> None:
        request = preprocessing_pb2.NormalizeTextRequest(contents=[_text()])
        assert (await stub.NormalizeText(request, timeout=_CALL_SECONDS)).contents

    return call


def _classify(channel: grpc.aio.Channel) -> Callable[[], Awaitable[object]]:
    stub = vision_pb2_grpc.VisionServiceStub(channel)
    image = media_pb2.Image(content=(SAMPLES / "coffee.png").read_bytes())

    async def call() -> None:
        answer = await stub.ClassifyImage(vision_pb2.ClassifyImageRequest(image=image), timeout=_CALL_SECONDS)
        assert answer.labels, answer

    return call


def _graph(channel: grpc.aio.Channel) -> Callable[[], Awaitable[object]]:
    stub = router_pb2_grpc.RouterServiceStub(channel)
    photo = router_pb2.Value(data=(SAMPLES / "coffee.png").read_bytes())

    async def call() -> None:
        request = router_pb2.RunGraphRequest(graph="look-twice", inputs={"photo": photo})
        assert (await stub.RunGraph(request, timeout=_CALL_SECONDS)).outputs

    return call


def _json_sentiment(browser: aiohttp.ClientSession) -> Callable[[], Awaitable[object]]:
    async def call() -> None:
        await _post(browser, "/v1/nlp:analyzeSentiment", {"contents": [_text()]})

    return call


def _json_classify(browser: aiohttp.ClientSession) -> Callable[[], Awaitable[object]]:
    content = base64.b64encode((SAMPLES / "cheetah.jpg").read_bytes()).decode()

    async def call() -> None:
        await _post(browser, "/v1/vision:classifyImage", {"image": {"content": content}, "maxResults": 1})

    return call


async def _post(browser: aiohttp.ClientSession, path: str, body: object) -> None:
    async with browser.post(path, json=body, timeout=aiohttp.ClientTimeout(_CALL_SECONDS)) as answer:
        assert answer.status == 200, await answer.text()


def _speak(channel: grpc.aio.Channel) -> Callable[[], Awaitable[object]]:
    stub = speech_pb2_grpc.SpeechServiceStub(channel)
    config = synthesis_pb2.StreamingSynthesizeConfig(language_code="en-US")

    async def requests() -> AsyncIterator[synthesis_pb2.StreamingSynthesizeRequest]:
        yield synthesis_pb2.StreamingSynthesizeRequest(config=config)
        for _ in range(3):
            yield synthesis_pb2.StreamingSynthesizeRequest(text="The old bridge was closed in March. ")
            await asyncio.sleep(_REST_SECONDS)

    async def call() -> None:
        answers = [each async for each in stub.StreamingSynthesize(requests(), timeout=_CALL_SECONDS)]
        assert answers[-1].HasField("end"), answers

    return call


def _live(channel: grpc.aio.Channel, traffic: Traffic) -> Callable[[], Awaitable[object]]:
    async def call() -> None:
        sound = media_pb2.AudioStreamFormat(encoding=media_pb2.AUDIO_STREAM_ENCODING_LINEAR16, sample_rate_hertz=16_000)
        config = live_pb2.StreamingRecognizeConfig(format=sound)
        said, ended = [], False
        answers = recognize_stream(
            channel, config, _spoken(), on_break=lambda error, _: traffic.resumed.append(str(error.details()))
        )
        async for answer in answers:
            if answer.result.is_final:
                said.append(answer.result.transcript)
            ended = ended or answer.HasField("end")
        assert ended, said
        traffic.transcripts.append(" ".join(said))

    return call


async def _spoken() -> AsyncIterator[bytes]:
    """A recording as fast as it was spoken."""
    with wave.open(str(SAMPLES / "ask-not.wav")) as file:
        while chunk := file.readframes(round(file.getframerate() * _CHUNK_SECONDS)):
            yield chunk
            await asyncio.sleep(_CHUNK_SECONDS)
