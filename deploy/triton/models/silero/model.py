"""Voice activity with Silero: sound -> how probable speech is in each window of 512 samples.

It keeps nothing between calls: the caller brings the state of the call before, so that calls of many streams may mix.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, version_folder

WINDOW, CONTEXT = 512, 64
# A minute at once.
MOST_WINDOWS = 1875
RATE = np.array(16_000, np.int64)


class TritonPythonModel:
    """audio float32[64 + 512 N], state float32[2, 1, 128] -> probabilities float32[N], state."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network."""
        check_interpreter()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = str(version_folder(args) / "silero_vad.onnx")
        self._network = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a failure fails that request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        audio = pb_utils.get_input_tensor_by_name(request, "audio").as_numpy()
        state = pb_utils.get_input_tensor_by_name(request, "state").as_numpy()
        windows, rest = divmod(len(audio) - CONTEXT, WINDOW)
        if rest or not 1 <= windows <= MOST_WINDOWS:
            message = f"audio must be {CONTEXT} samples and 1 to {MOST_WINDOWS} windows of {WINDOW}, got {len(audio)}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
        probabilities = np.empty(windows, np.float32)
        for index in range(windows):
            begin = index * WINDOW
            inputs = {"input": audio[None, begin : begin + CONTEXT + WINDOW], "state": state, "sr": RATE}
            probability, state = self._network.run(None, inputs)
            probabilities[index] = probability[0, 0]
        tensors = [pb_utils.Tensor("probabilities", probabilities), pb_utils.Tensor("state", state)]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read()))
        return pb_utils.InferenceResponse(tensors)
