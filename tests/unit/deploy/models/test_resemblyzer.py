"""Resemblyzer's network and what goes before it, with weights of which we know the result."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deploy.models.builders import resemblyzer


@pytest.fixture
def weights():
    """LSTM layers at random, and a last layer that passes their result on."""
    torch.manual_seed(1)
    layers = torch.nn.LSTM(40, 256, 3)
    return {
        **{f"lstm.{name}": value for name, value in layers.state_dict().items()},
        "linear.weight": torch.eye(256),
        "linear.bias": torch.zeros(256),
        "similarity_weight": torch.ones(1),  # only training needed it
    }


@pytest.fixture
def model(weights):
    return resemblyzer.network(weights)


def sound(seconds: float, level: float = 0.1) -> torch.Tensor:
    return torch.randn(round(seconds * 16_000), generator=torch.Generator().manual_seed(3)) * level


def embed(model, audio) -> np.ndarray:
    with torch.inference_mode():
        return model(audio).numpy()


def test_mel_filters_are_those_of_librosa():
    """Peaks, sums and the place of each band are what librosa 0.11 gives for 16 kHz, 400 samples and 40 bands."""
    filters = resemblyzer.mel_filters()
    assert filters.shape == (40, 201)
    np.testing.assert_allclose(filters[0, :5], [0, 0.00739021, 0.01240452, 0.00501431, 0], rtol=1e-5)
    np.testing.assert_allclose(
        filters.max(1)[[0, 10, 20, 39]], [0.01240452, 0.01187949, 0.00719192, 0.00172494], rtol=1e-5
    )
    assert filters.argmax(1)[[0, 10, 20, 39]].tolist() == [2, 20, 44, 185]


def test_spectra_are_of_power(model):
    """A tone of 1000 Hz lies in its band: a quarter of the squared sum of the window, by the filters' values there."""
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)
    (spectrum,) = model.spectra(tone)[50:51].numpy()
    window = np.hanning(401)[:400]
    lines = np.abs(np.fft.rfft(np.sin(2 * np.pi * 1000 * np.arange(400) / 16_000) * window)) ** 2
    np.testing.assert_allclose(spectrum, resemblyzer.mel_filters() @ lines, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("seconds", "pieces"), [(0.5, 1), (1.6, 1), (1.9, 1), (2.0, 2), (5.0, 5)])
def test_pieces_are_meant(model, seconds, pieces):
    """The vector is the mean of the vectors of pieces of 1.6 s, 0.77 s apart; a last one mostly silent is left out."""
    audio = sound(seconds)
    padded = torch.nn.functional.pad(audio, (0, 2 * 25_600))
    spectra = model.spectra(padded)
    starts = np.arange(pieces) * 77
    with torch.inference_mode():
        _, (hidden, _) = model.lstm(torch.stack([spectra[start : start + 160] for start in starts]))
        voices = torch.nn.functional.normalize(hidden[-1].relu()).numpy()
    mean = voices.mean(0)
    np.testing.assert_allclose(embed(model, audio), mean / np.linalg.norm(mean), atol=1e-5)


def test_quiet_speech_is_made_louder(model):
    """Below -30 dB of full scale loudness does not matter, above it does."""
    quiet, quieter = (embed(model, sound(2, level)) for level in (0.01, 0.001))
    np.testing.assert_allclose(quiet, quieter, atol=1e-4)
    assert np.abs(embed(model, sound(2, 0.5)) - embed(model, sound(2, 0.1))).max() > 1e-3


def test_silence_has_a_vector(model):
    """Not even zeros alone make something that is no number."""
    assert np.isfinite(embed(model, torch.zeros(8000))).all()
