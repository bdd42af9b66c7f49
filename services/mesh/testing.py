"""For tests: fakes of the ports, and a real server on a free port."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc.aio
import numpy as np

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import (
    SPEECH_WINDOW,
    Array,
    AudioFormat,
    DetectedLanguage,
    EncodedImage,
    Pixels,
    Redaction,
    Region,
    Sentence,
    Sound,
    SoundEnd,
    SoundEvent,
    SoundPiece,
    Target,
    Tokens,
    VideoEnd,
    VideoEvent,
    VideoFrame,
)
from services.mesh.server import Servicer, serving
from services.mesh.settings import ServiceSettings

# What FakePreprocessor takes for speech.
_AUDIBLE = 0.01


@dataclass
class FakeInference:
    """Answers from a function; keeps what it was asked and the time each call was given, in seconds.

    pieces: what a decoupled model answers, one after the other. closed: how many streams were left before their end.
    """

    answer: Callable[[str, Mapping[str, Array]], Mapping[str, Array] | errors.MeshError]
    pieces: Callable[[str, Mapping[str, Array]], Sequence[Mapping[str, Array] | errors.MeshError]] | None = None
    calls: list[tuple[str, dict[str, Array], float]] = field(default_factory=list)
    closed: int = 0

    async def infer(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> dict[str, Array]:
        """The wanted ones of what the function answers."""
        self.calls.append((model, dict(inputs), deadline.remaining_seconds()))
        answer = self.answer(model, inputs)
        if isinstance(answer, errors.MeshError):
            raise answer
        return {name: answer[name] for name in outputs}

    async def stream(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, Array], None]:
        """The wanted ones of each piece."""
        assert self.pieces is not None, "this fake has no decoupled model"  # noqa: S101 - only tests come here
        self.calls.append((model, dict(inputs), deadline.remaining_seconds()))
        ended = False
        try:
            for piece in self.pieces(model, inputs):
                if isinstance(piece, errors.MeshError):
                    raise piece
                yield {name: piece[name] for name in outputs}
            ended = True
        finally:
            self.closed += not ended


@dataclass
class FakePreprocessor:
    """One token a word, sentences that end in . ! ? or 。, pictures of the size asked for, and a second of silence.

    A text with Chinese characters is Chinese, any other with letters English. Or each call fails with `error`.
    """

    error: errors.MeshError | None = None
    source: tuple[int, int] = (640, 480)
    region: Region = field(default_factory=lambda: Region(0, 0, 1, 1))
    rendered: list[list[Target]] = field(default_factory=list)
    redacted: list[tuple[Redaction, list[Region]]] = field(default_factory=list)

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    async def tokenize(self, texts: Sequence[str], *, tokenizer: str, max_tokens: int, deadline: Deadline) -> Tokens:
        """Each word's length as its token."""
        self._raise()
        words = [[len(word) for word in text.split()] for text in texts]
        rows = [row[:max_tokens] for row in words]
        ids = np.zeros((len(rows), max(map(len, rows), default=0)), np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
        return Tokens(ids, (ids > 0).astype(np.int64), tuple(len(row) > max_tokens for row in words))

    async def segment(
        self, texts: Sequence[str], *, language_codes: Sequence[str], deadline: Deadline
    ) -> list[list[Sentence]]:
        """Split after each full stop."""
        self._raise()
        return [
            [Sentence(*match.span()) for match in re.finditer(r"[^.!?。\s][^.!?。]*[.!?。]*", text)] for text in texts
        ]

    async def detect_language(self, texts: Sequence[str], *, deadline: Deadline) -> list[DetectedLanguage]:
        """By its characters."""
        self._raise()
        return [_language(text) for text in texts]

    async def render_image(self, content: bytes, targets: Sequence[Target], *, deadline: Deadline) -> list[Pixels]:
        """Black pictures."""
        self._raise()
        self.rendered.append(list(targets))
        return [
            Pixels(np.zeros((each.height, each.width, 3), np.uint8), *self.source, each.region or self.region)
            for each in targets
        ]

    async def redact_image(
        self, content: bytes, regions: Sequence[Region], *, method: Redaction, deadline: Deadline
    ) -> EncodedImage:
        """The content as it is; what was to be covered is kept."""
        self._raise()
        self.redacted.append((method, list(regions)))
        return EncodedImage(content, "image/jpeg")

    async def extract_frames(
        self,
        chunks: AsyncIterator[bytes],
        targets: Sequence[Target],
        *,
        frames_per_second: float,
        detect_shot_changes: bool,
        deadline: Deadline,
    ) -> AsyncGenerator[VideoEvent, None]:
        """One black frame a chunk, and the end."""
        self._raise()
        frames = 0
        async for _ in chunks:
            yield VideoFrame(
                frames / frames_per_second, tuple(await self.render_image(b"", targets, deadline=deadline))
            )
            frames += 1
        yield VideoEnd(frames / frames_per_second, frames, damaged=False, container="mp4", codec="h264")

    async def fetch_media(self, uri: str, *, field: str, deadline: Deadline) -> bytes:
        """The address itself."""
        self._raise()
        return uri.encode()

    async def stream_audio(
        self,
        chunks: AsyncIterator[bytes],
        audio_format: AudioFormat,
        *,
        sample_rate_hertz: int,
        measure_speech: bool,
        field: str,
        deadline: Deadline,
    ) -> AsyncGenerator[SoundEvent, None]:
        """Each chunk as float32 samples, whatever the format says; a window with a sample above .01 is speech."""
        self._raise()
        samples, received = np.empty(0, np.float32), 0
        async for chunk in chunks:
            received += len(chunk)
            piece = np.frombuffer(chunk, np.float32)
            windows = len(samples) // SPEECH_WINDOW, (len(samples) + len(piece)) // SPEECH_WINDOW
            offset, samples = len(samples) / sample_rate_hertz, np.concatenate([samples, piece])
            loudest = [np.abs(samples[each * SPEECH_WINDOW :][:SPEECH_WINDOW]).max() for each in range(*windows)]
            speech = [float(each > _AUDIBLE) for each in loudest]
            yield SoundPiece(piece, offset, np.array(speech if measure_speech else [], np.float32), received)
        yield SoundEnd(len(samples) / sample_rate_hertz, sample_rate_hertz, 1, "pcm_f32le", damaged=False)

    async def convert_audio(self, content: bytes, *, sample_rate_hertz: int, deadline: Deadline) -> Sound:
        """A second of silence."""
        self._raise()
        return Sound(np.zeros(sample_rate_hertz, np.float32), sample_rate_hertz, 1.0)


def _language(text: str) -> DetectedLanguage:
    if any("\u4e00" <= character <= "\u9fff" for character in text):
        return DetectedLanguage("zh", 1.0)
    return DetectedLanguage("en", 1.0) if any(map(str.isalpha, text)) else DetectedLanguage("", 0.0)


class _Listed:
    def __init__(self, cards: Sequence[ModelCard], loading: Sequence[str]) -> None:
        self._cards = {card.name: card for card in cards}
        self._loading = set(loading)

    async def list_models(self, known: Mapping[str, ModelCard]) -> tuple[dict[str, ModelCard], set[str]]:
        return self._cards, self._cards.keys() - self._loading


async def known_models(*cards: ModelCard, loading: Sequence[str] = (), optional_tasks: Sequence[str] = ()) -> Models:
    """These models, all ready but those that are loading. optional_tasks: those that need none."""
    tasks = {card.task for card in cards} - set(optional_tasks)
    models = Models(_Listed(cards, loading), sorted(tasks), optional_tasks=optional_tasks, poll_seconds=2)
    await models.refresh()
    return models


@asynccontextmanager
async def serve(
    *servicers: Servicer,
    default_deadline_seconds: float = 10,
    longest_call_seconds: float = 330,
    stream_idle_seconds: float = 60,
) -> AsyncIterator[grpc.aio.Channel]:
    """The services behind a real server on a free port of the loopback interface, and a channel to it."""
    settings = ServiceSettings(
        listen_address="127.0.0.1:0",
        metrics_address="127.0.0.1:0",
        default_deadline_seconds=default_deadline_seconds,
        longest_call_seconds=longest_call_seconds,
        stream_idle_seconds=stream_idle_seconds,
        drain_seconds=1,
    )
    async with (
        serving(servicers, settings) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel
