"""SynthesizeSpeech, StreamingSynthesize and ListVoices."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

from opentelemetry import trace

from maas.speech.v1 import speech_pb2_grpc
from maas.speech.v1 import synthesis_pb2 as pb
from services.mesh import errors
from services.mesh.audio import spoken
from services.mesh.call import Context
from services.mesh.durations import to_duration
from services.mesh.models import Models
from services.mesh.request import language_tag, one_of, request_id
from services.mesh.server import budget
from services.mesh.streams import first_config, kind_of
from services.speech.pipelines.synthesis import ssml
from services.speech.pipelines.synthesis.encoding import AudioEncoding, Output
from services.speech.pipelines.synthesis.script import Script
from services.speech.pipelines.synthesis.synthesizer import End, Piece, Synthesizer, speed
from services.speech.pipelines.synthesis.voices import Gender, Speaker, Voice, choose, list_voices

MAX_TEXT_BYTES = 5000
# For streams whose client set no deadline: who writes may take long.
LONGEST_SECONDS = 3600.0
_MAX_CHUNK_BYTES = 64 * 1024

_ENCODINGS: Mapping[pb.AudioEncoding.ValueType, AudioEncoding] = {
    pb.AUDIO_ENCODING_UNSPECIFIED: "wav",
    pb.AUDIO_ENCODING_WAV: "wav",
    pb.AUDIO_ENCODING_LINEAR16: "linear16",
    pb.AUDIO_ENCODING_FLAC: "flac",
    pb.AUDIO_ENCODING_OGG_OPUS: "ogg_opus",
    pb.AUDIO_ENCODING_MP3: "mp3",
    pb.AUDIO_ENCODING_MULAW: "mulaw",
    pb.AUDIO_ENCODING_ALAW: "alaw",
}
_GENDERS: Mapping[Gender, pb.VoiceGender.ValueType] = {
    "": pb.VOICE_GENDER_UNSPECIFIED,
    "female": pb.VOICE_GENDER_FEMALE,
    "male": pb.VOICE_GENDER_MALE,
}


class SynthesisRpcs(speech_pb2_grpc.SpeechServiceServicer):
    """The RPCs that speak."""

    _models: Models
    _synthesizer: Synthesizer

    async def SynthesizeSpeech(
        self, request: pb.SynthesizeSpeechRequest, context: Context
    ) -> pb.SynthesizeSpeechResponse:
        """A text spoken."""
        echo = request_id(request)
        output = _output(request)
        rate = speed(request.speaking_rate)
        script = _script(request)
        speaker = _speaker(self._models, request, script.language, script.text)
        assert speaker is not None  # noqa: S101 - the text is known
        speech = await self._synthesizer.speak(
            script, speaker, speaking_rate=rate, output=output, deadline=budget(context)
        )
        spoken(speech.duration_seconds)
        return pb.SynthesizeSpeechResponse(
            audio_content=speech.content,
            sample_rate_hertz=speech.sample_rate_hertz,
            duration=to_duration(speech.duration_seconds),
            voice=speaker.voice.name,
            model=speaker.voice.card.name,
            request_id=echo,
        )

    async def StreamingSynthesize(
        self, request_iterator: AsyncIterator[pb.StreamingSynthesizeRequest], context: Context
    ) -> AsyncIterator[pb.StreamingSynthesizeResponse]:
        """A text spoken while it is being written."""
        deadline = budget(context, default_seconds=LONGEST_SECONDS)
        span = trace.get_current_span()
        config = await first_config(request_iterator)
        echo = request_id(config)
        pieces = self._synthesizer.stream(
            _texts(request_iterator),
            lambda text: _speaker(self._models, config, "", text),
            speaking_rate=speed(config.speaking_rate),
            output=_output(config, default=pb.AUDIO_ENCODING_LINEAR16),
            deadline=deadline,
        )
        first = True
        said = 0.0
        async with aclosing(pieces):
            async for piece in pieces:
                if first:
                    span.add_event("first sound")
                    first = False
                end = piece.end_seconds if isinstance(piece, Piece) else piece.duration_seconds
                spoken(max(0.0, end - said))
                said = max(end, said)
                for response in _responses(piece, echo):
                    yield response

    async def ListVoices(self, request: pb.ListVoicesRequest, context: Context) -> pb.ListVoicesResponse:
        """The voices of the models that are ready."""
        language = language_tag("language_code", request.language_code)
        return pb.ListVoicesResponse(voices=map(_voice, list_voices(self._models, language)))


def _script(request: pb.SynthesizeSpeechRequest) -> Script:
    """What to say. Raises InvalidArgument when it is not there, there twice, too long, or no SSML."""
    if bool(request.text) == bool(request.ssml):
        raise errors.InvalidArgument.field("text", "exactly one of text and ssml is required")
    return ssml.parse(request.ssml) if request.ssml else Script.of_text(_checked(request.text))


def _checked(text: str) -> str:
    size = len(text.encode())
    if not 1 <= size <= MAX_TEXT_BYTES:
        raise errors.InvalidArgument.field("text", f"takes 1 to {MAX_TEXT_BYTES} UTF-8 bytes, got {size}")
    return text


def _output(
    request: pb.SynthesizeSpeechRequest | pb.StreamingSynthesizeConfig,
    default: pb.AudioEncoding.ValueType = pb.AUDIO_ENCODING_WAV,
) -> Output:
    encoding = one_of("audio_encoding", request.audio_encoding, _ENCODINGS) or default
    output = Output(_ENCODINGS[encoding], request.sample_rate_hertz, request.volume_gain_db)
    output.check()
    return output


def _speaker(
    models: Models,
    request: pb.SynthesizeSpeechRequest | pb.StreamingSynthesizeConfig,
    language: str,
    text: str | None,
) -> Speaker | None:
    """Who speaks. language: that the text names itself, for requests that name none."""
    return choose(
        models,
        language_code=language_tag("language_code", request.language_code) or language_tag("ssml", language),
        voice=request.voice,
        model=request.model,
        text=text,
    )


async def _texts(requests: AsyncIterator[pb.StreamingSynthesizeRequest]) -> AsyncGenerator[str | None, None]:
    """What the messages after the first bring; None to speak what has come."""
    async for request in requests:
        came = kind_of(request)
        if came == "config":
            raise errors.InvalidArgument.field("config", "comes once, in the first message")
        yield _checked(request.text) if came == "text" else None


def _responses(piece: Piece | End, echo: str) -> list[pb.StreamingSynthesizeResponse]:
    content = [
        pb.StreamingSynthesizeResponse(audio_content=piece.content[begin : begin + _MAX_CHUNK_BYTES])
        for begin in range(0, len(piece.content), _MAX_CHUNK_BYTES)
    ]
    if isinstance(piece, Piece):
        sentence = pb.SpokenSentence(
            text=piece.text, start_offset=to_duration(piece.start_seconds), end_offset=to_duration(piece.end_seconds)
        )
        return [pb.StreamingSynthesizeResponse(sentence=sentence), *content]
    end = pb.SynthesisEnd(
        duration=to_duration(piece.duration_seconds),
        sample_rate_hertz=piece.sample_rate_hertz,
        voice=piece.speaker.voice.name,
        model=piece.speaker.voice.card.name,
        request_id=echo,
    )
    return [*content, pb.StreamingSynthesizeResponse(end=end)]


def _voice(voice: Voice) -> pb.Voice:
    return pb.Voice(
        name=voice.name,
        language_codes=voice.languages,
        model=voice.card.name,
        sample_rate_hertz=voice.sample_rate_hertz,
        gender=_GENDERS[voice.gender],
    )
