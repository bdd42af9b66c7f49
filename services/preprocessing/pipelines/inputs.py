"""Every kind of input through its pipeline: rules, defaults and threads, whoever asks, over gRPC or in process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeVar

from services.mesh import errors
from services.mesh.audio import heard
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import (
    AudioFormat,
    DetectedLanguage,
    EncodedImage,
    Fit,
    Redaction,
    Region,
    Sentence,
    SoundEvent,
    Target,
    Tokens,
    VideoEvent,
)
from services.mesh.request import fraction, language_tag, limited
from services.preprocessing.pipelines import audio, contents, languages, sentences, text
from services.preprocessing.pipelines.fetch.fetcher import Fetcher
from services.preprocessing.pipelines.image import redact, render
from services.preprocessing.pipelines.image.checks import MAX_TARGET_SIDE, check_regions, check_targets
from services.preprocessing.pipelines.languages import LanguageIdentifier
from services.preprocessing.pipelines.sound.denoise import DenoiseEvent
from services.preprocessing.pipelines.sound.detect import DetectEvent
from services.preprocessing.pipelines.sound.segments import Detection
from services.preprocessing.pipelines.sound.sounds import Sounds
from services.preprocessing.pipelines.tokens import Tokenizers
from services.preprocessing.pipelines.video.extract import FrameExtractor
from services.preprocessing.pipelines.workers import Workers

MAX_FRAME_TARGETS = 4
MAX_FRAME_PIXELS = 2_097_152
MAX_FRAMES_PER_SECOND = 30

_FRAMES_PER_SECOND = 5.0
_RETRY_SECONDS = 1.0

T = TypeVar("T")


class InputPipelines:
    """What preprocessing does. Every method raises InvalidArgument naming the field, Exhausted or DeadlineExceeded."""

    def __init__(
        self,
        tokenizers: Tokenizers,
        workers: Workers,
        identifier: LanguageIdentifier,
        fetcher: Fetcher,
        *,
        extractor: FrameExtractor,
        sounds: Sounds,
    ) -> None:
        self._tokenizers = tokenizers
        self._workers = workers
        self._identifier = identifier
        self._fetcher = fetcher
        self._extractor = extractor
        self._sounds = sounds

    @property
    def tokenizers(self) -> list[str]:
        """The names that `tokenize_text` takes, in order."""
        return self._tokenizers.names

    @property
    def models(self) -> list[ModelCard]:
        """The models that are ready."""
        return self._identifier.models

    async def normalize_text(
        self, texts: Sequence[str], *, form: text.Form, fold_case: bool, keep_line_breaks: bool, deadline: Deadline
    ) -> list[str]:
        """Texts cleaned, in order; see `text.normalize`."""
        size = contents.check(texts)
        normalize = partial(text.normalize, form=form, fold_case=fold_case, keep_line_breaks=keep_line_breaks)
        return await self._run(size, lambda: [normalize(each) for each in texts], deadline)

    async def tokenize_text(
        self, texts: Sequence[str], *, tokenizer: str, max_tokens: int, deadline: Deadline
    ) -> Tokens:
        """Texts to token ids; see `Tokenizers.encode`. max_tokens: 0 for 512. Also raises NotFound."""
        size = contents.check(texts)
        encode = partial(
            self._tokenizers.encode,
            texts,
            tokenizer=tokenizer,
            max_tokens=limited("max_tokens", max_tokens, default=512, low=2, high=8192),
        )
        return await self._run(size, encode, deadline)

    async def segment_text(
        self, texts: Sequence[str], *, language_codes: Sequence[str], deadline: Deadline
    ) -> list[list[Sentence] | errors.MeshError]:
        """The sentences of each text, or what is wrong with it; see `sentences.segment`.

        language_codes: one a text, "" for unknown; or none at all.
        """
        checked, size = contents.check_documents(texts)
        codes = _codes(language_codes, len(texts)) or [""] * len(texts)

        def segment(index: int, content: str) -> list[Sentence]:
            deadline.require_seconds()
            return sentences.segment(content, codes[index])

        return await self._run(size, lambda: contents.of_each(segment, checked), deadline)

    async def detect_language(
        self, texts: Sequence[str], *, model: str, deadline: Deadline
    ) -> tuple[list[DetectedLanguage | errors.MeshError], str]:
        """The language of each text, or what is wrong with it, and the model that was needed, if any.

        model: "" for the default. Also raises NotFound and Unavailable.
        """
        checked, size = contents.check_documents(texts)
        read = await self._run(
            size, lambda: contents.of_each(lambda _, content: languages.by_writing(content), checked), deadline
        )
        return await self._identifier.complete(read, model, deadline)

    async def transform_image(
        self, content: bytes, *, width: int, height: int, fit: Fit, crop_fraction: float, deadline: Deadline
    ) -> render.Rendering:
        """A picture to pixels; see `render.transform`. crop_fraction: 0 for 1."""
        transform = partial(
            render.transform,
            content,
            width=_side("width", width, height),
            height=_side("height", height, width),
            fit=fit,
            crop_fraction=fraction("crop_fraction", crop_fraction, default=1.0),
        )
        return await self._picture(transform, deadline)

    async def render_image(self, content: bytes, targets: Sequence[Target], *, deadline: Deadline) -> render.Rendering:
        """A picture to pixels, once for each target; see `render.render`. crop_fraction of a target: 0 for 1."""
        return await self._picture(partial(render.render, content, check_targets(targets)), deadline)

    async def redact_image(
        self, content: bytes, regions: Sequence[Region], *, method: Redaction, deadline: Deadline
    ) -> EncodedImage:
        """A picture with some of its places covered; see `redact.redact`."""
        covered = partial(redact.redact, content, check_regions(regions), method=method)
        return await self._picture(covered, deadline)

    def extract_frames(
        self,
        chunks: AsyncIterator[bytes],
        targets: Sequence[Target],
        *,
        frames_per_second: float,
        detect_shot_changes: bool,
        deadline: Deadline,
    ) -> AsyncGenerator[VideoEvent, None]:
        """A video to frames; see `FrameExtractor.extract`. frames_per_second: 0 for 5."""
        checked = check_targets(
            targets, field="config.targets", fewest=0, most=MAX_FRAME_TARGETS, max_pixels=MAX_FRAME_PIXELS
        )
        if not 0 <= frames_per_second <= MAX_FRAMES_PER_SECOND:
            raise errors.InvalidArgument.field(
                "config.frames_per_second", f"takes 0 to {MAX_FRAMES_PER_SECOND}, got {frames_per_second:g}"
            )
        return self._extractor.extract(
            chunks,
            checked,
            frames_per_second=frames_per_second or _FRAMES_PER_SECOND,
            detect_shot_changes=detect_shot_changes,
            deadline=deadline,
        )

    async def fetch_media(self, uri: str, *, field: str, deadline: Deadline) -> bytes:
        """What lies at an address; see `Fetcher.fetch`. Also raises NotFound and Unavailable."""
        return await self._fetcher.fetch(uri, field=field, deadline=deadline)

    async def convert_audio(self, content: bytes, *, sample_rate_hertz: int, deadline: Deadline) -> audio.Recording:
        """A recording to samples; see `audio.convert`. sample_rate_hertz: 0 for 16,000."""
        convert = partial(
            audio.convert,
            content,
            sample_rate_hertz=limited("sample_rate_hertz", sample_rate_hertz, default=16_000, low=8_000, high=48_000),
            deadline=deadline,
        )
        recording = await self._workers.run(convert, deadline)
        heard(recording.sound.duration_seconds)
        return recording

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
        """Sound to samples, while it comes; see `Sounds.stream`. sample_rate_hertz: 0 for 16,000."""
        rate = limited("config.sample_rate_hertz", sample_rate_hertz, default=16_000, low=8_000, high=48_000)
        return self._sounds.stream(
            chunks, audio_format, sample_rate_hertz=rate, measure_speech=measure_speech, field=field, deadline=deadline
        )

    def detect_speech(
        self,
        chunks: AsyncIterator[bytes],
        audio_format: AudioFormat,
        wanted: Detection,
        *,
        model: str,
        deadline: Deadline,
    ) -> AsyncGenerator[DetectEvent, None]:
        """Sound to pieces of speech, while it comes; see `Sounds.detect`. model: "" for the default."""
        return self._sounds.detect(chunks, audio_format, wanted, model=model, deadline=deadline)

    def denoise_audio(
        self, chunks: AsyncIterator[bytes], audio_format: AudioFormat, *, model: str, deadline: Deadline
    ) -> AsyncGenerator[DenoiseEvent, None]:
        """Sound to cleaner sound, while it comes; see `Sounds.denoise`. model: "" for the default."""
        return self._sounds.denoise(chunks, audio_format, model=model, deadline=deadline)

    async def _picture(self, work: Callable[[], T], deadline: Deadline) -> T:
        """Work on a picture off the event loop. Within the limits it takes some 800 MiB at most, for a moment."""
        try:
            return await self._workers.run(work, deadline)
        except MemoryError:
            raise errors.Exhausted(
                "too little memory is left for this picture; try again shortly", retry_after_seconds=_RETRY_SECONDS
            ) from None

    async def _run(self, size: int, work: Callable[[], T], deadline: Deadline) -> T:
        """Work on texts of so many bytes: short ones at once, long ones off the event loop."""
        return work() if size <= contents.INLINE_BYTES else await self._workers.run(work, deadline)


def _codes(language_codes: Sequence[str], texts: int) -> Sequence[str]:
    """The codes. Raises InvalidArgument when there are some but not one a text, or one cannot be a BCP-47 tag."""
    if language_codes and len(language_codes) != texts:
        raise errors.InvalidArgument.field(
            "language_codes", f"takes one a text or none, got {len(language_codes)} for {texts}"
        )
    for index, code in enumerate(language_codes):
        language_tag(f"language_codes[{index}]", code)
    return language_codes


def _side(field: str, value: int, other: int) -> int:
    """A wanted width or height in pixels. Raises InvalidArgument for 0 beside another that is given."""
    if value == 0 and other == 0:
        return 0
    if not 1 <= value <= MAX_TARGET_SIDE:
        raise errors.InvalidArgument.field(
            field, f"takes 1 to {MAX_TARGET_SIDE}, or 0 in both width and height, got {value}"
        )
    return value
