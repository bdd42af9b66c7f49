"""Speech recognition with Whisper on CTranslate2: 16 kHz mono audio -> text, segments and word times as JSON.

result: {"language": "en", "language_probability": 0..1, "duration": s, "segments": [{"text", "start", "end",
"confidence": 0..1, "words": [{"word", "start", "end", "confidence"}]}]}; times in seconds from the beginning.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, parameters, version_folder

SAMPLE_RATE_HERTZ = 16_000


class TritonPythonModel:
    """audio float32[samples], language bytes[1], word_times bool[1] -> result bytes[1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights from beside this file; nothing is looked up on a network."""
        check_interpreter()
        options = parameters(args)
        self._max_seconds = float(options.get("max_seconds", "600"))
        # Whisper hears words in silence; the detector that comes with the library keeps silence from it.
        self._skips_silence = options.get("skip_silence", "true") == "true"
        self._model = WhisperModel(
            str(version_folder(args) / "weights"),
            device=options.get("device", "cpu"),
            compute_type=options.get("compute_type", "int8"),
            cpu_threads=int(options.get("cpu_threads", "1")),
            local_files_only=True,
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a failure fails that request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        audio = pb_utils.get_input_tensor_by_name(request, "audio").as_numpy()
        tag = bytes(pb_utils.get_input_tensor_by_name(request, "language").as_numpy()[0]).decode("utf-8", "replace")
        word_times = bool(pb_utils.get_input_tensor_by_name(request, "word_times").as_numpy()[0])
        language = tag.partition("-")[0].lower()  # Whisper knows languages, not regions
        if complaint := self._complaint(audio, language):
            return _failure(complaint, pb_utils.TritonError.INVALID_ARG)
        try:
            result = self._transcribe(audio, language or None, word_times=word_times)
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
        if not audio.size:
            return "the recording is empty"
        if seconds > self._max_seconds:
            return f"the recording lasts {seconds:.0f} seconds, at most {self._max_seconds:.0f} are transcribed at once"
        if not np.isfinite(audio).all():
            return "the recording holds values that are not numbers"
        if language and language not in self._model.supported_languages:
            return "the model does not know this language"
        return None

    def _transcribe(self, audio: NDArray[Any], language: str | None, *, word_times: bool) -> dict[str, Any]:
        segments, found = self._model.transcribe(
            audio,
            language=language,
            word_timestamps=word_times,
            vad_filter=self._skips_silence,
            condition_on_previous_text=False,  # a mistake stays in its own window
        )
        return {
            "language": found.language,
            "language_probability": round(float(found.language_probability), 4),
            "duration": round(audio.size / SAMPLE_RATE_HERTZ, 3),
            "segments": [_segment(segment) for segment in segments],
        }


def _segment(segment: Any) -> dict[str, Any]:
    return {
        "text": segment.text.strip(),
        "start": round(float(segment.start), 3),
        "end": round(float(segment.end), 3),
        "confidence": round(min(1.0, math.exp(segment.avg_logprob)), 4),
        "words": [
            {
                "word": word.word.strip(),
                "start": round(float(word.start), 3),
                "end": round(float(word.end), 3),
                "confidence": round(float(word.probability), 4),
            }
            for word in segment.words or ()
        ],
    }


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
