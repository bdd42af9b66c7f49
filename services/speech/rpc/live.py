"""StreamingRecognize."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

from opentelemetry import trace

from maas.speech.v1 import live_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc, transcript_pb2
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.durations import seconds_within, to_duration
from services.mesh.models import ModelCard, Models
from services.mesh.ports import AudioFormat
from services.mesh.request import language_tag, one_of
from services.mesh.server import budget
from services.mesh.sound import MAX_CHUNK_BYTES, format_from_proto
from services.mesh.streams import first_config, kind_of
from services.speech.pipelines.live.endpoints import Rules
from services.speech.pipelines.live.plan import (
    Answer,
    ChangeLanguage,
    Control,
    DiscardUtterance,
    End,
    EndUtterance,
    Event,
    LivePlan,
    Result,
    Resumption,
    SpeechEvent,
)
from services.speech.pipelines.live.recognizer import LiveRecognizer
from services.speech.pipelines.recognition.captions import CaptionFormat
from services.speech.pipelines.recognition.hints import checked_hints
from services.speech.rpc.results import word

# For calls whose client set no deadline.
LONGEST_SECONDS = 3600.0
# A year.
_MAX_OFFSET_SECONDS = 31_536_000.0
# How far the two places of a resumption may differ: less than a sample of the slowest sound.
_SAME_PLACE_SECONDS = 0.0005
_AUTO = "auto"
# Final results that are events of the call's span; it has their number in any case.
_MAX_EVENTS = 32

_CAPTIONS: Mapping[transcript_pb2.CaptionFormat.ValueType, CaptionFormat | None] = {
    transcript_pb2.CAPTION_FORMAT_UNSPECIFIED: None,
    transcript_pb2.CAPTION_FORMAT_SRT: "srt",
    transcript_pb2.CAPTION_FORMAT_VTT: "vtt",
}
_EVENTS = {
    Event.SPEECH_START: pb.SPEECH_EVENT_TYPE_SPEECH_START,
    Event.SPEECH_END: pb.SPEECH_EVENT_TYPE_SPEECH_END,
    Event.END_OF_TURN: pb.SPEECH_EVENT_TYPE_END_OF_TURN,
}


class LiveRpcs(speech_pb2_grpc.SpeechServiceServicer):
    """The RPC that writes down speech while it is spoken."""

    _models: Models
    _live: LiveRecognizer

    async def StreamingRecognize(
        self, request_iterator: AsyncIterator[pb.StreamingRecognizeRequest], context: Context
    ) -> AsyncIterator[pb.StreamingRecognizeResponse]:
        """What is being said."""
        deadline = budget(context, default_seconds=LONGEST_SECONDS)
        span = trace.get_current_span()
        config = await first_config(request_iterator)
        plan = _plan(config, self._models)
        async with (
            aclosing(_inputs(request_iterator, plan.card)) as inputs,
            aclosing(self._live.recognize(plan, inputs, deadline)) as answers,
        ):
            finals = 0
            async for answer in answers:
                if isinstance(answer.body, Result) and answer.body.is_final:
                    finals += 1
                    if finals <= _MAX_EVENTS:
                        span.add_event("final result")
                if isinstance(answer.body, End):
                    span.set_attribute("maas.speech.final_results", answer.body.final_results)
                yield _response(answer, plan, config.request_id)


async def _inputs(
    requests: AsyncIterator[pb.StreamingRecognizeRequest], card: ModelCard
) -> AsyncGenerator[bytes | Control, None]:
    """What the messages after the first bring. Raises InvalidArgument for those that may not come, or not like this."""
    async for request in requests:
        came = kind_of(request)
        if came == "config":
            raise errors.InvalidArgument.field("config", "comes once, in the first message")
        if came == "control":
            yield _control(request.control, card)
            continue
        content = request.audio_content  # Each reading of the field copies it.
        if not 1 <= len(content) <= MAX_CHUNK_BYTES:
            raise errors.InvalidArgument.field(
                "audio_content", f"takes 1 to {MAX_CHUNK_BYTES} bytes, got {len(content)}"
            )
        yield content


def _control(control: pb.StreamControl, card: ModelCard) -> Control:
    kind = control.WhichOneof("control")
    if kind == "end_utterance":
        return EndUtterance()
    if kind == "discard_utterance":
        return DiscardUtterance()
    if kind == "language_code":
        if control.language_code.lower() == _AUTO:
            return ChangeLanguage("")
        if not control.language_code:
            raise errors.InvalidArgument.field("control.language_code", f'takes a BCP-47 tag, or "{_AUTO}"')
        return ChangeLanguage(_language("control.language_code", control.language_code, card))
    raise errors.InvalidArgument.field(
        "control.control", "takes one of end_utterance, language_code and discard_utterance"
    )


def _plan(config: pb.StreamingRecognizeConfig, models: Models) -> LivePlan:
    """What is wanted. Raises InvalidArgument, and what picking the model raises."""
    if config.request_id:
        _uuid("config.request_id", config.request_id)
    language_tag("config.language_code", config.language_code)
    card = models.pick("speech-recognition", config.model, language_code=config.language_code)
    audio_format = format_from_proto("config.format", config.format)
    captions = _CAPTIONS[one_of("config.caption_format", config.caption_format, _CAPTIONS)]
    resume = _resumption(config.resume, audio_format, card) if config.HasField("resume") else None
    return LivePlan(
        card=card,
        audio_format=audio_format,
        rules=_rules(config.end_pointing),
        session_id=resume.session_id if resume else str(uuid.uuid4()),
        language=_language("config.language_code", config.language_code, card),
        interim_results=config.interim_results,
        word_times=config.enable_word_time_offsets,
        hints=checked_hints(config.phrase_hints, field="config.phrase_hints"),
        captions=captions,
        recorded=config.recorded,
        resume=resume,
    )


def _language(field: str, code: str, card: ModelCard) -> str:
    """The model's own code, "" for "". Raises InvalidArgument, listing those it knows."""
    language_tag(field, code)
    return card.require_language(code, field=field) if code else ""


