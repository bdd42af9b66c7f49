"""Decodes videos while their files arrive."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from types import TracebackType
from typing import Self

from services.mesh.deadline import Deadline
from services.mesh.ports import Target, VideoEvent
from services.preprocessing.pipelines.decoders import Decoders
from services.preprocessing.pipelines.link import Link
from services.preprocessing.pipelines.video.decode import Wanted, decode

_MEBIBYTE = 1024 * 1024


class FrameExtractor:
    """Gives frames of videos."""

    def __init__(self, *, max_videos: int = 4, max_spooled_bytes: int = 512 * _MEBIBYTE) -> None:
        """max_videos: decoded at once. max_spooled_bytes: of one file that must come whole, kept on disk."""
        self._decoders: Decoders[VideoEvent] = Decoders(max_videos, "videos")
        self._max_spooled_bytes = max_spooled_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what is running."""
        self._decoders.__exit__(kind, error, traceback)

    @property
    def videos(self) -> int:
        """How many are being decoded."""
        return self._decoders.running

    def extract(
        self,
        chunks: AsyncIterator[bytes],
        targets: Sequence[Target],
        *,
        frames_per_second: float,
        detect_shot_changes: bool,
        deadline: Deadline,
    ) -> AsyncGenerator[VideoEvent, None]:
        """The events of one video; see services.mesh.ports.Preprocessor.extract_frames.

        Closing the generator ends the thread, and waits for it: at most for the frame that it is decoding.
        Raises InvalidArgument naming `content`, Exhausted or DeadlineExceeded.
        """
        wanted = Wanted(tuple(targets), frames_per_second, detect_shot_changes)

        def work(link: Link[VideoEvent]) -> None:
            for event in decode(link, wanted, max_spooled_bytes=self._max_spooled_bytes):
                link.put(event)

        return self._decoders.run(work, chunks, deadline)
