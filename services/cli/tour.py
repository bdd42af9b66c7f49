"""What `maas demo` shows: each thing that the mesh can do, with its answer and its time."""

from __future__ import annotations

import re
import textwrap
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from maas.nlp.v1 import nlp_pb2
from maas.router.v1 import router_pb2
from maas.speech.v1 import speech_pb2
from maas.type.v1.media_pb2 import Audio, Image
from maas.vision.v1 import vision_pb2
from services.cli import graph, nlp, picture, traces, vision, waterfall
from services.cli.client import Mesh
from services.cli.output import milliseconds, seconds

Answer = TypeVar("Answer", bound=Message)

PHOTO, SPEECH, QUOTE = "coffee.png", "ask-not.wav", "try-again.wav"
SAYS = "This sentence was never recorded. The mesh made it up, and now it listens to itself."
OPINIONS = (
    "The battery lasts for days and the screen is gorgeous.",
    "It broke after a week and nobody answered my letters.",
    "The parcel contains two cables and a manual.",
)
ALIKE = ("How do I reset my password?", "I forgot my login and can't get in.", "The soup needs more salt.")
# Who takes part in a run of the graph of photos. Preprocessing may do its part in vision's process.
_PARTNERS = ("gateway", "router", "vision", "triton")
_TRACE_SECONDS = 12.0
_WIDTH = 76


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


