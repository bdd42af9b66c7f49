"""Preprocessing in the caller's own process (services.mesh.ports.Preprocessor)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from opentelemetry import trace

from services.mesh import errors
from services.mesh.backends import ModelServer
from services.mesh.deadline import Deadline
from services.mesh.pieces import piece
from services.mesh.ports import (
    AudioFormat,
    DetectedLanguage,
    EncodedImage,
    Pixels,
    Redaction,
    Region,
    Sentence,
    Sound,
    SoundEvent,
    Target,
    Tokens,
    VideoEvent,
)
from services.mesh.settings import PreprocessingSettings
from services.mesh.timing import Stage, stage
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.process import open_pipelines

T = TypeVar("T")

_tracer = trace.get_tracer("maas.preprocessing")


class LocalPreprocessor:
    """Answers as the preprocessing service does, without a call: arrays pass as they are."""

    def __init__(self, pipelines: InputPipelines) -> None:
        self._pipelines = pipelines

    async def tokenize(self, texts: Sequence[str], *, tokenizer: str, max_tokens: int, deadline: Deadline) -> Tokens:
        """Split texts into token ids; see the port."""
        async with _step("TokenizeText", deadline):
            return await self._pipelines.tokenize_text(
                texts, tokenizer=tokenizer, max_tokens=max_tokens, deadline=deadline
            )

    async def segment(
        self, texts: Sequence[str], *, language_codes: Sequence[str], deadline: Deadline
    ) -> list[list[Sentence]]:
        """Find the sentences of each text; see the port."""
        async with _step("SegmentText", deadline):
            found = await self._pipelines.segment_text(texts, language_codes=language_codes, deadline=deadline)
            return [_good(each) for each in found]

    async def detect_language(self, texts: Sequence[str], *, deadline: Deadline) -> list[DetectedLanguage]:
        """Tell what each text is written in; see the port."""
        async with _step("DetectLanguage", deadline):
            found, _ = await self._pipelines.detect_language(texts, model="", deadline=deadline)
            return [_good(each) for each in found]

    async def render_image(self, content: bytes, targets: Sequence[Target], *, deadline: Deadline) -> list[Pixels]:
        """Decode a picture once and render it for each target; see the port."""
        async with _step("RenderImage", deadline):
            return (await self._pipelines.render_image(content, targets, deadline=deadline)).renderings

    async def redact_image(
        self, content: bytes, regions: Sequence[Region], *, method: Redaction, deadline: Deadline
    ) -> EncodedImage:
        """A picture with some of its places covered; see the port."""
        async with _step("RedactImage", deadline):
            return await self._pipelines.redact_image(content, regions, method=method, deadline=deadline)

    def extract_frames(
        self,
        chunks: AsyncIterator[bytes],
        targets: Sequence[Target],
        *,
        frames_per_second: float,
        detect_shot_changes: bool,
        deadline: Deadline,
    ) -> AsyncGenerator[VideoEvent, None]:
        """Decode a video from the chunks of its file; see the port."""
        return self._pipelines.extract_frames(
            chunks,
            targets,
            frames_per_second=frames_per_second,
            detect_shot_changes=detect_shot_changes,
            deadline=deadline,
        )

    async def fetch_media(self, uri: str, *, field: str, deadline: Deadline) -> bytes:
        """What lies at an address that the operator allows; see the port."""
        async with _step("FetchMedia", deadline):
            return await self._pipelines.fetch_media(uri, field=field, deadline=deadline)

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
        """Decode, mix to one channel and resample sound while it comes; see the port."""
        return self._pipelines.stream_audio(
            chunks,
            audio_format,
            sample_rate_hertz=sample_rate_hertz,
            measure_speech=measure_speech,
            field=field,
            deadline=deadline,
        )

    async def convert_audio(self, content: bytes, *, sample_rate_hertz: int, deadline: Deadline) -> Sound:
        """Decode, mix to one channel and resample a recording; see the port."""
        async with _step("ConvertAudio", deadline):
            recording = await self._pipelines.convert_audio(
                content, sample_rate_hertz=sample_rate_hertz, deadline=deadline
            )
        return recording.sound


@asynccontextmanager
async def open_local(settings: PreprocessingSettings, server: ModelServer) -> AsyncIterator[LocalPreprocessor]:
    """Preprocessing in this process for as long as the block runs. server: runs its models."""
    async with open_pipelines(settings, server) as pipelines:
        yield LocalPreprocessor(pipelines)


def _good(found: T | errors.MeshError) -> T:
    """What was found of one text. Raises the error of one that broke a rule."""
    if isinstance(found, errors.MeshError):
        raise found
    return found


@asynccontextmanager
async def _step(method: str, deadline: Deadline) -> AsyncIterator[None]:
    """A span for one piece of work, which is no longer waited for when the deadline passes."""
    seconds = deadline.require_seconds()
    with stage(Stage.PREPROCESS), piece(f"preprocess {method}", tracer=_tracer):
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise errors.DeadlineExceeded("preprocessing did not answer in time") from None
