"""Commands in known recordings, and none in other speech; through the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from maas.speech.v1 import command_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc, synthesis_pb2
from maas.type.v1 import media_pb2
from maas.type.v1.media_pb2 import Audio, AudioStreamFormat

SAMPLES = Path(__file__).parents[2] / ".build/samples"
SECONDS = 60
RANKS = ("ace", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "jack", "queen", "king")
SUITS = ("clubs", "hearts", "diamonds", "spades")
HOUSE = pb.CommandGrammar(
    commands=[
        pb.Command(intent="set_timer", phrases=["set a timer for {n} minutes"]),
        pb.Command(intent="lights_on", phrases=["turn on the lights [in the {room}]"]),
        pb.Command(intent="lights_off", phrases=["turn off the lights [in the {room}]"]),
        pb.Command(intent="stop", phrases=["stop the music"]),
    ],
    slots=[
        pb.CommandSlot(name="n", numbers=pb.SlotNumbers(min=1, max=120)),
        pb.CommandSlot(
            name="room", values=pb.SlotValues(values=[pb.SlotValue(value=each) for each in ("kitchen", "living room")])
        ),
    ],
)
# A second of silence, which a voice of its own brings none of.
SILENCE = bytes(2 * 16_000)


def cards() -> pb.CommandGrammar:
    def words(name: str, values: tuple[str, ...]) -> pb.CommandSlot:
        return pb.CommandSlot(name=name, values=pb.SlotValues(values=[pb.SlotValue(value=each) for each in values]))

    card = "{rank} of {suit}"
    return pb.CommandGrammar(
        commands=[
            pb.Command(intent="card", phrases=[card]),
            pb.Command(intent="ranks", phrases=["{rank} {rank}"]),
            pb.Command(intent="three_cards", phrases=[f"{card} {card} {card}"]),
        ],
        slots=[words("rank", RANKS), words("suit", SUITS)],
    )


@pytest.fixture(scope="module")
def speech(mesh) -> Iterator[speech_pb2_grpc.SpeechServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{mesh.port}") as channel:
        yield speech_pb2_grpc.SpeechServiceStub(channel)


def recognized(speech, content: bytes, grammar: pb.CommandGrammar, **fields) -> pb.RecognizeCommandResponse:
    request = pb.RecognizeCommandRequest(audio=Audio(content=content), grammar=grammar, **fields)
    return speech.RecognizeCommand(request, timeout=SECONDS)


def spoken(speech, text: str) -> bytes:
    """A synthetic voice, 16 kHz LINEAR16."""
    request = synthesis_pb2.SynthesizeSpeechRequest(
        text=text, audio_encoding=synthesis_pb2.AUDIO_ENCODING_LINEAR16, sample_rate_hertz=16_000
    )
    return bytes(speech.SynthesizeSpeech(request, timeout=SECONDS).audio_content)


@pytest.mark.parametrize(
    ("name", "intent", "values"),
    [
        ("cards-1.wav", "card", ["ten", "clubs"]),
        ("cards-3.wav", "card", ["seven", "clubs"]),
        ("cards-4.wav", "ranks", ["five", "five"]),
        ("cards-5.wav", "three_cards", ["eight", "spades", "four", "clubs", "seven", "hearts"]),
    ],
)
def test_cards_that_a_man_names(speech, name, intent, values):
    """The recordings of PocketSphinx itself."""
    response = recognized(speech, (SAMPLES / name).read_bytes(), cards())
    assert response.command.intent == intent
    assert [slot.value for slot in response.command.slots] == values


@pytest.mark.parametrize("name", ["sensible-1.wav", "sensible-3.wav", "sensible-5.wav", "ask-not.wav", "try-again.wav"])
def test_other_speech_is_no_command(speech, name):
    """Nobody who reads a novel or holds a speech tells anyone to turn on the lights, or names a card."""
    for grammar in (HOUSE, cards()):
        response = recognized(speech, (SAMPLES / name).read_bytes(), grammar)
        assert not response.HasField("command")
        assert response.no_command_reason == pb.NO_COMMAND_REASON_NOT_RECOGNIZED


def test_a_stream_after_a_wake_word(speech):
    """What comes before the wake word is not looked at; then one command counts."""
    parts = ["Stop the music.", "Alexa.", "Set a timer for twenty five minutes.", "Stop the music."]
    sound = SILENCE + b"".join(spoken(speech, part) + SILENCE for part in parts)

    def requests() -> Iterator[pb.StreamingRecognizeCommandRequest]:
        yield pb.StreamingRecognizeCommandRequest(
            config=pb.StreamingRecognizeCommandConfig(
                format=AudioStreamFormat(
                    encoding=media_pb2.AUDIO_STREAM_ENCODING_LINEAR16, sample_rate_hertz=16_000, channels=1
                ),
                grammar=HOUSE,
                wake_word="alexa",
            )
        )
        for begin in range(0, len(sound), 3200):
            yield pb.StreamingRecognizeCommandRequest(audio_content=sound[begin : begin + 3200])

    responses = list(speech.StreamingRecognizeCommand(requests(), timeout=SECONDS))
    kinds = [each.WhichOneof("streaming_response") for each in responses]
    assert [kind for kind in kinds if kind != "speech_event"] == ["wake_word", "command", "end"]
    command = next(each.command for each in responses if each.HasField("command"))
    assert (command.intent, [slot.value for slot in command.slots]) == ("set_timer", ["25"])