@dataclass
class Tour:
    """One run of the demo.

    samples: the folder with the photos and recordings. kept: where the pictures and sounds that it makes are written.
    stop: set by a signal; no further call is made then.
    """

    mesh: Mesh
    samples: Path
    kept: Path
    out: Console
    stop: threading.Event

    def run(self, ui: str) -> None:
        """Everything. ui: host:port of the tracing UI, or "". Raises grpc.RpcError and Interrupted."""
        self.out.print(Text.assemble("\nMaaS Mesh", style="bold"), f"on {self.mesh.address}")
        self.out.print("Times are those that this client waited; a model's first call takes longer.")
        self._look()
        self._read()
        self._hear()
        self._speak()
        trace_id = self._compose()
        if ui:
            self._trace(ui, trace_id)

    def _look(self) -> None:
        self._title("LOOK", f"at a photo, {PHOTO}")
        image = Image(content=(self.samples / PHOTO).read_bytes())
        classify = vision_pb2.ClassifyImageRequest(image=image, max_results=3)
        method = "maas.vision.v1.VisionService/ClassifyImage"
        self._show(vision.labels(self._call(method, classify, vision_pb2.ClassifyImageResponse, twice=True)))
        detect = vision_pb2.DetectObjectsRequest(image=image)
        method = "maas.vision.v1.VisionService/DetectObjects"
        found = self._call(method, detect, vision_pb2.DetectObjectsResponse, twice=True)
        self._show(vision.objects(found))
        picture.save_boxes(image.content, found.objects, self.kept / "boxes.png")
        self._show(f"drawn on {_near(self.kept / 'boxes.png')}")

    def _read(self) -> None:
        self._title("READ", "opinions, and find what means the same")
        judge = nlp_pb2.AnalyzeSentimentRequest(contents=OPINIONS)
        method = "maas.nlp.v1.NlpService/AnalyzeSentiment"
        judged = self._call(method, judge, nlp_pb2.AnalyzeSentimentResponse, twice=True)
        self._show(nlp.sentiments(OPINIONS, judged))
        embed = nlp_pb2.EmbedTextRequest(contents=ALIKE)
        method = "maas.nlp.v1.NlpService/EmbedText"
        embedded = self._call(method, embed, nlp_pb2.EmbedTextResponse, twice=True)
        self._show(nlp.similarities(ALIKE, embedded))

    def _hear(self) -> None:
        self._title("HEAR", f"a recording, {SPEECH}")
        audio = Audio(content=(self.samples / SPEECH).read_bytes())
        heard = self._recognize(speech_pb2.RecognizeRequest(audio=audio, enable_word_time_offsets=True))
        words = [word for segment in heard.segments for word in segment.words]
        self._show(_wrapped("  ".join(f"{seconds(word.start_offset):.1f} {word.word}" for word in words)))

    def _speak(self) -> None:
        self._title("SPEAK", "and listen to it")
        method = "maas.speech.v1.SpeechService/SynthesizeSpeech"
        request = speech_pb2.SynthesizeSpeechRequest(text=SAYS)
        spoken = self._call(method, request, speech_pb2.SynthesizeSpeechResponse)
        path = self.kept / "spoken.wav"
        path.write_bytes(spoken.audio_content)
        self._show(_wrapped(f'said "{SAYS}" ({seconds(spoken.duration):.1f} s of sound, {_near(path)})'))
        heard = self._recognize(
            speech_pb2.RecognizeRequest(audio=Audio(content=spoken.audio_content), language_code="en")
        )
        same = _plain(heard.transcript) == _plain(SAYS)
        self._show("word for word what was said" if same else "not word for word what was said")

    def _recognize(self, request: speech_pb2.RecognizeRequest) -> speech_pb2.RecognizeResponse:
        heard = self._call("maas.speech.v1.SpeechService/Recognize", request, speech_pb2.RecognizeResponse)
        length = seconds(heard.duration)
        self._show(_wrapped(f'heard "{heard.transcript}" ({length:.1f} s of sound, {heard.language_code})'))
        return heard

    def _compose(self) -> str:
        """Run both graphs. Returns the trace id of the one for photos."""
        self._title("COMPOSE", "calls into graphs: in parallel and in sequence")
        photo = router_pb2.Value(data=(self.samples / PHOTO).read_bytes())
        self._graph("look-twice", {"photo": photo}, ["summary"])
        trace_id = self.mesh.calls[-1].trace_id
        # The longer one last: in the meantime the processes send the spans of the other.
        recording = router_pb2.Value(data=(self.samples / QUOTE).read_bytes())
        self._graph("hear-and-judge", {"recording": recording}, ["transcript", "sentiment", "score"])
        return trace_id

    def _graph(self, name: str, inputs: dict[str, router_pb2.Value], outputs: list[str]) -> None:
        request = router_pb2.RunGraphRequest(graph=name, inputs=inputs)
        method = "maas.router.v1.RouterService/RunGraph"
        answer = self._call(method, request, router_pb2.RunGraphResponse, called=f"RunGraph {name}")
        for output in outputs:
            value = answer.outputs[output]
            text = f"{value.number:+.2f}" if value.WhichOneof("kind") == "number" else value.text
            self._show(_wrapped(f"{output}: {text}"))
        self._show(graph.timeline(answer.nodes))

    def _trace(self, ui: str, trace_id: str) -> None:
        self._title("TRACE", "where the time of look-twice went")
        with self.out.status("waiting until every process has sent its spans"):
            spans = waterfall.wait_for(ui, trace_id, _PARTNERS, _TRACE_SECONDS)
        missing = sorted(set(_PARTNERS) - {each.service for each in spans})
        self._show(waterfall.draw(spans))
        self._show(traces.link(ui, trace_id))
        if missing:
            self._show(f"(nothing arrived from {', '.join(missing)} within {_TRACE_SECONDS:g} s)")

    def _call(
        self, method: str, request: Message, answer: type[Answer], *, called: str = "", twice: bool = False
    ) -> Answer:
        """Call and print how long it took; `twice`: once to warm up and once more, both told."""
        called = called or method.rpartition("/")[2]
        found = self._once(called, method, request, answer)
        took = milliseconds(self.mesh.calls[-1].seconds)
        if twice:
            first = took
            found = self._once(called, method, request, answer)
            took = f"{milliseconds(self.mesh.calls[-1].seconds)}, the first call {first}"
        self.out.print(Text.assemble("  ", (called, "cyan"), f"  {took}"))
        return found

    def _once(self, called: str, method: str, request: Message, answer: type[Answer]) -> Answer:
        if self.stop.is_set():
            raise Interrupted
        with self.out.status(called):
            return self.mesh.call(method, request, answer)

    def _title(self, verb: str, what: str) -> None:
        self.out.print(Text.assemble("\n", (verb, "bold"), " ", what))

    def _show(self, what: RenderableType) -> None:
        self.out.print(Padding(what, (0, 0, 0, 4), expand=False))


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _WIDTH - 4))


def _plain(text: str) -> str:
    """Without case and punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


def _near(path: Path) -> str:
    """The path as one would type it here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
