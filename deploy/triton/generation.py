"""What a caller may ask of a language model: a prompt and sampling parameters, as Triton's vLLM backend takes them.

Imported inside Triton's Python stub.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llguidance import LLMatcher, LLTokenizer

MOST_STOPS, LONGEST_STOP = 16, 200
LONGEST_SCHEMA = 16_384
HOTTEST = 5.0
# vLLM's own default.
MAX_TOKENS = 16
# JSON as people write it, on one line. With free white space a small model would write blanks without end.
WHITE_SPACE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Refused(Exception):
    """The request is wrong; the message tells its caller what to change, and quotes no prompt."""


@dataclass(frozen=True)
class Wanted:
    """One text to generate. schema: a JSON Schema that it must fit, as JSON text."""

    prompt: str
    max_tokens: int = MAX_TOKENS
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: str | None = None


def read(prompt: bytes, sampling_parameters: bytes) -> Wanted:
    """Check a request. sampling_parameters: a JSON object, or empty. Raises Refused."""
    try:
        text = prompt.decode()
        given = json.loads(sampling_parameters or b"{}")
    except ValueError:
        raise Refused("text_input must be UTF-8 and sampling_parameters JSON") from None
    if not text:
        raise Refused("text_input is empty")
    if not isinstance(given, dict):
        raise Refused("sampling_parameters must be a JSON object")
    known = {"max_tokens", "temperature", "top_p", "seed", "stop", "guided_decoding"}
    if given.keys() - known:
        raise Refused(f"sampling_parameters may hold {', '.join(sorted(known))} and nothing else")
    return Wanted(
        text,
        max_tokens=_whole(given, "max_tokens", MAX_TOKENS, low=1),
        temperature=_number(given, "temperature", most=HOTTEST),
        top_p=_number(given, "top_p", most=1.0),
        seed=_whole(given, "seed", 0, low=-(1 << 63)) if given.get("seed") is not None else None,
        stop=_stops(given.get("stop")),
        schema=_schema(given.get("guided_decoding")),
    )


class SchemaCheck:
    """Follows a text as it is written and tells at once when it leaves its schema.

    llama.cpp writes without any constraint, and without a word, when a grammar is too much for it; this notices.
    """

    def __init__(self, schema: str) -> None:
        """Raises Refused when no text can be made to fit the schema."""
        self._matcher = LLMatcher(LLTokenizer("byte"), LLMatcher.grammar_from_json_schema(schema), log_level=0)
        if self._matcher.is_error():
            reason = str(self._matcher.get_error()).strip().partition("\n")[0][:200]
            raise Refused(f"guided_decoding.json cannot be followed: {reason}")

    def fits(self, piece: str) -> bool:
        """Whether the text with this next piece can still become one that fits."""
        return self._matcher.try_consume_tokens(content := list(piece.encode())) == len(content)


def _whole(given: Mapping[str, Any], name: str, default: int, *, low: int) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value < 1 << 63:
        raise Refused(f"sampling_parameters.{name} must be a whole number from {low}")
    return value


def _number(given: Mapping[str, Any], name: str, *, most: float) -> float:
    value = given.get(name, 1.0)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise Refused(f"sampling_parameters.{name} must be a number from 0 to {most:g}")
    return float(value)


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value or []
    sound = isinstance(stops, list) and all(isinstance(stop, str) and 0 < len(stop) <= LONGEST_STOP for stop in stops)
    if not sound or len(stops) > MOST_STOPS or not all(map(_is_text, stops)):
        raise Refused(f"sampling_parameters.stop must be at most {MOST_STOPS} texts of 1 to {LONGEST_STOP} characters")
    return tuple(stops)


def _schema(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"json"} or not isinstance(value["json"], dict):
        raise Refused('sampling_parameters.guided_decoding must be {"json": a JSON Schema}, the schema an object')
    schema = json.dumps({"x-guidance": WHITE_SPACE, **value["json"]})
    if len(schema) > LONGEST_SCHEMA:
        raise Refused(f"guided_decoding.json has {len(schema)} characters of JSON, at most {LONGEST_SCHEMA} are read")
    SchemaCheck(schema)
    return schema


def _is_text(value: str) -> bool:
    """JSON can name halves of characters, which are no text."""
    return not any("\ud800" <= character <= "\udfff" for character in value)
