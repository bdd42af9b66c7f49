"""What a language model read and wrote, as the contract has it."""

from __future__ import annotations

from maas.nlp.v1 import text_pb2 as pb
from services.nlp.pipelines.generate import Usage


def token_usage(usage: Usage) -> pb.TokenUsage:
    """The same, as a message."""
    return pb.TokenUsage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
