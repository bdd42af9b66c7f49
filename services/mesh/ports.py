"""What the pipelines need from the outside, as protocols. Adapters implement them; tests fake them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline

Array = NDArray[Any]
Fit = Literal["stretch", "cover", "contain", "inside"]
Redaction = Literal["fill", "blur", "pixelate"]


class Inference(Protocol):
    """Runs models."""

    async def infer(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> dict[str, Array]:
        """Run a model once.

        inputs: arrays by tensor name, with the batch dimension if the model has one; texts are object arrays of bytes.
        outputs: the tensors wanted.
        Raises NotFound, Unavailable, Exhausted, DeadlineExceeded or Internal.
        """
        ...

    def stream(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, Array], None]:
        """Run a decoupled model, which answers piece by piece.

        Closing the generator, or cancelling the task that reads it, ends the execution in the server at once.
        Arguments and errors as those of `infer`; an error may also come after some pieces.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """N tokenised texts, padded to the longest: input_ids and attention_mask int64[N, L], truncated N bools."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    truncated: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in fractions of an upright picture."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decoded picture: pixels uint8[H, W, 3] RGB, and where on the upright original they lie."""

    pixels: NDArray[np.uint8]
    source_width: int
    source_height: int
    source_region: Region


@dataclass(frozen=True, slots=True)
class Target:
    """How a picture is rendered: pixels wide and high, how it is brought to that size, and which part of it.

    fit: "inside" scales down until it fits and never up, and fills nothing. crop_fraction: with "cover", the share of
    the largest centred crop that is used. region: None for the whole picture.
    """

    width: int
    height: int
    fit: Fit
    crop_fraction: float = 1.0
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A picture as a file. media_type: "image/jpeg" or "image/png"."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """A frame of a video, rendered once for each target that was asked for."""

    offset_seconds: float
    renderings: tuple[Pixels, ...]


@dataclass(frozen=True, slots=True)
class ShotChange:
    """A new shot begins. score: how much the colours changed, 0..1."""

    offset_seconds: float
    score: float


@dataclass(frozen=True, slots=True)
class WaitingForIndex:
    """The video's file must come whole before anything can be decoded."""


@dataclass(frozen=True, slots=True)
class VideoEnd:
    """The end of a video: its length as far as it was read, its frames, whether some of it was damaged, its format."""

    duration_seconds: float
    frames_decoded: int
    damaged: bool
    container: str
    codec: str


VideoEvent = VideoFrame | ShotChange | WaitingForIndex | VideoEnd


@dataclass(frozen=True, slots=True)
class Sound:
    """A decoded recording: samples float32[T], one channel, -1..1."""

    samples: NDArray[np.float32]
    sample_rate_hertz: int
    duration_seconds: float


AudioEncoding = Literal["container", "linear16", "mulaw", "alaw", "float32"]


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What the bytes of a stream of sound mean. A container tells its rate and channels itself: they are 0 then."""

    encoding: AudioEncoding = "container"
    sample_rate_hertz: int = 0
    channels: int = 0

    @property
    def bytes_per_second(self) -> float | None:
        """Of the stream; None for a container."""
        width = {"linear16": 2, "mulaw": 1, "alaw": 1, "float32": 4}.get(self.encoding)
        return None if width is None else float(width * self.channels * self.sample_rate_hertz)


@dataclass(frozen=True, slots=True)
class SoundPiece:
    """Samples of a stream that follow those of the piece before.

    samples: float32[T], one channel, -1..1, of at most a second. offset_seconds: of the first one, from the beginning.
    speech: float32[N], the probability of speech of each window of 512 samples that ends in this piece, if wanted.
    bytes_received: of the stream, when this piece was made.
    """

    samples: NDArray[np.float32]
    offset_seconds: float
    speech: NDArray[np.float32]
    bytes_received: int


@dataclass(frozen=True, slots=True)
class SoundEnd:
    """The end of a stream of sound: its length, what it was, and whether some of it was damaged."""

    duration_seconds: float
    source_sample_rate_hertz: int
    source_channels: int
    source_codec: str
    damaged: bool


SoundEvent = SoundPiece | SoundEnd

# Samples of one window of SoundPiece.speech, at 16,000 a second.
SPEECH_WINDOW = 512


@dataclass(frozen=True, slots=True)
class Sentence:
    """Where a sentence stands in its text, in code points, without the white space around it."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class DetectedLanguage:
    """What a text is written in.

    language_code: BCP-47, "" when it cannot be told. confidence: 0..1. alternatives: the next likely ones, best first.
    """

    language_code: str
    confidence: float
    alternatives: tuple[tuple[str, float], ...] = ()


class Preprocessor(Protocol):
    """Turns raw input into tensors.

    Raises InvalidArgument naming the field, Exhausted, Unavailable or DeadlineExceeded.
    """

    async def tokenize(self, texts: Sequence[str], *, tokenizer: str, max_tokens: int, deadline: Deadline) -> Tokens:
        """Split texts into token ids. Also raises NotFound for an unknown tokenizer."""
        ...

    async def segment(
        self, texts: Sequence[str], *, language_codes: Sequence[str], deadline: Deadline
    ) -> list[list[Sentence]]:
        """Find the sentences of each text. language_codes: one a text, "" for unknown."""
        ...

    async def detect_language(self, texts: Sequence[str], *, deadline: Deadline) -> list[DetectedLanguage]:
        """Tell what each text is written in."""
        ...

    async def render_image(self, content: bytes, targets: Sequence[Target], *, deadline: Deadline) -> list[Pixels]:
        """Decode a picture once, turn it upright, and render it for each target, in order."""
        ...

    async def redact_image(
        self, content: bytes, regions: Sequence[Region], *, method: Redaction, deadline: Deadline
    ) -> EncodedImage:
        """The upright picture with those places covered, without metadata."""
        ...

    def extract_frames(
        self,
        chunks: AsyncIterator[bytes],
        targets: Sequence[Target],
        *,
        frames_per_second: float,
        detect_shot_changes: bool,
        deadline: Deadline,
    ) -> AsyncGenerator[VideoEvent, None]:
        """Decode a video from the chunks of its file, while they come; the last event is VideoEnd.

        A chunk is read when the work needs it, and a frame decoded when it is asked for. Closing the generator ends the
        work. targets: of each frame; none for no frames.
        """
        ...

    async def fetch_media(self, uri: str, *, field: str, deadline: Deadline) -> bytes:
        """What lies at an address that the operator allows. field: its name in errors. Also raises NotFound."""
        ...

    def stream_audio(
        self,
        chunks: AsyncIterator[bytes],
        audio_format: AudioFormat,
        *,
        sample_rate_hertz: int,
        measure_speech: bool,
        field: str,
        deadline: Deadline,
    ) -> AsyncGenerator[SoundEvent, None]:
        """Decode, mix to one channel and resample sound while it comes; the last event is SoundEnd.

        chunks: each of 1 byte to 1 MiB; one is read when the work needs it. Closing the generator ends the work.
        measure_speech: whether pieces tell when somebody speaks; only at 16,000 hertz. field: its name in errors.
        """
        ...

    async def convert_audio(self, content: bytes, *, sample_rate_hertz: int, deadline: Deadline) -> Sound:
        """Decode, mix to one channel and resample a recording."""
        ...
