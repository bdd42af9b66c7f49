"""Wake words with microWakeWord: when one of the words that the package knows was said.

result: {"detections": [{"end", "probability"}]}, each once: `end` in seconds from the first sample, about where the
word ends. Every request begins anew.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, parameters

SAMPLE_RATE_HERTZ = 16_000
# Of features.
STEP_SECONDS = 0.01


class TritonPythonModel:
    """audio float32[samples] 16 kHz, word bytes[1] -> result bytes[1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load a network for each word; they are some 60 kB each."""
        check_interpreter()
        self._max_seconds = float(parameters(args).get("max_seconds", "10"))
        self._networks = {model.value: MicroWakeWord.from_builtin(model) for model in Model}

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a failure fails that request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        audio = pb_utils.get_input_tensor_by_name(request, "audio").as_numpy()
        word = bytes(pb_utils.get_input_tensor_by_name(request, "word").as_numpy()[0]).decode("utf-8", "replace")
        if complaint := self._complaint(audio, word):
            return _failure(complaint, pb_utils.TritonError.INVALID_ARG)
        try:
            result = {"detections": self.detect(audio, word)}
        except Exception as error:  # noqa: BLE001 - one request must not take the others along
            return _failure(f"the sound could not be searched ({type(error).__name__})", pb_utils.TritonError.INTERNAL)
        tensors = [pb_utils.Tensor("result", np.array([json.dumps(result).encode()], np.object_))]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read()))
        return pb_utils.InferenceResponse(tensors)

    def _complaint(self, audio: NDArray[Any], word: str) -> str | None:
        """What is wrong with the request, in words for its caller."""
        seconds = audio.size / SAMPLE_RATE_HERTZ
        if word not in self._networks:
            return f"there is no such wake word; there are: {', '.join(sorted(self._networks))}"
        if seconds > self._max_seconds:
            return f"the sound lasts {seconds:.0f} seconds, at most {self._max_seconds:.0f} are searched at once"
        if not np.isfinite(audio).all():
            return "the sound holds values that are not numbers"
        return None

    def detect(self, audio: NDArray[np.float32], word: str) -> list[dict[str, float]]:
        """When the word was said."""
        network = self._networks[word]
        network.reset()
        samples = (np.clip(audio, -1, 1) * 32767).astype(np.int16).tobytes()
        probabilities = (network.process_streaming_prob(each) for each in _features(samples))
        found: list[dict[str, float]] = []
        heard = False
        for number, probability in enumerate(probabilities, 1):
            before, heard = heard, probability is not None and probability > network.probability_cutoff
            if heard and not before:
                found.append({"end": round(number * STEP_SECONDS, 2), "probability": round(probability, 4)})
        return found


def _features(samples: bytes) -> Iterable[NDArray[Any]]:
    return MicroWakeWordFeatures().process_streaming(samples)


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
