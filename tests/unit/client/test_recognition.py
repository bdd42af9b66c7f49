"""Live recognition that resumes by itself, against a fake over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import grpc
import pytest
from grpc.aio import AioRpcError

from maas.speech.v1 import live_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc
from services.client import CannotResume, Patience, recognize_stream
from services.mesh import errors
from services.mesh.server import Servicer, serving
from services.mesh.settings import ServiceSettings
from services.mesh.testing import serve
from tests.unit.client.listener import RAW, SESSION, Listener

SAID = b"it was the best of times\nit was the worst of times\nit was the age of wisdom\n"
EAGER = Patience(tries=4, first_seconds=0, longest_seconds=0)
LIVE = pb.StreamingRecognizeConfig(format=RAW, interim_results=True)
END_UTTERANCE = pb.StreamControl(end_utterance=pb.EndUtterance())
DISCARD = pb.StreamControl(discard_utterance=pb.DiscardUtterance())
BROKEN = errors.Unavailable("the connection broke")
DRAINING = errors.Unavailable("this server stops", reason="DRAINING")
LONGEST = errors.DeadlineExceeded("the deadline passed")


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server with this listener."""
    add = speech_pb2_grpc.add_SpeechServiceServicer_to_server
    async with serve(Servicer("maas.speech.v1.SpeechService", add, listener)) as channel:
        yield channel


async def spoken(*said: bytes | pb.StreamControl, size: int = 7) -> AsyncIterator[bytes | pb.StreamControl]:
    """Sound in small chunks, with controls between."""
    for each in said:
        if isinstance(each, pb.StreamControl):
            yield each
        else:
            for start in range(0, len(each), size):
                yield each[start : start + size]


async def written(
    listener: Listener,
    *said: bytes | pb.StreamControl,
    config: pb.StreamingRecognizeConfig = LIVE,
    size: int = 7,
    **options: object,
) -> list[pb.StreamingRecognizeResponse]:
    """All answers."""
    async with listening(listener) as channel:
        sound = spoken(*said, size=size)
        return [each async for each in recognize_stream(channel, config, sound, patience=EAGER, **options)]


def lasting(answers: Sequence[pb.StreamingRecognizeResponse]) -> list[object]:
    """What is not void when a connection breaks: final results, events and the end, as they came."""
    return [
        each.result if each.HasField("result") else each.speech_event if each.HasField("speech_event") else each.end
        for each in answers
        if each.result.is_final or not each.HasField("result")
    ]


def once(problem: errors.MeshError, after: int, *, call: int = 0) -> Listener:
    """A listener that fails once, after so many answers of a call."""
    return Listener(trouble=lambda this, answers: problem if (this, answers) == (call, after) else None)


def texts(answers: Sequence[pb.StreamingRecognizeResponse]) -> list[str]:
    """The final transcripts."""
    return [each.result.transcript for each in answers if each.result.is_final]


@pytest.mark.parametrize("problem", [BROKEN, DRAINING, LONGEST], ids=["broken", "draining", "longest call"])
async def test_a_stream_may_break_after_any_answer(problem: errors.MeshError):
    """Wherever a call breaks, the caller sees the same final results and events, once each and in the same order."""
    whole = await written(Listener(), SAID)
    assert texts(whole) == SAID.decode().splitlines()
    for after in range(len(whole) - 1):
        listener = once(problem, after)
        assert lasting(await written(listener, SAID)) == lasting(whole), after
        assert len(listener.configs) == 2, after
        assert bytes(listener.heard[place] for place in range(len(SAID))) == SAID


async def test_a_stream_may_break_in_every_call():
    """A stream that breaks again and again goes on as long as each call accounts for some of the sound."""
    whole = await written(Listener(), SAID)
    # An utterance takes eight answers here, and its end of turn a ninth.
    listener = Listener(trouble=lambda _, answers: BROKEN if answers >= 9 else None)
    assert lasting(await written(listener, SAID)) == lasting(whole)
    # The fourth brings only the end.
    assert len(listener.configs) == 4


