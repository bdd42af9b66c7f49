"""Recordings: every format, mixing, resampling, and the limits."""

import io
import struct
import wave

import numpy as np
import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.preprocessing.pipelines import audio
from services.preprocessing.pipelines.containers import CONTAINERS, Container, mp4_samples, recognize
from services.preprocessing.pipelines.sound import opened


def convert(content: bytes, rate: int = 16_000, seconds: float = 30) -> audio.Recording:
    return audio.convert(content, sample_rate_hertz=rate, deadline=Deadline.after(seconds))


def violation(call) -> errors.Violation:
    with pytest.raises(errors.InvalidArgument) as caught:
        call()
    (found,) = caught.value.violations
    assert found.field == "audio.content"
    return found


def pitch(samples: np.ndarray, rate: int) -> float:
    """Hertz of the loudest frequency, by the peak of a parabola through the three loudest bins."""
    spectrum = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) + 1e-12)
    peak = int(np.argmax(spectrum))
    left, middle, right = spectrum[peak - 1 : peak + 2]
    return (peak + (left - right) / (2 * (left - 2 * middle + right))) * rate / len(samples)


# container, codec, codec's name in the answer, rate, milliseconds by which the length may be off (lossy formats without
# a note of their padding keep it)
FORMATS = [
    ("wav", "pcm_u8", "pcm_u8", 22_050, 1),
    ("wav", "pcm_s16le", "pcm_s16le", 44_100, 1),
    ("wav", "pcm_s24le", "pcm_s24le", 48_000, 1),
    ("wav", "pcm_s32le", "pcm_s32le", 96_000, 1),
    ("wav", "pcm_f32le", "pcm_f32le", 16_000, 1),
    ("wav", "pcm_f64le", "pcm_f64le", 8_000, 1),
    ("wav", "pcm_alaw", "pcm_alaw", 8_000, 1),
    ("wav", "pcm_mulaw", "pcm_mulaw", 8_000, 1),
    ("flac", "flac", "flac", 44_100, 1),
    ("ogg", "vorbis", "vorbis", 44_100, 10),
    ("ogg", "libopus", "opus", 48_000, 1),
    ("ogg", "libopus", "opus", 16_000, 1),
    ("mp3", "libmp3lame", "mp3", 44_100, 1),
    ("mp3", "libmp3lame", "mp3", 16_000, 1),
    ("mp4", "alac", "alac", 44_100, 1),
    ("mp4", "aac", "aac", 44_100, 60),
    ("aac", "aac", "aac", 44_100, 60),
]


@pytest.mark.parametrize(("container", "codec", "name", "rate", "slack"), FORMATS)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_formats(sine, recorded, container, codec, name, rate, slack, layout):  # noqa: PLR0917 - a table's columns
    """Every format that the contract names keeps pitch, loudness and length at another rate."""
    tone = sine(440, rate=rate, seconds=1.5)
    if codec == "vorbis":
        layout = "stereo"  # all that the encoder of this test can do
    channels = np.stack([tone] * (2 if layout == "stereo" else 1))
    content = recorded(channels, rate=rate, container=container, codec=codec, layout=layout)
    found = convert(content, 24_000)
    middle = found.sound.samples[6_000:30_000]
    assert recognize(content).name == container
    assert (found.source_codec, found.source_channels) == (name, len(channels))
    assert found.source_sample_rate_hertz == (48_000 if name == "opus" else rate)
    assert found.sound.sample_rate_hertz == 24_000
    assert found.sound.samples.dtype == np.float32
    assert len(found.sound.samples) / 24_000 == pytest.approx(1.5, abs=slack / 1000)
    assert found.sound.duration_seconds == pytest.approx(1.5, abs=slack / 1000)
    assert pitch(middle, 24_000) == pytest.approx(440, abs=0.5)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)  # LAME takes 5 % off


def test_samples_at_their_own_rate_are_not_touched(sine, recorded):
    """Float samples at the wanted rate come back bit for bit."""
    tone = sine(440)
    assert np.array_equal(convert(recorded(tone, rate=16_000, codec="pcm_f32le")).sound.samples, tone)


def test_what_the_new_rate_cannot_hold_is_gone(sine, recorded):
    """A tone above half of the wanted rate vanishes instead of coming back as another tone."""
    samples = convert(recorded(sine(11_000, rate=44_100), rate=44_100, codec="pcm_f32le")).sound.samples
    assert np.abs(samples[1_000:-1_000]).max() < 1e-4


def test_stereo_is_averaged(sine, recorded):
    """Two channels are mixed half and half: one silent side halves the sound, an inverted one cancels it."""
    tone = sine(440)
    silent_side = recorded(np.stack([tone, 0 * tone]), rate=16_000, codec="pcm_f32le", layout="stereo")
    inverted_side = recorded(np.stack([tone, -tone]), rate=16_000, codec="pcm_f32le", layout="stereo")
    assert np.allclose(convert(silent_side).sound.samples, tone / 2, atol=1e-6)
    assert np.abs(convert(inverted_side).sound.samples).max() < 1e-6


