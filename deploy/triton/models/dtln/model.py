"""Noise suppression with DTLN (Westhausen and Meyer, Interspeech 2020): sound -> the same with less noise, 24 ms later.

It keeps nothing between calls: the caller brings the state of the call before, so that calls of many streams may mix.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, version_folder

BLOCK, HOP = 512, 128
# A minute at once.
MOST_HOPS = 7500
# The state is one row: what came in last, what is not complete yet of what goes out, and the two networks' own.
STATE = (1, 2, 128, 2)


class TritonPythonModel:
    """audio float32[128 N], state float32[2048] -> audio float32[128 N], 384 samples behind, and state."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the two networks: one masks the spectrum, the other refines the wave."""
        check_interpreter()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._mask, self._refine = (
            onnxruntime.InferenceSession(str(version_folder(args) / name), options, providers=["CPUExecutionProvider"])
            for name in ("mask.onnx", "refine.onnx")
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a failure fails that request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        audio = pb_utils.get_input_tensor_by_name(request, "audio").as_numpy()
        state = pb_utils.get_input_tensor_by_name(request, "state").as_numpy()
        hops, rest = divmod(len(audio), HOP)
        if rest or not 1 <= hops <= MOST_HOPS:
            message = f"audio must be 1 to {MOST_HOPS} blocks of {HOP} samples, got {len(audio)}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
        cleaned, state = self._clean(audio, state)
        tensors = [pb_utils.Tensor("audio", cleaned), pb_utils.Tensor("state", state)]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read()))
        return pb_utils.InferenceResponse(tensors)

    def _clean(
        self, audio: NDArray[np.float32], state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The sound with less noise, and the state after it."""
        heard, told = state[:BLOCK].copy(), state[BLOCK : 2 * BLOCK].copy()
        masking, refining = (each.reshape(STATE) for each in np.split(state[2 * BLOCK :], 2))
        cleaned = np.empty_like(audio)
        for begin in range(0, len(audio), HOP):
            heard[:-HOP] = heard[HOP:]
            heard[-HOP:] = audio[begin : begin + HOP]
            spectrum = np.fft.rfft(heard)
            magnitude = np.abs(spectrum).astype(np.float32)
            mask, masking = self._mask.run(None, {"input_2": magnitude[None, None], "input_3": masking})
            wave = np.fft.irfft(spectrum * mask[0, 0]).astype(np.float32)
            refined, refining = self._refine.run(None, {"input_4": wave[None, None], "input_5": refining})
            told[:-HOP] = told[HOP:]
            told[-HOP:] = 0
            told += refined[0, 0]
            cleaned[begin : begin + HOP] = told[:HOP]
        return cleaned, np.concatenate([heard, told, masking.ravel(), refining.ravel()])