@pytest.mark.parametrize("after", range(26))
async def test_a_container_is_sent_again_from_its_beginning(after: int):
    """Sound in a container is kept whole: no bytes of it are ever accounted for, only its time."""
    config = pb.StreamingRecognizeConfig(interim_results=True)
    listener = once(BROKEN, after)
    answers = await written(listener, SAID, config=config)
    assert lasting(answers) == lasting(await written(Listener(), SAID, config=config))
    assert listener.configs[1].resume.acknowledged_bytes == 0


async def test_what_a_resumption_says():
    """The next call names the session, where it begins, what came before and the language that was found."""
    listener = once(BROKEN, 10)
    await written(listener, SAID)
    first, second = listener.configs
    assert not first.HasField("resume")
    resume = second.resume
    assert (resume.session_id, resume.acknowledged_bytes, resume.acknowledged_offset.seconds) == (SESSION, 25, 25)
    assert (resume.final_results, resume.language_code) == (1, "en")


async def test_a_transcript_of_an_earlier_process_is_gone_on_with():
    """With `resume` in the configuration the sound begins at its byte, also when the connection breaks again."""
    config = pb.StreamingRecognizeConfig(format=RAW)
    config.resume.CopyFrom(pb.StreamResumption(session_id=SESSION, acknowledged_bytes=25, final_results=1))
    config.resume.acknowledged_offset.seconds = 25
    for listener in (Listener(), once(BROKEN, 0), once(BROKEN, 12)):
        answers = await written(listener, SAID[25:], config=config)
        assert [(each.result.index, each.result.transcript) for each in answers if each.result.is_final] == [
            (1, "it was the worst of times"),
            (2, "it was the age of wisdom"),
        ]
        assert min(listener.heard) == 25


async def test_controls_are_sent_again_at_their_place():
    """Controls behind what is accounted for take effect again where they stood; those before it are not repeated."""
    said = (b"one two", END_UTTERANCE, b"three four", DISCARD, b"five six", END_UTTERANCE, b"seven\n")
    whole = await written(Listener(), *said)
    assert texts(whole) == ["one two", "five six", "seven"]
    for after in range(len(whole) - 1):
        assert lasting(await written(once(BROKEN, after), *said)) == lasting(whole), after


async def test_a_change_of_language_outlives_its_call():
    """A call that goes on behind a change of language begins with that language."""
    said = (b"one two\n", pb.StreamControl(language_code="de"), b"drei vier\n", b"acht neun\n")
    config = pb.StreamingRecognizeConfig(format=RAW, language_code="en")
    whole = await written(Listener(), *said, config=config)
    assert [each.result.language_code for each in whole if each.result.is_final] == ["en", "de", "de"]
    for after in range(len(whole) - 1):
        assert lasting(await written(once(BROKEN, after), *said, config=config)) == lasting(whole), after
    assert config.language_code == "en"


async def test_patience_ends_without_progress():
    """A stream that fails in every call before anything is accounted for ends with the error of the last."""
    listener = Listener(trouble=lambda _, answers: BROKEN if answers == 3 else None)
    told: list[float] = []
    with pytest.raises(AioRpcError) as failure:
        await written(listener, SAID, on_break=lambda _, seconds: told.append(seconds))
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    # The first answer of all names the session, and so counts as progress.
    assert (len(listener.configs), len(told)) == (EAGER.tries, EAGER.tries - 1)


@pytest.mark.parametrize(
    "problem",
    [
        errors.InvalidArgument.field("config.format", "is wrong"),
        errors.DeadlineExceeded("nothing came", reason="STREAM_IDLE"),
        errors.Internal("a bug"),
        errors.Exhausted("no place", retry_after_seconds=1),
    ],
    ids=["invalid", "idle", "internal", "full"],
)
async def test_other_errors_are_raised_at_once(problem: errors.MeshError):
    """A wrong request, a stream that was given up, a fault of the mesh and a full mesh are the caller's to know."""
    listener = once(problem, 0)
    with pytest.raises(AioRpcError, match=problem.message):
        await written(listener, SAID)
    assert len(listener.configs) == 1


