"""RecognizeCommand and StreamingRecognizeCommand over a real socket, with faked ports and models."""

import asyncio
import json
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from maas.speech.v1 import command_pb2 as pb
from maas.speech.v1 import live_pb2, speech_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh.durations import to_duration, to_seconds
from services.mesh.models import ModelCard
from services.mesh.server import Servicer
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.speech.pipelines.commands.recognizer import CommandRecognizer
from services.speech.rpc.commands import CommandRpcs
from tests.failure import failure, received

COMMANDS = ModelCard(
    name="commands",
    task="command-recognition",
    summary="Listens.",
    default=True,
    languages=("en",),
    postprocess={"min_confidence": 0.75},
)
WAKE = ModelCard(name="wake", task="wake-word-detection", summary="Wakes.", default=True, labels=("alexa", "computer"))
WINDOW = 512
# How loud a part is tells the models what is said; FakePreprocessor takes what is above .01 for speech.
QUIET, WORD, TIMER, CHATTER, MUMBLE = 0.0, 0.1, 0.2, 0.4, 0.6
SAID = {0.2: ("set a timer for twenty five minutes", 0.9), 0.4: ("", 0.0), 0.6: ("set a timer for five minutes", 0.5)}
GRAMMAR = pb.CommandGrammar(
    commands=[pb.Command(intent="set_timer", phrases=["set a timer for {n} minutes"])],
    slots=[pb.CommandSlot(name="n", numbers=pb.SlotNumbers(min=1, max=60))],
)
REQUEST_ID = "8f14e45f-ceea-467f-a0e6-2ad52f0e1b1c"


class OnlyCommands(CommandRpcs):
    """The mixin by itself."""

    def __init__(self, models, preprocessor, commands):
        self._models, self._preprocessor, self._commands = models, preprocessor, commands


def answer(model, inputs):
    """The command that a loudness stands for, and the wake word where its loudness ends."""
    audio = inputs["audio"]
    if model == "wake":
        ends = np.flatnonzero(np.isclose(audio[:-1], WORD) & ~np.isclose(audio[1:], WORD))
        found = {"detections": [{"end": (int(end) + 1) / 16000, "probability": 0.99} for end in ends]}
    else:
        loudness = round(float(np.abs(audio).max()), 1) if len(audio) else 0.4
        text, confidence = SAID.get(loudness, ("", 0.0))
        bad = [each for each in ("zzyzx",) if each in json.dumps(json.loads(inputs["grammar"][0]))]
        found = {
            "words": [{"word": word, "start": 0.1 * i, "end": 0.1 * (i + 1)} for i, word in enumerate(text.split())],
            "confidence": confidence,
            "unpronounceable": bad,
        }
    return {"result": np.array([json.dumps(found).encode()], np.object_)}


@asynccontextmanager
async def speech(*cards):
    inference, preprocessor = FakeInference(answer), FakePreprocessor()
    models = await known_models(
        *(cards or (COMMANDS, WAKE)), optional_tasks=["command-recognition", "wake-word-detection"]
    )
    servicer = OnlyCommands(models, preprocessor, CommandRecognizer(inference))
    add = speech_pb2_grpc.add_SpeechServiceServicer_to_server
    async with serve(Servicer("maas.speech.v1.SpeechService", add, servicer)) as channel:
        stub = speech_pb2_grpc.SpeechServiceStub(channel)
        stub.inference, stub.commands = inference, servicer._commands
        yield stub


def sound(*parts):
    """(loudness, windows of 32 ms) one after the other, as float32 bytes."""
    return np.concatenate([np.full(count * WINDOW, loudness, np.float32) for loudness, count in parts]).tobytes()


def request(*parts, **fields):
    return pb.RecognizeCommandRequest(audio=media_pb2.Audio(content=sound(*parts)), **({"grammar": GRAMMAR} | fields))


