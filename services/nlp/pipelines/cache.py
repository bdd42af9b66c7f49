"""What the service's response cache holds."""

from __future__ import annotations

from services.nlp.pipelines.encode import Encoded


def size_of(answer: object) -> int:
    """Bytes of an answer: a vector or probabilities, or what a model answered in JSON."""
    if isinstance(answer, Encoded):
        return answer.values.nbytes
    if isinstance(answer, bytes):
        return len(answer)
    raise TypeError(type(answer).__name__)
