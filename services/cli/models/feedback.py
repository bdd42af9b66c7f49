"""`maas models feedback`."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from maas.models.v1 import feedback_pb2 as pb
from services.cli.client import connect
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Timeout
from services.cli.output import show

_ANSWER = re.compile(r"(?P<confidence>[0-9.]+):(?P<outcome>right|wrong)")


def feedback(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Which model gave the answers.")],
    answers: Annotated[
        list[str], typer.Argument(metavar="CONFIDENCE:OUTCOME...", help="One for each, as 0.93:right or 0.6:wrong.")
    ],
    *,
    address: Address,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Tell which answers of a model turned out to be right; the metrics show whether its confidence can be believed."""
    told = [_feedback(each) for each in answers]
    with connect(address, timeout) as mesh:
        answer = mesh.call(
            "maas.models.v1.ModelService/RecordFeedback",
            pb.RecordFeedbackRequest(model=model, feedback=told),
            pb.RecordFeedbackResponse,
        )
        right = sum(each.correct for each in told)
        show(answer, f"{model}: {right} right, {len(told) - right} wrong", as_json=as_json)


def _feedback(text: str) -> pb.Feedback:
    found = _ANSWER.fullmatch(text)
    try:
        confidence = float(found["confidence"]) if found else -1.0
    except ValueError:
        confidence = -1.0
    if found is None or confidence < 0:
        raise typer.BadParameter(f"{text!r} is not like 0.93:right or 0.6:wrong", param_hint="CONFIDENCE:OUTCOME")
    return pb.Feedback(confidence=confidence, correct=found["outcome"] == "right")
