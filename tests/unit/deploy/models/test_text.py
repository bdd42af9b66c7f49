"""Models that take one text a row answer every row in its place, and one bad text harms no other."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.unit.deploy.models.conftest import StubRequest


@pytest.fixture
def shout(pb_utils, monkeypatch):
    """A model that answers in capitals, takes at most ten characters, and breaks on "boom"; it keeps its batches."""
    from deploy.triton import text  # noqa: PLC0415 - needs the stand-in

    monkeypatch.setattr(text, "pb_utils", pb_utils)

    class Shout(text.TextModel):
        output = "loud"

        def load(self, folder, options):
            self.batches = []

        def answer(self, texts):
            self.batches.append(texts)
            if "boom" in texts:
                raise ValueError("boom")
            return [each.upper() for each in texts]

    model = Shout()
    config = {"parameters": {"max_characters": {"string_value": "10"}}}
    model.initialize({"model_config": json.dumps(config), "model_repository": "models", "model_version": "1"})
    return model


def request(*texts, outputs=("loud",)):
    return StubRequest(list(outputs), text=np.array([[text.encode()] for text in texts], np.object_))


def loud(response):
    return [row[0].decode() for row in response.outputs["loud"]]


def test_requests_are_one_batch(shout):
    """Rows of several requests are answered together, and each request gets its own, in order."""
    responses = shout.execute([request("a", "b"), request("é")])
    assert shout.batches == [["a", "b", "é"]]
    assert [loud(response) for response in responses] == [["A", "B"], ["É"]]
    assert responses[0].outputs["loud"].shape == (2, 1)


def test_a_long_text_is_refused_alone(shout):
    """A text over the limit is refused with its length and the limit; the request beside it is answered."""
    refused, answered = shout.execute([request("short", "x" * 11), request("fine")])
    assert refused.error.code == 3
    assert "11 characters" in refused.error.message
    assert "at most 10" in refused.error.message
    assert loud(answered) == ["FINE"]


def test_a_failure_stays_with_its_request(shout):
    """When a batch fails, each request is tried alone, and the message tells the kind of error, not the text."""
    answered, failed = shout.execute([request("fine"), request("boom")])
    assert loud(answered) == ["FINE"]
    assert failed.error.code == 13
    assert "ValueError" in failed.error.message
    assert "boom" not in failed.error.message


def test_timing_is_given_when_asked(shout):
    """execution_ns has a row for each text, and is left out unless it is asked for."""
    timed, plain = shout.execute([request("a", "b", outputs=("loud", "execution_ns")), request("c")])
    assert timed.outputs["execution_ns"].shape == (2, 2)
    assert "execution_ns" not in plain.outputs
