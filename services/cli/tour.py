"""What `maas demo` shows: each thing that the mesh can do, with its answer and its time."""

from __future__ import annotations

import re

from rich.text import Text

from maas.router.v1 import router_pb2
from maas.speech.v1 import speech_pb2
from maas.type.v1.media_pb2 import Audio
from services.cli import graph, looking, reading, traces, waterfall
from services.cli.output import seconds
from services.cli.stage import Stage, near, wrapped

SPEECH, QUOTE = "ask-not.wav", "try-again.wav"
SAYS = "This sentence was never recorded. The mesh made it up, and now it listens to itself."
# Who takes part in a run of the graph of photos. Preprocessing may do its part in vision's process.
_PARTNERS = ("gateway", "router", "vision", "triton")
_TRACE_SECONDS = 12.0


def run(stage: Stage, ui: str) -> None:
    """Everything. ui: host:port of the tracing UI, or "". Raises grpc.RpcError and Interrupted."""
    stage.out.print(Text.assemble("\nMaaS Mesh", style="bold"), f"on {stage.mesh.address}")
    stage.out.print("Times are those that this client waited; a model's first call takes longer.")
    looking.look(stage)
    reading.read(stage)
    _hear(stage)
    _speak(stage)
    trace_id = _compose(stage)
    if ui:
        _trace(stage, ui, trace_id)


def _hear(stage: Stage) -> None:
    stage.title("HEAR", f"a recording, {SPEECH}")
    audio = Audio(content=(stage.samples / SPEECH).read_bytes())
    heard = _recognize(stage, speech_pb2.RecognizeRequest(audio=audio, enable_word_time_offsets=True))
    words = [word for segment in heard.segments for word in segment.words]
    stage.show(wrapped("  ".join(f"{seconds(word.start_offset):.1f} {word.word}" for word in words)))


def _speak(stage: Stage) -> None:
    stage.title("SPEAK", "and listen to it")
    method = "maas.speech.v1.SpeechService/SynthesizeSpeech"
    request = speech_pb2.SynthesizeSpeechRequest(text=SAYS)
    spoken = stage.call(method, request, speech_pb2.SynthesizeSpeechResponse)
    path = stage.kept / "spoken.wav"
    path.write_bytes(spoken.audio_content)
    stage.show(wrapped(f'said "{SAYS}" ({seconds(spoken.duration):.1f} s of sound, {near(path)})'))
    heard = _recognize(
        stage, speech_pb2.RecognizeRequest(audio=Audio(content=spoken.audio_content), language_code="en")
    )
    same = _plain(heard.transcript) == _plain(SAYS)
    stage.show("word for word what was said" if same else "not word for word what was said")


def _recognize(stage: Stage, request: speech_pb2.RecognizeRequest) -> speech_pb2.RecognizeResponse:
    heard = stage.call("maas.speech.v1.SpeechService/Recognize", request, speech_pb2.RecognizeResponse)
    length = seconds(heard.duration)
    stage.show(wrapped(f'heard "{heard.transcript}" ({length:.1f} s of sound, {heard.language_code})'))
    return heard


def _compose(stage: Stage) -> str:
    """Run both graphs. Returns the trace id of the one for photos."""
    stage.title("COMPOSE", "calls into graphs: in parallel and in sequence")
    photo = router_pb2.Value(data=(stage.samples / looking.PHOTO).read_bytes())
    _graph(stage, "look-twice", {"photo": photo}, ["summary"])
    trace_id = stage.mesh.calls[-1].trace_id
    # The longer one last: in the meantime the processes send the spans of the other.
    recording = router_pb2.Value(data=(stage.samples / QUOTE).read_bytes())
    _graph(stage, "hear-and-judge", {"recording": recording}, ["transcript", "sentiment", "score"])
    return trace_id


def _graph(stage: Stage, name: str, inputs: dict[str, router_pb2.Value], outputs: list[str]) -> None:
    request = router_pb2.RunGraphRequest(graph=name, inputs=inputs)
    method = "maas.router.v1.RouterService/RunGraph"
    answer = stage.call(method, request, router_pb2.RunGraphResponse, called=f"RunGraph {name}")
    for output in outputs:
        value = answer.outputs[output]
        text = f"{value.number:+.2f}" if value.WhichOneof("kind") == "number" else value.text
        stage.show(wrapped(f"{output}: {text}"))
    stage.show(graph.timeline(answer.nodes))


def _trace(stage: Stage, ui: str, trace_id: str) -> None:
    stage.title("TRACE", "where the time of look-twice went")
    with stage.out.status("waiting until every process has sent its spans"):
        spans = waterfall.wait_for(ui, trace_id, _PARTNERS, _TRACE_SECONDS)
    missing = sorted(set(_PARTNERS) - {each.service for each in spans})
    stage.show(waterfall.draw(spans))
    stage.show(traces.link(ui, trace_id))
    if missing:
        stage.show(f"(nothing arrived from {', '.join(missing)} within {_TRACE_SECONDS:g} s)")


def _plain(text: str) -> str:
    """Without case and punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))
