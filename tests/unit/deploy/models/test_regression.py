"""Softmax regression: it learns, tells how sure it is, and its graph says the same."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from deploy.models.builders._regression import expected_calibration_error, fit


@pytest.fixture(scope="module")
def noisy():
    """Vectors of three classes and their labels, of which a tenth is wrong: float32[900, 4], int64[900]."""
    random = np.random.default_rng(1)
    truth = random.integers(3, size=900)
    vectors = np.eye(4, dtype=np.float32)[truth] * 6 + random.normal(size=(900, 4)).astype(np.float32)
    wrong = random.random(900) < 0.1
    return vectors, truth, np.where(wrong, (truth + 1) % 3, truth)


@pytest.fixture(scope="module")
def head(noisy):
    """Trained on them."""
    vectors, _, labels = noisy
    return fit(vectors, labels, 3)


def test_it_learns_in_spite_of_wrong_labels(noisy, head):
    """It finds the true classes, and is about as sure as its labels are right."""
    vectors, truth, labels = noisy
    probabilities = head.probabilities(vectors)
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.97
    assert probabilities.max(axis=1).mean() == pytest.approx(0.9, abs=0.03)
    assert expected_calibration_error(probabilities, labels) < 0.05


def test_the_graph_says_the_same(noisy, head, tmp_path):
    """The saved model gives the head's calibrated probabilities, and each row sums to one."""
    vectors, *_ = noisy
    head.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"embedding": vectors})
    np.testing.assert_allclose(probabilities, head.probabilities(vectors), atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_training_is_repeatable(noisy, head):
    """The same texts give the same weights."""
    vectors, _, labels = noisy
    np.testing.assert_array_equal(fit(vectors, labels, 3).weights, head.weights)


def test_calibration_error_of_known_cases():
    """It is 0 when four of five are right at 80 % confidence, and 0.2 when all are."""
    probabilities = np.tile([0.8, 0.2], (5, 1))
    assert expected_calibration_error(probabilities, np.array([0, 0, 0, 0, 1])) == pytest.approx(0)
    assert expected_calibration_error(probabilities, np.zeros(5, np.int64)) == pytest.approx(0.2)
