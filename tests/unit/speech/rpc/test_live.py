"""StreamingRecognize through its public stub, with a fake model behind it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from maas.speech.v1 import live_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc, transcript_pb2
from maas.type.v1 import media_pb2
from services.mesh import errors
from services.mesh.durations import to_duration, to_seconds
from services.mesh.server import Servicer
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.speech.pipelines.live.recognizer import LiveRecognizer
from services.speech.pipelines.recognition.transcriber import Transcriber
from services.speech.pipelines.schedule import Schedule
from services.speech.rpc.live import LiveRpcs
from tests.failure import failure, received
from tests.unit.speech.pipelines.live.speakers import CARD, RATE, answer, ear, read, silence, speak

FORMAT = media_pb2.AudioStreamFormat(encoding=media_pb2.AUDIO_STREAM_ENCODING_FLOAT32, sample_rate_hertz=RATE)
# Two sentences, a break between them that ends the turn, and silence around.
TALK = np.concatenate([silence(1), speak(1, 2, 3), silence(2), speak(4, 5), silence(2)])
Requests = Iterable[pb.StreamingRecognizeRequest]


class Rpcs(LiveRpcs):
    """The RPC alone."""

    def __init__(self, models, live) -> None:
        self._models = models
        self._live = live


@dataclass
class Served:
    """A stub, and what stands behind it."""

    stub: speech_pb2_grpc.SpeechServiceStub
    live: LiveRecognizer
    inference: FakeInference

    async def answers(self, requests: Requests, seen=None) -> list[pb.StreamingRecognizeResponse]:
        """All of them. seen: a list that has those that came even when the call fails."""
        return await received(self.stub.StreamingRecognize(iter(requests), timeout=30), seen)

    async def talk(self, samples=TALK, **config) -> list[pb.StreamingRecognizeResponse]:
        """All answers to a sound in chunks of a tenth of a second."""
        return await self.answers([configured(**config), *chunks(samples)])


@asynccontextmanager
async def serving(inference=None, *, recognizers=1, **options):
    inference = inference or FakeInference(ear)
    live = LiveRecognizer(
        Transcriber(inference), FakePreprocessor(), Schedule(recognizers), interim_seconds=0, **options
    )
    models = await known_models(CARD)
    servicer = Servicer(
        "maas.speech.v1.SpeechService", speech_pb2_grpc.add_SpeechServiceServicer_to_server, Rpcs(models, live)
    )
    async with serve(servicer) as channel:
        yield Served(speech_pb2_grpc.SpeechServiceStub(channel), live, inference)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The service with room for several streams."""
    async with serving(recognizers=4) as found:
        yield found


def configured(**config) -> pb.StreamingRecognizeRequest:
    """The first message."""
    return pb.StreamingRecognizeRequest(config=pb.StreamingRecognizeConfig(**{"format": FORMAT, **config}))


def chunk(samples: NDArray[np.float32]) -> pb.StreamingRecognizeRequest:
    return pb.StreamingRecognizeRequest(audio_content=samples.tobytes())


def chunks(samples: NDArray[np.float32], size: int = 1600) -> list[pb.StreamingRecognizeRequest]:
    return [chunk(samples[begin : begin + size]) for begin in range(0, len(samples), size)]


def control(**control) -> pb.StreamingRecognizeRequest:
    return pb.StreamingRecognizeRequest(control=pb.StreamControl(**control))


END = control(end_utterance=pb.EndUtterance())
DISCARD = control(discard_utterance=pb.DiscardUtterance())


def finals(answers: Sequence[pb.StreamingRecognizeResponse]) -> list[pb.StreamingRecognitionResult]:
    return [each.result for each in answers if each.result.is_final]


def texts(answers: Sequence[pb.StreamingRecognizeResponse]) -> list[str]:
    return [each.transcript for each in finals(answers)]


def events(answers: Sequence[pb.StreamingRecognizeResponse]) -> list[str]:
    """What happened, in words."""
    found = []
    for each in answers:
        if each.HasField("speech_event"):
            found.append(pb.SpeechEventType.Name(each.speech_event.type).removeprefix("SPEECH_EVENT_TYPE_"))
        elif each.result.is_final:
            found.append(each.result.transcript)
    return found