async def streamed(stub, *parts, chunk=WINDOW * 4 * 5, **fields):
    """What a stream answers, without the speech events unless they are wanted."""
    content = sound(*parts)
    config = pb.StreamingRecognizeCommandConfig(**({"grammar": GRAMMAR} | fields))

    async def requests():
        yield pb.StreamingRecognizeCommandRequest(config=config)
        for begin in range(0, len(content), chunk):
            yield pb.StreamingRecognizeCommandRequest(audio_content=content[begin : begin + chunk])

    return await received(stub.StreamingRecognizeCommand(requests(), timeout=10))


def kinds(responses):
    return [kind for each in responses if (kind := each.WhichOneof("streaming_response")) != "speech_event"]


async def test_a_command():
    """Intent, slot, confidence and times on the clock of the recording; the id is echoed."""
    async with speech() as stub:
        response = await stub.RecognizeCommand(request((QUIET, 31), (TIMER, 40), (QUIET, 31), request_id=REQUEST_ID))
    found = response.command
    assert (found.intent, found.transcript) == ("set_timer", "set a timer for twenty five minutes")
    assert [(each.name, each.value, each.spoken) for each in found.slots] == [("n", "25", "twenty five")]
    assert found.confidence == pytest.approx(0.9)
    # Speech begins at 31 windows; what is heard, 10 before.
    assert to_seconds(found.start_offset) == pytest.approx(21 * 0.032)
    assert to_seconds(found.end_offset) == pytest.approx(21 * 0.032 + 0.7)
    assert (response.model, response.request_id, response.no_command_reason) == ("commands", REQUEST_ID, 0)


@pytest.mark.parametrize(
    ("parts", "fields", "reason"),
    [
        ([(QUIET, 60)], {}, "NO_SPEECH"),
        ([(CHATTER, 60)], {}, "NOT_RECOGNIZED"),
        ([(MUMBLE, 60)], {}, "NOT_RECOGNIZED"),
        ([(TIMER, 60)], {"min_confidence": 0.95}, "NOT_RECOGNIZED"),
        ([(TIMER, 60)], {"wake_word": "alexa"}, "NO_WAKE_WORD"),
        ([(QUIET, 60)], {"wake_word": "alexa"}, "NO_SPEECH"),
        ([(WORD, 20), (QUIET, 60)], {"wake_word": "alexa"}, "NO_SPEECH"),
    ],
)
async def test_no_command(parts, fields, reason):
    """Silence, other speech, too little confidence and a missing wake word are told apart."""
    async with speech() as stub:
        response = await stub.RecognizeCommand(request(*parts, **fields))
    assert not response.HasField("command")
    assert pb.NoCommandReason.Name(response.no_command_reason) == f"NO_COMMAND_REASON_{reason}"


async def test_a_lower_confidence_may_be_enough():
    """The caller's limit stands in for the model's own."""
    async with speech() as stub:
        response = await stub.RecognizeCommand(request((MUMBLE, 60), min_confidence=0.4))
    assert response.command.slots[0].value == "5"


