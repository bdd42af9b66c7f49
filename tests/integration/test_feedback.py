"""Callers tell whether answers were right, and metrics show it."""

from __future__ import annotations

import grpc
import pytest

from maas.models.v1 import feedback_pb2 as pb
from maas.models.v1 import models_pb2_grpc
from services.mesh.testing import serve
from services.models.app import servicer
from services.models.pipelines.rollouts import Rollouts
from tests.unit.models.fakes import MODEL, FakeFleet, FakeReplica, Memory


@pytest.fixture
async def record():
    """Sends feedback to a service whose Tritons have the models "m" and "other"."""
    fleet = FakeFleet([FakeReplica("a", {1: (0, 0.1)})])
    async with serve(servicer(fleet, Rollouts(fleet, Memory()))) as channel:
        stub = models_pb2_grpc.ModelServiceStub(channel)

        async def send(*answers: tuple[float, bool], model: str = MODEL, **more: str) -> pb.RecordFeedbackResponse:
            told = [pb.Feedback(confidence=confidence, correct=correct) for confidence, correct in answers]
            return await stub.RecordFeedback(pb.RecordFeedbackRequest(model=model, feedback=told, **more), timeout=10)

        yield send


ANSWERS, CONFIDENCE = "maas_feedback_answers_total", "maas_feedback_confidence_total"


async def test_counts_by_confidence(record, measured):
    """Answers are counted by model, tenth of confidence and outcome; the confidences are added up beside them."""
    await record((0.93, True), (0.97, True), (1.0, False), (0.05, False))
    await record((0.9, True))
    for tenth, correct, count in (("0.9", "true", 3), ("0.9", "false", 1), ("0", "false", 1)):
        found = measured.added(ANSWERS, maas_model=MODEL, maas_confidence=tenth, maas_correct=correct)
        assert found == count, (tenth, correct)
    assert measured.added(ANSWERS) == 5
    assert measured.added(CONFIDENCE, maas_confidence="0.9") == pytest.approx(0.93 + 0.97 + 1.0 + 0.9)
    assert measured.added(CONFIDENCE, maas_confidence="0") == pytest.approx(0.05)


async def test_series_of_a_tenth_begin_together(record, measured):
    """Rates see all counters of a tenth from the same answer on, also those to which it adds nothing."""
    await record((0.35, False))
    assert measured.has(ANSWERS, maas_model=MODEL, maas_confidence="0.3", maas_correct="true")
    assert measured.added(ANSWERS, maas_confidence="0.3", maas_correct="true") == 0
    await record((0.25, True))
    assert measured.has(ANSWERS, maas_model=MODEL, maas_confidence="0.2", maas_correct="false")
    assert measured.has(CONFIDENCE, maas_model=MODEL, maas_confidence="0.2")


async def test_the_request_id_is_echoed(record):
    """The answer has the request's id."""
    request_id = "2f1e9c34-6c0f-4b61-9d0e-5a3a1f0d7b11"
    assert (await record((0.5, True), request_id=request_id)).request_id == request_id


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([], "feedback: takes 1 to 1000 answers, got 0"),
        ([(0.5, True)] * 1001, "feedback: takes 1 to 1000 answers, got 1001"),
        ([(0.5, True), (1.01, True)], "feedback[1].confidence: takes 0 to 1"),
        ([(-0.1, True)], "feedback[0].confidence: takes 0 to 1"),
        ([(float("nan"), True)], "feedback[0].confidence: takes 0 to 1"),
    ],
)
async def test_feedback_that_is_none(record, measured, answers, words):
    """What lies outside its range is refused by its field, and nothing of the request counts."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await record(*answers)
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in failure.value.details()
    assert measured.added(ANSWERS) == 0


async def test_a_model_that_there_is_not(record, measured):
    """Feedback for a model that no Triton has is NOT_FOUND, lists those that exist, and makes no series."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await record((0.5, True), model="x" * 50)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    assert "other" in failure.value.details()
    assert measured.added(ANSWERS) == 0