async def test_conversation(served: Served) -> None:
    """Speech begins and ends, the final result follows, then the end of the turn, then the end of the stream."""
    echo = str(uuid.uuid4())
    answers = await served.talk(request_id=echo)
    assert events(answers) == [
        "SPEECH_START",
        "SPEECH_END",
        "one two three",
        "END_OF_TURN",
        "SPEECH_START",
        "SPEECH_END",
        "four five",
        "END_OF_TURN",
    ]
    assert [each.index for each in finals(answers)] == [0, 1]
    assert all(each.stability == 1 and each.confidence == pytest.approx(0.9) for each in finals(answers))
    end = answers[-1].end
    assert (end.final_results, end.model, end.request_id, end.damaged) == (2, "ear", echo, False)
    assert to_seconds(end.duration) == pytest.approx(len(TALK) / RATE)
    assert answers[-1].acknowledged_bytes == TALK.nbytes
    assert len({each.session_id for each in answers}) == 1
    assert uuid.UUID(answers[0].session_id)


async def test_times(served: Served) -> None:
    """Results tell when they begin and end, and words when they were spoken, from the beginning of the transcript."""
    first, second = finals(await served.talk(enable_word_time_offsets=True))
    assert to_seconds(first.result_start_offset) == pytest.approx(1, abs=0.05)
    assert to_seconds(second.result_start_offset) == pytest.approx(1 + 1.15 + 2, abs=0.05)
    assert [word.word for word in second.words] == ["four", "five"]
    began = to_seconds(second.result_start_offset)
    assert all(began - 0.4 <= to_seconds(word.start_offset) <= began for word in second.words)
    assert not finals(await served.talk())[0].words


async def test_first_answer_comes_before_any_sound(served: Served) -> None:
    """A client knows at once that it was let in, and the name of the transcript."""
    call = served.stub.StreamingRecognize(timeout=30)
    await call.write(configured())
    first = await call.read()
    assert first.session_id
    assert first.WhichOneof("streaming_response") is None
    call.cancel()


async def test_progress_in_silence(served: Served) -> None:
    """In silence the sound is accounted for every few seconds, all but the pre-roll."""
    answers = await served.talk(silence(20))
    told = [each for each in answers if each.WhichOneof("streaming_response") is None]
    assert len(told) >= 5
    assert told[-1].acknowledged_bytes > 15 * RATE * 4
    assert to_seconds(told[-1].acknowledged_offset) == told[-1].acknowledged_bytes / RATE / 4


async def test_interim_results(served: Served) -> None:
    """While somebody speaks, interim results grow; they have the number of their final one and are behind none."""
    call = served.stub.StreamingRecognize(timeout=30)
    await call.write(configured(interim_results=True))
    samples, seen = speak(*range(10)), []
    for begin in range(0, len(samples), 8000):
        await call.write(chunk(samples[begin : begin + 8000]))
        while begin >= 16_000 and (not seen or to_seconds(seen[-1].result_end_offset) < begin / RATE - 0.1):
            response = await call.read()
            if response.HasField("result"):
                seen.append(response.result)
    await call.done_writing()
    [final] = finals(await rest(call))
    assert len(seen) >= 2
    assert all(final.transcript.startswith(each.transcript) for each in seen)
    assert all(each.transcript.startswith(each.stable_transcript) for each in seen)
    assert seen[-1].stable_transcript
    assert {each.index for each in seen} == {final.index} == {0}
    assert json.loads(served.inference.calls[0][1]["options"][0])["quick"]


async def test_recorded(served: Served) -> None:
    """A recording has no lag, and needs no place among the live streams."""
    async with serving(max_live_streams=1) as small:
        live = small.stub.StreamingRecognize(timeout=30)
        await live.write(configured())
        await live.read()
        answers = await small.talk(recorded=True)
        live.cancel()
    assert texts(answers) == ["one two three", "four five"]
    assert not any(to_seconds(each.lag) for each in answers)


async def test_too_many(served: Served) -> None:
    """A live stream beyond those that the machine holds is refused before any answer."""
    async with serving(max_live_streams=1) as small:
        live = small.stub.StreamingRecognize(timeout=30)
        await live.write(configured())
        await live.read()
        code, info, _, retry = await failure(small.answers([configured()]))
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_LIVE_STREAMS")
        assert to_seconds(retry.retry_delay) > 0
        live.cancel()
        while small.live.admission.places:
            await asyncio.sleep(0)
        assert texts(await small.talk()) == ["one two three", "four five"]


@pytest.mark.parametrize("size", [70, 999, 50_000])
async def test_chunks_of_any_size(served: Served, size: int) -> None:
    """However the sound is cut, the transcript is the same."""
    samples = np.concatenate([speak(1), silence(0.8), speak(2)])
    pieces = chunks(samples, size)
    assert texts(await served.answers([configured(), *pieces])) == ["one", "two"]


