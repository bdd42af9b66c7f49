"""The graphs that ship, on real recordings, photos, videos and texts, through the gateway."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from PIL import Image

from maas.router.v1 import graph_pb2, router_pb2, router_pb2_grpc
from maas.speech.v1 import speech_pb2_grpc, synthesis_pb2
from tests.e2e.conftest import RunningMesh

SAMPLES = Path(__file__).parents[2] / ".build" / "samples"
SECONDS = 240
CHUNK = 32_000


def text(value: str) -> router_pb2.Value:
    return router_pb2.Value(text=value)


def data(name: str) -> router_pb2.Value:
    return router_pb2.Value(data=(SAMPLES / name).read_bytes())


@pytest.fixture
async def router(mesh: RunningMesh) -> AsyncIterator[router_pb2_grpc.RouterServiceAsyncStub]:
    """The router through the gateway."""
    async with grpc.aio.insecure_channel(mesh.address) as channel:
        yield router_pb2_grpc.RouterServiceStub(channel)


async def run(
    router: router_pb2_grpc.RouterServiceAsyncStub, graph: str, **inputs: router_pb2.Value
) -> router_pb2.RunGraphResponse:
    return await router.RunGraph(router_pb2.RunGraphRequest(graph=graph, inputs=inputs), timeout=SECONDS)


def config(graph: str, **inputs: router_pb2.Value) -> router_pb2.StreamingRunGraphRequest:
    return router_pb2.StreamingRunGraphRequest(config=router_pb2.StreamingRunGraphConfig(graph=graph, inputs=inputs))


def item(name: str, content: bytes) -> router_pb2.StreamingRunGraphRequest:
    return router_pb2.StreamingRunGraphRequest(
        item=router_pb2.StreamItem(name=name, value=router_pb2.Value(data=content))
    )


def length(sound: bytes) -> float:
    """Seconds of a WAV file whose header leaves its length open."""
    with wave.open(io.BytesIO(sound)) as file:
        return (len(sound) - 44) / file.getnchannels() / file.getsampwidth() / file.getframerate()


async def test_the_translation_sounds_before_the_last_word_has_come_in(
    router: router_pb2_grpc.RouterServiceAsyncStub,
) -> None:
    """The end of the speech is held back until the first sound of its translation is there."""
    with wave.open(str(SAMPLES / "ask-not.wav")) as file:
        rate, samples = file.getframerate(), file.readframes(file.getnframes())
    held = 3 * 2 * rate
    sounded = asyncio.Event()

    async def requests() -> AsyncIterator[router_pb2.StreamingRunGraphRequest]:
        inputs = {"sample_rate": router_pb2.Value(number=rate), "language": text("en"), "target": text("zh")}
        yield config("speak-across-languages", **inputs)
        for start in range(0, len(samples) - held, CHUNK):
            yield item("sound", samples[start : min(start + CHUNK, len(samples) - held)])
        await sounded.wait()
        yield item("sound", samples[len(samples) - held :])

    said, written, sound, end = [], [], b"", None
    async with asyncio.timeout(SECONDS):
        async for answer in router.StreamingRunGraph(requests(), timeout=SECONDS):
            value = answer.item.value
            if answer.item.name == "audio":
                sounded.set()
                sound += value.data
            elif answer.item.name:
                (said if answer.item.name == "transcript" else written).append(value.text)
            else:
                end = answer.end
    assert "country" in " ".join(said)
    assert len(said) == len(written) >= 2
    assert any("国家" in sentence for sentence in written)
    assert length(sound) > 2
    assert end is not None
    assert {node.node for node in end.nodes} == {"hear", "translate", "speak"}


async def test_a_recording_is_spoken_in_another_language(router: router_pb2_grpc.RouterServiceAsyncStub) -> None:
    """RunGraph takes the recording as a whole and gives lists of sentences, and the sound in one piece."""
    answer = await run(router, "speak-across-languages", sound=data("world-zh.wav"), target=text("en"))
    written = " ".join(value.text for value in answer.outputs["translation"].list.values)
    assert "world" in written.lower()
    assert length(answer.outputs["audio"].data) > 1


async def test_notes_of_a_meeting(router: router_pb2_grpc.RouterServiceAsyncStub) -> None:
    """A telephone call becomes a transcript, a summary of its words, and turns with their moods."""
    answer = await run(router, "meeting-notes", recording=data("call.wav"), language=text("en"))
    transcript, summary = answer.outputs["transcript"].text, answer.outputs["summary"].text
    turns = [value.text for value in answer.outputs["turns"].list.values]
    assert "Yankee" in transcript
    assert 20 < len(summary) < len(transcript)
    assert len(turns) > 3
    assert {turn.partition(": ")[0] for turn in turns} <= {"positive", "neutral", "negative"}
    assert " ".join(turn.partition(": ")[2] for turn in turns).split() == transcript.split()


async def test_a_page_is_read_translated_and_summed_up(router: router_pb2_grpc.RouterServiceAsyncStub) -> None:
    """The words of a photographed page come out, and are found again in its summary."""
    answer = await run(router, "document", photo=data("page.png"), target=text("en"))
    page, summary = answer.outputs["text"].text, answer.outputs["summary"].text
    assert answer.outputs["language"].text == "en"
    assert len(page.split()) > 20
    assert set(summary.split()) <= set(page.split())
    assert answer.outputs["translation"].text == page


async def test_a_video_is_digested(router: router_pb2_grpc.RouterServiceAsyncStub) -> None:
    """What appears in a video is named; what is said in it, if anything, is written down."""
    answer = await run(router, "video-digest", video=data("bikes.mp4"))
    assert answer.outputs["shots"].number >= 1
    assert answer.outputs["tracks"].list.values
    assert answer.outputs["transcript"].WhichOneof("kind") == "text"


async def test_the_assistant_obeys_and_answers(
    mesh: RunningMesh, router: router_pb2_grpc.RouterServiceAsyncStub
) -> None:
    """A command that it knows is understood in other words and answered aloud by what was declared for it."""
    async with grpc.aio.insecure_channel(mesh.address) as channel:
        said = synthesis_pb2.SynthesizeSpeechRequest(text="Could you turn the light on, please?", language_code="en")
        spoken = await speech_pb2_grpc.SpeechServiceStub(channel).SynthesizeSpeech(said, timeout=SECONDS)
    answer = await run(router, "voice-assistant", sound=router_pb2.Value(data=spoken.audio_content))
    assert "light on" in answer.outputs["heard"].list.values[0].text
    assert [value.text for value in answer.outputs["command"].list.values] == ["turn on the light"]
    assert [value.text for value in answer.outputs["reply"].list.values] == ["The light is on."]
    assert length(answer.outputs["audio"].data) > 0.5


async def test_the_assistant_answers_anything_else(router: router_pb2_grpc.RouterServiceAsyncStub) -> None:
    """What is no command is answered by the language model, aloud."""
    answer = await run(router, "voice-assistant", sound=data("ask-not.wav"))
    replies = [value.text for value in answer.outputs["reply"].list.values]
    assert replies
    assert all(replies)
    assert not answer.outputs["command"].list.values
    assert length(answer.outputs["audio"].data) > 0.5


async def test_personal_data_and_faces_are_masked(router: router_pb2_grpc.RouterServiceAsyncStub) -> None:
    """Names and numbers are found and marked; the photo comes back with another face than it had."""
    said = "Call Angela Merkel at +49 30 18272720, or write to office@example.com."
    answer = await run(router, "moderate", text=text(said), photo=data("obama-portrait.jpg"))
    personal = {value.text for value in answer.outputs["personal_data"].list.values}
    assert {"Angela Merkel", "office@example.com"} <= personal
    masked = answer.outputs["masked_text"].text
    assert not [secret for secret in personal if secret in masked]
    assert masked.startswith("Call [PERSON_")
    assert answer.outputs["unsafe_score"].number < 0.5
    assert not answer.outputs["passes"].flag
    before = Image.open(SAMPLES / "obama-portrait.jpg")
    after = Image.open(io.BytesIO(answer.outputs["masked_photo"].data))
    assert before.size == after.size
    assert before.tobytes() != after.tobytes()


async def test_a_graph_of_one_s_own(router: router_pb2_grpc.RouterServiceAsyncStub) -> None:
    """A graph that is created runs at once, a new version replaces it, and the old one can still be named."""
    yaml = """
name: e2e-tidy
summary: Tidies a text.
inputs: {text: {kind: text, summary: A text.}}
run:
  node: tidy
  call: maas.preprocessing.v1.PreprocessingService/NormalizeText
  request: {contents: "[inputs.text]"}
outputs: {text: {value: "tidy.contents[0]", summary: The same.}}
"""
    created = (await router.CreateGraph(graph_pb2.CreateGraphRequest(yaml=yaml), timeout=SECONDS)).graph
    try:
        shouting = yaml.replace("tidy.contents[0]", "tidy.contents[0] + '!'")
        update = graph_pb2.UpdateGraphRequest(yaml=shouting, etag=created.etag)
        await router.UpdateGraph(update, timeout=SECONDS)
        assert (await run(router, "e2e-tidy", text=text("well"))).outputs["text"].text == "well!"
        old = await run(router, f"e2e-tidy@{created.version}", text=text("well"))
        assert (old.outputs["text"].text, old.version) == ("well", created.version)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await router.UpdateGraph(update, timeout=SECONDS)
        assert caught.value.code() is grpc.StatusCode.ABORTED
    finally:
        await router.DeleteGraph(graph_pb2.DeleteGraphRequest(name="e2e-tidy"), timeout=SECONDS)
