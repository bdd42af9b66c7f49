"""RecognizeCommand and StreamingRecognizeCommand."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from maas.speech.v1 import command_pb2 as pb
from maas.speech.v1 import live_pb2, speech_pb2_grpc
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.deadline import Deadline
from services.mesh.durations import seconds_within, to_duration
from services.mesh.media import media_bytes
from services.mesh.models import Models
from services.mesh.ports import Preprocessor
from services.mesh.request import fraction, language_tag
from services.mesh.server import budget
from services.mesh.sound import MAX_CHUNK_BYTES, format_from_proto
from services.mesh.streams import first_config, kind_of
from services.speech.pipelines.commands.grammar import Command, Grammar, Slot, checked
from services.speech.pipelines.commands.live import listen
from services.speech.pipelines.commands.plan import Answer, CommandPlan, NoCommand, Speech, Unrecognized, Woken
from services.speech.pipelines.commands.recognizer import COMMANDS, CommandRecognizer, Commands, Recognized
from services.speech.pipelines.commands.speech import decoded
from services.speech.pipelines.commands.unary import command_in
from services.speech.pipelines.commands.wake import WakeWord, wake_word

# For streams whose client set no deadline.
LONGEST_SECONDS = 3600.0
_REASONS = {
    NoCommand.NO_SPEECH: pb.NO_COMMAND_REASON_NO_SPEECH,
    NoCommand.NOT_RECOGNIZED: pb.NO_COMMAND_REASON_NOT_RECOGNIZED,
    NoCommand.NO_WAKE_WORD: pb.NO_COMMAND_REASON_NO_WAKE_WORD,
}


class CommandRpcs(speech_pb2_grpc.SpeechServiceServicer):
    """The RPCs that listen for commands."""

    _models: Models
    _preprocessor: Preprocessor
    _commands: CommandRecognizer

    async def RecognizeCommand(
        self, request: pb.RecognizeCommandRequest, context: Context
    ) -> pb.RecognizeCommandResponse:
        """The command that a recording speaks."""
        deadline = budget(context)
        commands, word = await self._wanted(request, "", deadline)
        content = await media_bytes("audio", request.audio, self._preprocessor, deadline)
        recording = await decoded(content, self._preprocessor, field="audio", deadline=deadline)
        listener = self._commands.listener(word) if word else None
        found = await command_in(recording, commands, self._commands, listener, deadline)
        response = pb.RecognizeCommandResponse(model=commands.card.name, request_id=request.request_id)
        if isinstance(found, NoCommand):
            response.no_command_reason = _REASONS[found]
        else:
            response.command.CopyFrom(_command(found))
        return response

    async def StreamingRecognizeCommand(
        self, request_iterator: AsyncIterator[pb.StreamingRecognizeCommandRequest], context: Context
    ) -> AsyncIterator[pb.StreamingRecognizeCommandResponse]:
        """The commands that are being spoken."""
        deadline = budget(context, default_seconds=LONGEST_SECONDS)
        config = await first_config(request_iterator)
        audio_format = format_from_proto("config.format", config.format)
        silence = seconds_within(
            "config.utterance_silence",
            config.utterance_silence if config.HasField("utterance_silence") else None,
            default=0.5,
            low=0.1,
            high=5,
        )
        commands, word = await self._wanted(config, "config.", deadline)
        plan = CommandPlan(commands, audio_format, silence, word)
        async with (
            aclosing(_chunks(request_iterator)) as chunks,
            aclosing(listen(plan, chunks, self._commands, self._preprocessor, deadline)) as answers,
        ):
            async for answer in answers:
                yield _response(answer, plan, config.request_id)

    async def _wanted(
        self,
        request: pb.RecognizeCommandRequest | pb.StreamingRecognizeCommandConfig,
        at: str,
        deadline: Deadline,
    ) -> tuple[Commands, WakeWord | None]:
        """What is listened for, ready. at: how the fields' names begin. Raises for all that can be wrong with it."""
        if request.request_id:
            _require_uuid(f"{at}request_id", request.request_id)
        language_tag(f"{at}language_code", request.language_code)
        least = fraction(f"{at}min_confidence", request.min_confidence, default=0)
        grammar = _grammar(request.grammar, f"{at}grammar")
        card = self._models.pick(COMMANDS, request.model)
        card.require_language(request.language_code, field=f"{at}language_code")
        word = wake_word(self._models, request.wake_word) if request.wake_word else None
        commands = await self._commands.prepare(
            grammar, card, min_confidence=least, at=f"{at}grammar", deadline=deadline
        )
        return commands, word


