"""Samples without a container: G.711, cuts anywhere, several channels."""

import av
import numpy as np
import pytest

from services.mesh import errors
from services.mesh.ports import AudioFormat
from services.preprocessing.pipelines.sound.g711 import ALAW, MULAW
from services.preprocessing.pipelines.sound.raw import RawDecoder
from services.preprocessing.pipelines.sound.resampling import Resampler

FORMATS = [
    ("linear16", 16_000, 1),
    ("linear16", 4_000, 3),
    ("float32", 192_000, 8),
    ("mulaw", 8_000, 2),
    ("alaw", 8_000, 1),
]


@pytest.mark.parametrize(("codec", "table"), [("pcm_mulaw", MULAW), ("pcm_alaw", ALAW)])
def test_g711_is_exact(codec, table):
    """Each of the 256 codes means what FFmpeg's decoder says."""
    decoder = av.CodecContext.create(codec, "r")
    decoder.sample_rate, decoder.layout = 8_000, "mono"
    (frame,) = decoder.decode(av.Packet(bytes(range(256))))
    np.testing.assert_array_equal(table, frame.to_ndarray()[0].astype(np.float32) / 32768)


@pytest.mark.parametrize("kind", FORMATS)
def test_cuts_do_not_matter(kind):
    """Chunks that end in the middle of a sample give the same samples, at most a second at a time."""
    chance = np.random.default_rng(2)
    audio_format = AudioFormat(*kind)
    content = chance.normal(size=30_000).astype("<f4").tobytes()[: 8 * 4 * 3000]
    whole = np.concatenate(list(RawDecoder(audio_format).decode(content)))
    decoder, pieces, begin = RawDecoder(audio_format), [], 0
    while begin < len(content):
        size = int(chance.integers(1, 300))
        pieces += decoder.decode(content[begin : begin + size])
        begin += size
    np.testing.assert_array_equal(np.concatenate(pieces), whole, strict=True)
    assert all(len(each) <= audio_format.sample_rate_hertz for each in pieces)
    assert not decoder.incomplete


def test_half_a_sample_is_known():
    """Bytes that are no whole sample are kept, and told."""
    decoder = RawDecoder(AudioFormat("linear16", 16_000, 2))
    assert [len(each) for each in decoder.decode(bytes(7))] == [1]
    assert decoder.incomplete


@pytest.mark.parametrize(
    ("source", "wanted", "most"),
    [
        (8_000, 16_000, 0.12),
        (44_100, 16_000, 0.05),
        (48_000, 16_000, 0.05),
        (16_000, 48_000, 0.05),
        (4_000, 8_000, 0.24),
    ],
)
def test_the_resampler_holds_little_back(source, wanted, most):
    """After each chunk so many seconds are missing at most, and none at the end."""
    resampler = Resampler(source, wanted, field="content")
    samples = np.sin(np.arange(source, dtype=np.float32) / 20)
    missing = []
    for begin in range(0, source, source // 50):
        resampler.take(samples[begin : begin + source // 50])
        missing.append(resampler.duration_seconds - resampler.offset_seconds)
    resampler.take(np.empty(0, np.float32), last=True)
    assert max(missing) < most
    assert resampler.offset_seconds == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("wanted", [16_000, 24_000])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(bad, wanted):
    """They are refused, by the end at the latest."""
    resampler = Resampler(16_000, wanted, field="audio")
    samples = np.zeros(16_000, np.float32)
    samples[8_000] = bad
    with pytest.raises(errors.InvalidArgument, match=r"^audio: has samples that are not numbers"):
        np.concatenate([resampler.take(samples), resampler.take(samples[:0], last=True)])


@pytest.mark.parametrize("wanted", [16_000, 24_000])
def test_samples_are_cut_to_full_scale(wanted):
    """Whatever numbers come, -1..1 comes out."""
    resampler = Resampler(16_000, wanted, field="audio")
    samples = np.tile(np.float32([7, -7, 0.5]), 5_000)
    made = np.concatenate([resampler.take(samples), resampler.take(samples[:0], last=True)])
    assert np.abs(made).max() == 1