async def test_a_command_after_a_wake_word():
    """Only what follows the wake word is searched."""
    async with speech() as stub:
        response = await stub.RecognizeCommand(
            request((CHATTER, 90), (QUIET, 20), (WORD, 20), (QUIET, 10), (TIMER, 40), wake_word="alexa")
        )
    assert response.command.intent == "set_timer"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"grammar": pb.CommandGrammar()}, "INVALID_ARGUMENT", "grammar.commands"),
        (
            {"grammar": pb.CommandGrammar(commands=[pb.Command(intent="a", phrases=["go", "{x}"])])},
            "INVALID_ARGUMENT",
            "grammar.commands[0].phrases[1]",
        ),
        (
            {"grammar": pb.CommandGrammar(commands=[pb.Command(intent="a", phrases=["go", "to zzyzx"])])},
            "INVALID_ARGUMENT",
            "grammar.commands[0].phrases[1]",
        ),
        ({"language_code": "zh"}, "INVALID_ARGUMENT", "language_code"),
        ({"min_confidence": 1.5}, "INVALID_ARGUMENT", "min_confidence"),
        ({"request_id": "x"}, "INVALID_ARGUMENT", "request_id"),
        ({"audio": None}, "INVALID_ARGUMENT", "audio.content"),
        ({"wake_word": "sesame"}, "NOT_FOUND", None),
        ({"model": "other"}, "NOT_FOUND", None),
    ],
)
async def test_requests_that_are_refused(fields, code, field):
    """The error names the field, before any sound is searched; a wake word that does not exist lists those that do."""
    async with speech() as stub:
        audio = media_pb2.Audio(content=sound((TIMER, 9)))
        sent = pb.RecognizeCommandRequest(**({"grammar": GRAMMAR, "audio": audio} | fields))
        status, info, bad, _ = await failure(stub.RecognizeCommand(sent))
    assert status.name == code
    assert [each.field for each in bad.field_violations] == ([field] if field else [])
    assert all(not len(inputs["audio"]) for _, inputs, _ in stub.inference.calls)
    if "wake_word" in fields:
        assert info.metadata["known"] == "alexa, computer"


async def test_a_recording_that_is_too_long():
    """More than 30 seconds are refused."""
    async with speech() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.RecognizeCommand(request((TIMER, 940)))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "at most 30 seconds" in caught.value.details()


async def test_no_model_is_unimplemented():
    """Without a model the RPC is not there; without one for wake words only they are not."""
    async with speech(COMMANDS) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.RecognizeCommand(request((TIMER, 60), wake_word="alexa"))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert (await stub.RecognizeCommand(request((TIMER, 60)))).command.intent == "set_timer"


async def test_a_stream_of_commands():
    """Each utterance is a command or not, in order, with speech events around it and the end at last."""
    async with speech() as stub:
        responses = await streamed(
            stub, (QUIET, 20), (TIMER, 40), (QUIET, 30), (CHATTER, 40), (QUIET, 30), (TIMER, 40), request_id=REQUEST_ID
        )
    assert kinds(responses) == ["command", "unrecognized", "command", "end"]
    events = [each.speech_event.type for each in responses if each.HasField("speech_event")]
    start, end = live_pb2.SPEECH_EVENT_TYPE_SPEECH_START, live_pb2.SPEECH_EVENT_TYPE_SPEECH_END
    assert events == [start, end] * 3
    unrecognized = next(each.unrecognized for each in responses if each.HasField("unrecognized"))
    assert unrecognized.reason == pb.NO_COMMAND_REASON_NOT_RECOGNIZED
    assert to_seconds(unrecognized.start_offset) == pytest.approx(90 * 0.032)
    last = responses[-1].end
    assert (to_seconds(last.duration), last.model, last.request_id) == (
        pytest.approx(200 * 0.032),
        "commands",
        REQUEST_ID,
    )


async def test_a_stream_with_a_wake_word():
    """Commands count after it only, one each time; it is told once, though windows overlap."""
    async with speech() as stub:
        responses = await streamed(
            stub,
            *[(TIMER, 40), (QUIET, 30), (WORD, 20), (TIMER, 40), (QUIET, 40), (TIMER, 40), (QUIET, 30)],
            wake_word="alexa",
        )
    assert kinds(responses) == ["wake_word", "command", "end"]
    woken = next(each.wake_word for each in responses if each.HasField("wake_word"))
    assert (woken.name, to_seconds(woken.offset)) == ("alexa", pytest.approx(90 * 0.032, abs=0.001))
    command = next(each.command for each in responses if each.HasField("command"))
    assert to_seconds(command.start_offset) == pytest.approx(90 * 0.032, abs=0.001)


