"""Decodes videos in threads of their own, while their files arrive: a bounded number, each in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import Target, VideoEvent
from services.preprocessing.pipelines.video.decode import Wanted, decode
from services.preprocessing.pipelines.video.link import Link, LinkClosed

# A video takes seconds or minutes.
_RETRY_SECONDS = 5.0
_MEBIBYTE = 1024 * 1024


class FrameExtractor:
    """Gives frames of videos. FFmpeg and Pillow release the GIL while they work."""

    def __init__(self, *, max_videos: int = 4, max_spooled_bytes: int = 512 * _MEBIBYTE) -> None:
        """max_videos: decoded at once. max_spooled_bytes: of one file that must come whole, kept on disk."""
        self._executor = ThreadPoolExecutor(max_videos, thread_name_prefix="video")
        self._links: set[Link] = set()
        self._max_videos = max_videos
        self._max_spooled_bytes = max_spooled_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what is running."""
        for link in list(self._links):
            link.close()
        self._executor.shutdown()

    @property
    def videos(self) -> int:
        """How many are being decoded."""
        return len(self._links)

    async def extract(
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
        deadline.require_seconds()
        wanted = Wanted(tuple(targets), frames_per_second, detect_shot_changes)
        if len(self._links) >= self._max_videos:
            raise errors.Exhausted(
                f"{self._max_videos} videos are being decoded already; try again later",
                retry_after_seconds=_RETRY_SECONDS,
            )
        link = Link()
        self._links.add(link)  # until its thread ends
        work = asyncio.wrap_future(self._executor.submit(self._work, link, wanted))
        events = link.events(chunks, deadline)
        try:
            async for event in events:
                yield event
        finally:
            link.close()
            await events.aclose()
            await asyncio.shield(work)

    def _work(self, link: Link, wanted: Wanted) -> None:
        """What the thread does."""
        failure: BaseException | None = None
        try:
            for event in decode(link, wanted, max_spooled_bytes=self._max_spooled_bytes):
                link.put(event)
        except LinkClosed:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where the events are taken
            failure = error
        finally:
            self._links.discard(link)
            link.end(failure)