async def test_a_place_can_be_waited_for():
    """With wait_for_place_seconds a refusal before the first answer is followed by another try."""
    listener = once(errors.Exhausted("no place", retry_after_seconds=0), 0)
    assert texts(await written(listener, SAID, wait_for_place_seconds=60)) == SAID.decode().splitlines()


async def test_a_transcript_under_way_is_not_given_up_for_a_full_server():
    """Where the next server is full, a transcript that has begun tries again."""
    full = errors.Exhausted("no place", retry_after_seconds=0)
    troubles = {(0, 12): BROKEN, (1, 0): full, (2, 0): full}
    listener = Listener(trouble=lambda call, answers: troubles.get((call, answers)))
    assert texts(await written(listener, SAID)) == SAID.decode().splitlines()
    assert len(listener.configs) == 4


async def test_the_source_is_read_ahead_by_no_more_than_is_kept():
    """When nothing is accounted for, the source is left alone once as much is kept as may be."""
    read = 0
    stopped = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        try:
            while True:
                read += 10_000
                yield b"a" * 10_000
                # Whoever is served by turns gets far enough to show a bound that does not hold.
                await asyncio.sleep(0)
        finally:
            stopped.set()

    async with listening(Listener()) as channel:
        # 40 seconds of this sound are less than what is kept here.
        answers = recognize_stream(channel, LIVE, endless(), kept_bytes=320_000, patience=EAGER)
        async with aclosing(answers):
            await anext(answers)
            while read <= 320_000:
                await asyncio.sleep(0)
            for _ in range(1000):
                await asyncio.sleep(0)
    # One chunk more was read, and waits for its place.
    assert read <= 330_000
    assert stopped.is_set()


async def test_a_container_that_is_not_kept_any_more_cannot_be_resumed():
    """A container that outgrows what may be kept is heard to its end, unless the connection breaks: that is told."""
    config = pb.StreamingRecognizeConfig()
    lines = (b"a" * 999 + b"\n") * 400
    assert len(texts(await written(Listener(), lines, config=config, kept_bytes=100_000, size=9_999))) == 400
    # Four answers a line: when three quarters were heard.
    listener = once(BROKEN, 1200)
    with pytest.raises(CannotResume, match="no longer kept"):
        await written(listener, lines, config=config, kept_bytes=100_000, size=9_999)


async def test_what_the_source_raises_is_raised():
    """A source that fails ends the stream with its own error, after what came before was heard."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"one two\n"
        raise OSError("the microphone was unplugged")

    async with listening(Listener()) as channel:
        with pytest.raises(OSError, match="unplugged"):
            async for _ in recognize_stream(channel, LIVE, failing(), patience=EAGER):
                pass


async def test_a_connection_that_is_cut_is_resumed():
    """A connection that is cut below gRPC, without any status, is resumed on another one."""
    pipes: list[asyncio.StreamWriter] = []
    cuts: list[int] = []

    def cut(call: int, answers: int) -> None:
        if (call, answers) == (0, 12):
            cuts.append(len(pipes))
            for each in pipes:
                each.transport.abort()
            pipes.clear()

    listener = Listener(trouble=cut)
    add = speech_pb2_grpc.add_SpeechServiceServicer_to_server
    settings = ServiceSettings(listen_address="127.0.0.1:0", metrics_address="127.0.0.1:0", drain_seconds=1)
    async with serving([Servicer("maas.speech.v1.SpeechService", add, listener)], settings) as port:

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                writer.write(data)

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
            pipes.extend([writer, there_writer])
            await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer), return_exceptions=True)

        async with await asyncio.start_server(connect, "127.0.0.1", 0) as between:
            address = f"127.0.0.1:{between.sockets[0].getsockname()[1]}"
            async with grpc.aio.insecure_channel(address) as channel:
                answers = [each async for each in recognize_stream(channel, LIVE, spoken(SAID))]
            for each in pipes:
                each.transport.abort()
    assert cuts == [2]
    assert texts(answers) == SAID.decode().splitlines()
    assert len(listener.configs) == 2