async def test_end_utterance(served: Served) -> None:
    """The control ends utterance and turn at once, though nothing more is sent."""
    call = served.stub.StreamingRecognize(timeout=30)
    for request in (configured(), *chunks(speak(7)), END):
        await call.write(request)
    answers = [await call.read()]
    while events(answers)[-1:] != ["END_OF_TURN"]:
        answers.append(await call.read())
    assert events(answers) == ["SPEECH_START", "SPEECH_END", "seven", "END_OF_TURN"]
    assert answers[-1].acknowledged_bytes == speak(7).nbytes
    for request in chunks(speak(8)):
        await call.write(request)
    await call.done_writing()
    assert texts(await rest(call)) == ["eight"]


async def test_control_takes_effect_where_it_stands(served: Served) -> None:
    """A control that is sent in the middle of speech cuts there, to the sample."""
    first, second = speak(1), speak(2)[:-800]
    requests = [configured(), chunk(first), chunk(second), END, chunk(second), DISCARD, chunk(speak(3))]
    answers = await served.answers(requests)
    assert texts(answers) == ["one two", "three"]
    assert to_seconds(finals(answers)[0].result_end_offset) == (len(first) + len(second)) / RATE


async def test_end_utterance_without_one(served: Served) -> None:
    """Who lets go of a button without a word is told that the turn is over."""
    assert events(await served.answers([configured(), *chunks(silence(0.5)), END])) == ["END_OF_TURN"]


async def test_language_changes(served: Served) -> None:
    """A language that is told counts from there on, and ends the utterance; "auto" finds out again."""
    requests = [
        configured(language_code="en-GB"),
        chunk(speak(1)),
        control(language_code="de-AT"),
        chunk(speak(2)),
        control(language_code="auto"),
        chunk(speak(3)),
    ]
    answers = await served.answers(requests)
    assert texts(answers) == ["one", "two", "three"]
    languages = [json.loads(call[1]["options"][0])["language"] for call in served.inference.calls]
    assert languages == ["en", "de", ""]
    assert events(answers).count("END_OF_TURN") == 2


async def test_language_is_found_once_it_is_sure() -> None:
    """Each utterance finds its own language until the model is sure; then it stays."""
    probabilities = iter([0.4, 0.95])

    def unsure(_, inputs):
        language = json.loads(inputs["options"][0])["language"]
        return answer(read(inputs["audio"]), language="de", probability=1.0 if language else next(probabilities))

    async with serving(FakeInference(unsure)) as served:
        samples = np.concatenate([part for number in (1, 2, 3) for part in (speak(number), silence(1))])
        found = finals(await served.talk(samples))
    languages = [json.loads(call[1]["options"][0])["language"] for call in served.inference.calls]
    assert languages == ["", "", "de"]
    assert [round(each.language_confidence, 2) for each in found] == [0.4, 0.95, 1.0]


def resumed(answer: pb.StreamingRecognizeResponse, done: Sequence[pb.StreamingRecognitionResult]):
    """What a client sends that had these answers."""
    return pb.StreamResumption(
        session_id=answer.session_id,
        acknowledged_bytes=answer.acknowledged_bytes,
        acknowledged_offset=answer.acknowledged_offset,
        final_results=len(done),
        cues=done[-1].cues if done else 0,
        language_code=done[-1].language_code if done else "",
    )


