"""The part of `maas demo` that hears and speaks."""

from __future__ import annotations

import re
import time
import wave
from collections.abc import Iterator
from pathlib import Path

from maas.router.v1 import router_pb2
from maas.speech.v1 import command_pb2, live_pb2, speech_pb2, synthesis_pb2
from maas.type.v1 import media_pb2
from services.cli.output import milliseconds, seconds
from services.cli.stage import Stage, near, wrapped

SERVICE = "maas.speech.v1.SpeechService"
SPEECH = "ask-not.wav"
SAYS = "This sentence was never recorded. The mesh made it up, and now it listens to itself."
ORDERS = {"set_timer": ["set a timer for {minutes} minutes"], "lights": ["turn the lights {state}"]}
ORDER = "Set a timer for twenty five minutes."
_CHUNK_SECONDS = 0.1


def hear(stage: Stage) -> None:
    """Everything about sound."""
    stage.title("HEAR", f"a recording while it is being spoken, {SPEECH}")
    _live(stage)
    stage.title("SPEAK", "and listen to it")
    _speak(stage)
    stage.title("OBEY", "a command that was declared a moment ago")
    _obey(stage)


def across(stage: Stage) -> None:
    """The graph that hears one language and speaks another, while the first is still being spoken."""
    begin = time.perf_counter()
    sound = bytearray()
    with stage.conversation(
        "maas.router.v1.RouterService/StreamingRunGraph",
        _live_items("speak-across-languages", stage.samples / SPEECH, target="zh"),
        router_pb2.StreamingRunGraphResponse,
    ) as answers:
        for answer in answers:
            name, value = answer.item.name, answer.item.value
            if name == "audio":
                if not sound:
                    stage.show(f"{time.perf_counter() - begin:5.1f} s  the first sound")
                sound += value.data
            elif name:
                stage.show(wrapped(f"{time.perf_counter() - begin:5.1f} s  {name}: {value.text}"))
    path = stage.kept / "across.wav"
    path.write_bytes(sound)
    stage.show(wrapped(f"spoken: {near(path)}"))


def _live_items(graph: str, path: Path, **texts: str) -> Iterator[router_pb2.StreamingRunGraphRequest]:
    """A recording for a graph that listens, as slowly as it was spoken."""
    inputs = {name: router_pb2.Value(text=text) for name, text in texts.items()}
    with wave.open(str(path)) as file:
        inputs |= {"sample_rate": router_pb2.Value(number=file.getframerate()), "live": router_pb2.Value(flag=True)}
        yield router_pb2.StreamingRunGraphRequest(config=router_pb2.StreamingRunGraphConfig(graph=graph, inputs=inputs))
        for chunk in _as_spoken(file):
            item = router_pb2.StreamItem(name="sound", value=router_pb2.Value(data=chunk))
            yield router_pb2.StreamingRunGraphRequest(item=item)


def _live(stage: Stage) -> None:
    first = last = heard_until = 0.0
    begin = time.perf_counter()
    final: list[str] = []
    with stage.conversation(
        f"{SERVICE}/StreamingRecognize", _spoken(stage.samples / SPEECH), live_pb2.StreamingRecognizeResponse
    ) as answers:
        for answer in answers:
            result = answer.result
            if result.is_final:
                last = time.perf_counter() - begin
                heard_until = seconds(result.result_end_offset)
                final.append(result.transcript)
                stage.show(wrapped(f"{seconds(result.result_start_offset):5.1f} s  {result.transcript}"))
            elif result.transcript and not first:
                first = time.perf_counter() - begin - seconds(result.result_start_offset)
                stage.show(wrapped(f"so far: {result.transcript} ..."))
    late = milliseconds(max(0.0, last - heard_until))
    stage.show(
        wrapped(f"first words {milliseconds(first)} after the speech began, the last ones {late} after it ended")
    )


def _spoken(path: Path) -> Iterator[live_pb2.StreamingRecognizeRequest]:
    """The sound of a WAV file of 16-bit samples, as slowly as it was spoken."""
    with wave.open(str(path)) as file:
        audio_format = media_pb2.AudioStreamFormat(
            encoding=media_pb2.AUDIO_STREAM_ENCODING_LINEAR16,
            sample_rate_hertz=file.getframerate(),
            channels=file.getnchannels(),
        )
        yield live_pb2.StreamingRecognizeRequest(
            config=live_pb2.StreamingRecognizeConfig(format=audio_format, interim_results=True, language_code="en")
        )
        for chunk in _as_spoken(file):
            yield live_pb2.StreamingRecognizeRequest(audio_content=chunk)


def _as_spoken(file: wave.Wave_read) -> Iterator[bytes]:
    while chunk := file.readframes(round(_CHUNK_SECONDS * file.getframerate())):
        time.sleep(_CHUNK_SECONDS)
        yield chunk


def _speak(stage: Stage) -> None:
    spoken = _said(stage, SAYS)
    path = stage.kept / "spoken.wav"
    path.write_bytes(spoken.audio_content)
    stage.show(wrapped(f'said "{SAYS}" ({seconds(spoken.duration):.1f} s of sound, {near(path)})'))
    heard = stage.call(
        f"{SERVICE}/Recognize",
        speech_pb2.RecognizeRequest(audio=media_pb2.Audio(content=spoken.audio_content), language_code="en"),
        speech_pb2.RecognizeResponse,
    )
    stage.show(wrapped(f'heard "{heard.transcript}"'))
    same = _plain(heard.transcript) == _plain(SAYS)
    stage.show("word for word what was said" if same else "not word for word what was said")


def _obey(stage: Stage) -> None:
    grammar = command_pb2.CommandGrammar(
        commands=[command_pb2.Command(intent=intent, phrases=phrases) for intent, phrases in ORDERS.items()],
        slots=[
            command_pb2.CommandSlot(name="minutes", numbers=command_pb2.SlotNumbers(min=1, max=120)),
            command_pb2.CommandSlot(
                name="state",
                values=command_pb2.SlotValues(values=[command_pb2.SlotValue(value=each) for each in ("on", "off")]),
            ),
        ],
    )
    for text in (ORDER, SAYS):
        audio = media_pb2.Audio(content=_said(stage, text).audio_content)
        answer = stage.call(
            f"{SERVICE}/RecognizeCommand",
            command_pb2.RecognizeCommandRequest(audio=audio, grammar=grammar),
            command_pb2.RecognizeCommandResponse,
        )
        command = answer.command
        slots = ", ".join(f"{slot.name} = {slot.value}" for slot in command.slots)
        told = f"{command.intent}: {slots} (confidence {command.confidence:.2f})" if command.intent else "no command"
        stage.show(wrapped(f'"{text}"'))
        stage.show(told)


def _said(stage: Stage, text: str) -> synthesis_pb2.SynthesizeSpeechResponse:
    request = synthesis_pb2.SynthesizeSpeechRequest(text=text, language_code="en")
    return stage.call(f"{SERVICE}/SynthesizeSpeech", request, synthesis_pb2.SynthesizeSpeechResponse)


def _plain(text: str) -> str:
    """Without case and punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))
