"""The frames of a video that is being sent, as a file in chunks or singly."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import Preprocessor, Target, VideoEnd, VideoEvent, VideoFrame
from services.vision.pipelines.fields import renamed
from services.vision.pipelines.video import shots

# Frames of a sender whose clock rounds are not late.
_EARLY_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Still:
    """A single frame: a picture as a file, and when it is shown."""

    content: bytes
    offset_seconds: float


class Footage:
    """What a sender sends: either chunks of a file or single frames, read only when they are needed.

    bytes_received: of the file, so far.
    """

    def __init__(self, data: AsyncIterator[bytes | Still]) -> None:
        """data: of one kind only."""
        self._data = data
        self.bytes_received = 0

    async def events(
        self,
        preprocessor: Preprocessor,
        targets: Sequence[Target],
        *,
        frames_per_second: float,
        deadline: Deadline,
    ) -> AsyncGenerator[VideoEvent, None]:
        """As Preprocessor.extract_frames, whatever comes. Raises InvalidArgument when nothing does."""
        first = await anext(self._data, None)
        if first is None:
            raise errors.InvalidArgument.field("content", "is required: the stream ended without any data")
        if isinstance(first, bytes):
            events = preprocessor.extract_frames(
                self._chunks(first),
                targets,
                frames_per_second=frames_per_second,
                detect_shot_changes=True,
                deadline=deadline,
            )
        else:
            events = self._stills(first, preprocessor, targets, 1 / frames_per_second, deadline)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _chunks(self, first: bytes) -> AsyncGenerator[bytes, None]:
        self.bytes_received += len(first)
        yield first
        async for chunk in self._data:
            assert isinstance(chunk, bytes)  # noqa: S101 - the sender was checked
            self.bytes_received += len(chunk)
            yield chunk

    async def _stills(
        self,
        first: Still,
        preprocessor: Preprocessor,
        targets: Sequence[Target],
        period: float,
        deadline: Deadline,
    ) -> AsyncGenerator[VideoEvent, None]:
        finder = shots.ShotFinder()
        still, due, frames = first, first.offset_seconds, 0
        wanted = list(dict.fromkeys([*targets, shots.TARGET]))
        while True:
            frames += 1
            if still.offset_seconds >= due - _EARLY_SECONDS:
                due = max(due, still.offset_seconds - period) + period
                try:
                    rendered = await preprocessor.render_image(still.content, wanted, deadline=deadline)
                except errors.InvalidArgument as error:
                    raise renamed(error, "image.content", "frame.image") from None
                by_target = dict(zip(wanted, rendered, strict=True))
                if change := finder.look(by_target[shots.TARGET].pixels, still.offset_seconds):
                    yield change
                yield VideoFrame(still.offset_seconds, tuple(by_target[target] for target in targets))
            following = await anext(self._data, None)
            if following is None:
                break
            assert isinstance(following, Still)  # noqa: S101 - the sender was checked
            still = following
        yield VideoEnd(still.offset_seconds, frames, damaged=False, container="", codec="")
