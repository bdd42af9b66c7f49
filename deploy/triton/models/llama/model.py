"""A GGUF language model on llama.cpp, with the tensors of Triton's vLLM backend, so that either can serve it.

Texts are generated side by side in slots; more requests wait in a fair, bounded queue. A cancelled one ends at its next
token, or at the next batch of its prompt. Errors that are the caller's fault begin with [INVALID_ARGUMENT], since a
stream of Triton's carries no code.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from deploy.triton.generation import Refused, Wanted, read
from deploy.triton.llama import Engine, Piece
from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, parameters, version_folder
from deploy.triton.slots import Full, Slots

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
# Triton 24.10 crashes when several threads of a model speak to it at once.
ONE_AT_A_TIME = threading.Lock()


def half_of_the_processors() -> int:
    """Its threads wait for each other by spinning: one that shares its processor makes all of them slow."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


class TritonPythonModel:
    """text_input bytes[1], stream bool[1], sampling_parameters bytes[1] -> text_output bytes[1], piece by piece."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights, begin to serve."""
        check_interpreter()
        options = parameters(args)
        slots = int(options.get("slots", "4"))
        self._engine = Engine(
            version_folder(args) / "model.gguf",
            slots=slots,
            context_tokens=int(options.get("context_tokens", "4096")),
            threads=int(options.get("threads") or half_of_the_processors()),
            batch_tokens=int(options.get("batch_tokens", "64")),
            prefix_cache_mebibytes=int(options.get("prefix_cache_mebibytes", "512")),
        )
        self._slots = Slots(slots, int(options.get("waiting", "32")))
        self._family = pb_utils.MetricFamily(
            name="maas_generated_tokens", description="Tokens written", kind=pb_utils.MetricFamily.COUNTER
        )
        self._tokens = self._family.Metric(labels={"model": args["model_name"]})

    def execute(self, requests: Sequence[Any]) -> None:
        """Take the requests in and return at once; the slots' threads answer."""
        for request in requests:
            answer = _Answer(request, self._engine, self._tokens)
            try:
                answer.wanted = read(_bytes(request, "text_input"), _bytes(request, "sampling_parameters"))
                self._slots.submit(answer)
            except Refused as error:
                answer.fail(f"[INVALID_ARGUMENT] {error}", pb_utils.TritonError.INVALID_ARG)
            except Full:
                answer.fail("exceeds maximum queue size", pb_utils.TritonError.UNAVAILABLE)

    def finalize(self) -> None:
        """Let running texts end, and drop what waits."""
        self._slots.stop()


class _Answer:
    """One request, as a job for a slot."""

    wanted: Wanted

    def __init__(self, request: Any, engine: Engine, tokens: Any) -> None:
        self._sender = request.get_response_sender()
        self._engine, self._tokens = engine, tokens
        self._streams = _flag(request, "stream")
        self._extras = [
            name
            for name in ("finish_reason", "num_input_tokens", "num_output_tokens")
            if _flag(request, f"return_{name}")
        ]
        self._timed = EXECUTION in request.requested_output_names()
        self._texts: list[str] = []
        self._counted = self._told = 0

    def cancelled(self) -> bool:
        """Whether the caller has gone."""
        with ONE_AT_A_TIME:
            return bool(self._sender.is_cancelled())

    def run(self) -> None:
        """Generate, and send what comes."""
        self._stopwatch = Stopwatch()
        try:
            self._engine.generate(self.wanted, self._receive)
        except Refused as error:
            self.fail(f"[INVALID_ARGUMENT] {error}", pb_utils.TritonError.INVALID_ARG)
        except Exception as error:  # noqa: BLE001 - one request must not take its slot along; its text stays out
            self.fail(f"the text could not be generated ({type(error).__name__})", pb_utils.TritonError.INTERNAL)

    def drop(self, reason: str) -> None:
        """End without an answer."""
        self.fail(reason, pb_utils.TritonError.UNAVAILABLE)

    def fail(self, message: str, code: Any) -> None:
        """End with an error."""
        self._send(pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code)), flags=FINAL)

    def _send(self, response: Any = None, *, flags: int = 0) -> None:
        with ONE_AT_A_TIME:
            self._sender.send(response, flags=flags)

    def _receive(self, piece: Piece | None) -> bool:
        """Send a piece; False when nobody waits for it."""
        if self.cancelled():
            self._send(flags=FINAL)
            return False
        if piece is None:
            return True
        with ONE_AT_A_TIME:
            self._tokens.increment(piece.output_tokens - self._counted)
        self._counted = piece.output_tokens
        self._texts.append(piece.text)
        if piece.finish_reason or (self._streams and piece.text):
            self._send(self._response(piece), flags=FINAL if piece.finish_reason else 0)
        return True

    def _response(self, piece: Piece) -> Any:
        text, self._texts = "".join(self._texts), []
        values = {
            "finish_reason": np.array([piece.finish_reason.encode()], np.object_),
            "num_input_tokens": np.array([piece.input_tokens], np.uint32),
            # Those since the last response, as vLLM's backend counts.
            "num_output_tokens": np.array([piece.output_tokens - self._told], np.uint32),
        }
        self._told = piece.output_tokens
        tensors = [pb_utils.Tensor("text_output", np.array([text.encode()], np.object_))]
        tensors += [pb_utils.Tensor(name, values[name]) for name in self._extras]
        if self._timed:
            # Since it left the queue; the last response has the whole time.
            tensors.append(pb_utils.Tensor(EXECUTION, self._stopwatch.read()))
        return pb_utils.InferenceResponse(tensors)


def _bytes(request: Any, name: str) -> bytes:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return b"" if tensor is None else bytes(tensor.as_numpy().reshape(-1)[0])


def _flag(request: Any, name: str) -> bool:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return tensor is not None and bool(tensor.as_numpy().reshape(-1)[0])
