"""The RPC that takes whether answers were right."""

from __future__ import annotations

from maas.models.v1 import feedback_pb2 as pb
from maas.models.v1 import models_pb2_grpc
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.instruments import CONFIDENCE, CORRECT, FEEDBACK, FEEDBACK_CONFIDENCE, MODEL
from services.mesh.request import request_id
from services.models.pipelines.loading import Loading
from services.models.rpc.requests import model_name

_MOST = 1000


class FeedbackRpcs(models_pb2_grpc.ModelServiceServicer):
    """Feedback, as counts by the tenth in which a confidence lies: 0.9 is from .9 to 1."""

    _loading: Loading

    async def RecordFeedback(self, request: pb.RecordFeedbackRequest, context: Context) -> pb.RecordFeedbackResponse:
        """All of it, or nothing."""
        echo = request_id(request)
        if not 1 <= len(request.feedback) <= _MOST:
            raise errors.InvalidArgument.field("feedback", f"takes 1 to {_MOST} answers, got {len(request.feedback)}")
        for index, each in enumerate(request.feedback):
            if not 0 <= each.confidence <= 1:  # nor is it NaN
                raise errors.InvalidArgument.field(
                    f"feedback[{index}].confidence", f"takes 0 to 1, got {each.confidence:g}"
                )
        # Asked of Triton, so that nobody makes series for a model that there is not.
        model = model_name("model", request.model)
        await self._loading.require(model)
        for each in request.feedback:
            labels = {MODEL: model, CONFIDENCE: _tenth(each.confidence)}
            # `increase` does not see what a counter is born with: all three of a tenth are born together, and lack the
            # same answers. Else a first one that is right would be missing among all, and its confidence would not.
            FEEDBACK.add(int(each.correct), {**labels, CORRECT: "true"})
            FEEDBACK.add(int(not each.correct), {**labels, CORRECT: "false"})
            FEEDBACK_CONFIDENCE.add(each.confidence, labels)
        return pb.RecordFeedbackResponse(request_id=echo)


def _tenth(confidence: float) -> str:
    """The lower bound of the tenth that it lies in; what a float32 calls .9 is a little less."""
    return f"{min(9, int(confidence * 10 + 1e-6)) / 10:g}"
