"""A request to a language model is checked field by field."""

from __future__ import annotations

import json

import pytest

from deploy.triton.generation import Refused, SchemaCheck, Wanted, read


def test_what_is_left_out_is_as_in_vllm():
    """Without sampling parameters 16 tokens are drawn at temperature 1."""
    assert read("é".encode(), b"") == Wanted("é", max_tokens=16, temperature=1.0, top_p=1.0)


def test_everything_is_read():
    """All parameters of the contract are taken over; one stop sequence may stand alone."""
    given = {"max_tokens": 5, "temperature": 0, "top_p": 0.5, "seed": -3, "stop": "x"}
    schema = {"type": "integer"}
    wanted = read(b"p", json.dumps(given | {"guided_decoding": {"json": schema}}).encode())
    assert wanted.schema is not None
    assert json.loads(wanted.schema).items() >= schema.items()
    assert (wanted.max_tokens, wanted.temperature, wanted.top_p) == (5, 0.0, 0.5)
    assert (wanted.seed, wanted.stop) == (-3, ("x",))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_tokens": 0}, "max_tokens must be a whole number from 1"),
        ({"max_tokens": True}, "max_tokens must be a whole number"),
        ({"temperature": float("nan")}, "temperature must be a number from 0 to 5"),
        ({"top_p": 1.5}, "top_p must be a number from 0 to 1"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"stop": [""]}, "stop must be at most 16 texts"),
        ({"stop": ["\ud800"]}, "stop must be at most 16 texts"),
        ({"stop": ["x"] * 17}, "stop must be at most 16 texts"),
        ({"n": 2}, "may hold guided_decoding, max_tokens, seed, stop, temperature, top_p and nothing else"),
        ({"guided_decoding": {"regex": "x"}}, "guided_decoding must be"),
        ({"guided_decoding": {"json": True}}, "guided_decoding must be"),
        ({"guided_decoding": {"json": {"type": "x"}}}, "cannot be followed: Invalid type: x"),
        ({"guided_decoding": {"json": {"$ref": "http://x.test/y"}}}, "cannot be followed"),
        ({"guided_decoding": {"json": {"title": "x" * 20_000}}}, "at most 16384 are read"),
        ([], "must be a JSON object"),
    ],
)
def test_what_is_wrong_is_named(given, words):
    """Each wrong parameter is refused with its rule."""
    with pytest.raises(Refused, match=words):
        read(b"p", json.dumps(given).encode())


@pytest.mark.parametrize(("prompt", "parameters"), [(b"", b""), (b"\xff", b""), (b"p", b"{")])
def test_what_cannot_be_read(prompt, parameters):
    """An empty prompt, one that is not UTF-8, and parameters that are not JSON are refused."""
    with pytest.raises(Refused):
        read(prompt, parameters)


def test_a_text_that_leaves_its_schema_is_noticed():
    """Pieces are followed inside of words and characters of any length; the first wrong one is told."""
    check = SchemaCheck('{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}')
    assert all(map(check.fits, ['{"', "a", '": "日', "本"]))
    assert not check.fits('"]')
