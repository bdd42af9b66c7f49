"""`maas models feedback`."""

from __future__ import annotations

import pytest

from maas.models.v1 import feedback_pb2 as pb
from tests.unit.cli.fakes import FakeMesh, Maas


def test_answers_are_told(mesh: FakeMesh, maas: Maas):
    """Each answer goes with its confidence and whether it was right, all in one call."""
    mesh.replies["RecordFeedback"] = pb.RecordFeedbackResponse()
    shown = maas("models", "feedback", "judge", "0.93:right", "0.6:wrong", "1:right")
    assert shown.stdout == "judge: 2 right, 1 wrong\n"
    [request] = mesh.requests
    assert request.model == "judge"
    told = [(round(each.confidence, 2), each.correct) for each in request.feedback]
    assert told == [(0.93, True), (0.6, False), (1.0, True)]


@pytest.mark.parametrize("text", ["right", "0.9", "0.9:maybe", ":right", "1.2.3:wrong", "-0.1:right:"])
def test_what_is_no_answer(mesh: FakeMesh, maas: Maas, text: str):
    """What is not a confidence with an outcome is wrong usage, and nothing is sent."""
    shown = maas("models", "feedback", "judge", "0.5:right", text)
    assert shown.exit_code == 2
    assert mesh.requests == []
