"""Every kind of input through its pipeline: rules, defaults and threads, whoever asks, over gRPC or in process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import Fit, Tokens
from services.mesh.request import fraction, limited
from services.preprocessing.pipelines import audio, contents, image, text
from services.preprocessing.pipelines.tokens import Tokenizers
from services.preprocessing.pipelines.workers import Workers

MAX_WANTED_SIDE = 4096

T = TypeVar("T")


class InputPipelines:
    """What preprocessing does. Every method raises InvalidArgument naming the field, Exhausted or DeadlineExceeded."""

    def __init__(self, tokenizers: Tokenizers, workers: Workers) -> None:
        self._tokenizers = tokenizers
        self._workers = workers

    @property
    def tokenizers(self) -> list[str]:
        """The names that `tokenize_text` takes, in order."""
        return self._tokenizers.names

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

    async def transform_image(
        self, content: bytes, *, width: int, height: int, fit: Fit, crop_fraction: float, deadline: Deadline
    ) -> image.Picture:
        """A picture to pixels; see `image.transform`. crop_fraction: 0 for 1."""
        transform = partial(
            image.transform,
            content,
            width=_side("width", width, height),
            height=_side("height", height, width),
            fit=fit,
            crop_fraction=fraction("crop_fraction", crop_fraction, default=1.0),
        )
        return await self._workers.run(transform, deadline)

    async def convert_audio(self, content: bytes, *, sample_rate_hertz: int, deadline: Deadline) -> audio.Recording:
        """A recording to samples; see `audio.convert`. sample_rate_hertz: 0 for 16,000."""
        convert = partial(
            audio.convert,
            content,
            sample_rate_hertz=limited("sample_rate_hertz", sample_rate_hertz, default=16_000, low=8_000, high=48_000),
            deadline=deadline,
        )
        return await self._workers.run(convert, deadline)

    async def _run(self, size: int, work: Callable[[], T], deadline: Deadline) -> T:
        """Work on texts of so many bytes: short ones at once, long ones off the event loop."""
        return work() if size <= contents.INLINE_BYTES else await self._workers.run(work, deadline)


def _side(field: str, value: int, other: int) -> int:
    """A wanted width or height in pixels. Raises InvalidArgument for 0 beside another that is given."""
    if value == 0 and other == 0:
        return 0
    if not 1 <= value <= MAX_WANTED_SIDE:
        raise errors.InvalidArgument.field(
            field, f"takes 1 to {MAX_WANTED_SIDE}, or 0 in both width and height, got {value}"
        )
    return value
