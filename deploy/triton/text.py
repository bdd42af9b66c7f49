"""What models share that take one text a row: the rows of all requests are answered together, each request by itself.

Imported inside Triton's Python stub.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, parameters, version_folder

LONGEST = "10000"


class TextModel(ABC):
    """text bytes[rows, 1] -> one value a row, by itself bytes; parameter max_characters bounds each text."""

    output: ClassVar[str]

    @abstractmethod
    def load(self, folder: Path, options: dict[str, str]) -> None:
        """Load the weights; folder: of the version; options: the model's parameters."""

    @abstractmethod
    def answer(self, texts: list[str]) -> Sequence[Any]:
        """One answer a text, in their order."""

    def column(self, answers: Sequence[Any]) -> NDArray[Any]:
        """The answers as a tensor T[rows, 1]."""
        return np.array([[answer.encode()] for answer in answers], np.object_)

    def initialize(self, args: dict[str, str]) -> None:
        """Called once by Triton."""
        check_interpreter()
        options = parameters(args)
        self._longest = int(options.get("max_characters", LONGEST))
        self.load(version_folder(args), options)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request in its place; one that fails does not take along those it was batched with."""
        rows = [_texts(request) for request in requests]
        responses = [self._complaint(texts) for texts in rows]
        sound = [index for index, complaint in enumerate(responses) if complaint is None]
        stopwatch = Stopwatch()
        try:
            answers = iter(self.answer([text for index in sound for text in rows[index]]))
        except Exception:  # noqa: BLE001 - libraries raise what they like; whose fault it is, shows alone
            for index in sound:
                responses[index] = self._alone(requests[index], rows[index])
            return responses
        for index in sound:
            responses[index] = self._response(requests[index], [next(answers) for _ in rows[index]], stopwatch)
        return responses

    def _alone(self, request: Any, texts: list[str]) -> Any:
        stopwatch = Stopwatch()
        try:
            return self._response(request, self.answer(texts), stopwatch)
        except Exception as error:  # noqa: BLE001 - as above; only the kind, since the words may quote the text
            message = f"the model could not read this text ({type(error).__name__})"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))

    def _complaint(self, texts: list[str]) -> Any:
        """The refusal of a request with a text that is too long, None when there is none."""
        longest = max(map(len, texts), default=0)
        if longest <= self._longest:
            return None
        message = f"text has {longest} characters, this model reads at most {self._longest}: send shorter parts"
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))

    def _response(self, request: Any, answers: Sequence[Any], stopwatch: Stopwatch) -> Any:
        tensors = [pb_utils.Tensor(self.output, self.column(answers))]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read(len(answers))))
        return pb_utils.InferenceResponse(tensors)


def _texts(request: Any) -> list[str]:
    column = pb_utils.get_input_tensor_by_name(request, "text").as_numpy()
    return [bytes(value).decode("utf-8", errors="replace") for value in column.reshape(-1)]