def test_surround_is_mixed_without_clipping(sine, recorded):
    """Six equal channels are as loud as one; the centre counts most and the low-frequency channel not at all."""
    tone = sine(440)
    everywhere = recorded(np.stack([tone] * 6), rate=16_000, codec="pcm_f32le", layout="5.1")
    assert np.allclose(convert(everywhere).sound.samples, tone, atol=1e-6)
    loudness = []
    for channel in range(6):  # front left and right, centre, low frequencies, back left and right
        only = np.zeros((6, len(tone)), np.float32)
        only[channel] = tone
        found = convert(recorded(only, rate=16_000, codec="pcm_f32le", layout="5.1"))
        loudness.append(float(np.abs(found.sound.samples).max() / np.abs(tone).max()))
    assert int(np.argmax(loudness)) == 2
    assert loudness[3] == 0
    assert sum(loudness) == pytest.approx(1, abs=1e-4)


def test_an_unsigned_zero_is_silence(recorded):
    """The middle of 8-bit samples is silence, not an offset."""
    content = recorded(np.zeros(16_000, np.float32), rate=16_000, codec="pcm_u8")
    assert np.abs(convert(content).sound.samples).max() == 0


def test_too_loud_samples_are_clipped(sine, recorded):
    """Samples beyond full scale come back within -1..1."""
    samples = convert(recorded(sine(440, amplitude=3), rate=44_100, codec="pcm_f32le")).sound.samples
    assert samples.max() == 1
    assert samples.min() == -1


def test_samples_that_are_no_numbers(sine, recorded):
    """NaN among float samples is the caller's mistake."""
    tone = sine(440)
    tone[500] = np.nan
    assert "not numbers" in violation(lambda: convert(recorded(tone, rate=16_000, codec="pcm_f32le"))).description


def test_leading_tag(sine, recorded):
    """An ID3 tag before the sound does not hide the format, whatever follows it."""
    tag = b"ID3\x04\0\0" + bytes([0, 0, 2, 0]) + bytes(256)
    for container, codec in (("mp3", "libmp3lame"), ("aac", "aac"), ("flac", "flac")):
        content = tag + recorded(sine(440, rate=44_100), rate=44_100, container=container, codec=codec)
        assert recognize(content).name == container
        assert pitch(convert(content).sound.samples, 16_000) == pytest.approx(440, abs=1)


