"""`maas graph validate` and `show`: graphs that are being written. No mesh is needed for a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maas.router.v1 import graph_pb2 as pb
from services.cli.client import connect
from services.cli.graph.keeping import fetch
from services.cli.graph.options import SERVICE
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Timeout, write
from services.cli.output import console, errors, to_json
from services.cli.texts import read_file

_SUFFIXES = (".yaml", ".yml")


def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Graphs, YAML; - reads standard input.")],
    *,
    address: Address,
    remote: Annotated[
        bool, typer.Option("--remote", help="Let the mesh check them; without it no mesh is needed.")
    ] = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Tell what is wrong with graphs, with file and line: maas graph validate mine.yaml. Ends with 1 if anything is."""
    texts = {file: read_file(file) for file in files}
    if remote:
        with connect(address, timeout) as mesh:
            answers = {
                file: mesh.call(
                    f"{SERVICE}/ValidateGraph", pb.ValidateGraphRequest(yaml=text), pb.ValidateGraphResponse
                )
                for file, text in texts.items()
            }
    else:
        from services.cli.graph import local  # noqa: PLC0415 - the compiler is only for those who write graphs

        answers = {file: local.check(text)[0] for file, text in texts.items()}
    for file, answer in answers.items():
        if as_json:
            print(to_json(answer, on_one_line=len(files) > 1))
        else:
            console().print("\n".join(_told(file, answer)))
    if any(answer.problems for answer in answers.values()):
        raise typer.Exit(1)


def show(
    name: Annotated[
        str, typer.Argument(metavar="GRAPH|FILE", help="A graph of the mesh, or a file; - reads standard input.")
    ],
    *,
    address: Address,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a picture, SVG; - is standard output.")
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart.")] = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Show a graph as a tree, or as a picture: maas graph show look-twice --svg look-twice.svg."""
    in_file = name == "-" or name.endswith(_SUFFIXES) or Path(name).is_file()
    text = read_file(name) if in_file else ""
    from services.cli.graph import local  # noqa: PLC0415 - as above

    if in_file:
        checked, graph = local.check(text)
        if graph is None:
            console().print("\n".join(_told(name, checked)))
            raise typer.Exit(1)
        answer = pb.GetGraphResponse(graph=checked.graph)
    else:
        with connect(address, timeout) as mesh:
            answer = fetch(mesh, name)
        try:
            graph = local.to_graph(answer.graph)
        except local.GraphError:
            errors().print(
                f"this command is older than the mesh and cannot draw {name}; maas graph get {name} prints it"
            )
            raise typer.Exit(1) from None
    if svg:
        write(svg, local.svg(graph).encode())
    if as_json:
        print(to_json(answer))
    elif mermaid:
        print(local.mermaid(graph), end="")
    elif not svg:
        console().print(local.tree(graph))


def _told(file: str, answer: pb.ValidateGraphResponse) -> list[str]:
    if not answer.problems:
        return [f"{file}: fine, version {answer.graph.version}"]
    return [_problem(file, problem) for problem in answer.problems]


def _problem(file: str, problem: pb.GraphProblem) -> str:
    """As compilers tell it, so that editors find the line."""
    place = f"{file}:{problem.line}" if problem.line else file
    where = ", ".join(part for part in (f"node {problem.node!r}" if problem.node else "", problem.path) if part)
    return ": ".join(part for part in (place, where, problem.description) if part)