def _require_uuid(field: str, value: str) -> None:
    try:
        uuid.UUID(value)
    except ValueError:
        raise errors.InvalidArgument.field(field, "must be a UUID") from None


def _grammar(message: pb.CommandGrammar, at: str) -> Grammar:
    return checked(
        [Command(each.intent, tuple(each.phrases)) for each in message.commands],
        [_slot(each) for each in message.slots],
        at=at,
    )


def _slot(message: pb.CommandSlot) -> Slot:
    kind = message.WhichOneof("kind")
    if kind == "values":
        return Slot(message.name, values=tuple((each.value, tuple(each.spoken)) for each in message.values.values))
    if kind == "numbers":
        return Slot(message.name, numbers=(message.numbers.min, message.numbers.max))
    return Slot(message.name)


async def _chunks(requests: AsyncIterator[pb.StreamingRecognizeCommandRequest]) -> AsyncGenerator[bytes, None]:
    """The sound of the messages after the first. Raises InvalidArgument for one that brings something else."""
    async for request in requests:
        if kind_of(request) == "config":
            raise errors.InvalidArgument.field("config", "comes once, in the first message")
        content = request.audio_content  # Each reading of the field copies it.
        if not 1 <= len(content) <= MAX_CHUNK_BYTES:
            raise errors.InvalidArgument.field(
                "audio_content", f"takes 1 to {MAX_CHUNK_BYTES} bytes, got {len(content)}"
            )
        yield content


def _response(answer: Answer, plan: CommandPlan, echo: str) -> pb.StreamingRecognizeCommandResponse:
    if isinstance(answer, Recognized):
        return pb.StreamingRecognizeCommandResponse(command=_command(answer))
    if isinstance(answer, Unrecognized):
        return pb.StreamingRecognizeCommandResponse(
            unrecognized=pb.UnrecognizedUtterance(
                start_offset=to_duration(answer.start),
                end_offset=to_duration(answer.end),
                reason=_REASONS[answer.reason],
            )
        )
    if isinstance(answer, Woken):
        name = plan.wake_word.name if plan.wake_word else ""
        return pb.StreamingRecognizeCommandResponse(
            wake_word=pb.DetectedWakeWord(name=name, offset=to_duration(answer.offset))
        )
    if isinstance(answer, Speech):
        start, end = live_pb2.SPEECH_EVENT_TYPE_SPEECH_START, live_pb2.SPEECH_EVENT_TYPE_SPEECH_END
        return pb.StreamingRecognizeCommandResponse(
            speech_event=live_pb2.SpeechEvent(type=start if answer.begins else end, offset=to_duration(answer.offset))
        )
    return pb.StreamingRecognizeCommandResponse(
        end=pb.StreamingRecognizeCommandEnd(
            duration=to_duration(answer.duration), model=plan.commands.card.name, request_id=echo
        )
    )


def _command(found: Recognized) -> pb.RecognizedCommand:
    return pb.RecognizedCommand(
        intent=found.intent,
        slots=[pb.FilledSlot(name=each.name, value=each.value, spoken=each.spoken) for each in found.slots],
        confidence=found.confidence,
        transcript=found.transcript,
        start_offset=to_duration(found.start),
        end_offset=to_duration(found.end),
    )
