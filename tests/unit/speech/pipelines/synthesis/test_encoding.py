"""Sound in every encoding, whole and piece by piece."""

from __future__ import annotations

import io
import wave

import av
import numpy as np
import pytest

from services.mesh import errors
from services.speech.pipelines.synthesis.encoding import Encoder, Output, soft_limit

HERTZ = 24_000
# A tone of one second with its level known.
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(HERTZ) / HERTZ)).astype(np.float32)
CONTAINERS = ["wav", "flac", "ogg_opus", "mp3"]


def encoded(output, samples=TONE, *, whole, pieces=7):
    encoder = Encoder(output, HERTZ, whole=whole)
    parts = [encoder.encode(part) for part in np.array_split(samples, pieces)]
    return b"".join([*parts, encoder.encode(samples[:0], last=True)]), encoder, parts


def decoded(content):
    """Samples and rate."""
    with av.open(io.BytesIO(content)) as file:
        frames = [frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)]
        rate = file.streams.audio[0].rate
    samples = np.concatenate(frames)
    return samples / (32768 if samples.dtype == np.int16 else 1), rate


def level(samples):
    return float(np.sqrt(np.mean(np.square(samples[len(samples) // 4 : -len(samples) // 4], dtype=np.float64))))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("encoding", CONTAINERS)
def test_files_are_read_back(encoding, whole):
    """Length and level are those of the sound."""
    content, encoder, _ = encoded(Output(encoding), whole=whole)
    samples, rate = decoded(content)
    assert encoder.samples_written == HERTZ
    assert len(samples) / rate == pytest.approx(1, abs=0.08)
    assert level(samples) == pytest.approx(level(TONE), rel=0.1)


@pytest.mark.parametrize("encoding", ["linear16", "wav", "mulaw", "flac", "ogg_opus", "mp3"])
def test_pieces_leave_at_once(encoding):
    """Bytes come long before the sound ends."""
    _, _, parts = encoded(Output(encoding), np.tile(TONE, 4), whole=False, pieces=4)
    assert all(parts)


@pytest.mark.parametrize("encoding", CONTAINERS)
def test_nothing_leaves_a_whole_file_before_its_end(encoding):
    """Its header tells the length."""
    assert not any(encoded(Output(encoding), whole=True)[2])


def test_a_wav_file_tells_its_length():
    """The one of a stream leaves it open."""
    content, _, _ = encoded(Output("wav"), whole=True)
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (HERTZ, HERTZ, 1)
    streamed, _, _ = encoded(Output("wav"), whole=False)
    assert streamed[40:44] == b"\xff\xff\xff\xff"
    assert streamed[44:] == content[44:]


@pytest.mark.parametrize(("encoding", "rate", "size"), [("mulaw", 0, 1), ("alaw", 16_000, 1), ("linear16", 11_025, 2)])
def test_raw_samples(encoding, rate, size):
    """Telephones' encodings are at 8000 samples a second unless another rate is wanted."""
    content, encoder, _ = encoded(Output(encoding, rate), whole=True)
    assert encoder.sample_rate_hertz == (rate or 8000)
    assert len(content) == size * encoder.samples_written
    assert encoder.samples_written == pytest.approx(encoder.sample_rate_hertz, abs=2)


def test_resampling_in_pieces_is_resampling_the_whole():
    """No seam is heard where the pieces meet."""
    pieces, _, _ = encoded(Output("linear16", 16_000), whole=False, pieces=9)
    whole, _, _ = encoded(Output("linear16", 16_000), whole=False, pieces=1)
    np.testing.assert_array_equal(np.frombuffer(pieces, "<i2"), np.frombuffer(whole, "<i2"))


def test_gain_and_limiter():
    """6 dB are a factor of two; what would be louder than full scale is bent, not cut off, and never beyond."""
    content, _, _ = encoded(Output("linear16", 0, -6.0206), whole=True)
    assert np.abs(np.frombuffer(content, "<i2")).max() == pytest.approx(0.25 * 32767, rel=0.001)
    bent = soft_limit(np.linspace(-3, 3, 1001, dtype=np.float32))
    assert np.abs(bent).max() <= 1
    assert (np.diff(bent) >= 0).all()
    np.testing.assert_array_equal(soft_limit(TONE), TONE)


@pytest.mark.parametrize(
    ("output", "field", "told"),
    [
        (Output("ogg_opus", 22_050), "sample_rate_hertz", "8000, 12000, 16000, 24000, 48000"),
        (Output("mp3", 47_999), "sample_rate_hertz", "44100"),
        (Output("wav", 7_999), "sample_rate_hertz", "8000 to 48000"),
        (Output("mulaw", 48_001), "sample_rate_hertz", "8000 to 48000"),
        (Output("wav", -1), "sample_rate_hertz", "8000 to 48000"),
        (Output("wav", 0, 16.1), "volume_gain_db", "-40 to 16"),
        (Output("wav", 0, float("nan")), "volume_gain_db", "-40 to 16"),
    ],
)
def test_limits(output, field, told):
    """The error names the field and what it takes."""
    with pytest.raises(errors.InvalidArgument) as caught:
        output.check()
    assert caught.value.violations[0].field == field
    assert told in caught.value.message
