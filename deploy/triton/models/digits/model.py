"""One handwritten digit on a photo: found, made light on dark, laid out as in MNIST, then recognised."""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, version_folder

Floats = NDArray[np.float32]

CLASSES = 10
SIDE, BOX = 28, 20  # MNIST's pictures, and the box in them that a digit fills along its longer side
# Of 255 grey levels: what differs less from the paper is no ink.
LEAST_CONTRAST = 24.0
# Of the largest stroke's pixels: what is smaller is dirt.
DIRT = 0.04
# MNIST's strokes are about so wide, in parts of the digit's longer side; a fine pen would fade away when scaled down.
STROKE = 0.09
FAINT = 0.25  # of the strongest ink: what is fainter is none
INK = 0.5  # of full ink: what is lighter is paper


class TritonPythonModel:
    """images uint8[N, H, W, 3] RGB -> scores float32[N, 10]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network."""
        check_interpreter()
        cv2.setNumThreads(1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(version_folder(args) / "digits.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a failure fails that request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        pictures = pb_utils.get_input_tensor_by_name(request, "images").as_numpy()
        try:
            scores = self._recognize(pictures)
        except Exception as error:  # noqa: BLE001 - libraries raise what they like
            message = f"the picture could not be read ({type(error).__name__})"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
        tensors = [pb_utils.Tensor("scores", scores)]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read(len(pictures))))
        return pb_utils.InferenceResponse(tensors)

    def _recognize(self, pictures: NDArray[np.uint8]) -> Floats:
        """The probabilities of the digits; all alike for a picture without ink."""
        scores = np.full((len(pictures), CLASSES), 1 / CLASSES, np.float32)
        for row, picture in enumerate(pictures):
            digit = laid_out(ink(picture))
            if digit is not None:
                (scores[row : row + 1],) = self._session.run(["scores"], {"digits": digit[None]})
        return scores


def ink(picture: NDArray[np.uint8]) -> Floats:
    """How much each pixel differs from the paper, whichever is darker.  uint8[H, W, 3] -> float32[H, W], 0..1.

    The paper is a plane through the edge's grey levels, so light from one side does no harm. All 0 without contrast.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY).astype(np.float32)
    difference = grey - _paper(grey)
    strokes = difference if difference.sum() > 0 else -difference
    strongest = float(np.percentile(strokes, 99.5))
    if strongest < LEAST_CONTRAST:
        strongest = float(strokes.max())  # a small digit on a large sheet
    if strongest < LEAST_CONTRAST:
        return np.zeros_like(grey)
    levels = (strokes / strongest).clip(0, 1)
    otsu, _ = cv2.threshold((levels * 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    # Between clean paper and clean ink any threshold is Otsu's best, even one in the paper's last bit.
    threshold = max(otsu / 255, FAINT)
    full = float(np.median(levels[levels > threshold]))
    cleaned: Floats = np.where(levels > threshold / 2, levels / full, 0).clip(0, 1).astype(np.float32)
    return cleaned


def _paper(grey: Floats) -> Floats:
    """The plane through the edge's pixels, those left out that lie far from it, such as a stroke that leaves."""
    height, width = grey.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    places = np.stack([np.ones_like(grey), rows / height, columns / width], axis=-1)
    band = max(1, min(height, width) // 20)
    at_edge = np.ones(grey.shape, bool)
    at_edge[band:-band, band:-band] = False
    samples, values = places[at_edge], grey[at_edge]
    near = np.abs(values - np.median(values)) <= max(
        LEAST_CONTRAST, 2 * float(np.median(np.abs(values - np.median(values))))
    )
    plane, *_ = np.linalg.lstsq(samples[near], values[near], rcond=None)
    fitted: Floats = places @ plane.astype(np.float32)
    return fitted


def laid_out(levels: Floats) -> Floats | None:
    """The digit as in MNIST: in a box of 20 x 20, its centre of mass in the middle of 28 x 28. None without ink.

    levels: float32[H, W], ink 1 on paper 0 -> float32[28, 28].
    """
    mask = (levels > INK).astype(np.uint8)
    count, labels, areas, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count == 1:
        return None
    sizes = areas[1:, cv2.CC_STAT_AREA]
    parts = 1 + np.flatnonzero(sizes >= DIRT * sizes.max())
    mask = np.isin(labels, parts).astype(np.uint8)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    margin = 1
    window = np.s_[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
    digit = (levels * cv2.dilate(mask, np.ones((3, 3), np.uint8)))[window]
    longest = max(bottom - top, right - left)
    digit = _thickened(digit, mask[window], longest)
    # A speck with its margin would otherwise grow beyond the sheet.
    scale = min(BOX / longest, SIDE / max(digit.shape))
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    small = cv2.resize(digit, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    small = (small / max(float(small.max()), 1e-6)).astype(np.float32)
    return _centred(small)


def _thickened(digit: Floats, mask: NDArray[np.uint8], longest: int) -> Floats:
    """A digit of a fine pen with broader strokes."""
    # Along a stroke's middle line, where it is largest, the distance to the paper is half its width.
    distance = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3)
    middle = distance[(distance > 0) & (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)))]
    missing = round(STROKE * longest - 2 * float(np.median(middle)))
    if missing < 1:
        return digit
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (missing + 1, missing + 1))
    broader: Floats = cv2.dilate(np.pad(digit, missing), kernel)
    return broader


def _centred(small: Floats) -> Floats:
    """On 28 x 28, the centre of mass as near to the middle as whole pixels allow."""
    height, width = small.shape
    total = float(small.sum())
    row = float((small.sum(axis=1) * np.arange(height)).sum()) / total
    column = float((small.sum(axis=0) * np.arange(width)).sum()) / total
    canvas = np.zeros((SIDE, SIDE), np.float32)
    top = min(max(0, round(SIDE / 2 - 0.5 - row)), SIDE - height)
    left = min(max(0, round(SIDE / 2 - 0.5 - column)), SIDE - width)
    canvas[top : top + height, left : left + width] = small
    return canvas
