"""`maas models`: what the mesh can do, as it is now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from maas.router.v1 import router_pb2 as pb
from maas.type.v1.model_pb2 import ModelInfo
from services.cli.client import connect
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Timeout
from services.cli.output import errors, milliseconds, seconds, show, table


def models(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Only this model, with all there is to say of it.")] = "",
    *,
    address: Address,
    long: Annotated[bool, typer.Option("--long", help="All there is to say of every model.")] = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """List the services, models and graphs of the mesh, as they are now."""
    with connect(address, timeout) as mesh:
        answer = mesh.call(
            "maas.router.v1.RouterService/ListCapabilities", pb.ListCapabilitiesRequest(), pb.ListCapabilitiesResponse
        )
        if not name:
            show(answer, capabilities(answer, long=long), as_json=as_json)
            return
        every = [model for service in answer.services for model in service.models]
        found = next((model for model in every if model.name == name), None)
        if found is None:
            there_are = ", ".join(sorted(model.name for model in every))
            errors().print(
                Text.assemble(("NOT_FOUND", "bold red"), f": no model is called {name!r}; there are: {there_are}")
            )
            raise typer.Exit(1)
        show(found, models_table([found], long=True), as_json=as_json)


def capabilities(answer: pb.ListCapabilitiesResponse, *, long: bool = False) -> RenderableType:
    """Three tables: services, models, graphs. long: all about each model."""
    services = table("service", "methods")
    for service in answer.services:
        methods = Text(", ".join(service.methods))
        if service.HasField("status"):
            methods = Text(f"did not answer: {service.status.message}", "red")
        services.add_row(service.name, methods)
    every = [model for service in answer.services for model in service.models]
    return Group(services, "", models_table(every, long=long), "", graphs_table(answer.graphs))


def models_table(models: Iterable[ModelInfo], *, long: bool = False) -> Table:
    """A line a model; * marks the one that answers when a request names none. long: all languages and weaknesses."""
    made = table("model", "task", "about")
    for model in models:
        voices = [f"voices: {', '.join(model.voices)}"] if model.voices else []
        figures = [f"{name.replace('_', ' ')} {value:.3g}" for name, value in sorted(model.metrics.items())]
        weak = sorted(model.language_notes)
        languages = _few(model.language_codes, len(model.language_codes) if long else 3)
        facts = [languages, model.licence, *voices, *figures]
        if weak and not long:
            facts.append(f"weak in {_few(weak)}: see maas models {model.name}")
        about = Text.assemble(model.summary, "\n", (" · ".join(fact for fact in facts if fact), "dim"))
        if model.note:
            about.append(f"\n{model.note}", "yellow")
        for code in weak if long else ():
            about.append(f"\n{code}: {model.language_notes[code]}", "yellow")
        made.add_row(f"{model.name}{'*' if model.default else ''}", model.task, about)
    return made


def graphs_table(graphs: Iterable[pb.GraphCapability]) -> Table:
    """A line a graph: what it takes, what it gives, and how long that usually takes."""
    made = table("graph", "about")
    for graph in graphs:
        facts = [f"takes {_parameters(graph.inputs)}", f"gives {_parameters(graph.outputs)}"]
        if graph.HasField("predicted_duration"):
            facts.append(f"usually in {milliseconds(seconds(graph.predicted_duration))}")
        about = Text.assemble(graph.summary, "\n", ("\n".join(facts), "dim"))
        if not graph.ready:
            about.append("\nnot ready: a service that it calls is not there", "red")
        made.add_row(graph.name, about)
    return made


def _parameters(parameters: Iterable[pb.GraphParameter]) -> str:
    return ", ".join(f"{each.name} ({', '.join(_facts(each))})" for each in parameters) or "nothing"


def _facts(parameter: pb.GraphParameter) -> Iterator[str]:
    yield pb.ValueKind.Name(parameter.kind).removeprefix("VALUE_KIND_").lower()
    if parameter.stream:
        yield "stream"
    if parameter.optional:
        yield "may be left out"


def _few(names: Sequence[str], limit: int = 3) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
