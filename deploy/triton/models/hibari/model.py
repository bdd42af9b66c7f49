"""Speech synthesis with hibari-tts: English text of any number of sentences -> 24 kHz audio."""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from hibari import Hibari
from hibari.voices import DEFAULT

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, parameters

SLOWEST, FASTEST = 0.5, 2.0
# The same text gives the same audio: the noise in it is drawn from this seed.
SEED = 0


class TritonPythonModel:
    """text, voice bytes[1], speaking_rate float32[1] -> audio float32[samples], mono, -1..1."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the one voice whose weights are inside the package; the others would be downloaded."""
        check_interpreter()
        self._longest = int(parameters(args).get("max_characters", "5000"))
        self._speaker = Hibari(voice=DEFAULT, threads=1)
        # The rules of pronunciation load at the first use: not in somebody's request.
        self._speaker("Ready.", seed=SEED)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a failure fails that request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        text = _text(request, "text")
        voice = _text(request, "voice")
        rate = float(pb_utils.get_input_tensor_by_name(request, "speaking_rate").as_numpy()[0])
        if complaint := self._complaint(text, voice, rate):
            return _failure(complaint, pb_utils.TritonError.INVALID_ARG)
        try:
            audio = np.clip(self._speaker(text, speed=rate, seed=SEED), -1.0, 1.0).astype(np.float32)
        except Exception as error:  # noqa: BLE001 - one request must not take the others along; its text stays out
            return _failure(f"the text could not be spoken ({type(error).__name__})", pb_utils.TritonError.INTERNAL)
        if not audio.size:
            return _failure("the text holds nothing that can be spoken", pb_utils.TritonError.INVALID_ARG)
        tensors = [pb_utils.Tensor("audio", audio)]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read()))
        return pb_utils.InferenceResponse(tensors)

    def _complaint(self, text: str, voice: str, rate: float) -> str | None:
        """What is wrong with the request, in words for its caller."""
        if len(text) > self._longest:
            return f"the text has {len(text)} characters, at most {self._longest} are spoken at once"
        if voice not in {"", DEFAULT}:
            return f"there is no such voice; there is {DEFAULT}"
        if not SLOWEST <= rate <= FASTEST:
            return f"speaking_rate must be {SLOWEST} to {FASTEST}"
        return None


def _text(request: Any, name: str) -> str:
    value = pb_utils.get_input_tensor_by_name(request, name).as_numpy()[0]
    return bytes(value).decode("utf-8", errors="replace")


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
