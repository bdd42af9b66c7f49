"""The canary: 2 * value + 1. A right answer shows that Triton, the stub and numpy compute, and do not only listen."""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter


class TritonPythonModel:
    """value int32[1] -> value int32[1]."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton passes it
        """Check the interpreter; there is nothing to load."""
        check_interpreter()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer at once."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        value = pb_utils.get_input_tensor_by_name(request, "value").as_numpy()
        tensors = [pb_utils.Tensor("value", (2 * value + 1).astype(np.int32))]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read()))
        return pb_utils.InferenceResponse(tensors)