def _rules(given: pb.EndPointing) -> Rules:
    field = "config.end_pointing"
    utterance_silence = seconds_within(
        f"{field}.utterance_silence",
        given.utterance_silence if given.HasField("utterance_silence") else None,
        default=0.6,
        low=0.1,
        high=5,
    )
    turn_silence = seconds_within(
        f"{field}.turn_silence",
        given.turn_silence if given.HasField("turn_silence") else None,
        default=max(1.2, utterance_silence),
        low=utterance_silence,
        high=30,
    )
    maximum_utterance = seconds_within(
        f"{field}.maximum_utterance",
        given.maximum_utterance if given.HasField("maximum_utterance") else None,
        default=20,
        low=1,
        high=28,
    )
    threshold = given.speech_threshold
    if not 0 <= threshold < 1:
        raise errors.InvalidArgument.field(
            f"{field}.speech_threshold", f"takes more than 0 and less than 1, got {threshold:g}"
        )
    return Rules(utterance_silence, turn_silence, maximum_utterance, threshold or 0.5)


def _resumption(given: pb.StreamResumption, audio_format: AudioFormat, card: ModelCard) -> Resumption:
    field = "config.resume"
    session_id = _uuid(f"{field}.session_id", given.session_id)
    for name in ("acknowledged_bytes", "final_results", "cues"):
        if (count := getattr(given, name)) < 0:
            raise errors.InvalidArgument.field(f"{field}.{name}", f"takes 0 or more, got {count}")
    offset = seconds_within(
        f"{field}.acknowledged_offset", given.acknowledged_offset, default=0, low=0, high=_MAX_OFFSET_SECONDS
    )
    _require_one_place(field, given.acknowledged_bytes, offset, audio_format)
    return Resumption(
        session_id,
        given.acknowledged_bytes,
        offset,
        given.final_results,
        _language(f"{field}.language_code", given.language_code, card),
        given.cues,
    )


def _require_one_place(field: str, acknowledged_bytes: int, offset: float, audio_format: AudioFormat) -> None:
    """Raise InvalidArgument when bytes and seconds do not tell the same place."""
    per_second = audio_format.bytes_per_second
    if per_second is None:
        if acknowledged_bytes:
            raise errors.InvalidArgument.field(
                f"{field}.acknowledged_bytes",
                f"is 0 for a container, which is sent again whole; got {acknowledged_bytes}",
            )
        return
    frame = round(per_second / audio_format.sample_rate_hertz)
    if acknowledged_bytes % frame:
        raise errors.InvalidArgument.field(
            f"{field}.acknowledged_bytes", f"is a multiple of {frame}, the bytes of a frame; got {acknowledged_bytes}"
        )
    if abs(acknowledged_bytes / per_second - offset) > _SAME_PLACE_SECONDS:
        raise errors.InvalidArgument.field(
            f"{field}.acknowledged_offset",
            f"is {acknowledged_bytes / per_second:g} seconds where {acknowledged_bytes} bytes end; got {offset:g}",
        )


def _uuid(field: str, value: str) -> str:
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise errors.InvalidArgument.field(field, "must be a UUID") from None


def _response(answer: Answer, plan: LivePlan, echo: str) -> pb.StreamingRecognizeResponse:
    response = pb.StreamingRecognizeResponse(
        session_id=plan.session_id,
        acknowledged_bytes=answer.acknowledged_bytes,
        acknowledged_offset=to_duration(answer.acknowledged_seconds),
        lag=to_duration(answer.lag),
    )
    body = answer.body
    if isinstance(body, Result):
        response.result.CopyFrom(_result(body))
    elif isinstance(body, SpeechEvent):
        response.speech_event.CopyFrom(pb.SpeechEvent(type=_EVENTS[body.type], offset=to_duration(body.offset)))
    elif isinstance(body, End):
        response.end.CopyFrom(
            pb.StreamingRecognizeEnd(
                duration=to_duration(body.duration),
                final_results=body.final_results,
                model=plan.card.name,
                request_id=echo,
                damaged=body.damaged,
            )
        )
    return response


def _result(found: Result) -> pb.StreamingRecognitionResult:
    return pb.StreamingRecognitionResult(
        transcript=found.transcript,
        is_final=found.is_final,
        stability=found.stability,
        stable_transcript=found.stable_transcript,
        confidence=found.confidence,
        result_start_offset=to_duration(found.begin),
        result_end_offset=to_duration(found.end),
        words=map(word, found.words),
        language_code=found.language,
        language_confidence=found.language_probability,
        index=found.index,
        captions=found.captions,
        cues=found.cues,
    )
