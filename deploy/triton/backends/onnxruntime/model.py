"""A Triton backend written in Python: `backend: "onnxruntime"` with `1/model.onnx`, on the CPU.

It stands where the NGC image has its C++ backend of the same name, so one repository serves both. Requests that Triton
hands over together are run as one batch. Inputs of different lengths are padded with zeros, when the model's parameter
`pad_sequences` says that its mask makes this safe; a model whose output grows with the length cannot be padded.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, parameters, version_folder

# The runtime's own error lines quote values of the input, which belong in no log.
ONLY_FATAL = 4

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Batch:
    """Requests that run together. rows: how many of the batch each of them has."""

    members: list[int]
    inputs: Arrays
    rows: list[int]


class TritonPythonModel:
    """Named and called by Triton's Python stub."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model."""
        check_interpreter()
        config = json.loads(args["model_config"])
        options = session_options(config)
        path = version_folder(args) / (config.get("default_model_filename") or "model.onnx")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = ONLY_FATAL
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._batches = int(config.get("max_batch_size", 0)) > 0
        self._pads = parameters(args).get("pad_sequences") == "true"

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request in its place; one that fails does not take along those it was batched with."""
        inputs = [self._read(request) for request in requests]
        responses: list[Any] = [None] * len(requests)
        for batch in gather(inputs, together=self._batches, pad=self._pads):
            wanted = {name for member in batch.members for name in requests[member].requested_output_names()}
            try:
                outputs = self._run(wanted, batch)
            except Exception as error:  # noqa: BLE001 - the runtime raises classes of its own for a bad input
                for member in batch.members:
                    responses[member] = self._alone(requests[member], inputs[member], error, len(batch.members))
                continue
            begin = 0
            for member, rows in zip(batch.members, batch.rows, strict=True):
                part = slice(begin, begin + rows) if self._batches else slice(None)
                responses[member] = _response(requests[member], outputs, part)
                begin += rows
        return responses

    def _alone(self, request: Any, inputs: Arrays, error: Exception, shared: int) -> Any:
        """Try a member of a failed batch by itself; the error goes to the one that fails again."""
        if shared > 1:
            try:
                return _response(request, self._run(set(request.requested_output_names()), single(inputs)), slice(None))
            except Exception as own:  # noqa: BLE001 - as above
                error = own
        # Only the kind: the runtime's own words may quote the input.
        message = f"the model could not compute this input ({type(error).__name__})"
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))

    def _read(self, request: Any) -> Arrays:
        return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}

    def _run(self, wanted: set[str], batch: Batch) -> Arrays:
        names = sorted(wanted - {EXECUTION})
        stopwatch = Stopwatch()
        # An empty list would mean all outputs; then only the timing was asked for, and still the model must run.
        outputs = dict(zip(names, self._session.run(names or None, batch.inputs, self._run_options), strict=False))
        if EXECUTION in wanted:
            outputs[EXECUTION] = stopwatch.read(sum(batch.rows) if self._batches else None)
        return outputs


def session_options(config: dict[str, Any]) -> onnxruntime.SessionOptions:
    """One thread: instances, not threads, use more processors. Memory in proportion to the input.

    config: of the model, as Triton gives it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ONLY_FATAL
    # The arena keeps what the largest batch of the longest inputs once needed: 800 MB for a 90 MB sentence encoder. It
    # pays where every input has the same size.
    options.enable_cpu_mem_arena = all(size > 0 for tensor in config["input"] for size in map(int, tensor["dims"]))
    return options


def _response(request: Any, outputs: Arrays, part: slice) -> Any:
    tensors = [pb_utils.Tensor(name, outputs[name][part]) for name in request.requested_output_names()]
    return pb_utils.InferenceResponse(tensors)


def single(inputs: Arrays) -> Batch:
    """A batch of one request."""
    return Batch([0], inputs, [len(next(iter(inputs.values())))])


def gather(requests: list[Arrays], *, together: bool, pad: bool) -> list[Batch]:
    """Put requests of equal shapes, or with `pad` of any length, into one batch each, in the order of their first."""
    if not together:
        return [replace(single(arrays), members=[index]) for index, arrays in enumerate(requests)]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, arrays in enumerate(requests):
        key = () if pad else tuple(array.shape[1:] for array in arrays.values())
        groups.setdefault(key, []).append(index)
    return [
        Batch(
            members,
            {name: stack([requests[member][name] for member in members]) for name in requests[members[0]]},
            [len(next(iter(requests[member].values()))) for member in members],
        )
        for members in groups.values()
    ]


def stack(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Join along the batch dimension, shorter ones filled up with zeros.  N x T[B_i, L_i...] -> T[B, L...]."""
    if len(arrays) == 1:
        return arrays[0]
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) == 1:
        return np.concatenate(arrays)
    longest = np.max([array.shape[1:] for array in arrays], axis=0)
    whole = np.zeros((sum(len(array) for array in arrays), *longest), arrays[0].dtype)
    begin = 0
    for array in arrays:
        whole[(slice(begin, begin + len(array)), *(slice(size) for size in array.shape[1:]))] = array
        begin += len(array)
    return whole
