"""dlib's face network, with weights of which we know the result."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deploy.models.builders import dlib_resnet


@pytest.fixture
def weights():
    """Convolutions that give nothing; the last layer passes the first two and the 201st of 256 channels on."""
    arrays = {"fc": np.zeros((256, 128), np.float32)}
    arrays["fc"][[0, 1, 200], [0, 1, 2]] = 1
    names = ["conv32_down", *(f"{block}/{part}" for block in dlib_resnet.BLOCKS for part in ("conv1", "conv2"))]
    before = 3
    for name in names:
        after = int(name.removeprefix("conv").partition("_")[0])
        side = 7 if before == 3 else 3
        arrays[f"{name}/conv/filters"] = np.zeros((side, side, before, after), np.float32)
        arrays |= {f"{name}/{part}": np.zeros(after, np.float32) for part in ("conv/bias", "scale/biases")}
        arrays[f"{name}/scale/weights"] = np.ones(after, np.float32)
        before = after
    return arrays


def run(weights, pixels):
    return dlib_resnet.network(weights)(torch.from_numpy(pixels)).numpy()


def test_what_passes_all_blocks(weights):
    """The first layer's result goes round every block, and the vector has length one."""
    weights["conv32_down/scale/biases"][:2] = [3, 4]
    vectors = run(weights, np.zeros((2, 150, 150, 3), np.uint8))
    assert vectors.shape == (2, 128)
    np.testing.assert_allclose(vectors[:, :3], [[0.6, 0.8, 0]] * 2, atol=1e-6)


def test_smaller_results_are_filled_up_with_zeros(weights):
    """What goes round a block has 4 x 4 cells where its convolutions give 3 x 3: the rest is zero."""
    weights["conv32_down/scale/biases"][0] = 0.5625
    weights["conv256_down/conv2/scale/biases"][200] = 1
    (vector,) = run(weights, np.zeros((1, 150, 150, 3), np.uint8))
    assert vector[0] == pytest.approx(vector[2])


def test_pixels_are_normalised_and_results_scaled(weights):
    """A grey picture is zero; the first layer sees (value - mean) / 255, and its scale goes before its shift."""
    weights["conv32_down/conv/filters"][3, 3, 0, 0] = 1  # red
    weights["conv32_down/conv/filters"][3, 3, 2, 1] = 1  # blue
    weights["conv32_down/scale/weights"][:2] = [2, 1]
    weights["conv32_down/scale/biases"][:2] = [0, 1]
    (vector,) = run(weights, np.full((1, 150, 150, 3), 255, np.uint8))
    red, blue = 2 * (255 - 122.782) / 255, (255 - 104.298) / 255 + 1
    assert vector[0] / vector[1] == pytest.approx(red / blue, rel=1e-5)
