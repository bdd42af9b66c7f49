"""What `maas demo` shows: each thing that the mesh can do, with its answer and its time."""

from __future__ import annotations

from rich.text import Text

from maas.router.v1 import router_pb2
from services.cli import hearing, looking, reading, traces, waterfall
from services.cli.graph.outcome import timeline
from services.cli.stage import Stage, wrapped

QUOTE = "try-again.wav"
# Who takes part in a run of the graph of photos. Preprocessing may do its part in vision's process.
_PARTNERS = ("gateway", "router", "vision", "triton")
_TRACE_SECONDS = 12.0


def run(stage: Stage, ui: str) -> None:
    """Everything. ui: host:port of the tracing UI, or "". Raises grpc.RpcError and Interrupted."""
    stage.out.print(Text.assemble("\nMaaS Mesh", style="bold"), f"on {stage.mesh.address}")
    stage.out.print("Times are those that this client waited; a model's first call takes longer.")
    looking.look(stage)
    reading.read(stage)
    hearing.hear(stage)
    trace_id = _compose(stage)
    if ui:
        _trace(stage, ui, trace_id)


def _compose(stage: Stage) -> str:
    """Run the graphs. Returns the trace id of the one for photos."""
    stage.title("COMPOSE", "calls into graphs: in parallel and in sequence")
    photo = router_pb2.Value(data=(stage.samples / looking.PHOTO).read_bytes())
    _graph(stage, "look-twice", {"photo": photo}, ["summary"])
    trace_id = stage.mesh.calls[-1].trace_id
    # The longer one last: in the meantime the processes send the spans of the other.
    recording = router_pb2.Value(data=(stage.samples / QUOTE).read_bytes())
    _graph(stage, "hear-and-judge", {"recording": recording}, ["transcript", "sentiment", "score"])
    hearing.across(stage)
    return trace_id


def _graph(stage: Stage, name: str, inputs: dict[str, router_pb2.Value], outputs: list[str]) -> None:
    request = router_pb2.RunGraphRequest(graph=name, inputs=inputs)
    method = "maas.router.v1.RouterService/RunGraph"
    answer = stage.call(method, request, router_pb2.RunGraphResponse, called=f"RunGraph {name}")
    for output in outputs:
        value = answer.outputs[output]
        text = f"{value.number:+.2f}" if value.WhichOneof("kind") == "number" else value.text
        stage.show(wrapped(f"{output}: {text}"))
    stage.show(timeline(answer.nodes))


def _trace(stage: Stage, ui: str, trace_id: str) -> None:
    stage.title("TRACE", "where the time of look-twice went")
    with stage.out.status("waiting until every process has sent its spans"):
        spans = waterfall.wait_for(ui, trace_id, _PARTNERS, _TRACE_SECONDS)
    missing = sorted(set(_PARTNERS) - {each.service for each in spans})
    stage.show(waterfall.draw(spans))
    stage.show(traces.link(ui, trace_id))
    if missing:
        stage.show(f"(nothing arrived from {', '.join(missing)} within {_TRACE_SECONDS:g} s)")