@pytest.mark.parametrize(("windows", "until"), [(300, 8.0), (60, None)])
async def test_nobody_speaks_after_the_wake_word(windows, until):
    """After eight seconds, or at the end of the sound, the wait is over and said to be; then all begins anew."""
    async with speech() as stub:
        responses = await streamed(stub, (QUIET, 20), (WORD, 20), (QUIET, windows), wake_word="alexa")
    assert kinds(responses) == ["wake_word", "unrecognized", "end"]
    found = next(each.unrecognized for each in responses if each.HasField("unrecognized"))
    assert found.reason == pb.NO_COMMAND_REASON_NO_SPEECH
    length = to_seconds(found.end_offset) - to_seconds(found.start_offset)
    assert length == pytest.approx(until or windows * 0.032, abs=0.001)


async def test_memory_of_a_stream_is_bounded():
    """What is searched for a wake word in a long stream is never more than two seconds."""
    async with speech() as stub:
        await streamed(stub, (QUIET, 600), wake_word="alexa")
        searched = [len(inputs["audio"]) for model, inputs, _ in stub.inference.calls if model == "wake"]
    assert len(searched) > 30
    assert max(searched) <= 32_000


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"grammar": pb.CommandGrammar()}, "config.grammar.commands"),
        ({"utterance_silence": to_duration(6)}, "config.utterance_silence"),
        (
            {"format": media_pb2.AudioStreamFormat(encoding=media_pb2.AUDIO_STREAM_ENCODING_LINEAR16)},
            "config.format.sample_rate_hertz",
        ),
        ({"language_code": "de"}, "config.language_code"),
        ({"request_id": "x"}, "config.request_id"),
    ],
)
async def test_streams_that_are_refused(fields, field):
    """A configuration that is wrong ends the stream without waiting for sound, and the error names the field."""
    async with speech() as stub:

        async def only_the_configuration():
            yield pb.StreamingRecognizeCommandRequest(
                config=pb.StreamingRecognizeCommandConfig(**({"grammar": GRAMMAR} | fields))
            )
            await asyncio.Event().wait()

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await received(stub.StreamingRecognizeCommand(only_the_configuration(), timeout=10))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "config: is required in the first message, which brought nothing"),
        ([{"audio_content": b"1"}], "which brought audio_content"),
        ([{}], "takes one of config and audio_content"),
        ([{"config": {"grammar": GRAMMAR}}, {"config": {"grammar": GRAMMAR}}], "comes once"),
        ([{"config": {"grammar": GRAMMAR}}, {"audio_content": b""}], "takes 1 to"),
    ],
)
async def test_messages_out_of_order(messages, says):
    """The configuration comes first and once, and then sound."""
    async with speech() as stub:
        requests = [pb.StreamingRecognizeCommandRequest(**each) for each in messages]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await received(stub.StreamingRecognizeCommand(iter(requests), timeout=10))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in caught.value.details()


@pytest.mark.parametrize("word", ["", "alexa"])
async def test_draining(word):
    """A server that stops lets a command be finished, and then tells clients to go elsewhere."""
    spoken = [(WORD, 20), (QUIET, 3)] if word else []
    before, after = sound(*spoken, (TIMER, 20)), sound((TIMER, 20), (QUIET, 200))
    config, seen = pb.StreamingRecognizeCommandConfig(grammar=GRAMMAR, wake_word=word), []
    async with speech() as stub:

        async def requests():
            yield pb.StreamingRecognizeCommandRequest(config=config)
            yield pb.StreamingRecognizeCommandRequest(audio_content=before)
            while not any(response.HasField("speech_event") for response in seen):
                await asyncio.sleep(0.01)
            stub.commands.drain()
            for begin in range(0, len(after), WINDOW * 4):
                yield pb.StreamingRecognizeCommandRequest(audio_content=after[begin : begin + WINDOW * 4])
            await asyncio.Event().wait()

        code, info, _, retry = await failure(received(stub.StreamingRecognizeCommand(requests(), timeout=10), seen))
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert retry.HasField("retry_delay")
    assert "command" in kinds(seen)
