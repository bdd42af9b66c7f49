"""Speech recognition with Whisper on CTranslate2: 16 kHz mono audio of at most 30 s -> text, words and times as JSON.

options: {"language": "en", or "" to find out, "word_times": false, "hints": [], "context": "", "alternatives": 0,
"quick": false}, each but language may be left out.
result: {"language": "en", "language_probability": 0..1, "language_probabilities": {}, "duration": s, "segments":
[{"text", "start", "end", "confidence": 0..1, "words": [{"word", "start", "end", "confidence"}], "alternatives":
[{"text", "confidence"}]}]}; times in seconds from the first sample. No segments and, if it was to be found out, no
language, when nobody speaks.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, parameters, version_folder
from deploy.triton.whisper import MAX_SECONDS, SAMPLE_RATE_HERTZ, Whisper, Wishes


class TritonPythonModel:
    """audio float32[samples], options bytes[1] -> result bytes[1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights from beside this file; nothing is looked up on a network."""
        check_interpreter()
        options = parameters(args)
        self._whisper = Whisper(
            version_folder(args) / "weights",
            device=options.get("device", "cpu"),
            compute_type=options.get("compute_type", "int8"),
            threads=int(options.get("cpu_threads", "1")),
            languages=options.get("languages", "").split(),
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a failure fails that request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        audio = pb_utils.get_input_tensor_by_name(request, "audio").as_numpy()
        try:
            wishes = _wishes(bytes(pb_utils.get_input_tensor_by_name(request, "options").as_numpy()[0]))
        except (ValueError, TypeError, AttributeError):
            return _failure("options is no JSON of the fields that are known", pb_utils.TritonError.INVALID_ARG)
        if complaint := self._complaint(audio, wishes.language):
            return _failure(complaint, pb_utils.TritonError.INVALID_ARG)
        try:
            result = self._whisper.transcribe(audio, wishes)
        except Exception as error:  # noqa: BLE001 - one request must not take the others along
            return _failure(
                f"the recording could not be transcribed ({type(error).__name__})", pb_utils.TritonError.INTERNAL
            )
        answer = json.dumps(result, ensure_ascii=False).encode()
        tensors = [pb_utils.Tensor("result", np.array([answer], np.object_))]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read()))
        return pb_utils.InferenceResponse(tensors)

    def _complaint(self, audio: NDArray[Any], language: str) -> str | None:
        """What is wrong with the request, in words for its caller."""
        seconds = audio.size / SAMPLE_RATE_HERTZ
        if seconds > MAX_SECONDS:
            return f"the piece lasts {seconds:.1f} seconds, at most {MAX_SECONDS:.0f} are transcribed at once"
        if not np.isfinite(audio).all():
            return "the recording holds values that are not numbers"
        if language and language not in self._whisper.languages:
            return "the model does not know this language"
        return None


def _wishes(options: bytes) -> Wishes:
    """Raises ValueError, TypeError or AttributeError for what is none."""
    given = json.loads(options)
    language = given.pop("language", "").partition("-")[0].lower()  # Whisper knows languages, not regions
    return Wishes(language=language, **given)


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
