"""Decodes a video while its file comes in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, cast

import av
import av.container
import av.stream

from services.mesh import errors
from services.mesh.ports import Target, VideoEnd, VideoEvent, VideoFrame, WaitingForIndex
from services.preprocessing.pipelines.containers import Container
from services.preprocessing.pipelines.source import FIELD, Metered, MeteredFile, Source
from services.preprocessing.pipelines.video.containers import (
    CONTAINERS,
    HEAD_BYTES,
    MP4_LIKE,
    declared_bytes,
    recognize,
)
from services.preprocessing.pipelines.video.mp4 import Mp4Source
from services.preprocessing.pipelines.video.render import Renderer
from services.preprocessing.pipelines.video.shots import ShotDetector
from services.preprocessing.pipelines.video.timing import Clock, Sampler

FORMATS = tuple(container.name for container in CONTAINERS)
CODECS = ("av1", "h264", "hevc", "mjpeg", "mpeg2video", "mpeg4", "msmpeg4", "vp8", "vp9")
MAX_SIDE = 4096

# FFmpeg's decoders that may run, in the order of CODECS.
_DECODERS = ("libdav1d", "h264", "hevc", "mjpeg", "mpeg2video", "mpeg4", "msmpeg4", "vp8", "vp9")
_MAX_PIXELS = str(MAX_SIDE * MAX_SIDE)
_CONTAINER_OPTIONS = {
    "codec_whitelist": ",".join(_DECODERS),
    # No protocol, not even that of files: a demuxer that follows names, were it ever reached, gets nowhere.
    "protocol_whitelist": "",
    "max_streams": "32",
    # What is read, and kept in memory, to learn about the streams.
    "probesize": "1048576",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a video; see services.mesh.ports.Preprocessor.extract_frames."""

    targets: tuple[Target, ...]
    frames_per_second: float
    detect_shot_changes: bool


class Caller(Protocol):
    """Who waits for a video."""

    def read(self) -> bytes:
        """The next chunk of the file, empty at the end."""
        ...

    def require_open(self) -> None:
        """Raise when nobody waits any more."""
        ...


def decode(caller: Caller, wanted: Wanted, *, max_spooled_bytes: int) -> Iterator[VideoEvent]:
    """The events of a video, VideoEnd last.

    Raises InvalidArgument for what is no video within the limits above, and what the caller's methods raise. Of a video
    with a damaged place all the rest is given.
    """
    source = Source(caller.read)
    head = source.peek(HEAD_BYTES)
    kind = recognize(head)
    if kind is None:
        raise errors.InvalidArgument.field(FIELD, f"is none of {', '.join(FORMATS)}, or empty")
    with ExitStack() as stack:
        mp4 = Mp4Source(source) if kind in MP4_LIKE else None
        file = Metered(source if mp4 is None else mp4)
        if mp4 is not None and not mp4.index_comes_first():
            yield WaitingForIndex()
            spooled = stack.enter_context(tempfile.TemporaryFile())
            mp4.spool(spooled, max_spooled_bytes)
            file = MeteredFile(spooled)
        video = _Video(caller, file, stack.enter_context(_open(file, kind)))
        yield from _events(video, wanted)
        truncated = source.ended and source.received < (declared_bytes(kind, head) or 0)
        if mp4 is not None:
            truncated = mp4.truncated
        damaged = video.damaged or truncated
        yield VideoEnd(video.clock.duration_seconds, video.frames_decoded, damaged, kind.name, video.codec)


def _events(video: _Video, wanted: Wanted) -> Iterator[VideoEvent]:
    renderer = Renderer(wanted.targets)
    sampler = Sampler(wanted.frames_per_second)
    shots = ShotDetector() if wanted.detect_shot_changes else None
    for frame, offset in video.frames():
        event = VideoFrame(offset, renderer.render(frame)) if wanted.targets and sampler.wants(offset) else None
        if shots is not None:
            yield from shots.add(frame, offset, event)
        elif event is not None:
            yield event
    if shots is not None:
        yield from shots.finish()


def _open(file: Metered, kind: Container) -> av.container.InputContainer:
    """The video with its headers read. FFmpeg can open nothing beside it, and run no decoder beside those above."""
    try:
        container = av.open(
            file,
            "r",
            format=kind.demuxer,
            container_options=_CONTAINER_OPTIONS,
            metadata_errors="replace",
            io_open=_refuse,
        )
    except Exception:  # noqa: BLE001 - hostile bytes make PyAV raise ValueError, OverflowError and others
        file.check()
        raise _damaged(kind) from None
    file.check()
    # Otherwise packets without a time are collected until one has it.
    container.flags &= ~cast("int", av.container.Flags.gen_pts.value)
    return container


def _refuse(_url: str, _flags: int, _options: dict[str, str]) -> Any:
    """What FFmpeg is told when a file names another one."""
    raise PermissionError("a video may not name other files")


class _Video:
    """The pictures of an open container.

    damaged: whether something of them could not be decoded. frames_decoded: so far.
    """

    def __init__(self, caller: Caller, file: Metered, container: av.container.InputContainer) -> None:
        self._caller = caller
        self._file = file
        self._container = container
        self._stream = _picture_stream(container)
        rate = self._stream.average_rate
        self.clock = Clock(None if rate is None else float(rate))
        self.codec = self._stream.codec_context.codec.canonical_name
        self.damaged = False
        self.frames_decoded = 0

    def frames(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Every frame and its offset in seconds. Raises InvalidArgument when there is none, or one is too large."""
        for frame in self._decoded():
            self._file.frame_came()
            self.frames_decoded += 1
            self.damaged = self.damaged or frame.is_corrupt
            _check_size(frame.width, frame.height)
            stamp = frame.dts if frame.pts is None else frame.pts
            time_base = self._stream.time_base
            yield frame, self.clock.offset(None if stamp is None or time_base is None else float(stamp * time_base))
        if not self.frames_decoded:
            raise errors.InvalidArgument.field(FIELD, "holds no frame that can be decoded")

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            self._caller.require_open()
            if packet is not None and not packet.size:
                continue  # The decoder would take it for the end.
            try:
                frames = self._stream.codec_context.decode(packet)
            except Exception:  # noqa: BLE001 - as in `_open`
                self.damaged = True
                continue
            yield from frames

    def _packets(self) -> Iterator[av.Packet[av.VideoStream] | None]:
        """Those of the file, and None at its end."""
        try:
            yield from self._container.demux(self._stream)
        except Exception:  # noqa: BLE001 - as in `_open`
            self.damaged = True
        self._file.check()
        yield None


def _picture_stream(container: av.container.InputContainer) -> av.VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream):
        raise errors.InvalidArgument.field(FIELD, "holds no video")
    decoder = stream.codec_context
    if decoder is None or decoder.name not in _DECODERS:
        raise errors.InvalidArgument.field(FIELD, f"has a codec other than {', '.join(CODECS)}")
    _check_size(decoder.width, decoder.height)
    decoder.thread_count = 1
    decoder.options = {"max_pixels": _MAX_PIXELS}
    for other in container.streams:
        if other is not stream:
            other.discard = av.stream.Discard.all
    return stream


def _check_size(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE:
        raise errors.InvalidArgument.field(
            FIELD, f"takes pictures of at most {MAX_SIDE} pixels a side, got {width} x {height}"
        )


def _damaged(kind: Container) -> errors.InvalidArgument:
    return errors.InvalidArgument.field(FIELD, f"begins like {kind.name}, but is damaged")
