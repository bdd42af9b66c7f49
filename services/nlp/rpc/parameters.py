"""How a language model is to write, as requests say it."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from maas.nlp.v1 import conversation_pb2 as pb
from services.mesh import errors
from services.mesh.request import limited
from services.nlp.pipelines.generate import Sampling
from services.nlp.pipelines.texts import require_count, text_fault

_DEFAULT_TOKENS = 256
_MAX_TOKENS = 2048
_DEFAULT_TEMPERATURE = 0.7
_MAX_TEMPERATURE = 2
_MAX_STOPS = 4
_MAX_STOP_CHARACTERS = 64
_MAX_SCHEMA_BYTES = 16384


def sampling(parameters: pb.GenerationParameters, *, grounded: bool) -> Sampling:
    """The parameters, with their defaults. grounded: there are passages. Raises InvalidArgument."""
    schema = _schema(parameters.response_json_schema)
    if schema is not None and grounded:
        raise errors.InvalidArgument.field(
            "parameters.response_json_schema", "cannot be combined with passages; put them into a message"
        )
    default = 0.0 if grounded or schema is not None else _DEFAULT_TEMPERATURE
    temperature = parameters.temperature if parameters.HasField("temperature") else default
    if not 0 <= temperature <= _MAX_TEMPERATURE:
        raise errors.InvalidArgument.field(
            "parameters.temperature", f"takes 0 to {_MAX_TEMPERATURE}, got {temperature:g}"
        )
    if not 0 <= parameters.top_p <= 1:
        raise errors.InvalidArgument.field("parameters.top_p", f"takes above 0 to 1, got {parameters.top_p:g}")
    return Sampling(
        max_tokens=limited(
            "parameters.max_tokens", parameters.max_tokens, default=_DEFAULT_TOKENS, low=1, high=_MAX_TOKENS
        ),
        temperature=temperature,
        top_p=parameters.top_p or 1.0,
        seed=parameters.seed if parameters.HasField("seed") else None,
        stop=_stops(parameters),
        json_schema=schema,
    )


def _stops(parameters: pb.GenerationParameters) -> tuple[str, ...]:
    field = "parameters.stop_sequences"
    require_count(field, parameters.stop_sequences, low=0, high=_MAX_STOPS)
    for index, stop in enumerate(parameters.stop_sequences):
        if not 1 <= len(stop) <= _MAX_STOP_CHARACTERS:
            raise errors.InvalidArgument.field(
                f"{field}[{index}]", f"takes 1 to {_MAX_STOP_CHARACTERS} characters, got {len(stop)}"
            )
    return tuple(parameters.stop_sequences)


def _schema(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    field = "parameters.response_json_schema"
    if fault := text_fault(field, text, max_bytes=_MAX_SCHEMA_BYTES):
        raise fault
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        raise errors.InvalidArgument.field(field, "is no JSON") from None
    if not isinstance(schema, dict):
        raise errors.InvalidArgument.field(field, "takes a JSON Schema, which is an object")
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        # Its text would tell parts of the schema.
        raise errors.InvalidArgument.field(field, "is no valid JSON Schema (draft 2020-12)") from None
    return schema