def silence(seconds: float, rate: int, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setparams((channels, 1, rate, 0, "NONE", ""))
        output.writeframes(b"\x80" * round(seconds * rate) * channels)
    return file.getvalue()


def test_ten_minutes_are_enough():
    """Ten minutes are taken, a hundredth of a second more is not."""
    assert len(convert(silence(600, 8_000), 8_000).sound.samples) == 4_800_000
    assert "600 seconds" in violation(lambda: convert(silence(600.01, 8_000), 8_000)).description


def test_the_limit_stops_decoding(recorded):
    """A small file of a long time is refused while it is decoded, before its end."""
    long = recorded(np.zeros((1, 8_000 * 900), np.float32), rate=8_000, container="flac", codec="flac")
    assert len(long) < 2**18
    cut = long[: len(long) * 3 // 4] + b"garbage that the decoder never sees"
    assert "600 seconds" in violation(lambda: convert(cut)).description


def test_an_answer_fits_a_message():
    """At a high rate the limit is what an answer can carry, and the sentence says so."""
    found = violation(lambda: convert(silence(400, 8_000), 48_000))
    assert found.description == "takes at most 312 seconds of sound at 48000 samples a second"


def test_a_late_call_stops_decoding():
    """Decoding ends when the caller's time is over."""
    with pytest.raises(errors.DeadlineExceeded):
        convert(silence(5, 8_000), seconds=0)


@pytest.mark.parametrize(("rate", "channels"), [(1_000, 1), (384_000, 1), (8_000, 9), (8_000, 200)])
def test_unreasonable_headers(rate, channels):
    """Sample rates and channel counts outside the limits are refused."""
    assert violation(lambda: convert(silence(0.1, rate, channels))).description.startswith("takes")


@pytest.mark.parametrize("content", [b"", b"\0", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"\xff\xfb", bytes(100)])
def test_nothing_to_hear(content):
    """Empty files and bare headers are refused."""
    violation(lambda: convert(content))


def test_too_many_bytes():
    """More than 20 MiB are refused unopened."""
    assert "20971520 bytes" in violation(lambda: convert(bytes(audio.MAX_BYTES + 1))).description


def test_no_frames():
    """A recording without a sample is refused."""
    violation(lambda: convert(silence(0, 8_000)))


def test_a_codec_that_is_not_listed(sine, recorded):
    """A known container with a codec that the contract does not name is refused, so that no other decoder ever runs."""
    content = recorded(sine(440), rate=16_000, codec="adpcm_ms")
    assert "codec" in violation(lambda: convert(content)).description


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{}</BaseURL></MPD>',
    "subfile": "subfile,,start,0,end,0,,:{}",
    "name": "{}",
}


@pytest.mark.parametrize("playlist", PLAYLISTS.values(), ids=PLAYLISTS)
@pytest.mark.parametrize(
    "prefix", [b"", b"ID3\x04\0\0\0\0\0\0", b"RIFF\xff\0\0\0WAVE", b"\0\0\0\x18ftypM4A \0\0\0\0", b"OggS"]
)
def test_playlists_open_nothing(sine, recorded, tmp_path, playlist, prefix):
    """A playlist that names a sound file of the server is refused, and the file not read, whatever comes before it."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(recorded(sine(440), rate=16_000))
    before = secret.stat().st_atime_ns
    for name in (secret, f"file:{secret}", f"concat:{secret}"):
        violation(lambda name=name: convert(prefix + playlist.format(name).encode()))
    assert secret.stat().st_atime_ns == before


def test_even_a_demuxer_of_playlists_opens_nothing(sine, recorded, tmp_path, monkeypatch):
    """Were a playlist taken for a recording, FFmpeg may still use no protocol, not even that of files."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(recorded(sine(440), rate=16_000))
    content = PLAYLISTS["concat"].format(secret).encode()
    monkeypatch.setattr(audio, "recognize", lambda _: Container("playlist", "concat"))
    monkeypatch.setitem(opened._OPTIONS, "safe", "0")
    violation(lambda: convert(content))
    monkeypatch.delitem(opened._OPTIONS, "protocol_whitelist")
    assert len(convert(content).sound.samples) == 16_000  # so it is this option that holds


def test_ffmpeg_asks_in_vain(monkeypatch):
    """Were a playlist taken for a recording, what it names is asked of us, and we refuse."""
    asked = []
    refuse = opened._refuse
    monkeypatch.setattr(opened, "_refuse", lambda *named: asked.append(named[0]) or refuse(*named))
    monkeypatch.setattr(audio, "recognize", lambda _: Container("playlist", "hls"))
    violation(lambda: convert(PLAYLISTS["hls"].format("secret.wav").encode()))
    assert asked == ["secret.wav"]


def test_an_mp4_cannot_take_memory_with_a_number(sine, recorded):
    """Tables that declare far more samples than ten minutes hold are refused before FFmpeg makes room for them."""
    content = recorded(sine(440, rate=44_100), rate=44_100, container="mp4", codec="aac")
    assert 40 <= mp4_samples(content) <= 400
    at = content.index(b"stsz")
    bomb = content[: at + 8] + struct.pack(">II", 1, 500_000_000) + content[at + 16 :]
    assert "2000000 samples" in violation(lambda: convert(bomb)).description


def test_the_media_data_of_an_mp4_is_not_searched():
    """Sound that looks like a table by chance does no harm."""
    inside = b"stsz" + b"\xff" * 60
    box = struct.pack(">I4s", 8 + len(inside), b"mdat") + inside
    assert mp4_samples(struct.pack(">I4s", 12, b"ftyp") + b"M4A " + box) == 0


def test_config_lists_what_is_recognised():
    """The formats that the service names are the seven of the contract."""
    assert sorted(container.name for container in CONTAINERS) == sorted(audio.FORMATS)
    assert set(audio.FORMATS) == {"wav", "flac", "ogg", "mp3", "aac", "mp4", "webm"}


def damaged(content: bytes, generator: np.random.Generator) -> bytes:
    """Cut, with flipped bits, or with a stretch of noise."""
    kind = generator.integers(3)
    if kind == 0:
        return content[: generator.integers(len(content))]
    changed = np.frombuffer(content, np.uint8).copy()
    if kind == 1:
        places = generator.integers(len(changed), size=generator.integers(1, 40))
        changed[places] ^= (1 << generator.integers(8, size=len(places))).astype(np.uint8)
    else:
        begin = int(generator.integers(min(len(changed), 600)))
        stretch = changed[begin : begin + int(generator.integers(1, 300))]
        stretch[:] = generator.integers(256, size=len(stretch))
    return changed.tobytes()


@pytest.mark.parametrize(
    ("container", "codec"),
    [("wav", "pcm_s16le"), ("flac", "flac"), ("ogg", "libopus"), ("mp3", "libmp3lame"), ("aac", "aac"), ("mp4", "aac")],
)
def test_damaged_recordings(sine, recorded, container, codec):
    """Whatever is done to a recording, it is heard or refused with a reason, and never heard beyond the limits."""
    generator = np.random.default_rng(7)
    content = recorded(sine(440, rate=48_000, seconds=0.4), rate=48_000, container=container, codec=codec)
    refused = []
    for _ in range(120):
        try:
            sound = convert(damaged(content, generator)).sound
        except errors.InvalidArgument as error:
            refused.append(error.violations[0].field)
        else:
            assert np.abs(sound.samples).max(initial=0) <= 1
    assert set(refused) == {"audio.content"}


def test_noise():
    """Random bytes are refused, with and without a header that looks right."""
    generator = np.random.default_rng(11)
    heads = [b"", b"RIFF\xff\xff\0\0WAVEfmt ", b"fLaC\0\0\0\x22", b"OggS\0\2", b"\xff\xf1", b"\0\0\0\x20ftypM4A "]
    for head in heads:
        for _ in range(40):
            violation(lambda head=head: convert(head + generator.bytes(int(generator.integers(1, 3000)))))
