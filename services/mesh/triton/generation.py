"""What a language model wrote in one call, in OpenTelemetry's words for generative AI. Counts only, never text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry import trace

    from services.mesh.ports import Array

_READ, _WRITTEN, _REASON = "num_input_tokens", "num_output_tokens", "finish_reason"
# What vLLM's backend gives as the reason while there is none.
_UNFINISHED = b"None"
_REASONS = {b"stop": "stop", b"length": "length"}


class Generation:
    """Is told of each response; a model speaks of tokens as Triton's vLLM backend does."""

    def __init__(self) -> None:
        self.input_tokens = self.output_tokens = 0
        self.finish_reason = ""

    @staticmethod
    def is_wanted(outputs: Sequence[str]) -> bool:
        """Whether a call with these outputs writes text."""
        return _WRITTEN in outputs

    def take(self, arrays: Mapping[str, Array]) -> None:
        """One response, which counts the tokens since the last."""
        if _WRITTEN in arrays:
            self.output_tokens += int(arrays[_WRITTEN].item())
        if _READ in arrays:
            self.input_tokens = int(arrays[_READ].item())
        if _REASON in arrays and (reason := arrays[_REASON].item()) != _UNFINISHED:
            # A bounded set, whatever a model says.
            self.finish_reason = _REASONS.get(reason, "other") if reason else ""

    def tell(self, model: str, span: trace.Span, first_seconds: float | None) -> None:
        """On the span of the call. first_seconds: until the first response, if one came."""
        span.set_attributes(
            {
                "gen_ai.operation.name": "text_completion",
                "gen_ai.provider.name": "triton",
                "gen_ai.request.model": model,
                "gen_ai.usage.input_tokens": self.input_tokens,
                "gen_ai.usage.output_tokens": self.output_tokens,
            }
        )
        if self.finish_reason:
            span.set_attribute("gen_ai.response.finish_reasons", (self.finish_reason,))
        if first_seconds is not None:
            span.set_attribute("gen_ai.response.time_to_first_chunk", round(first_seconds, 4))
