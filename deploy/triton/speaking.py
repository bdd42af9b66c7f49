"""What voices share: text, voice, language bytes[1], speaking_rate float32[1] -> audio float32[samples], mono, -1..1.

Imported inside Triton's Python stub.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, parameters, version_folder

SLOWEST, FASTEST = 0.5, 2.0
LONGEST = "5000"


class SpeakingModel(ABC):
    """Speaks one text a request. `[word](/phonemes/)` in it says the word with those phonemes, in misaki's spelling."""

    # The first is spoken for "".
    voices: Sequence[str]

    @abstractmethod
    def load(self, folder: Path, options: dict[str, str]) -> None:
        """Load the weights; folder: of the version; options: the model's parameters."""

    @abstractmethod
    def speak(self, text: str, *, voice: str, language: str, rate: float) -> NDArray[np.float32]:
        """The sound, empty when nothing in the text can be spoken. language: "" or a code."""

    def initialize(self, args: dict[str, str]) -> None:
        """Called once by Triton."""
        check_interpreter()
        options = parameters(args)
        self._longest = int(options.get("max_characters", LONGEST))
        self.load(version_folder(args), options)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a failure fails that request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        text, voice, language = (_text(request, name) for name in ("text", "voice", "language"))
        rate = float(pb_utils.get_input_tensor_by_name(request, "speaking_rate").as_numpy()[0])
        if complaint := self._complaint(text, voice, rate):
            return _failure(complaint, pb_utils.TritonError.INVALID_ARG)
        try:
            audio = self.speak(text, voice=voice or self.voices[0], language=language, rate=rate)
        except Exception as error:  # noqa: BLE001 - one request must not take the others along; its text stays out
            return _failure(f"the text could not be spoken ({type(error).__name__})", pb_utils.TritonError.INTERNAL)
        if not audio.size:
            return _failure("the text holds nothing that can be spoken", pb_utils.TritonError.INVALID_ARG)
        tensors = [pb_utils.Tensor("audio", np.clip(audio, -1.0, 1.0).astype(np.float32))]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read()))
        return pb_utils.InferenceResponse(tensors)

    def _complaint(self, text: str, voice: str, rate: float) -> str | None:
        """What is wrong with the request, in words for its caller."""
        if len(text) > self._longest:
            return f"the text has {len(text)} characters, at most {self._longest} are spoken at once"
        if voice and voice not in self.voices:
            return f"there is no such voice; there are: {', '.join(self.voices)}"
        if not SLOWEST <= rate <= FASTEST:
            return f"speaking_rate must be {SLOWEST} to {FASTEST}"
        return None


def _text(request: Any, name: str) -> str:
    value = pb_utils.get_input_tensor_by_name(request, name).as_numpy()[0]
    return bytes(value).decode("utf-8", errors="replace")


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
