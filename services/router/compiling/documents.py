"""Graphs as protobuf messages, and their versions."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from google.protobuf.json_format import MessageToDict, ParseDict, SerializeToJsonError
from pydantic import ValidationError

from maas.router.v1 import graph_pb2
from services.router.compiling.reading import problems_of
from services.router.pipelines.graph import Graph, GraphError, Problem

_OUTPUT_ONLY: tuple[Literal["version", "etag", "built_in", "create_time", "update_time", "versions"], ...] = (
    *("version", "etag", "built_in", "create_time", "update_time", "versions"),
)


def from_proto(message: graph_pb2.Graph) -> Graph:
    """The graph of a message, without what is output only. Raises GraphError."""
    content = graph_pb2.Graph()
    content.CopyFrom(message)
    for name in _OUTPUT_ONLY:
        content.ClearField(name)
    try:
        document = MessageToDict(content, preserving_proto_field_name=True)
    except (SerializeToJsonError, ValueError) as error:
        # A number or a duration that JSON does not have.
        raise GraphError("", (Problem("", "", str(error)),)) from None
    return from_document(document)


def from_document(document: Any) -> Graph:
    """The graph of a document that has JSON's kinds of values. Raises GraphError."""
    plain = _whole(document)
    try:
        return Graph.model_validate(plain)
    except ValidationError as error:
        raise GraphError("", problems_of(error, plain, {})) from None


def to_proto(graph: Graph) -> graph_pb2.Graph:
    """The message of a graph, without what is output only."""
    return ParseDict(graph.document(), graph_pb2.Graph())


def to_json(graph: Graph) -> str:
    """The one text of a graph: equal graphs have equal texts, whichever form they came in."""
    return json.dumps(_whole(graph.document()), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def version_of(graph: Graph) -> str:
    """Twelve letters that stand for the content."""
    return hashlib.sha256(to_json(graph).encode()).hexdigest()[:12]


def _whole(value: Any) -> Any:
    """The same with whole numbers as such: protobuf's Struct has but one kind of number."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _whole(each) for key, each in value.items()}
        case list():
            return [_whole(each) for each in value]
    return value