async def test_captions(served: Served) -> None:
    """The captions of all final results are one file, numbered on in a stream that was resumed."""
    config = {"caption_format": transcript_pb2.CAPTION_FORMAT_VTT}
    whole = await served.talk(**config)
    captions = "".join(each.captions for each in finals(whole))
    assert captions.startswith("WEBVTT\n\n1\n00:00:0")
    assert finals(whole)[-1].cues == captions.count("-->") >= 2
    seen = whole[: next(i for i, each in enumerate(whole) if each.result.is_final) + 1]
    rest_of_it = TALK[seen[-1].acknowledged_bytes // 4 :]
    again = await served.talk(rest_of_it, resume=resumed(seen[-1], finals(seen)), **config)
    assert finals(seen)[0].captions + finals(again)[0].captions == captions
    assert not any(each.words for each in finals(whole))


LONG = np.concatenate([TALK, speak(*range(10), *range(10)), silence(0.7), speak(9), silence(4), speak(8)])


@pytest.mark.parametrize("container", [False, True])
async def test_nothing_is_lost_or_doubled(served: Served, *, container: bool) -> None:
    """A stream that breaks after any of its answers goes on as if it had not."""
    config = {
        "format": None if container else FORMAT,
        "end_pointing": pb.EndPointing(maximum_utterance=to_duration(3)),
    }
    whole = await served.talk(LONG, **config)
    assert len(finals(whole)) > 5
    for broken_after in range(len(whole)):
        seen = whole[: broken_after + 1]
        done, last = finals(seen), seen[-1]
        rest = LONG[0 if container else last.acknowledged_bytes // 4 :]
        again = await served.talk(rest, resume=resumed(last, done), **config)
        assert {each.session_id for each in again} == {whole[0].session_id}
        both = [*done, *finals(again)]
        assert [each.transcript for each in both] == texts(whole), broken_after
        assert [each.index for each in both] == list(range(len(both)))
        for one, other in zip(both, finals(whole), strict=True):
            assert to_seconds(one.result_end_offset) == pytest.approx(to_seconds(other.result_end_offset), abs=0.04)
        assert again[-1].end.final_results == whole[-1].end.final_results
        assert to_seconds(again[-1].end.duration) == pytest.approx(len(LONG) / RATE)
        missing = events(whole)[len(events(seen)) :].count("END_OF_TURN")
        assert events(again).count("END_OF_TURN") >= missing


async def test_broken_twice(served: Served) -> None:
    """Acknowledged bytes are counted over all calls of a transcript."""
    first = await served.talk(LONG[: 5 * RATE])
    seen = first[: next(i for i, each in enumerate(first) if each.result.is_final) + 1]
    rest = LONG[seen[-1].acknowledged_bytes // 4 :]
    second = await served.talk(rest, resume=resumed(seen[-1], finals(seen)))
    cut = next(i for i, each in enumerate(second) if each.result.is_final) + 1
    done = [*finals(seen), *finals(second[:cut])]
    third = await served.talk(LONG[second[cut - 1].acknowledged_bytes // 4 :], resume=resumed(second[cut - 1], done))
    assert texts(first)[:1] + texts(second)[:1] + texts(third) == texts(await served.talk(LONG))
    assert third[-1].acknowledged_bytes == LONG.nbytes


async def test_nothing_left_to_send(served: Served) -> None:
    """Who comes back when all is acknowledged gets the end."""
    whole = await served.talk()
    [*_, end] = await served.answers([configured(resume=resumed(whole[-1], finals(whole)))])
    assert end.end.final_results == 2
    assert to_seconds(end.end.duration) == pytest.approx(len(TALK) / RATE)


async def test_draining() -> None:
    """A server that stops says what has ended, acknowledges it, and tells clients to go elsewhere."""
    go_on = asyncio.Event()

    class Slow(FakeInference):
        async def infer(self, *args, **kwargs):
            await go_on.wait()
            return await super().infer(*args, **kwargs)

    async with serving(Slow(ear)) as served:
        call = served.stub.StreamingRecognize(timeout=30)
        for request in (configured(), *chunks(np.concatenate([speak(1), silence(1), speak(2)]))):
            await call.write(request)
        seen = []
        # Now the utterance has ended, and is being read.
        while not (seen and seen[-1].speech_event.type == pb.SPEECH_EVENT_TYPE_SPEECH_END):
            seen.append(await call.read())
        served.live.drain()
        go_on.set()
        code, info, _, retry = await failure(rest(call, seen))
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert retry.HasField("retry_delay")
    assert texts(seen) == ["one"]
    assert seen[-1].acknowledged_bytes >= speak(1).nbytes


async def rest(call, seen=None) -> list[pb.StreamingRecognizeResponse]:
    """All answers that are still to come. Raises what the call fails with."""
    seen = [] if seen is None else seen
    while (response := await call.read()) is not grpc.aio.EOF:
        seen.append(response)
    if (code := await call.code()) != grpc.StatusCode.OK:
        trailers = await call.trailing_metadata()
        raise grpc.aio.AioRpcError(code, await call.initial_metadata(), trailers, details=await call.details())
    return seen


async def test_guess() -> None:
    """When a pause becomes an end, the reading that was begun in it is used: each utterance is read once."""
    async with serving(recognizers=2) as served:
        answers = await served.talk(np.concatenate([speak(1), silence(1.5), speak(2), silence(1.5)]))
        assert texts(answers) == ["one", "two"]
        assert len(served.inference.calls) == 2


async def test_reading_fails() -> None:
    """When the model fails, the stream does, with what was final before it."""

    def fails(_, inputs):
        text = read(inputs["audio"])
        return errors.Unavailable("model 'ear' is loading") if "four" in text else answer(text)

    async with serving(FakeInference(fails)) as served:
        seen = []

        code, *_ = await failure(served.answers([configured(), *chunks(TALK)], seen))
    assert code == grpc.StatusCode.UNAVAILABLE
    assert texts(seen) == ["one two three"]


async def test_client_leaves() -> None:
    """A client that goes away leaves nothing behind."""
    async with serving() as served:
        call = served.stub.StreamingRecognize(timeout=30)
        for request in (configured(), *chunks(speak(1, 2))):
            await call.write(request)
        await call.read()
        call.cancel()
        while served.live.admission.places:
            await asyncio.sleep(0)


RAW = {"session_id": str(uuid.uuid4()), "acknowledged_bytes": 4 * RATE, "acknowledged_offset": to_duration(1)}


@pytest.mark.parametrize(
    ("config", "field_name"),
    [
        ({"request_id": "mine"}, "config.request_id"),
        ({"language_code": "?"}, "config.language_code"),
        ({"language_code": "fr"}, "config.language_code"),
        ({"caption_format": 9}, "config.caption_format"),
        ({"format": media_pb2.AudioStreamFormat(encoding=1)}, "config.format.sample_rate_hertz"),
        ({"phrase_hints": [""]}, "config.phrase_hints[0]"),
        ({"phrase_hints": ["a"] * 101}, "config.phrase_hints"),
        (
            {"end_pointing": pb.EndPointing(utterance_silence=to_duration(0.05))},
            "config.end_pointing.utterance_silence",
        ),
        ({"end_pointing": pb.EndPointing(turn_silence=to_duration(0.5))}, "config.end_pointing.turn_silence"),
        ({"end_pointing": pb.EndPointing(maximum_utterance=to_duration(29))}, "config.end_pointing.maximum_utterance"),
        ({"end_pointing": pb.EndPointing(speech_threshold=1)}, "config.end_pointing.speech_threshold"),
        ({"end_pointing": pb.EndPointing(speech_threshold=float("nan"))}, "config.end_pointing.speech_threshold"),
        ({"resume": pb.StreamResumption()}, "config.resume.session_id"),
        ({"resume": pb.StreamResumption(**RAW | {"acknowledged_bytes": 3})}, "config.resume.acknowledged_bytes"),
        ({"resume": pb.StreamResumption(**RAW | {"acknowledged_bytes": -4})}, "config.resume.acknowledged_bytes"),
        ({"resume": pb.StreamResumption(**RAW | {"acknowledged_bytes": 8})}, "config.resume.acknowledged_offset"),
        ({"resume": pb.StreamResumption(**RAW), "format": None}, "config.resume.acknowledged_bytes"),
        ({"resume": pb.StreamResumption(**RAW, final_results=-1)}, "config.resume.final_results"),
        ({"resume": pb.StreamResumption(**RAW, cues=-1)}, "config.resume.cues"),
        ({"resume": pb.StreamResumption(**RAW, language_code="fr")}, "config.resume.language_code"),
    ],
)
async def test_bad_config(served: Served, config, field_name: str) -> None:
    """What breaks a rule is named, before any answer."""
    code, _, bad, _ = await failure(served.answers([configured(**config)]))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in bad.field_violations] == [field_name]


@pytest.mark.parametrize(
    ("requests", "field_name"),
    [
        ([], "config"),
        ([chunk(silence(1))], "config"),
        ([pb.StreamingRecognizeRequest()], "streaming_request"),
        ([configured(), pb.StreamingRecognizeRequest()], "streaming_request"),
        ([configured(), chunk(silence(1)), configured()], "config"),
        ([configured(), chunk(silence(0))], "audio_content"),
        ([configured(), pb.StreamingRecognizeRequest(audio_content=bytes(2**20 + 1))], "audio_content"),
        ([configured(), pb.StreamingRecognizeRequest(control=pb.StreamControl())], "control.control"),
        ([configured(), control(language_code="fr")], "control.language_code"),
        ([configured(), control(language_code="")], "control.language_code"),
        ([configured(), chunk(silence(1)), *[END] * 150], "control"),
    ],
)
async def test_bad_messages(served: Served, requests, field_name: str) -> None:
    """Messages that may not come, or not like this, end the stream and are named."""
    code, _, bad, _ = await failure(served.answers(requests))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in bad.field_violations] == [field_name]


async def test_what_came_before_a_mistake(served: Served) -> None:
    """A mistake in mid-stream is told after all that was said before it."""
    seen = []

    code, *_ = await failure(served.answers([configured(), *chunks(speak(1)), configured()], seen))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert texts(seen) == ["one"]


async def test_unknown_model(served: Served) -> None:
    """An unknown model is NOT_FOUND."""
    code, info, *_ = await failure(served.answers([configured(model="nose")]))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


async def test_no_sound(served: Served) -> None:
    """A stream that is closed without any sound ends well."""
    [_, end] = await served.answers([configured()])
    assert end.end.final_results == 0
