"""A graph as a tree for the terminal."""

from __future__ import annotations

from rich.text import Text
from rich.tree import Tree

from services.router.drawing.outline import STREAM_MARK, Part, input_text, outline, output_takes, short
from services.router.pipelines.graph import Graph


def tree(graph: Graph) -> Tree:
    """What it takes, what it does, what it gives: a branch each, a line for each node with what that takes."""
    made = Tree(Text.assemble((graph.name, "bold"), "  ", short(graph.summary, 500)), guide_style="dim")
    takes = made.add(Text("takes", "dim")) if graph.inputs else made
    for name, given in graph.inputs.items():
        _, _, kind = input_text(name, given).partition(": ")
        takes.add(_line(name, kind.replace("stream", f"{STREAM_MARK} stream"), short(given.summary, 200)))
    runs, whole = made.add(Text("runs", "dim")), outline(graph)
    for part in whole.parts if whole.kind == "sequence" else (whole,):
        _grow(runs, part)
    gives = made.add(Text("gives", "dim"))
    for name, output in graph.outputs.items():
        sources = ", ".join(output_takes(graph, output))
        made_of = f"{STREAM_MARK} each {sources}" if output.each else f"from {sources or 'nothing'}"
        gives.add(_line(name, made_of, short(output.summary, 200)))
    return made


def _line(name: str, facts: str, summary: str) -> Text:
    return Text.assemble((name, "bold"), "  ", (facts, "cyan"), "  ", (summary, "dim"))


def _grow(branch: Tree, part: Part) -> None:
    under = branch.add(_told(part))
    for each in part.parts:
        _grow(under, each)


def _told(part: Part) -> Text:
    if not part.node:
        return Text(": ".join(fact for fact in (part.title, part.about) if fact), "dim")
    facts = [f"{STREAM_MARK} each {part.each}"] if part.each else []
    facts += [f"takes {', '.join(part.takes)}"] if part.takes else []
    return Text.assemble(
        (part.node, "bold"), "  ", part.about, ("".join(f"  {fact}" for fact in facts), "cyan"),
        ("".join(f"  {note}" for note in part.notes), "dim"),
    )  # fmt: skip
