"""Samples that come without a container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from services.mesh.ports import AudioEncoding, AudioFormat
from services.preprocessing.pipelines.sound.g711 import ALAW, MULAW

CODECS: Mapping[AudioEncoding, str] = {
    "linear16": "pcm_s16le",
    "mulaw": "pcm_mulaw",
    "alaw": "pcm_alaw",
    "float32": "pcm_f32le",
}
# Decoded at a time: so little that it takes less than a millisecond and may be done on the event loop.
SLICE_BYTES = 65_536

_LINEAR16 = np.dtype("<i2")
_FLOAT32 = np.dtype("<f4")


class RawDecoder:
    """Bytes to samples, wherever the bytes were cut."""

    def __init__(self, audio_format: AudioFormat) -> None:
        """audio_format: any but a container."""
        self._encoding = audio_format.encoding
        self._channels = audio_format.channels
        width = {"linear16": _LINEAR16.itemsize, "float32": _FLOAT32.itemsize}.get(audio_format.encoding, 1)
        self._frame_bytes = width * audio_format.channels
        second = self._frame_bytes * audio_format.sample_rate_hertz
        self._slice_bytes = min(second, SLICE_BYTES // self._frame_bytes * self._frame_bytes)
        self._rest = b""

    @property
    def incomplete(self) -> bool:
        """Whether the bytes so far end in the middle of a sample."""
        return bool(self._rest)

    def decode(self, chunk: bytes) -> Iterator[NDArray[np.float32]]:
        """The samples that this chunk completes, float32[T], at most a second at a time: the mean of the channels."""
        data = self._rest + chunk if self._rest else chunk
        whole = len(data) // self._frame_bytes * self._frame_bytes
        self._rest = data[whole:]
        for begin in range(0, whole, self._slice_bytes):
            yield self._samples(memoryview(data)[begin : min(begin + self._slice_bytes, whole)])

    def _samples(self, data: memoryview) -> NDArray[np.float32]:
        match self._encoding:
            case "linear16":
                samples = np.frombuffer(data, _LINEAR16).astype(np.float32) / 32768
            case "float32":
                samples = np.frombuffer(data, _FLOAT32).astype(np.float32)
            case encoding:
                samples = (MULAW if encoding == "mulaw" else ALAW)[np.frombuffer(data, np.uint8)]
        if self._channels == 1:
            return samples
        with np.errstate(over="ignore", invalid="ignore"):
            mean: NDArray[np.float32] = samples.reshape(-1, self._channels).mean(axis=1, dtype=np.float32)
        return mean
