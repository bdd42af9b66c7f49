"""From the text of a graph to a plan that can run, or to all that is wrong with it."""

from services.router.compiling.compiler import CompiledGraph, compile_graph, load
from services.router.compiling.documents import from_document, from_proto, to_json, to_proto, version_of
from services.router.compiling.ports import Callers
from services.router.compiling.reading import Source, read

__all__ = [
    "Callers",
    "CompiledGraph",
    "Source",
    "compile_graph",
    "from_document",
    "from_proto",
    "load",
    "read",
    "to_json",
    "to_proto",
    "version_of",
]
