"""Text on pictures with RapidOCR (PP-OCR): a picture -> JSON list of {"text", "score", "corners"}, one for each line.

A place that was found but cannot be read, as in a script that the model does not know, has no text and a score of 0.

corners: the four of the line, clockwise as one reads it: the first is where its first letter begins at the top, so that
the way from the first to the second is the way of writing. Fractions of the picture as [x, y]. Top to bottom otherwise.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from rapidocr import RapidOCR
from rapidocr.main import RapidOCRError

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, version_folder

# The detector enlarges a picture until its shorter side has 736 pixels. Pictures of less than this are put on a larger
# ground first: a lone word would become as large as no letter that the detector knows, a narrow strip gigantic.
SHORTEST_SIDE = 240
LARGEST_ASPECT = 5
LONGEST_SIDE = 2048
# The classifier must be as sure as this that a line stands upside down.
SURE = 0.9
UPSIDE_DOWN = "180"


class Line:
    """One line of writing. turns: by so many quarters to the left it is turned to be read."""

    def __init__(self, box: NDArray[np.float32], crop: NDArray[np.uint8], turns: int, label: str, sure: float) -> None:
        """Take what was found.

        box: float32[4, 2], corners clockwise from the top left of the picture; crop: what was cut out there, `turns`
        quarters to the left; label, sure: whether it stands upside down then, in the classifier's opinion.
        """
        self._box, self._crop, self._turned = box, crop, turns
        self.turns = turns + (2 if label == UPSIDE_DOWN and sure > SURE else 0)
        self.text, self.score = "", 0.0

    def upright(self, turns: int) -> NDArray[np.uint8]:
        """The line, turned so often in all."""
        return np.ascontiguousarray(np.rot90(self._crop, turns - self._turned))

    def doubtful(self) -> bool:
        """Whether it may stand otherwise: it reads badly, or it reads well but was turned round."""
        return self.score < SURE or self.turns != self._turned

    def other_turns(self) -> list[int]:
        """How else it may stand."""
        return [turns for turns in {self._turned, self._turned + 2, 0} if turns != self.turns]

    def found(self, size: NDArray[np.int64]) -> dict[str, Any]:
        """What callers get. size: int64[2], width and height of the picture in pixels."""
        # After a turn to the left, what was at the top right is at the top left.
        corners = np.roll(self._box, -self.turns, axis=0) / size
        return {"text": self.text, "score": round(self.score, 4), "corners": corners.clip(0, 1).round(5).tolist()}


class TritonPythonModel:
    """images uint8[H, W, 3] RGB -> lines bytes[1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the three networks from the version's folder; RapidOCR would download what it is not given."""
        check_interpreter()
        folder = version_folder(args)
        cv2.setNumThreads(1)
        self._reader = RapidOCR(
            params={
                "Det.model_path": str(folder / "detect.onnx"),
                "Cls.model_path": str(folder / "direction.onnx"),
                "Rec.model_path": str(folder / "recognize.onnx"),
                "Cls.cls_thresh": SURE,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                # The sizes are right already, see _on_ground.
                "Global.use_preprocess_img": False,
                "Global.use_vertical_padding": False,
                "Global.log_level": "critical",
            }
        )
        # Each network loads at its first use: not in somebody's request.
        blank = np.full((SHORTEST_SIDE, SHORTEST_SIDE, 3), 255, np.uint8)
        self._read(blank)
        self._reader.cls_and_rotate([blank])
        self._reader.recognize_txt([blank])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a failure fails that request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        picture = pb_utils.get_input_tensor_by_name(request, "images").as_numpy()
        if complaint := _complaint(picture.shape):
            return _failure(complaint, pb_utils.TritonError.INVALID_ARG)
        try:
            lines = self._read(picture)
        except Exception as error:  # noqa: BLE001 - libraries raise what they like; only the kind, the words may quote text
            return _failure(f"the picture could not be read ({type(error).__name__})", pb_utils.TritonError.INTERNAL)
        tensors = [pb_utils.Tensor("lines", np.array([json.dumps(lines).encode()], np.object_))]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read()))
        return pb_utils.InferenceResponse(tensors)

    def _read(self, picture: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """The lines of a picture uint8[H, W, 3]."""
        try:
            crops, found = self._reader.detect_and_crop(_on_ground(picture[..., ::-1]), {})
        except RapidOCRError:  # its way to say that there is no text
            return []
        _, directions = self._reader.cls_and_rotate(crops)
        lines = [
            Line(box, crop, turned_left(box, crop.shape), *direction)
            for box, crop, direction in zip(found.boxes, crops, directions.cls_res, strict=True)
        ]
        self._recognize([(line, line.turns) for line in lines])
        # The classifier errs with short words, and a lone 1 is taller than wide though it stands.
        self._recognize([(line, turns) for line in lines if line.doubtful() for turns in line.other_turns()])
        size = np.array([picture.shape[1], picture.shape[0]])
        return [line.found(size) for line in lines]

    def _recognize(self, tries: list[tuple[Line, int]]) -> None:
        """Read each line, turned so often to the left, and keep what reads best."""
        if not tries:
            return
        read = self._reader.recognize_txt([line.upright(turns) for line, turns in tries])
        for (line, turns), text, score in zip(tries, read.txts, read.scores, strict=True):
            if text.strip() and score > line.score:
                line.text, line.score, line.turns = text, float(score), turns


def turned_left(box: NDArray[np.float32], crop: tuple[int, ...]) -> int:
    """1 when RapidOCR turned what it cut out of the box to the left, as it does with tall boxes. crop: H, W, 3."""
    across, down = np.linalg.norm(box[1] - box[0]), np.linalg.norm(box[3] - box[0])
    return int(down > across and crop[1] > crop[0])


def _on_ground(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture, at the top left of a ground in the colour of its edge if it is small or narrow."""
    height, width = picture.shape[:2]
    shortest = max(SHORTEST_SIDE, -(-max(height, width) // LARGEST_ASPECT))
    if min(height, width) >= shortest:
        return np.ascontiguousarray(picture)
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    ground = np.empty((max(height, shortest), max(width, shortest), 3), np.uint8)
    ground[:] = np.median(edge, axis=0)
    ground[:height, :width] = picture
    return ground


def _complaint(shape: tuple[int, ...]) -> str | None:
    """What is wrong with the picture, in words for its caller."""
    if len(shape) != 3 or shape[2] != 3 or not 1 <= min(shape) <= max(shape) <= LONGEST_SIDE:  # noqa: PLR2004 - H, W, RGB
        return f"images must be RGB of 1 to {LONGEST_SIDE} pixels a side, got {list(shape)}"
    return None


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
